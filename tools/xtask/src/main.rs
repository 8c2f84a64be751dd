//! The project's own chores: what no test of the program can see.
//!
//! `cargo xtask tidy` reads the workspace as a strict colleague would: it checks the rules of `docs/architecture.md`
//! that a machine can check, and prints one line for each. `cargo xtask bench` measures and prints.
#![forbid(unsafe_code)]

mod bench;
mod checks;
mod fuzz;
mod kill;
mod text;
mod tidy;
mod verdict;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Check format, lints, docs, licences, dependency directions, file sizes, units and the specification.
    Tidy {
        /// First install the tools it needs and cargo can build (cargo-deny: about a minute).
        #[arg(long)]
        install: bool,
        /// Names of checks; without any, all of them.
        only: Vec<String>,
    },
    /// Measure something and print it.
    #[command(subcommand)]
    Bench(Bench),
    /// Fuzz the parsers of crates that have changed since the last deep run, with coverage.
    Fuzz(fuzz::Options),
    /// Kill, stop, starve and replace what streams, and ask the client whether it noticed. Needs root and `make build`.
    Kill(kill::Options),
    /// Let sessions come and go beside one that lasts, while a stage dies each minute. Needs root and `make build`.
    Soak {
        /// One stream of the genuine Moonlight client alone, for what grows: nobody dies, nobody else comes.
        #[arg(long)]
        alone: bool,
        /// How long.
        #[arg(long, default_value_t = 5)]
        minutes: u32,
        /// Where the dice begin.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The second process of `bench pipeline`.
    #[command(hide = true)]
    Echo,
}

/// What can be measured.
#[derive(Subcommand)]
enum Bench {
    /// What the pipeline adds to the encoder's own time. Needs root and `make build`.
    Pipeline {
        /// How long to stream.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
    /// CPU a frame, stage by stage, beside ffmpeg's libx264 on the same frames. Needs root, ffmpeg and `make build`.
    Cpu {
        /// How long to count, for each of eight cases.
        #[arg(long, default_value_t = 5)]
        seconds: u32,
    },
    /// Latency beside one busy thread a core, and its ratio to that without (promise P9). Needs root and `make build`.
    Starved {
        /// How long to stream, each time.
        #[arg(long, default_value_t = 8)]
        seconds: u32,
    },
    /// What the genuine Moonlight client gets and when, beside ffmpeg's libx264 on the same frames, and on a bad network. Needs
    /// root, ffmpeg and `make build`.
    Moonlight {
        /// A Sunshine's executable: streams from lumen and from it in turn, and nothing else. Needs Xvfb and curl, too.
        #[arg(long)]
        peer: Option<PathBuf>,
        /// How long to stream, each time.
        #[arg(long, default_value_t = 8)]
        seconds: u32,
    },
    /// From a key at the client to the picture that it changes, and the part of it that is neither encoder nor network. Needs
    /// root and `make build`.
    Input {
        /// How many keys.
        #[arg(long, default_value_t = 200)]
        keys: u32,
    },
    /// System calls a frame, stage by stage. Needs root, strace and `make build`.
    Syscalls {
        /// How long to count.
        #[arg(long, default_value_t = 5)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    match Chore::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Last and without a backtrace, since of a long log the end is what is kept.
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Chore {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Tidy { install, only } => {
                if install {
                    checks::cargo::install_deny()?;
                }
                return tidy::run(&only);
            }
            Self::Bench(Bench::Pipeline { seconds }) => bench::pipeline::run(seconds)?,
            Self::Bench(Bench::Cpu { seconds }) => bench::cpu::run(seconds)?,
            Self::Bench(Bench::Starved { seconds }) => bench::starved::run(seconds)?,
            Self::Bench(Bench::Moonlight { peer: None, seconds }) => bench::moonlight::run(seconds)?,
            Self::Bench(Bench::Moonlight { peer: Some(program), seconds }) => {
                bench::moonlight::beside::run(&program, seconds)?;
            }
            Self::Bench(Bench::Input { keys }) => bench::input::run(keys)?,
            Self::Bench(Bench::Syscalls { seconds }) => bench::syscalls::run(seconds)?,
            Self::Fuzz(options) => fuzz::run(&options)?,
            Self::Kill(options) => kill::run(&options)?,
            Self::Soak { minutes, alone: true, .. } => kill::lasting::run(minutes)?,
            Self::Soak { minutes, seed, .. } => kill::soak::run(minutes, seed)?,
            Self::Echo => bench::hop::echo()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

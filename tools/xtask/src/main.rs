//! The project's own chores: what no test of the program can see.
//!
//! `cargo xtask tidy` reads the workspace as a strict colleague would: it checks the rules of `docs/architecture.md`
//! that a machine can check, and prints one line for each.
#![forbid(unsafe_code)]

mod checks;
mod text;
mod tidy;
mod verdict;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Check format, lints, docs, licences, dependency directions, file sizes, units and the specification.
    Tidy {
        /// Names of checks; without any, all of them.
        only: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Chore::parse() {
        Chore::Tidy { only } => tidy::run(&only),
    }
}

//! `lumen-see`: a window in full screen that writes down what a person does to it, one line for each thing. It is
//! the far end of a test: what counts is which characters and which places arrive in a program, not which codes were sent.
#![forbid(unsafe_code)]

mod hands;
mod window;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use lumen_see::Journal;

/// Write down the keysyms, characters, buttons, positions and scrolling that a window gets.
#[derive(Debug, Parser)]
#[command(name = "lumen-see", version)]
struct Args {
    /// Append to this file in place of the standard output
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match Journal::open(args.log.as_deref()).and_then(window::show) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lumen-see: {error:#}");
            ExitCode::FAILURE
        }
    }
}

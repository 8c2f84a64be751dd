//! `make demo`: the whole pipeline on a machine that has nothing yet.
//!
//! As root it makes an ordinary user of its own, so that nobody's desktop or settings are touched, and starts
//! `lumenctl run` for him with itself as the command; in there it lets the probe stream the headless desktop.
#![forbid(unsafe_code)]

mod guest;
mod stay;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Stream ten seconds of a headless desktop and leave demo.mp4 and demo.png here.
#[derive(Debug, Parser)]
#[command(name = "lumen-demo", version)]
struct Arguments {
    /// Where demo.mp4 and demo.png are left.
    #[arg(long, default_value = ".", value_name = "DIR")]
    to: PathBuf,
    /// How long to stream.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u32,
    /// The half that runs beside the stages, as their user.
    #[arg(long, hide = true)]
    inside: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = if arguments.inside {
        stay::stream(arguments.seconds)
    } else {
        guest::show(&arguments.to, arguments.seconds)
    };
    result.unwrap_or_else(|error| {
        eprintln!("lumen-demo: {error:#}");
        ExitCode::FAILURE
    })
}

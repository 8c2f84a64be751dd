//! `lumen-stamp`: shows the stamp in full screen on a Wayland compositor, one number per frame.
#![forbid(unsafe_code)]

mod click;
mod pool;
mod window;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use lumen_stamp::Content;

/// Show a picture that says which picture it is: a number in blocks, scrolling text, panning noise, colour patches.
#[derive(Debug, Parser)]
#[command(name = "lumen-stamp", version)]
struct Args {
    /// The number of the first frame
    #[arg(long, default_value_t = 0)]
    number: u32,
    /// Show the first frame and then nothing more
    #[arg(long)]
    still: bool,
    /// Show the next number when a key goes down, and only then
    #[arg(long, conflicts_with = "still")]
    on_key: bool,
    /// Show only text, or only noise, where things move
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// At most so many frames a second; without it, as many as the compositor asks for
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    fps: Option<u32>,
    /// A file to write each number into, with the moment at which it was given to the compositor (CLOCK_MONOTONIC, ns)
    #[arg(long)]
    drawn: Option<PathBuf>,
    /// Click with each number that this divides
    #[arg(long, requires = "clicked", value_parser = clap::value_parser!(u32).range(1..))]
    click_each: Option<u32>,
    /// A file to write each of those numbers into, with the moment at which the sink got its click (CLOCK_MONOTONIC, ns)
    #[arg(long, requires = "click_each")]
    clicked: Option<PathBuf>,
}

/// What may be shown alone.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Only {
    Text,
    Noise,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let content = match args.only {
        None => Content::Both,
        Some(Only::Text) => Content::Text,
        Some(Only::Noise) => Content::Noise,
    };
    let moves = match (args.still, args.on_key) {
        (true, _) => window::Moves::Never,
        (_, true) => window::Moves::OnKey,
        _ => window::Moves::Always,
    };
    let pace = window::Pace { first: args.number, moves, content, most_per_second: args.fps };
    let clicker = match args.click_each.zip(args.clicked) {
        Some((each, log)) => click::Clicker::start(each, &log).map(Some),
        None => Ok(None),
    };
    match clicker.and_then(|clicker| window::show(pace, args.drawn.as_deref(), clicker)) {
        Ok(end) => {
            eprintln!("lumen-stamp: {end}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lumen-stamp: {error:#}");
            ExitCode::FAILURE
        }
    }
}

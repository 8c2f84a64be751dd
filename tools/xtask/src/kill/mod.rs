//! `cargo xtask kill`: lets the stages of a streaming constellation, and what is around them, die, hang, starve and be
//! replaced, and asks the client whether it noticed. Promises C1, C4, C5 and C7 of docs/specification.md.
//!
//! The real binaries under the shipped units stream a moving desktop to the probe, or to a Moonlight client. In the same run a toy stage dies as
//! often: gaps are judged against its, since milliseconds alone would judge the machine.

mod deaths;
mod desktop;
mod gaps;
mod gnome;
mod hangs;
pub mod lasting;
mod loaded;
mod messages;
mod moonlight;
mod places;
mod plan;
mod replaced;
mod residue;
mod scene;
pub mod soak;
mod sounds;
mod starved;
mod steps;
mod surroundings;
mod switch;
mod toy;
mod victim;
mod witness;

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use lumen_tests::constellation::STAGES;
use plan::Dice;

/// What is done to a streaming constellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Each stage dies `--count` times, at random phases; then, unless `--stage` is given, each pair within 50 ms.
    Stages,
    /// Each stage dies at each step of its recovery.
    Steps,
    /// Each stage dies before, after and on each message that it sends or takes.
    Messages,
    /// Each stage is stopped by a signal, and the encoder hangs.
    Hangs,
    /// Each stage gets 5 % of a CPU for some seconds.
    Starved,
    /// Every core is busy with something else for `--minutes`.
    Loaded,
    /// lumen's bus dies, and the user manager executes itself anew.
    Surroundings,
    /// The compositor dies.
    Desktop,
    /// Each stage's program is replaced under it.
    Replaced,
    /// Stages, PipeWire and WirePlumber die while GNOME streams, in the lab's container.
    Gnome,
    /// Each stage dies a few times under the genuine Moonlight client, and those of sound at each boundary and step of it.
    Moonlight,
}

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Client {
    /// lumen's own, over lumen/1.
    Probe,
    /// The genuine moonlight-common-c, over GameStream: each stage dies 20 times, and nothing else is done.
    Moonlight,
}

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What to do; without any, all of it.
    what: Vec<What>,
    /// Under whom.
    #[arg(long, value_enum, default_value_t = Client::Probe)]
    client: Client,
    /// How often each stage dies: 50 times in `stages`, 4 in `moonlight`, 20 with `--client moonlight`.
    #[arg(long)]
    count: Option<u32>,
    /// How long every core is busy.
    #[arg(long, default_value_t = 0.5)]
    minutes: f64,
    /// Only this stage, where stages die or hang one by one; may be given again.
    #[arg(long)]
    stage: Vec<String>,
    /// Where the dice begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Does what `options` say, all of it even if a part fails.
///
/// # Errors
/// The client noticed, something is left over, or the constellation does not run.
pub fn run(options: &Options) -> Result<()> {
    let is_meant = |stage: &&str| options.stage.is_empty() || options.stage.iter().any(|s| s == stage);
    let stages: Vec<&'static str> = STAGES.into_iter().filter(is_meant).collect();
    ensure!(!stages.is_empty(), "no such stage: there are {}", STAGES.join(", "));
    println!("seed {}", options.seed);
    let is_moonlight = options.client == Client::Moonlight;
    let others = options.what.iter().any(|what| ![What::Stages, What::Moonlight].contains(what));
    ensure!(
        !is_moonlight || !others,
        "under a Moonlight client there is `stages` alone: leave the others out"
    );
    let asked = |what: &What| match options.client {
        Client::Moonlight => *what == What::Moonlight,
        Client::Probe => options.what.is_empty() || options.what.contains(what),
    };
    let mut failed = Vec::new();
    for what in What::value_variants().iter().copied().filter(asked) {
        let began = Instant::now();
        let name = what.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        println!("\n== {name}");
        match play(what, &stages, options) {
            Ok(()) => println!("== {name}: kept, in {} s", began.elapsed().as_secs()),
            Err(error) => {
                println!("== {name}: NOT kept, in {} s: {error:#}", began.elapsed().as_secs());
                failed.push(format!("{name}: {error:#}"));
            }
        }
    }
    ensure!(failed.is_empty(), "the client noticed, or something is left over:\n{}", failed.join("\n"));
    Ok(())
}

fn play(what: What, stages: &[&'static str], options: &Options) -> Result<()> {
    let mut dice = Dice::new(options.seed);
    match what {
        What::Stages => {
            let mut blows = plan::single(stages, options.count.unwrap_or(50), &mut dice);
            if options.stage.is_empty() {
                blows.extend(plan::pairs(&mut dice));
            }
            deaths::run(&blows)
        }
        What::Steps => steps::run(stages),
        What::Messages => messages::run(stages),
        What::Hangs => hangs::run(stages),
        What::Starved => starved::run(stages),
        What::Loaded => loaded::run(stages, options.minutes),
        What::Surroundings => surroundings::run(),
        What::Desktop => desktop::run(),
        What::Replaced => replaced::run(stages),
        What::Gnome => gnome::run(stages),
        What::Moonlight => {
            let usual = if options.client == Client::Moonlight { 20 } else { 4 };
            moonlight::run(
                &plan::single(stages, options.count.unwrap_or(usual), &mut dice),
                &sounds::places(stages)?,
            )
        }
    }
}

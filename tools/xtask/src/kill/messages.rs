//! A death at each boundary of the messages between the stages: before one is sent, when it was sent, and when it was taken
//! and not yet looked at. That a boundary was not come to is a failure as well. Promise C4.
//!
//! Which messages: those that a stream of a moving picture has (inputd, which cannot type yet, says so), and the goodbye of
//! a stage that is told to end. The others' `Failed`, `Unreadable` and `Close` come when there is no stream or no more; the
//! pointer's come to clients that want it apart.
//!
//! Sabotage: tell the readers of a link what holds for it only once and not after each greeting, or leave a boundary out.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{Constellation, constellation::wait};

use super::{
    gaps::{self, Death},
    scene,
    steps::{APART, die_at, wishes},
    switch::Switches,
    victim,
    witness::{self, Desktop},
};

/// Who sends what to whom in a stream.
const SAID: &[(&str, &str, &str)] = &[
    ("captured", "Hello", "encoded"),
    ("captured", "FromCapture-Ready", "encoded"),
    ("captured", "FromCapture-Pool", "encoded"),
    ("captured", "FromCapture-Frame", "encoded"),
    ("encoded", "Hello", "transportd"),
    ("encoded", "ToCapture-Return", "captured"),
    ("encoded", "FromEncode-Ready", "transportd"),
    ("encoded", "FromEncode-AccessUnit", "transportd"),
    ("transportd", "Hello", "inputd"),
    ("transportd", "ToEncode-Control", "encoded"),
    ("transportd", "ToEncode-Sent", "encoded"),
    ("transportd", "ToInput-Held", "inputd"),
    ("inputd", "Hello", "captured"),
    ("inputd", "FromInput-Failed", "transportd"),
];
/// What a stage says when it is told to end, and to whom.
const GOODBYES: &[(&str, &str, &str)] = &[
    ("captured", "FromCapture-Closing", "encoded"),
    ("encoded", "FromEncode-Closing", "transportd"),
    ("inputd", "FromInput-Closing", "transportd"),
];

/// How often a stage is told to end until its goodbye is heard: a writer that finds the link hung up first does not read on.
const PARTINGS: usize = 3;
/// Within which a goodbye is heard.
const HEARD: Duration = Duration::from_secs(2);

/// Where a stage dies.
struct Boundary {
    stage: &'static str,
    step: String,
    /// Who is told to end, so that it comes to that.
    ends: Option<&'static str>,
}

/// Kills each of `stages` at all its boundaries.
///
/// # Errors
/// A boundary was not died at, or the client noticed.
pub fn run(stages: &[&'static str]) -> Result<()> {
    let said = SAID.iter().flat_map(|said| around(*said, None));
    let goodbyes = GOODBYES.iter().flat_map(|said| around(*said, Some(said.0)));
    let all: Vec<Boundary> =
        said.chain(goodbyes).filter(|boundary| stages.contains(&boundary.stage)).collect();
    let wishes = wishes();
    let arguments: Vec<&str> = wishes.iter().flat_map(|wish| ["--change", wish]).collect();
    let (report, (deaths, missed)) = scene::play(&arguments, Desktop::Same, |host| {
        let switches = Switches::install(host)?;
        let (mut deaths, mut missed) = (Vec::new(), Vec::new());
        for boundary in &all {
            thread::sleep(APART);
            match cross(host, &switches, boundary) {
                Ok(()) => deaths.push(Death { whose: boundary.stage, at_ns: now_ns() }),
                Err(error) => {
                    println!("{error:#}");
                    switches.disarm(boundary.stage);
                    missed.push(format!("{} at {}", boundary.stage, boundary.step));
                }
            }
        }
        Ok((deaths, missed))
    })?;
    gaps::print(&witness::arrivals(&report), &deaths);
    println!("{} boundaries, died at {}", all.len(), deaths.len());
    ensure!(missed.is_empty(), "not died at: {}", missed.join(", "));
    Ok(())
}

/// Before and after it is sent, and when it is taken.
fn around(
    (from, message, to): (&'static str, &'static str, &'static str),
    ends: Option<&'static str>,
) -> [Boundary; 3] {
    let boundary = |stage, does: &str| Boundary { stage, step: format!("{does}-{message}"), ends };
    [boundary(from, "sends"), boundary(to, "took"), boundary(from, "sent")]
}

fn cross(host: &Constellation, switches: &Switches, boundary: &Boundary) -> Result<()> {
    let Boundary { stage, step, ends } = boundary;
    let Some(ends) = ends else { return die_at(host, switches, stage, step) };
    // Whoever runs now is meant.
    switches.arm(stage, "die", step, 0)?;
    let mut died = Ok(());
    for _ in 0..PARTINGS {
        victim::send("TERM", victim::running(host, ends)?)?;
        died = wait(&format!("{stage} to die at {step}"), HEARD, || !switches.is_armed(stage));
        if died.is_ok() {
            break;
        }
    }
    died
}

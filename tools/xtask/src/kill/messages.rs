//! A death at each boundary of the messages between the stages: before one is sent, when it was sent, and when it was taken
//! and not yet looked at. That a boundary was not come to is a failure as well. Promise C4.
//!
//! Which messages: those that a stream of a moving picture has, and the goodbye of a stage that is told to end. `Failed`,
//! `Unreadable` and `Close` come when there is no stream or no more; the pointer's come to clients that want it apart.
//!
//! Sabotage: tell the readers of a link what holds for it only once and not after each greeting, or leave a boundary out.

use anyhow::{Result, ensure};

use super::{
    gaps,
    places::{self, Place},
    scene,
    switch::Switches,
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
    ("inputd", "FromInput-Ready", "transportd"),
];
/// What a stage says when it is told to end, and to whom.
const GOODBYES: &[(&str, &str, &str)] = &[
    ("captured", "FromCapture-Closing", "encoded"),
    ("encoded", "FromEncode-Closing", "transportd"),
    ("inputd", "FromInput-Closing", "transportd"),
];

/// Kills each of `stages` at all its boundaries.
///
/// # Errors
/// A boundary was not died at, or the client noticed.
pub fn run(stages: &[&'static str]) -> Result<()> {
    let said = SAID.iter().flat_map(|said| around(*said, None));
    let goodbyes = GOODBYES.iter().flat_map(|said| around(*said, Some(said.0)));
    let said: Vec<Place> = said.chain(goodbyes).collect();
    let of = |stage: &&str| said.iter().filter(|place| place.stage == *stage).cloned().collect();
    let all = places::spread(stages.iter().map(of).collect());
    let wishes = places::wishes();
    let arguments: Vec<&str> = wishes.iter().map(String::as_str).collect();
    let (report, visited) = scene::play(&arguments, Desktop::Same, |host| {
        Ok(places::visit(host, &Switches::install(host)?, &all))
    })?;
    gaps::print(&witness::arrivals(&report), &visited.deaths);
    println!("{} boundaries, died at {}", all.len(), visited.deaths.len());
    ensure!(visited.missed.is_empty(), "not died at: {}", visited.missed.join(", "));
    Ok(())
}

/// Before and after it is sent, and when it is taken.
pub fn around(
    (from, message, to): (&'static str, &'static str, &'static str),
    ends: Option<&'static str>,
) -> [Place; 3] {
    let place = |stage, does: &str| Place { stage, step: format!("{does}-{message}"), ends };
    [place(from, "sends"), place(to, "took"), place(from, "sent")]
}

//! The places of sound at which its stages die: the boundaries of its links' messages, and its steps of recovery. `Close` comes when
//! a session is over, and `Failed` where there is no sound.

use anyhow::Result;

use super::{
    messages::around,
    places::{self, Place},
    switch::steps_of,
};

/// Who sends what to whom while sound is heard, and when it comes back.
const SAID: &[(&str, &str, &str)] = &[
    ("captured", "FromSink-Ready", "encoded"),
    ("captured", "FromSink-Pcm", "encoded"),
    ("encoded", "FromOpus-Ready", "transportd"),
    ("encoded", "FromOpus-Packet", "transportd"),
];
/// What a stage says when it is told to end, and to whom.
const GOODBYES: &[(&str, &str, &str)] =
    &[("captured", "FromSink-Closing", "encoded"), ("encoded", "FromOpus-Closing", "transportd")];
/// The stages that sound goes through.
const STAGES: [&str; 3] = ["captured", "encoded", "transportd"];

/// Whether this step is one of sound.
pub fn is_one(step: &str) -> bool {
    step.starts_with("sound-")
}

/// All places of those `stages`.
///
/// # Errors
/// A stage does not say its steps.
pub fn places(stages: &[&'static str]) -> Result<Vec<Place>> {
    let said = SAID.iter().flat_map(|said| around(*said, None));
    let mut all: Vec<Place> =
        said.chain(GOODBYES.iter().flat_map(|said| around(*said, Some(said.0)))).collect();
    for stage in STAGES {
        let steps = steps_of(stage)?.into_iter().filter(|step| is_one(step));
        all.extend(steps.map(|step| Place { stage, step, ends: None }));
    }
    let of = |stage: &&str| all.iter().filter(|place| place.stage == *stage).cloned().collect();
    Ok(places::spread(stages.iter().filter(|stage| STAGES.contains(stage)).map(of).collect()))
}

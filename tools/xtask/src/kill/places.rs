//! Places in a stage's program where it dies: how it is brought there, and that it came.

use std::{thread, time::Duration};

use anyhow::Result;
use lumen_stage::clock::now_ns;
use lumen_tests::{Constellation, constellation::wait};

use super::{gaps::Death, switch::Switches, victim};

/// Between two of them, because ten starts within a minute that never were READY ask for a pause of ten seconds.
const APART: Duration = Duration::from_millis(1300);
/// Within which the next incarnation comes to any place: the client's next wish takes longest.
const COMES: Duration = Duration::from_secs(6);
/// How often a stage is told to end until its goodbye is heard: a writer that finds the link hung up first does not read on.
const PARTINGS: usize = 3;
/// Within which a goodbye is heard.
const HEARD: Duration = Duration::from_secs(2);
/// For so long the client asks for another bitrate or refresh rate every other second, so that transportd writes it down.
const WISHES_S: usize = 400;

/// Where a stage dies.
#[derive(Clone)]
pub struct Place {
    /// Who dies.
    pub stage: &'static str,
    /// As services/stage's failpoint names it.
    pub step: String,
    /// Who is told to end, so that it comes to that; else the stage is killed, and its next incarnation comes there.
    pub ends: Option<&'static str>,
}

/// What came of it.
#[derive(Default)]
pub struct Visited {
    /// Each death at a place.
    pub deaths: Vec<Death>,
    /// When each began to be brought there, and who: by a death of itself before it, or by an end of another.
    pub begun: Vec<Death>,
    /// The places that nobody came to.
    pub missed: Vec<String>,
}

/// Lets a stage die at one place after the other.
pub fn visit(host: &Constellation, switches: &Switches, places: &[Place]) -> Visited {
    let mut visited = Visited::default();
    for place in places {
        thread::sleep(APART);
        visited.begun.push(Death { whose: place.ends.unwrap_or(place.stage), at_ns: now_ns() });
        match place.visit(host, switches) {
            Ok(()) => visited.deaths.push(Death { whose: place.stage, at_ns: now_ns() }),
            Err(error) => {
                println!("{error:#}");
                switches.disarm(place.stage);
                visited.missed.push(format!("{} at {}", place.stage, place.step));
            }
        }
    }
    visited
}

impl Place {
    fn visit(&self, host: &Constellation, switches: &Switches) -> Result<()> {
        let Some(ends) = self.ends else { return self.come_back_to(host, switches) };
        // Whoever runs now is meant.
        switches.arm(self.stage, "die", &self.step, 0)?;
        let mut died = Ok(());
        for _ in 0..PARTINGS {
            victim::send("TERM", victim::running(host, ends)?)?;
            died = self.await_death(switches, HEARD);
            if died.is_ok() {
                break;
            }
        }
        died
    }

    fn come_back_to(&self, host: &Constellation, switches: &Switches) -> Result<()> {
        let pid = victim::running(host, self.stage)?;
        switches.arm(self.stage, "die", &self.step, pid)?;
        // vdisplayd is asked for an Output only when captured comes back.
        let asks = self.stage == "vdisplayd";
        let asking = asks.then(|| victim::running(host, "captured")).transpose()?;
        victim::send("KILL", pid)?;
        asking.map_or(Ok(()), |captured| victim::send("KILL", captured))?;
        self.await_death(switches, COMES)
    }

    fn await_death(&self, switches: &Switches, limit: Duration) -> Result<()> {
        let Self { stage, step, .. } = self;
        wait(&format!("{stage} to die at {step}"), limit, || !switches.is_armed(stage))
    }
}

/// All `groups` in one row, in which the members of each lie far apart: a stage that has died is to be well again, and its
/// client back, before it dies again.
pub fn spread(groups: Vec<Vec<Place>>) -> Vec<Place> {
    let mut placed: Vec<(f64, Place)> = Vec::new();
    for group in groups {
        let share = 1.0 / group.len() as f64;
        placed.extend(group.into_iter().enumerate().map(|(n, place)| ((n as f64 + 0.5) * share, place)));
    }
    placed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    placed.into_iter().map(|(_, place)| place).collect()
}

/// Arguments of a probe that asks for changes of the stream all the time.
pub fn wishes() -> Vec<String> {
    const TURN: [&str; 4] = ["bitrate=9M", "mode=1280x720@50", "bitrate=10M", "mode=1280x720@60"];
    let wish = |(n, what)| ["--change".to_owned(), format!("{}:{what}", 2 * n + 2)];
    TURN.into_iter().cycle().enumerate().take(WISHES_S / 2).flat_map(wish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_stage_lie_far_apart() {
        let group = |stage, count| -> Vec<Place> {
            (0..count).map(|n| Place { stage, step: format!("{n}"), ends: None }).collect()
        };
        let row = spread(vec![group("encoded", 9), group("transportd", 3), group("inputd", 6)]);
        assert_eq!(row.len(), 18);
        let at: Vec<usize> =
            row.iter().enumerate().filter(|(_, place)| place.stage == "transportd").map(|(n, _)| n).collect();
        assert!(at.windows(2).all(|two| two[1] - two[0] >= 5), "{at:?}");
    }
}

//! What a lumen-see in the container sees of a person's hands.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use tempfile::TempDir;

use crate::lab::Lab;

/// Time for GNOME to lay out its monitors, and to leave its overview.
const LONG: Duration = Duration::from_secs(30);

/// Where programs write.
const HOME: &str = "/home/lumen";

/// One client's lumen-see.
pub struct Watch<'a> {
    lab: &'a Lab,
    name: &'static str,
}

impl<'a> Watch<'a> {
    /// The lumen-see that is the app `name`.
    pub fn of(lab: &'a Lab, name: &'static str) -> Self {
        Self { lab, name }
    }

    /// The line of apps.toml for the app `name`.
    pub fn app(name: &str) -> String {
        format!("{name} = [\"{HOME}/bin/lumen-see\", \"--log\", \"{HOME}/{name}.jsonl\"]\n")
    }

    /// All that it has seen.
    pub fn seen(&self) -> Result<Seen> {
        let home = TempDir::new()?;
        let file = home.path().join(self.name);
        fs::write(&file, self.lab.user(&["cat", &format!("{HOME}/{}.jsonl", self.name)])?)?;
        Ok(Seen::read(&file)?)
    }

    /// What it has seen since the first `things`.
    pub fn since(&self, things: usize) -> Result<Seen> {
        Ok(Seen(self.seen()?.0.split_off(things)))
    }

    /// Waits until what it has seen since the first `things` is as `wished`.
    pub fn until_since(&self, things: usize, what: &str, wished: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let wait = self.lab.wait(what, LONG, || Ok(self.since(things).is_ok_and(|seen| wished(&seen))));
        wait.with_context(|| format!("{} saw {:?}", self.name, self.since(things)))?;
        self.since(things)
    }

    /// Waits until all that it has seen is as `wished`.
    pub fn until(&self, what: &str, wished: impl Fn(&Seen) -> bool) -> Result<Seen> {
        self.until_since(0, what, wished)
    }

    /// Waits until it is shown at this size.
    pub fn until_shown(&self, width: u32, height: u32) -> Result<()> {
        let shown = Thing::Shown { width, height };
        self.until("the program to be shown", |seen| seen.0.contains(&shown)).map(drop)
    }

    /// Waits until `codes`, which are held, have gone up by what `happens`, and are down again.
    pub fn up_and_down(&self, codes: &[u32], what: &str, happens: impl FnOnce() -> Result<()>) -> Result<()> {
        let things = self.seen()?.0.len();
        happens()?;
        let went_up = |seen: &Seen, code: u32| {
            let up =
                |thing: &Thing| matches!(thing, Thing::Key { code: up, pressed: false, .. } if *up == code);
            seen.0.iter().skip(things).any(up)
        };
        self.until(&format!("{codes:?} to be down again after {what}"), |seen| {
            let is_down = seen.held().is_ok_and(|held| codes.iter().all(|code| held.contains(code)));
            is_down && codes.iter().all(|code| went_up(seen, *code))
        })
        .map(drop)
    }
}

/// All of `wanted` were hit within a pixel, in this order.
pub fn hit(places: &[(f64, f64)], wanted: &[(f64, f64)]) -> Result<()> {
    let near = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).abs() <= 1.0 && (a.1 - b.1).abs() <= 1.0;
    let mut left = places.iter();
    let hits = wanted.iter().filter(|wanted| left.any(|place| near(place, wanted))).count();
    ensure!(hits == wanted.len(), "{hits} of {wanted:?} were hit, in this order: {places:?}");
    Ok(())
}

/// Where a finger is; [`None`] once it went up.
pub type Touch = Option<(f64, f64)>;

/// What fingers did begins with this, within a pixel: where they came down or moved to, and [`None`] for each that went up. None is
/// down in the end.
pub fn touched(seen: &Seen, wanted: &[Touch]) -> Result<()> {
    let touches = seen.touches();
    let is_near = |(touch, wanted): (&Touch, &Touch)| match (touch, wanted) {
        (Some(touch), Some(wanted)) => hit(&[*touch], &[*wanted]).is_ok(),
        (touch, wanted) => touch == wanted,
    };
    let is_so = touches.len() >= wanted.len() && touches.iter().zip(wanted).all(is_near);
    ensure!(is_so && seen.fingers()?.is_empty(), "the fingers did {touches:?}, not {wanted:?}");
    Ok(())
}

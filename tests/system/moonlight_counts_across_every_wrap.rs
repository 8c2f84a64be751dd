//! Sessions that are as old as no test may wait for: packets and frames of one are counted to just below 2¹⁶, 2²⁴, 2³¹ and
//! 2³² in turn, and the genuine Moonlight client sees no anomaly where they wrap.
//!
//! The numbers are moved in the session's record between two incarnations of transportd, so that the client sees a host that
//! lost a frame. It takes only what lies less than half a range ahead, so each number is reached in steps.
//!
//! Sabotage: cut a number to its bits before it is advanced, in `core/gamestream/src/video`; or refuse one beyond them.

use std::iter::zip;

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Moonlight,
    constellation::Setup,
    ledger::{self, Ages},
    moonlight::{Played, Playing},
};

/// Bits after which a number at the wire begins anew, or gets a sign in the client's own code.
const WRAPS: [u32; 4] = [16, 24, 31, 32];
/// So far before.
const BEFORE: u64 = 100;
/// Frames within which numbers have wrapped and are well beyond.
const BEYOND: usize = 250;
/// Frames after which a client is back in its stream.
const BACK: usize = 45;

#[test]
fn moonlight_counts_across_every_wrap() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let client = Moonlight::paired(&host)?;
    let mut playing = client.start("launch", &["--seconds", "600", "--mode", "640x360x60"])?;
    playing.wait_for(BACK)?;
    let mut jumps = 0;
    for bits in WRAPS {
        let goal = (1 << bits) - BEFORE;
        // One after the other, because each passes its wrap soon after it has come there.
        for (of, compared) in [(Count::Packets, [24, 16]), (Count::Frames, [32, 16])] {
            let mut is_there = false;
            while !is_there {
                ledger::age(&host, |now| {
                    let next = closer(of.of(now), goal, compared);
                    is_there = next == goal;
                    of.with(now, next)
                })?;
                jumps += 1;
                more(&mut playing, BACK)?;
            }
        }
        more(&mut playing, BEYOND)?;
        let ages = ledger::read(&host)?;
        ensure!(ages.packets >> bits == 1 && ages.frames >> bits == 1, "2^{bits} was not passed: {ages:?}");
    }
    let played = playing.end("INT")?;
    played.unbroken()?;
    judge(&played, jumps)?;
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    Ok(())
}

fn more(playing: &mut Playing<'_>, frames: usize) -> Result<()> {
    playing.wait_for(playing.frames() + frames)
}

#[derive(Clone, Copy)]
enum Count {
    Packets,
    Frames,
}

impl Count {
    fn of(self, ages: Ages) -> u64 {
        match self {
            Self::Packets => ages.packets,
            Self::Frames => ages.frames,
        }
    }

    fn with(self, ages: Ages, number: u64) -> Ages {
        match self {
            Self::Packets => Ages { packets: number, ..ages },
            Self::Frames => Ages { frames: number, ..ages },
        }
    }
}

/// As far towards the goal as the client follows, which compares so many bits: less than half of each range.
fn closer(now: u64, goal: u64, compared: [u32; 2]) -> u64 {
    let far = compared.iter().fold(goal.saturating_sub(now), |far, bits| {
        let (range, most) = (1 << bits, (1 << (bits - 1)) - 200);
        far - (far % range).saturating_sub(most)
    });
    now + far
}

/// Each jump cost one gap, and no wrap one.
fn judge(played: &Played, jumps: usize) -> Result<()> {
    let numbers = played.numbers();
    let steps: Vec<u32> = zip(&numbers, numbers.iter().skip(1))
        .map(|(one, next)| (*next as u32).wrapping_sub(*one as u32))
        .collect();
    let back = steps.iter().position(|step| *step == 0 || *step >= 1 << 31);
    ensure!(back.is_none(), "a number came again, or went back, after frame {back:?}");
    let gaps = steps.iter().filter(|step| **step > 1).count();
    ensure!(gaps <= jumps, "{gaps} gaps, of which {jumps} were made");
    for bits in WRAPS {
        let last = (1u64 << bits) - 1;
        let at = numbers.iter().position(|number| *number == last);
        let at = at.with_context(|| format!("the client never saw frame {last}"))?;
        ensure!(steps.get(at) == Some(&1), "after frame {last} it saw {:?}", numbers.get(at + 1));
    }
    let film = played.film(640, 360)?;
    ensure!(film.pictures() == numbers.len(), "{} pictures of {} frames", film.pictures(), numbers.len());
    println!("{} frames, {jumps} jumps, {gaps} gaps", numbers.len());
    film.rises(u64::MAX)
}

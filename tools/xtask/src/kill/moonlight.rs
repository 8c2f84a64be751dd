//! Deaths at random phases under the genuine Moonlight client, everything sealed: it never leaves its session.
//!
//! Sabotage: forget ENet's peer or the session's key with transportd, number the frames anew, or end the session with the
//! process that served it.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, wait},
    moonlight::{Played, Playing},
};

use super::{
    deaths,
    gaps::{self, Death},
    plan::Blow,
    residue::Residue,
    scene::{Identity, LAST_PICTURE},
    witness,
};

/// Longer than any run; the stream is ended by a signal.
const FOR_EVER: [&str; 2] = ["--seconds", "86400"];
const SIZE: (u32, u32) = (1280, 720);
/// Two seconds of a stream: its desktop is drawn.
const SETTLED: usize = 120;
/// Frames that one death of transportd may cost: the one that it had numbered and not sent, and those that refer to it until
/// the IDR.
const COST: u64 = 6;

/// What must be the same afterwards.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    desktop: Identity,
    /// The client's, which are new for a new connection.
    sockets: BTreeSet<String>,
}

impl Standing {
    fn of(host: &Constellation, client: &Playing<'_>) -> Result<Self> {
        Ok(Self { desktop: Identity::of(host)?, sockets: client.sockets()? })
    }
}

/// Strikes all `blows` while the client streams.
///
/// # Errors
/// The client noticed, something is left over, or the stream does not go on.
pub fn run(blows: &[Blow]) -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let client = Moonlight::paired(&host)?;
    // What the first session ever leaves in the allocators is no leak.
    client.stream("launch", &["--seconds", "2"])?.whole()?;
    release(&host, &client)?;
    let before = Residue::of(&host)?;
    let mut playing = client.start("launch", &FOR_EVER)?;
    playing.wait_for(SETTLED)?;
    let standing = Standing::of(&host, &playing)?;
    // Those of video, control and audio.
    ensure!(standing.sockets.len() >= 3, "a client that streams has UDP sockets: {standing:?}");
    let mut struck = Vec::new();
    let done = blows.iter().try_for_each(|blow| {
        thread::sleep(blow.after);
        deaths::strike(&host, blow, &mut struck)
    });
    thread::sleep(Duration::from_secs(3));
    let after = Standing::of(&host, &playing).with_context(|| format!("{done:?}"));
    let (played, end_ns) = (playing.end("INT")?, now_ns());
    played.unbroken()?;
    done?;
    ensure!(standing == after?, "another desktop, or the client connected anew: it was {standing:?}");
    judge(&played, &struck, end_ns)?;
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    release(&host, &client)?;
    before.judge(&host)?;
    host.end().map(drop)
}

fn release(host: &Constellation, client: &Moonlight) -> Result<()> {
    let said = client.ask("cancel")?;
    ensure!(said.get("error").is_none(), "{said:#}");
    wait("the desktop to go", Duration::from_secs(15), || host.processes("lumen-stamp").is_empty())
}

fn judge(played: &Played, struck: &[Death], end_ns: u64) -> Result<()> {
    let arrivals = played.arrivals();
    let pauses = gaps::print(&arrivals, struck);
    ensure!(pauses.len() == struck.len(), "of {} deaths {} lie in the stream", struck.len(), pauses.len());
    let newest = arrivals.last().copied().context("no picture came")?;
    let age = Duration::from_nanos(end_ns.saturating_sub(newest));
    ensure!(age <= LAST_PICTURE, "the newest picture came {age:?} before the end");
    let missing = missing(&played.numbers(), &arrivals, struck)?;
    println!("{} frames, {missing} missing, one connection", played.frames.len());
    let film = played.film(SIZE.0, SIZE.1)?;
    ensure!(film.pictures() == played.frames.len(), "{} pictures decoded", film.pictures());
    // The newest picture is shown again to whom had not seen it.
    film.rises(u64::MAX)
}

/// How many of the `numbers` from 1 on, which came at `arrivals`, are missing.
///
/// # Errors
/// One comes again, or more are missing than a death of transportd excuses.
fn missing(numbers: &[u64], arrivals: &[u64], struck: &[Death]) -> Result<u64> {
    let (mut before, mut then_ns, mut missing) = (0, 0, 0);
    for (number, at_ns) in numbers.iter().zip(arrivals) {
        ensure!(*number > before, "frame {number} came after frame {before}");
        let left_out = number - before - 1;
        let is_near = |death: &Death| {
            death.whose == "transportd" && death.at_ns < *at_ns && then_ns < death.at_ns + witness::NEAR_NS
        };
        let is_excused = left_out <= COST && struck.iter().any(is_near);
        ensure!(left_out == 0 || is_excused, "{left_out} frames are missing before frame {number}");
        (before, then_ns, missing) = (*number, *at_ns, missing + left_out);
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_death_of_transportd_excuses_a_missing_frame() {
        let ms = |ms: u64| ms * 1_000_000;
        let arrivals = [ms(1000), ms(1016), ms(1100), ms(1116)];
        let death = |whose| [Death { whose, at_ns: ms(1020) }];
        assert_eq!(missing(&[1, 2, 3, 4], &arrivals, &[]).unwrap(), 0);
        assert_eq!(missing(&[1, 2, 5, 6], &arrivals, &death("transportd")).unwrap(), 2);
        for (numbers, whose) in
            [([1, 2, 5, 6], "encoded"), ([1, 2, 50, 51], "transportd"), ([2, 3, 4, 5], "transportd")]
        {
            assert!(missing(&numbers, &arrivals, &death(whose)).is_err(), "{numbers:?}");
        }
        assert!(missing(&[1, 2, 2, 3], &arrivals, &[]).is_err());
    }
}

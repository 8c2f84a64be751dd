//! Deaths under the genuine Moonlight client, everything sealed: it never leaves its session. First at random phases, then at each
//! boundary and step of sound, which it alone hears. Promises C1 and C4.
//!
//! Sabotage: forget ENet's peer or the session's key with transportd, number the frames anew, end the session with the
//! process that served it, number packets of sound anew, or tell the next encoded not what captured's sound is.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, wait},
    moonlight::{Played, Playing},
    sound::{PipeWire, sinks},
};
use serde_json::Value;

use super::{
    deaths,
    gaps::{self, Death},
    places::{self, Place, Visited},
    plan::Blow,
    residue::Residue,
    scene::{Identity, LAST_PICTURE},
    switch::Switches,
    witness,
};
use crate::bench::Spread;

/// Longer than any run; the stream is ended by a signal.
const FOR_EVER: [&str; 2] = ["--seconds", "86400"];
const SIZE: (u32, u32) = (1280, 720);
/// Two seconds of a stream: its desktop is drawn.
const SETTLED: usize = 120;
/// Frames that one death of transportd may cost: the one that it had numbered and not sent, and those that refer to it until
/// the IDR.
pub const COST: u64 = 6;
/// Promise C1 of sound: p99.
const SILENCE: Duration = Duration::from_millis(250);
/// So late a death at a place is noticed at most.
const NOTICED_NS: u64 = 50_000_000;
/// Two seconds of packets: sound flows.
const HEARD: usize = 400;

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

/// A host with sound, its client, and what the stages hold between two sessions: what the first one ever leaves in the
/// allocators is no leak.
///
/// # Errors
/// There is no stream.
pub fn prepare() -> Result<(Constellation, PipeWire, Moonlight, Residue)> {
    let host = Setup::stamp(&[]).start()?;
    let pipewire = PipeWire::start(&host)?;
    let client = Moonlight::paired(&host)?;
    client.stream("launch", &["--seconds", "2"])?.whole()?;
    release(&host, &client)?;
    let before = Residue::of(&host)?;
    Ok((host, pipewire, client, before))
}

/// Strikes all `blows` while the client streams, and lets the stages of sound die at all `places`.
///
/// # Errors
/// The client noticed, something is left over, a place was not died at, or the stream does not go on.
pub fn run(blows: &[Blow], places: &[Place]) -> Result<()> {
    let (host, _pipewire, client, before) = prepare()?;
    let mut playing = client.start("launch", &FOR_EVER)?;
    playing.wait_for(SETTLED)?;
    let hears = || playing.heard().is_ok_and(|heard| heard.count() > HEARD);
    wait("sound at the client", Duration::from_secs(15), hears).with_context(|| host.status())?;
    let standing = Standing::of(&host, &playing)?;
    // Those of video, control and audio.
    ensure!(standing.sockets.len() >= 3, "a client that streams has UDP sockets: {standing:?}");
    let mut struck = Vec::new();
    let done = blows.iter().try_for_each(|blow| {
        thread::sleep(blow.after);
        deaths::strike(&host, blow, &mut struck)
    });
    thread::sleep(Duration::from_secs(3));
    let visited = places::visit(&host, &Switches::install(&host)?, places);
    thread::sleep(Duration::from_secs(3));
    let after = Standing::of(&host, &playing).with_context(|| format!("{done:?}"));
    let (played, end_ns) = (playing.end("INT")?, now_ns());
    played.unbroken()?;
    done?;
    ensure!(standing == after?, "another desktop, or the client connected anew: it was {standing:?}");
    judge_sound(&played, &struck, end_ns)?;
    println!("{} boundaries and steps of sound, died at {}", places.len(), visited.deaths.len());
    gaps::print_of("sound", &played.sound.arrivals(), &visited.deaths);
    ensure!(visited.missed.is_empty(), "not died at: {}", visited.missed.join(", "));
    judge(&played, &struck, visited, end_ns)?;
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    release(&host, &client)?;
    before.judge(&host)?;
    host.end().map(drop)
}

/// Takes away what `client` had, sinks and all.
///
/// # Errors
/// Something stays.
pub fn release(host: &Constellation, client: &Moonlight) -> Result<()> {
    let said = client.ask("cancel")?;
    ensure!(said.get("error").is_none(), "{said:#}");
    wait("the desktop and its sink to go", Duration::from_secs(15), || {
        host.processes("lumen-stamp").is_empty() && sinks(host).is_ok_and(|sinks| sinks.is_empty())
    })
}

fn judge_sound(played: &Played, struck: &[Death], end_ns: u64) -> Result<()> {
    let arrivals = played.sound.arrivals();
    let pauses = gaps::print_of("sound", &arrivals, struck);
    goes_on(&arrivals, &pauses, struck, end_ns).context("sound")?;
    let told = |name: &str| played.summary.pointer(&format!("/sound/{name}")).and_then(Value::as_u64);
    let bad = ["invalid", "invalid_parity"].map(told);
    ensure!(bad == [Some(0); 2], "a number of a packet came again, or a packet that is none: {bad:?}");
    let p99 = Spread::of(pauses).p99;
    ensure!(p99 <= SILENCE, "of the times without sound p99 is {p99:?}");
    Ok(())
}

fn goes_on(arrivals: &[u64], pauses: &[Duration], struck: &[Death], end_ns: u64) -> Result<()> {
    ensure!(pauses.len() == struck.len(), "of {} deaths {} lie in the stream", struck.len(), pauses.len());
    let newest = arrivals.last().copied().context("nothing came")?;
    let age = Duration::from_nanos(end_ns.saturating_sub(newest));
    ensure!(age <= LAST_PICTURE, "the newest came {age:?} before the end");
    Ok(())
}

fn judge(played: &Played, struck: &[Death], visited: Visited, end_ns: u64) -> Result<()> {
    let arrivals = played.arrivals();
    goes_on(&arrivals, &gaps::print(&arrivals, struck), struck, end_ns).context("pictures")?;
    let noticed = |death: Death| Death { at_ns: death.at_ns - NOTICED_NS, ..death };
    let struck = struck.iter().copied().chain(visited.begun).chain(visited.deaths.into_iter().map(noticed));
    let missing = missing(&played.numbers(), &arrivals, &struck.collect::<Vec<_>>())?;
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

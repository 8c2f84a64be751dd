//! What the genuine Moonlight client gets: every frame that the host sent, numbered without a gap, decodable by ffmpeg, with
//! the compositor's numbers rising in the pictures, a minute of them in all that captured sent on; with packets of any size, sealed and in the clear, at several rates.
//!
//! Sabotage: skip a frame number, answer a wish for an IDR with another frame, send an IDR that nobody asked for, cut a
//! packet short, seal with a nonce that is told wrong, give two clients one Output, leave out a captured Frame, or let a second
//! launch take the session of the first.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, run, wait},
    moonlight::{Played, Playing},
    overview::{Overview, count, sway_mode, sway_sockets},
};

/// Frames until the client's own wishes at the start are over, and within which an IDR that was asked for comes.
const SETTLED: usize = 60;
const SOON: usize = 12;

struct Case {
    size: (u32, u32),
    rate: u32,
    refresh_x100: u32,
    packet: u32,
    seal: &'static str,
    seconds: u32,
}

const HD: (u32, u32) = (1280, 720);
const CASES: [Case; 3] = [
    Case { size: HD, rate: 60, refresh_x100: 6000, packet: 1392, seal: "all", seconds: 60 },
    Case { size: HD, rate: 60, refresh_x100: 5994, packet: 1024, seal: "none", seconds: 6 },
    Case { size: (640, 360), rate: 120, refresh_x100: 12_000, packet: 512, seal: "all", seconds: 6 },
];
/// Two at once; the rates are low, because two cores draw, encode and decode them all.
const AT_ONCE: [Case; 2] = [
    Case { size: (640, 360), rate: 60, refresh_x100: 6000, packet: 512, seal: "none", seconds: 8 },
    Case { size: (960, 540), rate: 30, refresh_x100: 3000, packet: 1392, seal: "all", seconds: 8 },
];

impl Case {
    fn begin<'a>(&self, client: &'a Moonlight) -> Result<Playing<'a>> {
        let mode = format!("{}x{}x{}", self.size.0, self.size.1, self.rate);
        let [refresh, packet] = [self.refresh_x100, self.packet].map(|number| number.to_string());
        let picture = ["--mode", &mode, "--refresh-x100", &refresh];
        let network = ["--packet", &packet, "--seal", self.seal];
        client.start("launch", &[&picture[..], &network, &["--idr-each", "100", "--seconds", "600"]].concat())
    }

    /// Judges what was `played` of it, of which the host says that it repeated so many frames.
    fn judge(&self, played: &Played, repeats: u64) -> Result<()> {
        played.whole()?;
        answered(played)?;
        let film = played.film(self.size.0, self.size.1)?;
        ensure!(film.pictures() == played.frames.len(), "{} of {}", film.pictures(), played.frames.len());
        // An IDR that is asked for shows the newest picture at once; the client itself asks for some at its start.
        film.rises(
            repeats + played.frames.iter().filter(|frame| frame["asks_idr"] == true).count() as u64 + 2,
        )?;
        let fps = fps(played)?;
        println!("{:?}, {}: {} frames, {fps:.2} a second", self.size, self.packet, played.frames.len());
        let wanted = f64::from(self.refresh_x100) / 100.0;
        ensure!(fps <= wanted * 1.05, "{fps} frames a second of {wanted}");
        Ok(())
    }
}

/// Each wish for an IDR was fulfilled, and none came without one.
fn answered(played: &Played) -> Result<()> {
    let is = |index: usize, key: &str| played.frames.get(index).is_some_and(|frame| frame[key] == true);
    let count = played.frames.len();
    for index in 0..count.saturating_sub(SOON) {
        if is(index, "asks_idr") {
            ensure!((index..index + SOON).any(|next| is(next + 1, "idr")), "no IDR after frame {index}");
        }
    }
    for index in SETTLED..count {
        let wished = (index - SOON..index).any(|before| is(before, "asks_idr"));
        ensure!(wished || !is(index, "idr"), "frame {index} is an IDR that nobody asked for");
    }
    Ok(())
}

/// Frames a second, without those of the start.
fn fps(played: &Played) -> Result<f64> {
    let arrivals = played.arrivals();
    let settled = arrivals.get(SETTLED..).context("hardly any frame came")?;
    let (first, last) = (settled.first().context("too few")?, settled.last().context("too few")?);
    Ok((settled.len() - 1) as f64 / Duration::from_nanos(last - first).as_secs_f64())
}

/// Ends a stream when every frame that the host has sent until then is there; with the host's count of repeats.
fn end(host: &Constellation, mut playing: Playing<'_>, width: u32) -> Result<(Played, u64)> {
    let overview = Overview::of(host)?;
    let session = overview.sessions().iter().find(|session| session["width"] == width);
    let session =
        session.with_context(|| format!("no session of {width} pixels in {:#?}", overview.sessions()))?;
    playing.wait_for(count(session, "frames")? as usize)?;
    let played = playing.end("INT")?;
    // Those between the question and the end.
    Ok((played, count(session, "repeats")? + 1))
}

/// A client that streams launches: it is refused in words; whether its stream goes on is judged with it.
fn launched_twice(client: &Moonlight) -> Result<()> {
    let asked = client.launch_again()?;
    let told = asked["error"].to_string();
    ensure!(told.contains("400") && told.contains("session"), "a launch beside a stream: {asked:#}");
    Ok(())
}

/// Stops the picture, and finds each Frame that captured sent on at the client.
fn captured(host: &Constellation, playing: &mut Playing<'_>) -> Result<()> {
    let stamp = host.processes("lumen-stamp").first().context("no lumen-stamp")?.to_string();
    run("kill", &["-STOP", &stamp])?;
    thread::sleep(Duration::from_millis(1500));
    let seen = Overview::of(host)?;
    run("kill", &["-CONT", &stamp])?;
    let (captured, encoded) = (seen.session_of("captured")?, seen.session_of("encoded")?);
    let (taken, sent) = (count(captured, "taken")?, count(captured, "sent")?);
    // To each new link the newest picture is sent again.
    let told = taken..taken + count(encoded, "upstream_links")?;
    ensure!(told.contains(&(sent + count(captured, "skipped")?)), "captured lost a picture: {captured:#}");
    let (pictures, repeats) = (count(encoded, "encoded")?, count(encoded, "repeats")?);
    let laid_by = count(encoded, "superseded")? + count(encoded, "unchanged")?;
    // An IDR that was asked for shows a Frame a second time; one that shows what was shown may be encoded as a repeat.
    let whole = (pictures + laid_by).saturating_sub(count(encoded, "idrs")?)..=pictures + laid_by + repeats;
    ensure!(whole.contains(&sent), "encoded lost a Frame: {captured:#} {encoded:#}");
    playing.wait_for((pictures + repeats) as usize)?;
    println!(
        "captured sent {sent}, of which {laid_by} were laid by; encoded {pictures} pictures and {repeats} repeats"
    );
    Ok(())
}

fn wait_seconds(playing: &mut Playing<'_>, seconds: u32) -> Result<()> {
    playing.wait_for(SETTLED)?;
    thread::sleep(Duration::from_secs(seconds.into()));
    Ok(())
}

#[test]
fn moonlight_streams_whole() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let client = Moonlight::paired(&host)?;
    for case in &CASES {
        let mut playing = case.begin(&client)?;
        wait_seconds(&mut playing, case.seconds)?;
        let mhz = u64::from(case.refresh_x100) * 10;
        let mode = (u64::from(case.size.0), u64::from(case.size.1), mhz);
        ensure!(sway_mode(&host)? == mode, "the desktop has {:?}, not {mode:?}", sway_mode(&host)?);
        launched_twice(&client)?;
        captured(&host, &mut playing)?;
        let (played, repeats) = end(&host, playing, case.size.0)?;
        case.judge(&played, repeats).with_context(|| format!("{mode:?}, packets of {}", case.packet))?;
        let cancelled = client.ask("cancel")?;
        ensure!(cancelled["cancelled"] == true, "{cancelled:#}");
        wait("the desktop to go", Duration::from_secs(15), || sway_sockets(&host).is_empty())?;
    }
    let other = Moonlight::paired(&host)?;
    let mut playing = [AT_ONCE[0].begin(&client)?, AT_ONCE[1].begin(&other)?];
    for (playing, case) in playing.iter_mut().zip(&AT_ONCE) {
        wait_seconds(playing, case.seconds / 2)?;
    }
    ensure!(sway_sockets(&host).len() == 2, "two clients have {:?}", sway_sockets(&host));
    for (playing, case) in playing.into_iter().zip(&AT_ONCE) {
        let (played, repeats) = end(&host, playing, case.size.0)?;
        case.judge(&played, repeats).with_context(|| format!("beside another, {:?}", case.size))?;
    }
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    Ok(())
}

//! A client's microphone is heard by programs of its session, where the administrator allows it: each session has a source of its own,
//! which hears on when captured, encoded or transportd died, and goes with its session.
//!
//! Sabotage: take a microphone without leave, play all into one source, let the source go with captured, or leave it at the end.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stamp::tones;
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, USER, run, wait},
    sound::{Listener, PipeWire, sources},
};

const TONES: [f64; 2] = [500.0, 1370.0];
const SOON: Duration = Duration::from_secs(15);
/// Samples of 20 ms, in which it is looked whether a tone is there.
const LOOK: usize = 960;

#[test]
fn the_session_hears_the_probe() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let _pipewire = PipeWire::start(&host)?;
    let probes = [Probe::allowed(&host)?, Probe::allowed(&host)?];
    refused_by_default(&host, &probes[0])?;
    let config = format!("/home/{USER}/.config/lumen/transportd.toml");
    let before = fs::read_to_string(&config).unwrap_or_default();
    fs::write(&config, format!("microphone = true\n{before}"))?;
    host.systemctl(&["restart", "lumen-transportd.service"])?;
    host.await_all()?;
    let sounds = [0, 1].map(|n| probes[n].file("heard.opus").to_string_lossy().into_owned());
    let voices = TONES.map(|hertz| format!("tone:{hertz}"));
    let options = |n: usize| {
        ["--seconds", "60", "--mode", "640x360@30", "--sound", &sounds[n], "--microphone", &voices[n]]
    };
    let speaking = [probes[0].start(&options(0))?, probes[1].start(&options(1))?];
    wait("a source for each session", SOON, || sources(&host).is_ok_and(|all| all.len() == 2))?;
    let names = sources(&host)?;
    let listeners = [Listener::start(&host, &names[0])?, Listener::start(&host, &names[1])?];
    // Which session is whose is not told; but each hears one and not the other.
    let second = Duration::from_secs(1);
    let clear = |listener: &Listener, own: usize| {
        listener.clearness(TONES[own], &[TONES[1 - own]], second).is_some_and(|clearness| clearness > 20.0)
    };
    let both = |own: usize| clear(&listeners[0], own) && clear(&listeners[1], 1 - own);
    let heard = wait("each microphone in its own session", SOON, || both(0) || both(1));
    heard.with_context(|| host.status())?;
    let own = usize::from(both(1));
    ensure!(host.status().contains("taken: "), "{}", host.status());
    for stage in ["captured", "encoded", "transportd"] {
        let before = listeners[0].heard().len();
        run("kill", &["-KILL", &host.pid(stage)?.to_string()])?;
        let again = wait("the microphones again", SOON, || {
            listeners[0].heard().len() > before + 2 * 48_000 && (both(own))
        });
        again.with_context(|| format!("after the death of {stage}: {}", host.status()))?;
        println!("{stage}: {:?} without the microphone", gap(&listeners[0].heard()[before..], TONES[own]));
        ensure!(sources(&host)? == names, "after the death of {stage} there are {:?}", sources(&host)?);
    }
    let [first, second] = speaking;
    run("kill", &["-INT", &first.pid().to_string()])?;
    let report = first.finish()?.success()?;
    println!("{:#}", report.summary["microphone"]);
    let source = format!("lumen-microphone-{}", report.summary["session"].as_str().unwrap_or_default());
    wait("the end of its source", SOON, || {
        sources(&host).is_ok_and(|all| all.len() == 1 && all[0] != source)
    })?;
    run("kill", &["-INT", &second.pid().to_string()])?;
    second.finish()?.success()?;
    wait("the end of both", SOON, || sources(&host).is_ok_and(|all| all.is_empty()))
}

/// Without leave there is no source, and the client is told so.
fn refused_by_default(host: &Constellation, probe: &Probe) -> Result<()> {
    let sound = probe.file("refused.opus");
    let sound = sound.to_string_lossy();
    let streaming = probe.start(&["--seconds", "60", "--sound", &sound, "--microphone", "tone:500"])?;
    wait("the stream", SOON, || host.status().contains("microphone = true"))?;
    wait("the program in the desktop", SOON, || !host.processes("lumen-stamp").is_empty())?;
    thread::sleep(Duration::from_millis(500));
    ensure!(sources(host)?.is_empty(), "there are {:?}", sources(host)?);
    run("kill", &["-INT", &streaming.pid().to_string()])?;
    let report = streaming.finish()?;
    let answer = report.summary["microphone"]["answer"].as_str().unwrap_or_default();
    ensure!(answer.contains("microphone = true"), "{:#}", report.summary);
    ensure!(report.number("/microphone/packets")? == 0.0, "{:#}", report.summary);
    Ok(())
}

/// The longest time without a tone.
fn gap(heard: &[i16], hertz: f64) -> Duration {
    let pieces = heard.chunks_exact(LOOK).map(|piece| tones::loudness(piece, hertz) > -40.0);
    let (longest, _) = pieces.fold((0u32, 0), |(longest, run), is_heard| {
        let run = if is_heard { 0 } else { run + 1 };
        (longest.max(run), run)
    });
    Duration::from_millis(20) * longest
}

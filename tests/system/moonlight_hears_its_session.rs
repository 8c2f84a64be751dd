//! The genuine Moonlight client hears what is played in its session: each tone in its own channel, in the clear and sealed; not
//! what is played in another's; with one datagram in ten lost; and again at once after captured or encoded died.
//!
//! Sabotage: mix up channels, seal with the IV of another packet, make parity of what is not sealed, number packets anew after
//! a death, start programs without the name of their sink, give two sessions one, or mark no datagram, or all alike.

use std::{collections::BTreeSet, fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_stamp::tones;
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{MOONLIGHT, Setup, USER, run, wait},
    moonlight::Playing,
    overview::Overview,
    sound::{PipeWire, sinks, stop_pipewire},
    tap::Tap,
};

const TONES: [f64; 2] = [440.0, 660.0];
const OTHERS: [f64; 2] = [1000.0, 1500.0];
/// Longest silence that a death may cost.
const GAP: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_secs(30);
/// Ports of video and sound, and the marks of what comes from there for a client at home: CS5 and CS6, without ECN.
const MARKS: [(u16, u8); 2] = [(MOONLIGHT + 9, 40 << 2), (MOONLIGHT + 11, 48 << 2)];
const SMALL: [&str; 6] = ["--mode", "640x360x30", "--refresh-x100", "3000", "--seconds", "600"];

/// A host with PipeWire, whose apps play tones for ever.
fn host() -> Result<(PipeWire, Constellation)> {
    // Where the user's programs may read it.
    for (name, hertz) in [("low", TONES), ("high", OTHERS)] {
        let file = tone_file(name);
        fs::write(&file, tones::wav(&hertz, 120)?)?;
        run("chmod", &["a+r", &file])?;
    }
    lumen_tests::constellation::user()?;
    let apps = ["low", "high"].map(|name| format!("{name} = [\"pw-play\", {:?}]\n", tone_file(name)));
    let apps = format!("[apps]\n{}", apps.concat());
    let host = Setup::stamp(&[]).config("apps", &apps).start()?;
    Ok((PipeWire::start(&host)?, host))
}

fn tone_file(name: &str) -> String {
    std::env::temp_dir().join(format!("{USER}-{name}.wav")).to_string_lossy().into_owned()
}

/// The number of an app in the client's list.
fn app(client: &Moonlight, name: &str) -> Result<String> {
    let apps = client.ask("apps")?;
    let listed = apps["apps"].as_array().and_then(|apps| apps.iter().find(|app| app["name"] == name));
    Ok(listed
        .and_then(|app| app["id"].as_i64())
        .with_context(|| format!("no {name} in {apps:#}"))?
        .to_string())
}

fn begin<'a>(client: &'a Moonlight, name: &str, further: &[&str]) -> Result<Playing<'a>> {
    let app = app(client, name)?;
    client.start("launch", &[&SMALL[..], &["--app", &app], further].concat())
}

/// Waits until all tones are heard, each in its own channel.
fn await_tones(playing: &Playing<'_>, hertz: &[f64]) -> Result<()> {
    let mut last = Ok(());
    let heard = wait("the tones at the client", SOON, || {
        last = playing.heard().and_then(|heard| heard.has_tones(hertz));
        last.is_ok()
    });
    heard.with_context(|| format!("{last:?}"))
}

/// Each datagram of video and sound has its mark.
fn marked() -> Result<()> {
    let passed = Tap::open()?
        .listen(Duration::from_millis(500), |seen| MARKS.iter().any(|(port, _)| *port == seen.from))?;
    for (port, mark) in MARKS {
        let tos: BTreeSet<u8> = passed.iter().filter(|seen| seen.from == port).map(|seen| seen.tos).collect();
        ensure!(tos == BTreeSet::from([mark]), "from {port} come {tos:?} instead of {mark}");
    }
    Ok(())
}

#[test]
fn moonlight_hears_its_session() -> Result<()> {
    let (_pipewire, host) = host()?;
    let client = Moonlight::paired(&host)?;
    for seal in ["all", "none"] {
        let playing = begin(&client, "low", &["--seal", seal])?;
        await_tones(&playing, &TONES).with_context(|| host.status())?;
        marked()?;
        let played = playing.end("INT")?;
        played.unbroken()?;
        let sound = &played.summary["sound"];
        ensure!(
            sound["invalid"] == 0 && sound["invalid_parity"] == 0,
            "the client cannot read all: {sound:#}"
        );
        ensure!(sound["parity"].as_u64() > Some(0), "there is no parity: {sound:#}");
        client.ask("cancel")?;
        wait("the sink to go", SOON, || sinks(&host).is_ok_and(|sinks| sinks.is_empty()))?;
    }
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    Ok(())
}

#[test]
fn moonlight_hears_no_other_session() -> Result<()> {
    let (_pipewire, host) = host()?;
    let clients = [Moonlight::paired(&host)?, Moonlight::paired(&host)?];
    let [one, two] = &clients;
    let playing = [begin(one, "low", &[])?, begin(two, "high", &[])?];
    for (playing, hertz) in playing.iter().zip([TONES, OTHERS]) {
        await_tones(playing, &hertz).with_context(|| host.status())?;
    }
    thread::sleep(Duration::from_secs(2));
    for (playing, (own, foreign)) in playing.into_iter().zip([(TONES, OTHERS), (OTHERS, TONES)]) {
        let heard = playing.end("INT")?.sound;
        heard.has_tones(&own)?;
        for hertz in foreign {
            let loudness = heard.loudness(hertz)?;
            ensure!(loudness < -60.0, "{hertz} Hz of the other session is heard at {loudness:.1} dB");
        }
    }
    Ok(())
}

#[test]
fn moonlight_hears_on_when_stages_die() -> Result<()> {
    let (_pipewire, host) = host()?;
    let client = Moonlight::paired(&host)?;
    let playing = begin(&client, "low", &[])?;
    await_tones(&playing, &TONES).with_context(|| host.status())?;
    let mut deaths = Vec::new();
    for stage in ["captured", "encoded", "transportd", "captured", "encoded"] {
        thread::sleep(Duration::from_secs(3));
        deaths.push((stage, now_ns()));
        run("kill", &["-KILL", &host.pid(stage)?.to_string()])?;
    }
    thread::sleep(Duration::from_secs(3));
    let played = playing.end("INT")?;
    played.unbroken()?;
    let arrivals = played.sound.arrivals();
    for (stage, at_ns) in deaths {
        let near = |pair: &[u64]| pair[1] > at_ns && pair[0] < at_ns + 2_000_000_000;
        let gap = arrivals.windows(2).filter(|pair| near(pair)).map(|pair| pair[1] - pair[0]).max();
        let gap = Duration::from_nanos(gap.with_context(|| format!("no sound after the death of {stage}"))?);
        println!("{stage}: {gap:?} without sound");
        ensure!(gap <= GAP, "{stage} died, and nothing was heard for {gap:?}");
    }
    played.sound.has_tones(&TONES)?;
    let sound = &played.summary["sound"];
    ensure!(sound["invalid"] == 0, "a number came again, or a packet that is none: {sound:#}");
    Ok(())
}

/// Sabotage: send no parity, or any other.
#[test]
fn moonlight_mends_lost_sound() -> Result<()> {
    let (_pipewire, host) = host()?;
    let client = Moonlight::paired(&host)?;
    let playing = begin(&client, "low", &["--lose-sound", "0.1"])?;
    await_tones(&playing, &TONES).with_context(|| host.status())?;
    thread::sleep(Duration::from_secs(8));
    let played = playing.end("INT")?;
    played.unbroken()?;
    played.sound.has_tones(&TONES)?;
    let sound = &played.summary["sound"];
    println!("{sound}");
    ensure!(sound["recovered"].as_u64() > Some(20), "hardly anything was mended: {sound:#}");
    // Two of six may be lost: of blocks with one in ten, one in sixty has more.
    let lost = played.sound.lost();
    ensure!(
        lost * 40 < played.sound.count(),
        "{lost} of {} packets were lost for good",
        played.sound.count()
    );
    Ok(())
}

#[test]
fn without_pipewire_the_picture_goes_on_and_says_so() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    stop_pipewire(&host)?;
    let client = Moonlight::paired(&host)?;
    let mut playing = client.start("launch", &SMALL)?;
    playing.wait_for(30)?;
    let said = |overview: &Overview| overview.sessions().first().map(|session| session["sound"].to_string());
    let mut sound = None;
    let told = wait("the reason why there is no sound", SOON, || {
        sound = Overview::of(&host).ok().as_ref().and_then(said);
        sound.as_ref().is_some_and(|sound| sound.contains("no sound: PipeWire does not answer"))
    });
    told.with_context(|| format!("{sound:?}"))?;
    let _pipewire = PipeWire::start(&host)?;
    wait("sound to come with PipeWire", SOON, || playing.heard().is_ok_and(|heard| heard.count() > 100))?;
    playing.end("INT")?.whole()
}

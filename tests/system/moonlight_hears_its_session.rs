//! The genuine Moonlight client hears what is played in its session: each tone in its own channel, in the clear and sealed; not
//! what is played in another's; with one datagram in ten lost; and again at once after captured or encoded died, or was restarted.
//!
//! Sabotage: mix up channels, tell clients of 7.1 that LFE is the sixth of them, seal with the IV of another packet, make parity
//! of what is not sealed, number packets anew after a death, start programs without the name of their sink, give two sessions
//! one, make the sink anew when encoded asks for its channels or when captured is restarted, give clients nothing to throw away, or mark no datagram, or all
//! alike.

use std::{collections::BTreeSet, fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_stamp::tones;
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{MOONLIGHT, Setup, USER, run, text, wait},
    moonlight::{Played, Playing},
    overview::Overview,
    sound::{Heard, PipeWire, sinks, stop_pipewire},
    tap::Tap,
};

const TONES: [f64; 2] = [440.0, 660.0];
const OTHERS: [f64; 2] = [1000.0, 1500.0];
/// What the apps play, a tone in each channel.
const PLAYED: [(&str, &[f64]); 4] = [
    ("two", &TONES),
    ("six", &[500.0, 740.0, 1020.0, 180.0, 1310.0, 1760.0]),
    ("eight", &[330.0, 560.0, 880.0, 120.0, 1150.0, 1460.0, 1640.0, 2000.0]),
    ("other", &OTHERS),
];
/// Below this another session's tones are not heard, in decibels; they are played at −10.
const FOREIGN: f64 = -60.0;
/// The same where three sessions play at once: as much of any tone is in the cracks of a machine that is too slow for them.
const CRACKS: f64 = -30.0;
/// Clients throw away as much of the first packets.
const UNHEARD: Duration = Duration::from_millis(500);
/// Longest silence that a death may cost.
const GAP: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_secs(30);
/// Ports of video and sound, and the marks of what comes from there for a client at home: CS5 and CS6, without ECN.
const MARKS: [(u16, u8); 2] = [(MOONLIGHT + 9, 40 << 2), (MOONLIGHT + 11, 48 << 2)];
const SMALL: [&str; 6] = ["--mode", "640x360x30", "--refresh-x100", "3000", "--seconds", "600"];

/// A host with PipeWire, whose apps play tones for ever.
fn host() -> Result<(PipeWire, Constellation)> {
    // Where the user's programs may read it.
    for (name, hertz) in PLAYED {
        let file = tone_file(name);
        fs::write(&file, tones::wav(hertz, 60)?)?;
        run("chmod", &["a+r", &file])?;
    }
    lumen_tests::constellation::user()?;
    let apps = PLAYED.map(|(name, _)| format!("{name} = [\"pw-play\", {:?}]\n", tone_file(name)));
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
    await_sound(playing, |heard| heard.has_tones(hertz))
}

/// Waits until what is heard is as `judge` wants it.
fn await_sound(playing: &Playing<'_>, judge: impl Fn(&Heard) -> Result<()>) -> Result<()> {
    let mut last = Ok(());
    let heard = wait("the tones at the client", SOON, || {
        last = playing.heard().and_then(|heard| judge(&heard));
        // What decodes all the time is what sound would skip for.
        let pause = if last.is_ok() { Duration::ZERO } else { Duration::from_millis(200) };
        thread::sleep(pause);
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

/// What moonlight-common-c may ask for, and how long its packets are then: high quality by its bitrate, never in
/// packets of 10 ms, which it wants where its decoder is slow.
const QUALITIES: [(&[&str], u64); 3] = [
    (&["--bitrate-kbps", "10000"], 5),
    (&["--bitrate-kbps", "10000", "--slow-opus"], 10),
    (&["--bitrate-kbps", "20000"], 5),
];

/// Three sessions at once, of 2, 6 and 8 channels, in each quality, sealed and in the clear. What a client has kept goes on, so that
/// desktops and sinks are made once for each quality.
#[test]
fn moonlight_hears_its_session() -> Result<()> {
    let (_pipewire, host) = host()?;
    let clients = [Moonlight::paired(&host)?, Moonlight::paired(&host)?, Moonlight::paired(&host)?];
    let [one, ..] = &clients;
    let apps = PLAYED.map(|(name, hertz)| app(one, name).map(|app| (app, hertz.len().to_string())));
    let apps = apps.into_iter().collect::<Result<Vec<_>>>()?;
    let mut first = Vec::new();
    for (quality, ms) in QUALITIES {
        for seal in ["all", "none"] {
            let asked = [&SMALL[..], quality, &["--seal", seal]].concat();
            let mut playing = Vec::new();
            for (client, (app, channels)) in clients.iter().zip(&apps) {
                let further = ["--app", app, "--channels", channels];
                playing.push(client.start("launch", &[&asked[..], &further].concat())?);
            }
            thread::sleep(Duration::from_secs(1));
            for (playing, (_, hertz)) in playing.iter().zip(PLAYED) {
                await_tones(playing, hertz).with_context(|| format!("{asked:?}: {}", host.status()))?;
            }
            if ms == 10 {
                marked()?;
            }
            for (playing, (name, hertz)) in playing.into_iter().zip(PLAYED) {
                let played = playing.end("INT")?;
                first.push(judge(&played, hertz, ms).with_context(|| format!("{name}, {asked:?}"))?);
            }
        }
        clients.iter().try_for_each(|client| client.ask("cancel").map(drop))?;
        wait("the sinks to go", SOON, || sinks(&host).is_ok_and(|sinks| sinks.is_empty()))?;
    }
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    first.sort_unstable();
    let (p50, most) = (first[first.len() / 2], first[first.len() - 1]);
    println!("first sound after the connection: p50 {p50:?}, at most {most:?} of {}", first.len());
    // Thrown away is half a second of packets: who hears any earlier had silence to throw away.
    ensure!(p50 < UNHEARD / 2, "clients throw away what was to be heard: {first:?}");
    Ok(())
}

/// A leak would be in each second: one of a machine that is busy otherwise may crack.
#[test]
fn moonlight_hears_no_other_session() -> Result<()> {
    let (_pipewire, host) = host()?;
    let clients = [Moonlight::paired(&host)?, Moonlight::paired(&host)?];
    let [one, two] = &clients;
    let playing = [begin(one, "two", &[])?, begin(two, "other", &[])?];
    for (playing, (own, foreign)) in playing.iter().zip([(TONES, OTHERS), (OTHERS, TONES)]) {
        let alone = |heard: &Heard| {
            heard.has_tones(&own)?;
            has_not(heard, foreign, FOREIGN)
        };
        await_sound(playing, alone).with_context(|| host.status())?;
    }
    Ok(())
}

/// With other speakers, and over restarts of the stages, the sink stays that its program plays into: of a sink that goes the session
/// manager makes another session's, for good.
#[test]
fn moonlight_hears_on_with_other_speakers_and_after_upgrades() -> Result<()> {
    let (_pipewire, host) = host()?;
    let (client, beside) = (Moonlight::paired(&host)?, Moonlight::paired(&host)?);
    let (beside, [_, (name, six), ..]) = (begin(&beside, "two", &[])?, PLAYED);
    let app = app(&client, name)?;
    let fronts = |heard: &Heard| {
        six.iter().take(2).try_for_each(|hertz| {
            let loudness = heard.loudness(*hertz)?;
            ensure!(loudness > -30.0, "{hertz} Hz is heard at {loudness:.1} dB");
            Ok(())
        })
    };
    for (verb, channels) in [("launch", "6"), ("resume", "2"), ("resume", "6")] {
        let playing = client.start(verb, &[&SMALL[..], &["--app", &app, "--channels", channels]].concat())?;
        let what = || format!("{verb} with {channels} channels\n{}", host.status());
        match channels {
            "2" => await_sound(&playing, fronts).with_context(what)?,
            _ => await_tones(&playing, six).with_context(what)?,
        }
        for stage in ["captured", "encoded"] {
            let restarted = host.systemctl(&["restart", &format!("lumen-{stage}.service")])?;
            ensure!(restarted.status.success(), "{stage} does not restart: {}", text(&restarted));
            thread::sleep(Duration::from_secs(2));
        }
        match channels {
            "2" => await_sound(&playing, fronts).with_context(what)?,
            _ => await_tones(&playing, six).with_context(what)?,
        }
        playing.end("KILL")?;
    }
    let heard = beside.end("INT")?.sound;
    let samples = tones::channel(&heard.last(Duration::from_secs(600))?, TONES.len(), 0);
    for (place, second) in samples.chunks(tones::RATE as usize).enumerate() {
        for hertz in six {
            let loudness = tones::loudness(second, *hertz);
            ensure!(
                loudness < CRACKS,
                "{hertz} Hz of another session is heard at {loudness:.1} dB in second {place}"
            );
        }
    }
    Ok(())
}

/// None of another session's tones is as loud as so many decibels.
fn has_not(heard: &Heard, foreign: impl IntoIterator<Item = f64>, limit: f64) -> Result<()> {
    for hertz in foreign {
        let loudness = heard.loudness(hertz)?;
        ensure!(loudness < limit, "{hertz} Hz of another session is heard at {loudness:.1} dB");
    }
    Ok(())
}

/// None of the other sessions' tones were heard, and packets were of so many milliseconds; how long after the connection the first
/// came.
fn judge(played: &Played, own: &[f64], ms: u64) -> Result<Duration> {
    played.unbroken()?;
    for (_, hertz) in PLAYED {
        has_not(&played.sound, hertz.iter().copied().filter(|hertz| !own.contains(hertz)), CRACKS)?;
    }
    let sound = &played.summary["sound"];
    ensure!(sound["invalid"] == 0 && sound["invalid_parity"] == 0, "the client cannot read all: {sound:#}");
    ensure!(sound["parity"].as_u64() > Some(0), "there is no parity: {sound:#}");
    ensure!(sound["opus"]["samples"] == 48 * ms, "packets are not of {ms} ms: {sound:#}");
    let at = |name: &str| played.summary[name].as_u64();
    let begun = played.sound.arrivals().first().copied().zip(at("connected_ns").zip(at("answered_ns")));
    let (heard, (connected, answered)) = begun.context("the client did not say when it began")?;
    println!(
        "{} channels, {ms} ms, {} bytes: first sound {} ms after the launch, {} after the connection",
        own.len(),
        played.sound.longest(),
        heard.saturating_sub(answered) / 1_000_000,
        heard.saturating_sub(connected) / 1_000_000
    );
    Ok(Duration::from_nanos(heard.saturating_sub(connected)))
}

#[test]
fn moonlight_hears_on_when_stages_die() -> Result<()> {
    let (_pipewire, host) = host()?;
    let client = Moonlight::paired(&host)?;
    let playing = begin(&client, "two", &[])?;
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
    let playing = begin(&client, "two", &["--lose-sound", "0.1"])?;
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
    let arrivals = played.sound.arrivals();
    let gap = arrivals.windows(2).map(|pair| Duration::from_nanos(pair[1] - pair[0])).max();
    println!("longest time without a packet: {gap:?}");
    ensure!(gap <= Some(GAP), "for {gap:?} nothing was heard");
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

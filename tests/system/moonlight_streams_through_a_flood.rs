//! A million datagrams of strangers at the live UDP ports, half of them the client's own ones spoilt, and a thousand
//! connections a second with nonsense at the TCP ports, while the genuine Moonlight client streams: no stage is started
//! again, nobody is answered over UDP, and its frames and sound arrive.
//!
//! Sabotage: believe a datagram of another address in `talk.rs`, panic at one that is short, answer a connect with another
//! number, or hold each connection until its client goes.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Moonlight,
    constellation::{MOONLIGHT, Setup, wait},
    flood::{Flood, Target, dropped},
    moonlight::Played,
    overview::pids,
    sound::PipeWire,
    tap::Tap,
};
use std::sync::atomic::Ordering::Relaxed;

const HTTP: u16 = MOONLIGHT;
const HTTPS: u16 = MOONLIGHT - 5;
const RTSP: u16 = MOONLIGHT + 21;
const VIDEO: u16 = MOONLIGHT + 9;
const CONTROL: u16 = MOONLIGHT + 10;
const AUDIO: u16 = MOONLIGHT + 11;
const UDP: [u16; 3] = [VIDEO, CONTROL, AUDIO];

/// Datagrams that transportd has read in the end; what the kernel dropped is not counted.
const READ: u64 = 1_000_000;
const CONNECTIONS: u64 = 20_000;
/// How much of the flood may take how long on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Of sound, of which clients choose one of two.
const LONGEST_PACKET: Duration = Duration::from_millis(10);

#[test]
fn moonlight_streams_through_a_flood() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let _pipewire = PipeWire::start(&host)?;
    let client = Moonlight::paired(&host)?;
    let mut playing = client.start("launch", &["--seconds", "600"])?;
    playing.wait_for(120)?;
    wait("sound", LIMIT, || playing.heard().is_ok_and(|heard| heard.count() > 100))?;
    let before = pids(&host)?;
    let genuine = Tap::open()?.listen(Duration::from_secs(3), |seen| UDP.contains(&seen.to))?;
    for port in UDP {
        ensure!(genuine.iter().any(|seen| seen.to == port), "no datagram of the client's to {port} was seen");
    }
    let target = Target { udp: UDP.to_vec(), tcp: vec![HTTP, HTTPS, RTSP], genuine };
    let (begun_ns, lost) = (now_ns(), dropped(&target.udp)?);
    let flood = Flood::begin(&target, 6)?;
    let toll = flood.toll();
    let read = || dropped(&target.udp).map(|drops| toll.datagrams.load(Relaxed).saturating_sub(drops - lost));
    wait("the flood", LIMIT, || {
        thread::sleep(Duration::from_millis(200));
        read().is_ok_and(|read| read >= READ) && toll.connections.load(Relaxed) >= CONNECTIONS
    })?;
    let read = read()?;
    let (toll, ended_ns) = (flood.end(), now_ns());
    thread::sleep(Duration::from_secs(2));
    let played = playing.end("INT")?;
    let seconds = Duration::from_nanos(ended_ns - begun_ns).as_secs_f64();
    println!(
        "{seconds:.1} s: {read} datagrams read of {} sent, {} made of genuine ones; {} connections",
        toll.datagrams.load(Relaxed),
        toll.mutated.load(Relaxed),
        toll.connections.load(Relaxed)
    );
    ensure!(toll.answered.load(Relaxed) == 0, "strangers heard {} bytes", toll.answered.load(Relaxed));
    ensure!(pids(&host)? == before, "{before:?} became {:?}: a stage was started again", pids(&host)?);
    played.unbroken()?;
    judge(&played, begun_ns, ended_ns)?;
    judge_sound(&played, begun_ns, ended_ns)
}

/// At least 99 of 100 frames that were sent during the flood arrived, and pictures went on coming until after it.
fn judge(played: &Played, begun_ns: u64, ended_ns: u64) -> Result<()> {
    let all: Vec<_> = played.numbers().into_iter().zip(played.arrivals()).collect();
    let during: Vec<u64> = all
        .iter()
        .filter(|(_, at_ns)| (begun_ns..ended_ns).contains(at_ns))
        .map(|(number, _)| *number)
        .collect();
    let (first, last) = (during.first().context("no frame came")?, during.last().context("no frame came")?);
    let (came, sent) = (during.len() as u64, last - first + 1);
    let rate = came as f64 / Duration::from_nanos(ended_ns - begun_ns).as_secs_f64();
    println!("{came} frames of {sent} came, {rate:.1} a second");
    ensure!(came * 100 >= sent * 99, "only {came} of {sent} frames came");
    ensure!(all.last().is_some_and(|(_, at_ns)| *at_ns > ended_ns), "no frame came after the flood");
    // A stall would not show among numbers: each second has pictures.
    let longest = all.iter().zip(all.iter().skip(1)).map(|((_, one), (_, next))| next - one).max();
    let longest = Duration::from_nanos(longest.context("hardly a frame came")?);
    ensure!(longest < Duration::from_secs(1), "{longest:?} without a picture");
    Ok(())
}

/// Of the sound, too, and it was never silent for long.
fn judge_sound(played: &Played, begun_ns: u64, ended_ns: u64) -> Result<()> {
    let (came, lost) = played.sound.between(begun_ns, ended_ns);
    println!("{came} packets of sound came, {lost} were lost for good");
    let wanted = Duration::from_nanos(ended_ns - begun_ns).as_millis() / 2 / LONGEST_PACKET.as_millis();
    ensure!(came as u128 >= wanted, "only {came} packets of sound came, of more than {wanted}");
    ensure!(lost * 100 <= came, "{lost} packets of sound were lost, beside {came} that came");
    Ok(())
}

//! captured's sound against a real PipeWire and a real session manager: a program that was told the name of the session's sink
//! is heard, each channel in its own place; another session hears nothing of it; and the sink outlives the captured that made it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "it is part of tests")]

mod producer;

use lumen_captured::{
    backends::Source,
    board::Board,
    display::Display,
    sound::{
        Desks,
        run::{Common, run},
        sweep::sweep,
    },
};
use lumen_ipc::{
    Failure, FailureClass, Generation, SessionId, Stage,
    bus::{OutputSpec, SinkSpec, sink_name},
    sound::{FromSink, Pcm, ToSink},
};
use lumen_stage::{
    Link, Sessions,
    pulse::{Pulse, Pulses},
};
use lumen_stamp::tones;
use producer::{Daemon, until};
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

const TONES: [f64; 2] = [440.0, 660.0];
const ONE: SessionId = SessionId([1; 16]);
const TWO: SessionId = SessionId([2; 16]);

/// Gives connections to the private daemon.
struct Direct(PathBuf);

impl Display for Direct {
    fn acquire(&self, _: SessionId, _: &OutputSpec, _: &Pulse) -> Result<Box<dyn Source>, Failure> {
        Err(Failure::new(FailureClass::Internal, "no pictures here", ""))
    }

    fn sound(&self, _: SessionId, _: &Pulse) -> Result<OwnedFd, Failure> {
        let failed = |error: std::io::Error| Failure::new(FailureClass::Temporary, error.to_string(), "");
        Ok(UnixStream::connect(&self.0).map_err(failed)?.into())
    }

    fn release(&self, _: SessionId, _: &Pulse) {}
}

/// captured's sounds, without its pictures.
fn captured(daemon: &Daemon) -> Sessions<SinkSpec> {
    let common = Common {
        generation: Generation(1),
        lease: Duration::from_secs(60),
        display: Arc::new(Direct(daemon.socket())),
        board: Board::default(),
        desks: Desks::default(),
        lives: Arc::new(|_| false),
        is_unswept: Arc::new(AtomicBool::new(false)),
    };
    Sessions::new(Pulses::default(), move |seat| run(seat, common.clone()))
}

struct Reader(Link);

impl Reader {
    fn open(sounds: &Sessions<SinkSpec>, session: SessionId) -> Self {
        let fd = sounds.open(session, SinkSpec { channels: 2 }).unwrap();
        let mut reader = Self(Link::start(fd, Stage::Encoded, Generation(2), Stage::Captured).unwrap());
        until("the sink is read", || matches!(reader.next(), Some(FromSink::Ready { channels: 2 })));
        reader
    }

    fn next(&mut self) -> Option<FromSink> {
        self.0.receive().unwrap().map(|received| received.message)
    }

    /// Interleaved samples of so long, and when their pieces were played.
    fn listen(&mut self, time: Duration) -> (Vec<i16>, Vec<u64>) {
        let end = Instant::now() + time;
        let (mut samples, mut stamps) = (Vec::new(), Vec::new());
        while Instant::now() < end {
            match self.next() {
                Some(FromSink::Pcm(Pcm { pts_ns, samples: piece })) => {
                    samples.extend(piece);
                    stamps.push(pts_ns);
                }
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        (samples, stamps)
    }

    /// Waits until a tone is heard, then judges both channels.
    fn hears_both_tones(&mut self) {
        let mut heard = Vec::new();
        until("a tone is heard", || {
            heard = self.listen(Duration::from_millis(500)).0;
            tones::loudness(&tones::channel(&heard, 2, 0), TONES[0]) > -20.0
        });
        let heard = self.listen(Duration::from_secs(1)).0;
        for (which, own) in TONES.into_iter().enumerate() {
            let channel = tones::channel(&heard, 2, which);
            let [own, other] = [own, TONES[1 - which]].map(|hertz| tones::loudness(&channel, hertz));
            assert!(own > other + 20.0, "channel {which}: {own} dB of its own tone, {other} dB of the other");
        }
    }

    /// How many seconds of sound came in how many.
    fn pace(&mut self, time: Duration) -> f64 {
        let (samples, stamps) = self.listen(time);
        assert!(stamps.windows(2).all(|pair| pair[1] > pair[0]), "stamps rise");
        samples.len() as f64 / 2.0 / f64::from(tones::RATE) / time.as_secs_f64()
    }
}

fn play(daemon: &Daemon, session: SessionId) -> std::process::Child {
    let file = daemon.dir().join("tones.wav");
    std::fs::write(&file, tones::wav(&TONES, 60).unwrap()).unwrap();
    let mut player = daemon.command("pw-play");
    player.env("PIPEWIRE_NODE", sink_name(session)).arg(file);
    player.spawn().expect("pw-play is installed (Debian: pipewire-bin)")
}

/// The sinks of sessions that the daemon has.
fn sinks(daemon: &Daemon) -> usize {
    let listed =
        daemon.command("pw-cli").args(["list-objects", "Node"]).stdout(std::process::Stdio::piped()).output();
    String::from_utf8_lossy(&listed.unwrap().stdout).matches("\"lumen-session-").count()
}

/// Sabotage: let the stream read the default sink, swap two channels, or give all sessions one sink.
#[test]
fn a_program_is_heard_in_its_own_session_alone() {
    let daemon = Daemon::start();
    let sounds = captured(&daemon);
    let (mut one, mut two) = (Reader::open(&sounds, ONE), Reader::open(&sounds, TWO));
    let mut player = play(&daemon, ONE);
    one.hears_both_tones();
    let pace = one.pace(Duration::from_secs(2));
    assert!((0.9..1.1).contains(&pace), "{pace} seconds of sound a second");
    let other = two.listen(Duration::from_secs(1)).0;
    assert!(other.len() > 48_000, "silence is sound as well: {}", other.len());
    assert!(other.iter().all(|sample| sample.abs() < 4), "the other session hears it");
    player.kill().unwrap();
    player.wait().unwrap();
    one.0.send(&ToSink::Close, &[]).unwrap();
    until("the sink is taken away with its session", || sinks(&daemon) == 1);
}

/// Sabotage: let the sink go with the connection that made it, or make another beside it.
#[test]
fn a_program_plays_on_when_captured_dies_and_is_heard_again() {
    let daemon = Daemon::start();
    // Dropped without a word, which is what PipeWire sees of a death: its connection closes.
    let wish = lumen_captured::sound::monitor::Wish { sink: Some(ONE), channels: 2 };
    let connect = || OwnedFd::from(UnixStream::connect(daemon.socket()).unwrap());
    let mut monitor = lumen_captured::sound::monitor::Monitor::open(connect(), wish).unwrap();
    until("the sink is there", || {
        monitor.dispatch().unwrap();
        monitor.is_settled()
    });
    let mut player = play(&daemon, ONE);
    drop(monitor);
    assert_eq!(sinks(&daemon), 1);
    let sounds = captured(&daemon);
    Reader::open(&sounds, ONE).hears_both_tones();
    assert_eq!(sinks(&daemon), 1);
    player.kill().unwrap();
    player.wait().unwrap();
    assert_eq!(sweep(connect(), |session| session == ONE).unwrap(), 0);
    assert_eq!(sweep(connect(), |_| false).unwrap(), 1);
    until("the sink is swept", || sinks(&daemon) == 0);
}

/// Sabotage: end the thread with PipeWire, or never try again.
#[test]
fn sound_comes_back_with_pipewire() {
    let mut daemon = Daemon::start();
    let sounds = captured(&daemon);
    let mut reader = Reader::open(&sounds, ONE);
    daemon.kill();
    until("the reader is told why", || match reader.next() {
        Some(FromSink::Failed(failure)) => failure.text.starts_with("no sound: PipeWire is gone"),
        _ => false,
    });
    daemon.start_daemon();
    daemon.start_manager();
    until("the reader is told that there is sound", || matches!(reader.next(), Some(FromSink::Ready { .. })));
    let mut player = play(&daemon, ONE);
    reader.hears_both_tones();
    player.kill().unwrap();
    player.wait().unwrap();
}

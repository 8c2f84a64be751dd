//! captured's sounds without its pictures, and who reads them.

#![allow(dead_code, reason = "each test uses the part that it needs")]

use crate::producer::{Daemon, until};
use lumen_captured::{
    backends::Source,
    board::Board,
    display::Display,
    sound::{
        Desks, Lead,
        run::{Common, run},
    },
};
use lumen_ipc::{
    Failure, FailureClass, Generation, SessionId, Stage,
    bus::{OutputSpec, SinkSpec, sink_name},
    sound::{FromSink, Pcm},
};
use lumen_stage::{
    Link, Sessions,
    pulse::{Pulse, Pulses},
};
use lumen_stamp::tones;
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

pub const TONES: [f64; 2] = [440.0, 660.0];
pub const ONE: SessionId = SessionId([1; 16]);
pub const TWO: SessionId = SessionId([2; 16]);

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

/// captured's sounds, without its pictures, on desktops of the sessions' own.
pub fn captured(daemon: &Daemon) -> Sessions<SinkSpec> {
    captured_of(daemon, Desks::default(), Lead::default(), false)
}

/// The same, of these desktops; with `is_unswept` an earlier one may have left something.
pub fn captured_of(daemon: &Daemon, desks: Desks, lead: Lead, is_unswept: bool) -> Sessions<SinkSpec> {
    let common = Common {
        generation: Generation(1),
        lease: Duration::from_secs(60),
        display: Arc::new(Direct(daemon.socket())),
        board: Board::default(),
        desks,
        lead,
        lives: Arc::new(|_| false),
        is_unswept: Arc::new(AtomicBool::new(is_unswept)),
        pulses: Pulses::default(),
    };
    Sessions::new(Pulses::default(), move |seat| run(seat, common.clone()))
}

pub struct Reader(pub Link);

impl Reader {
    pub fn open(sounds: &Sessions<SinkSpec>, session: SessionId) -> Self {
        Self::open_with(sounds, session, 2)
    }

    pub fn open_with(sounds: &Sessions<SinkSpec>, session: SessionId, channels: u32) -> Self {
        let fd = sounds.open(session, SinkSpec { channels, microphone: None }).unwrap();
        let mut reader = Self(Link::start(fd, Stage::Encoded, Generation(2), Stage::Captured).unwrap());
        let ready = FromSink::Ready { channels };
        until("the sink is read", || reader.next().is_some_and(|message| message == ready));
        reader
    }

    pub fn next(&mut self) -> Option<FromSink> {
        self.0.receive().unwrap().map(|received| received.message)
    }

    /// Interleaved samples of so long, and when their pieces were played.
    pub fn listen(&mut self, time: Duration) -> (Vec<i16>, Vec<u64>) {
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

    /// Waits until each channel has had its own tone, and not the other's, for a whole second.
    pub fn hears_both_tones(&mut self) {
        until("each tone is heard in its own channel", || {
            let heard = self.listen(Duration::from_secs(1)).0;
            TONES.into_iter().enumerate().all(|(which, own)| {
                let channel = tones::channel(&heard, 2, which);
                let [own, other] = [own, TONES[1 - which]].map(|hertz| tones::loudness(&channel, hertz));
                own > -20.0 && own > other + 20.0
            })
        });
    }

    /// How many seconds of sound came in how many.
    pub fn pace(&mut self, time: Duration) -> f64 {
        let (samples, stamps) = self.listen(time);
        assert!(stamps.windows(2).all(|pair| pair[1] > pair[0]), "stamps rise");
        samples.len() as f64 / 2.0 / f64::from(tones::RATE) / time.as_secs_f64()
    }
}

/// A program that plays the tones into the sink of `session`, or without one wherever programs play.
pub fn play(daemon: &Daemon, session: Option<SessionId>) -> std::process::Child {
    let file = daemon.dir().join("tones.wav");
    std::fs::write(&file, tones::wav(&TONES, 60).unwrap()).unwrap();
    let mut player = daemon.command("pw-play");
    player.arg(file);
    if let Some(session) = session {
        player.env("PIPEWIRE_NODE", sink_name(session));
    }
    player.spawn().expect("pw-play is installed (Debian: pipewire-bin)")
}

/// The sinks of sessions that the daemon has.
pub fn sinks(daemon: &Daemon) -> usize {
    let listed =
        daemon.command("pw-cli").args(["list-objects", "Node"]).stdout(std::process::Stdio::piped()).output();
    String::from_utf8_lossy(&listed.unwrap().stdout).matches("\"lumen-session-").count()
}

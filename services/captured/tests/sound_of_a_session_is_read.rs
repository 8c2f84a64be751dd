//! captured's sound against a real PipeWire and a real session manager: a program that was told the name of the session's sink
//! is heard, each channel in its own place; another session hears nothing of it; and the sink outlives the captured that made it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "it is part of tests")]

mod producer;
mod sounds;

use lumen_captured::sound::{Lead, sweep::sweep};
use lumen_ipc::sound::{FromSink, ToSink};
use producer::{Daemon, until};
use sounds::{ONE, Reader, TWO, captured, play, sinks};
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

/// Sabotage: let the stream read the default sink, swap two channels, or give all sessions one sink.
#[test]
fn a_program_is_heard_in_its_own_session_alone() {
    let daemon = Daemon::start();
    let sounds = captured(&daemon);
    let (mut one, mut two) = (Reader::open(&sounds, ONE), Reader::open(&sounds, TWO));
    let mut player = play(&daemon, Some(ONE));
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
    let mut player = play(&daemon, Some(ONE));
    drop(monitor);
    assert_eq!(sinks(&daemon), 1);
    let sounds = captured(&daemon);
    Reader::open(&sounds, ONE).hears_both_tones();
    assert_eq!(sinks(&daemon), 1);
    player.kill().unwrap();
    player.wait().unwrap();
    assert_eq!(sweep(connect(), |session| session == ONE, &Lead::default()).unwrap().sinks, 0);
    assert_eq!(sweep(connect(), |_| false, &Lead::default()).unwrap().sinks, 1);
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
    let mut player = play(&daemon, Some(ONE));
    reader.hears_both_tones();
    player.kill().unwrap();
    player.wait().unwrap();
}

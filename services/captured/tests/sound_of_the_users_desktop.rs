//! Sound of the user's own desktop, against a real PipeWire and a real session manager: programs there were told no sink, so one
//! session at a time moves the default output to its own. After it, and after any death, that is where it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "it is part of tests")]

mod producer;
mod sounds;

use lumen_captured::sound::{
    Desks, Lead,
    monitor::{Monitor, Wish},
    sweep::{Swept, sweep},
};
use lumen_ipc::{SessionId, bus::sink_name, sound::ToSink};
use lumen_stage::Sessions;
use producer::{Daemon, until};
use sounds::{ONE, Reader, TWO, captured_of, play, sinks};
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
    thread,
    time::Duration,
};

/// The user's speakers, which somebody chose.
const SPEAKERS: &str = "speakers";

/// A machine with speakers and headphones, of which somebody chose the speakers.
fn machine() -> Daemon {
    let daemon = Daemon::start();
    for name in [SPEAKERS, "headphones"] {
        let node = format!(
            "{{ factory.name=support.null-audio-sink node.name={name} media.class=Audio/Sink object.linger=true \
             audio.position=[FL FR] }}"
        );
        let made = daemon.command("pw-cli").args(["create-node", "adapter", &node]).status().unwrap();
        assert!(made.success());
    }
    choose(&daemon, SPEAKERS);
    daemon
}

fn choose(daemon: &Daemon, name: &str) {
    let json = format!("{{ \"name\": \"{name}\" }}");
    until("the choice is made", || {
        let words = ["0", "default.configured.audio.sink", &json, "Spa:String:JSON"];
        daemon.command("pw-metadata").args(words).status().unwrap();
        default(daemon) == name
    });
}

/// The sink that programs play into which were told none, as the session manager says.
fn default(daemon: &Daemon) -> String {
    let told =
        daemon.command("pw-metadata").args(["0", "default.audio.sink"]).stdout(Stdio::piped()).output();
    let told = String::from_utf8_lossy(&told.unwrap().stdout).into_owned();
    let name = told.split("\"name\":").nth(1).and_then(|rest| rest.split('"').nth(1));
    name.unwrap_or_default().to_owned()
}

/// captured, whose sessions are all on the user's own desktop; what it writes down lies in `daemon`'s directory.
fn captured(daemon: &Daemon) -> Sessions<lumen_ipc::bus::SinkSpec> {
    let desks = Desks::default();
    [ONE, TWO].into_iter().for_each(|session| desks.place(session, true));
    captured_of(daemon, desks, lead(daemon), true)
}

fn lead(daemon: &Daemon) -> Lead {
    Lead::of(Some(daemon.dir().to_owned()))
}

fn connect(daemon: &Daemon) -> OwnedFd {
    UnixStream::connect(daemon.socket()).unwrap().into()
}

/// A captured that moved the default output and was then killed: its connection closed without a word.
fn led_and_died(daemon: &Daemon, session: SessionId) {
    let lead = lead(daemon);
    assert!(lead.claim(session));
    let mut monitor = Monitor::open(connect(daemon), Wish { sink: Some(session), channels: 2 }).unwrap();
    monitor.lead(&lead);
    until("the default output is moved", || {
        monitor.dispatch().unwrap();
        default(daemon) == sink_name(session)
    });
}

/// Sabotage: never move it, let two sessions move it, or put nothing back.
#[test]
fn what_the_desktop_plays_is_heard_and_the_default_output_is_put_back() {
    let daemon = machine();
    let mut player = play(&daemon, None);
    let sounds = captured(&daemon);
    let mut one = Reader::open(&sounds, ONE);
    one.hears_both_tones();
    assert_eq!(default(&daemon), sink_name(ONE));
    // The second hears the same by the monitor of whatever is the default.
    let mut two = Reader::open(&sounds, TWO);
    two.hears_both_tones();
    assert_eq!((default(&daemon), sinks(&daemon)), (sink_name(ONE), 1));
    one.0.send(&ToSink::Close, &[]).unwrap();
    until("the second session moves it", || default(&daemon) == sink_name(TWO));
    two.hears_both_tones();
    two.0.send(&ToSink::Close, &[]).unwrap();
    until("the speakers are the default again", || default(&daemon) == SPEAKERS);
    until("the sinks are gone", || sinks(&daemon) == 0);
    assert_eq!(lead(&daemon).record(), None);
    player.kill().unwrap();
    player.wait().unwrap();
}

/// Sabotage: remember what is the default after a death, or sweep the sink alone.
#[test]
fn the_default_output_is_put_back_after_deaths() {
    let daemon = machine();
    led_and_died(&daemon, ONE);
    // captured alone died: its session goes on, and ends.
    let sounds = captured(&daemon);
    let reader = Reader::open(&sounds, ONE);
    assert_eq!(default(&daemon), sink_name(ONE));
    reader.0.send(&ToSink::Close, &[]).unwrap();
    until("it is put back after the session", || default(&daemon) == SPEAKERS && sinks(&daemon) == 0);
    // Everything died: nobody opens the session again.
    led_and_died(&daemon, TWO);
    assert_eq!(
        sweep(connect(&daemon), |_| false, &lead(&daemon)).unwrap(),
        Swept { sinks: 1, is_done: true }
    );
    until("it is put back without the session", || default(&daemon) == SPEAKERS);
    assert_eq!(lead(&daemon).record(), None);
}

/// The session is then heard by the monitor of what was chosen.
///
/// Sabotage: put back what was before, whatever was chosen since; or go on with a sink that nobody plays into.
#[test]
fn what_a_person_chose_during_a_session_stays() {
    let daemon = machine();
    led_and_died(&daemon, ONE);
    choose(&daemon, "headphones");
    let mut player = play(&daemon, None);
    let sounds = captured(&daemon);
    let mut reader = Reader::open(&sounds, ONE);
    reader.hears_both_tones();
    reader.0.send(&ToSink::Close, &[]).unwrap();
    until("the session is over", || sinks(&daemon) == 0 && lead(&daemon).record().is_none());
    // What was asked of the session manager is done by then.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(default(&daemon), "headphones");
    player.kill().unwrap();
    player.wait().unwrap();
}

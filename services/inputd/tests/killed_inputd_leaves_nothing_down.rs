//! A process that holds keys and a button down in a live sway is killed, and its successor is told what is held.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "it is part of tests")]

mod desk;

use std::{
    env,
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use desk::{Inputd, Sway};
use lumen_inputd::{
    backends::{Backend, wlr::Wlr},
    config::Layout,
    event::Event,
};
use lumen_ipc::input::{FromInput, ToInput};

/// In the environment of the process that is killed: the compositor's socket.
const INSIDE: &str = "LUMEN_TEST_SWAY";

const HELD: [u16; 3] = [42, 30, 0x110];

/// What that process does: holds everything down, for ever.
fn hold(socket: &Path) {
    let layout = Layout::try_from("us".to_owned()).unwrap();
    let mut wlr = Wlr::open(UnixStream::connect(socket).unwrap(), "HEADLESS-1", "sway", &layout).unwrap();
    wlr.dispatch().unwrap();
    // Until the program there took notice of keyboard and pointer: keys before that would be down without having been seen.
    thread::sleep(Duration::from_millis(300));
    wlr.play(&Event::Position { x: 9, y: 9 }).unwrap();
    HELD.into_iter().for_each(|code| assert_eq!(wlr.play(&Event::Press(code)), Ok(None)));
    wlr.dispatch().unwrap();
    thread::sleep(Duration::from_secs(600));
}

// Sabotage: press on a fresh Output only what goes down from then on (`handle_output`), or let go of no buttons (`let_go`).
#[test]
fn killed_inputd_leaves_nothing_down_and_its_successor_holds_what_the_client_holds() {
    if let Some(socket) = env::var_os(INSIDE) {
        return hold(Path::new(&socket));
    }
    let mut sway = Sway::start("");
    sway.message(&["create_output"]);
    sway.message(&["output", "HEADLESS-2", "position", "1280", "0"]);
    sway.message(&["focus", "output", "HEADLESS-2"]);
    let other = sway.see("other");
    sway.message(&["focus", "output", "HEADLESS-1"]);
    let watch = sway.see("see");
    let all = HELD.map(u32::from).into();
    let mut took = Vec::new();
    for _ in 0..5 {
        let mut inputd = Command::new(env::current_exe().unwrap())
            .env(INSIDE, sway.socket())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        watch.until("all is down", |seen| seen.held().as_ref() == Ok(&all));
        inputd.kill().unwrap();
        let killed = Instant::now();
        inputd.wait().unwrap();
        watch.until("nothing is down", |seen| seen.held() == Ok([].into()));
        took.push(killed.elapsed());
    }
    println!("nothing was down any more after {took:?}");
    let mut successor = Inputd::succeed(&sway, "HEADLESS-1");
    successor.hold(&HELD);
    assert_eq!(successor.word(), FromInput::Ready { touch: false });
    // The button may have gone down before the program took notice of the new pointer, and is told to nobody then.
    let keys = [30, 42].into();
    watch.until("the keys that the client holds are down again", |seen| {
        seen.held().is_ok_and(|held| held.is_superset(&keys))
    });
    successor.send(ToInput::Position { x: 9, y: 9 });
    successor.hold(&HELD[..1]);
    watch.until("one is up", |seen| seen.held() == Ok([42].into()));
    drop(successor);
    let mut elsewhere = Inputd::succeed(&sway, "HEADLESS-2");
    assert_eq!(elsewhere.word(), FromInput::Ready { touch: false });
    elsewhere.send(ToInput::Position { x: 0, y: 0 });
    other.until("no window holds the pointer", |seen| !seen.places().is_empty());
}

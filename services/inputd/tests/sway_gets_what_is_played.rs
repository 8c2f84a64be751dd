//! The backend *wlr* against a live sway: what counts is what a program in it gets.

#![allow(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, which is what it is for")]

mod desk;

use desk::{Inputd, Sway, Watch};
use lumen_ipc::{
    Generation, SessionId, Stage, codec,
    input::{BY_MEANING, FromInput, ToInput},
};
use lumen_see::{Seen, Thing};
use lumen_stage::Link;
use rustix::net::{SendFlags, send};

const KEY_2: u16 = 3;
const KEY_Q: u16 = 16;
const KEY_Y: u16 = 21;
const KEY_Z: u16 = 44;
const KEY_A: u16 = 30;
const LEFT_SHIFT: u16 = 42;
const RIGHT_ALT: u16 = 100;
const BTN_LEFT: u16 = 0x110;

fn start(layout: &str) -> (Sway, Watch, Inputd) {
    let mut sway = Sway::start("");
    let watch = sway.see("see");
    let mut inputd = Inputd::start(&sway, "HEADLESS-1", layout);
    assert_eq!(inputd.word(), FromInput::Ready { touch: false });
    watch.until_focus();
    (sway, watch, inputd)
}

/// Presses `code` while `others` are held.
fn tap(inputd: &Inputd, others: &[u16], code: u16) {
    inputd.hold(&[others, &[code]].concat());
    inputd.hold(others);
}

fn text(number: u64, text: &str) -> ToInput {
    ToInput::Text { number, text: text.to_owned() }
}

// Sabotage: upload no keymap but XKB's default, or leave the modifiers to the compositor.
#[test]
fn keys_mean_what_the_layout_says() {
    let (_sway, watch, inputd) = start("de");
    tap(&inputd, &[], KEY_Y);
    tap(&inputd, &[LEFT_SHIFT], KEY_Y);
    tap(&inputd, &[LEFT_SHIFT], KEY_2);
    tap(&inputd, &[RIGHT_ALT], KEY_Q);
    tap(&inputd, &[], KEY_Y | BY_MEANING);
    // One key by both of its codes is down once.
    inputd.hold(&[KEY_Z, KEY_Y | BY_MEANING]);
    inputd.hold(&[KEY_Z]);
    tap(&inputd, &[], KEY_Y);
    let seen = watch.until("all of it is typed", |seen| seen.text().ends_with("yz"));
    assert_eq!(seen.text(), "zZ\"@yyz");
    watch.until("nothing is held", |seen| seen.held() == Ok([].into()));
}

// Sabotage: do not put the keyboard's own keymap back, or do not tell its modifiers again.
#[test]
fn text_arrives_as_its_characters_and_what_is_held_stays_held() {
    let (_sway, watch, inputd) = start("us");
    inputd.hold(&[LEFT_SHIFT]);
    inputd.send(text(1, "Grüße, ß→中 😀"));
    tap(&inputd, &[LEFT_SHIFT], KEY_A);
    let seen = watch.until("text and key are typed", |seen| seen.text().ends_with('A'));
    assert_eq!(seen.text(), "Grüße, ß→中 😀A");
    assert_eq!(seen.held().unwrap(), [LEFT_SHIFT.into()].into());
    inputd.send(text(2, "a\0b\u{1b}c"));
    inputd.send(text(2, "never"));
    inputd.hold(&[KEY_A]);
    let seen = watch.until("shift is up", |seen| seen.text().ends_with("abca"));
    assert_eq!(seen.text(), "Grüße, ß→中 😀Aabca", "and not a capital one");
    assert_eq!(inputd.count("characters_refused"), 2);
}

// Sabotage: bind the pointer to no output; it then moves over both.
#[test]
fn pointer_hits_corners_and_centre_of_its_own_output() {
    let mut sway = Sway::start("");
    sway.message(&["create_output"]);
    sway.message(&["output", "HEADLESS-2", "mode", "--custom", "800x600@60Hz"]);
    sway.message(&["output", "HEADLESS-2", "position", "1280", "0"]);
    sway.message(&["focus", "output", "HEADLESS-2"]);
    let right = sway.see("right");
    sway.message(&["focus", "output", "HEADLESS-1"]);
    let left = sway.see("left");
    let mut inputd = Inputd::start(&sway, "HEADLESS-2", "us");
    assert_eq!(inputd.word(), FromInput::Ready { touch: false });
    let hits = |what: &str, x: f64, y: f64| {
        let near = |place: &(f64, f64)| (place.0 - x).abs() <= 1.0 && (place.1 - y).abs() <= 1.0;
        right.until(what, |seen| seen.places().last().is_some_and(near));
    };
    let to = |x, y| inputd.send(ToInput::Position { x, y });
    to(32_768, 32_768);
    hits("the centre", 400.0, 300.0);
    for (x, y) in [(0, 0), (65_535, 0), (0, 65_535), (65_535, 65_535)] {
        to(x, y);
        hits("a corner", if x > 0 { 800.0 } else { 0.0 }, if y > 0 { 600.0 } else { 0.0 });
    }
    to(32_768, 32_768);
    hits("the centre again", 400.0, 300.0);
    inputd.send(ToInput::Motion { dx: 100 * 256, dy: -50 * 256 });
    hits("by pixels", 500.0, 250.0);
    inputd.send(ToInput::Motion { dx: -5000 * 256, dy: i32::MIN });
    hits("no farther than the edge", 0.0, 0.0);
    inputd.send(ToInput::Motion { dx: i32::MAX, dy: i32::MAX });
    hits("nor there", 800.0, 600.0);
    assert_eq!(left.seen().places(), [], "the other output was left alone");
    // Beside one that is rotated, and each with another scale. Windows count in pixels of the desktop, two of ours each; sway 1.7
    // lets no pointer go beyond the first half of the last one.
    sway.message(&["output", "HEADLESS-1", "transform", "90", "scale", "1.5"]);
    sway.message(&["output", "HEADLESS-2", "scale", "2", "position", "480", "0"]);
    right.until("the Output of another scale", |seen| {
        seen.0.iter().any(|thing| matches!(thing, Thing::Shown { width: 400, height: 300 }))
    });
    to(32_768, 32_768);
    hits("the centre of 400x300", 200.0, 150.0);
    // The new layout itself may have put the pointer there.
    let before = left.seen().places();
    for (x, y) in [(0, 0), (65_535, 0), (0, 65_535), (65_535, 65_535)] {
        to(x, y);
        hits("a corner", if x > 0 { 400.0 } else { 0.0 }, if y > 0 { 300.0 } else { 0.0 });
    }
    to(32_768, 32_768);
    hits("the centre of 400x300", 200.0, 150.0);
    inputd.send(ToInput::Motion { dx: -5000 * 256, dy: 0 });
    hits("no farther than the edge", 0.0, 150.0);
    assert_eq!(left.seen().places(), before, "the other output was left alone");
}

// Sabotage: tell every scroll as notches of a wheel, or swap the axes.
#[test]
fn buttons_and_scrolling_arrive() {
    let (_sway, watch, inputd) = start("us");
    inputd.send(ToInput::Position { x: 100, y: 100 });
    for code in BTN_LEFT..BTN_LEFT + 5 {
        tap(&inputd, &[], code);
    }
    let all: Vec<u32> = (BTN_LEFT..BTN_LEFT + 5).map(u32::from).collect();
    watch.until("five buttons", |seen| seen.presses() == all && seen.held() == Ok([].into()));
    let near = |seen: &Seen, expected: [(f64, i32); 2]| {
        let scrolled = seen.scrolled();
        (0..2).all(|n| (scrolled[n].0 - expected[n].0).abs() < 0.1 && scrolled[n].1 == expected[n].1)
    };
    inputd.send(ToInput::Scroll { dx: 0, dy: -240 });
    watch.until("two notches up", |seen| near(seen, [(-30.0, -2), (0.0, 0)]));
    inputd.send(ToInput::Scroll { dx: 120, dy: 0 });
    watch.until("one to the right", |seen| near(seen, [(-30.0, -2), (15.0, 1)]));
    for part in 1..=5 {
        inputd.send(ToInput::Scroll { dx: 0, dy: 12 });
        let down = 1.5 * f64::from(part);
        watch.until("a tenth of one down", |seen| near(seen, [(down - 30.0, -2), (15.0, 1)]));
    }
    tap(&inputd, &[], 0);
    tap(&inputd, &[], u16::MAX);
    inputd.send(ToInput::Scroll { dx: i32::MIN, dy: i32::MAX });
    tap(&inputd, &[], KEY_A);
    let seen = watch.until("what follows nonsense", |seen| seen.text() == "a");
    assert_eq!(seen.held(), Ok([].into()));
    assert_eq!(inputd.count("codes_refused"), 4);
}

// Sabotage: leave `handle_end` out, and keep the connection open.
#[test]
fn end_of_the_session_leaves_nothing_down() {
    let (_sway, watch, inputd) = start("us");
    inputd.hold(&[LEFT_SHIFT, KEY_A, BTN_LEFT]);
    inputd.send(ToInput::Position { x: 9, y: 9 });
    watch.until("they are down", |seen| seen.held().is_ok_and(|held| held.len() >= 2));
    inputd.hang_up();
    watch.until("nothing is down", |seen| seen.held() == Ok([].into()));
}

// Sabotage: take what comes before a link's greeting (lumen-stage), ask for the Output of whichever session there is, or go on after a
// session was closed.
#[test]
fn bytes_before_after_and_beside_the_session_do_nothing() {
    let (_sway, watch, inputd) = start("us");
    let held = ToInput::Held([KEY_Q, BTN_LEFT].into_iter().collect());
    let mut bytes = [0; codec::MAX_MESSAGE];
    let len = codec::encode(&held, &mut bytes).unwrap();
    let said = |link: &std::os::fd::OwnedFd| send(link, &bytes[..len], SendFlags::NOSIGNAL).is_ok();

    let other = SessionId([6; 16]);
    let ungreeted = inputd.open(other);
    desk::until("a link that begins with something else ends", || !said(&ungreeted));
    let fd = inputd.open(other);
    let beside = Link::start(fd, Stage::Transportd, Generation(1), Stage::Inputd).unwrap();
    beside.send(&held, &[]).unwrap();
    desk::until("what has no Output is counted", || inputd.count("nowhere") == 2);
    // Its end is a release, which goes nowhere as well.
    inputd.close(other);
    assert!(beside.send(&held, &[]).is_err(), "the link of an ended session takes something");

    tap(&inputd, &[], KEY_A);
    watch.until("what the session itself does", |seen| seen.text() == "a" && seen.held() == Ok([].into()));
    inputd.close(desk::SESSION);
    assert!(inputd.is_deaf(&held), "the link of an ended session takes something");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(watch.seen().presses(), [u32::from(KEY_A)]);
}

// Sabotage: call an Output that is not there ready.
#[test]
fn output_that_is_not_there_is_told() {
    let sway = Sway::start("");
    let mut inputd = Inputd::start(&sway, "HEADLESS-7", "us");
    let FromInput::Failed(failure) = inputd.word() else { panic!("it is not there") };
    assert!(failure.text.contains("cannot type: the compositor has no output HEADLESS-7"), "{failure}");
    assert!(failure.text.contains("HEADLESS-1"), "{failure}");
}

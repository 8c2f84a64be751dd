//! A compositor that has nothing to type with: a socket that speaks just enough Wayland to say that it has no globals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is part of tests")]

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
};

use lumen_inputd::{
    backends::wlr::{Wlr, WlrError},
    config::Layout,
};
use lumen_ipc::{Failure, FailureClass};

const DISPLAY: u32 = 1;
const SYNC: u32 = 0;
const DELETE_ID: u32 = 1;

fn message(object: u32, opcode: u32, argument: u32) -> Vec<u8> {
    [object, 12 << 16 | opcode, argument].into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// Answers `wl_display.sync` and nothing else, until the other side hangs up.
fn answer(mut socket: UnixStream) {
    let mut request = [0; 12];
    // Each request of such a client has one argument.
    while socket.read_exact(&mut request).is_ok() {
        let mut words = request.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
        let (object, opcode, id) =
            (words.next().unwrap(), words.next().unwrap() & 0xffff, words.next().unwrap());
        if (object, opcode) == (DISPLAY, SYNC) {
            let answer = [message(id, 0, 0), message(DISPLAY, DELETE_ID, id)].concat();
            socket.write_all(&answer).unwrap();
        }
    }
}

// Sabotage: go on without a keyboard, or wait for one for ever.
#[test]
fn compositor_without_the_protocols_is_told() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let compositor = thread::spawn(|| answer(theirs));
    let layout = Layout::try_from("us".to_owned()).unwrap();
    let Err(error) = Wlr::open(ours, "HEADLESS-1", "sway", &layout) else { panic!("there is no keyboard") };
    compositor.join().unwrap();
    let failure = Failure::from(error);
    assert_eq!(failure.class, FailureClass::Environment);
    assert_eq!(failure.text, "cannot type: the compositor does not offer zwp_virtual_keyboard_manager_v1");
}

// Sabotage: wait without a limit; the watchdog would then end every session of the stage.
#[test]
fn compositor_that_hangs_is_given_up() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let layout = Layout::try_from("us".to_owned()).unwrap();
    let error = Wlr::open(ours, "HEADLESS-1", "sway", &layout).err();
    assert!(matches!(error, Some(WlrError::Silent { ms: 700 })), "{error:?}");
}

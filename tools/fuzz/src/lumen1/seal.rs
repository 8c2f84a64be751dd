//! Datagrams that the peer sealed: whole, changed, again, and out of order.

use std::collections::BTreeSet;

use lumen_core::seal::OpenError;
use lumen_core::wire::{HEADER_LEN, Kind, TAG_LEN};
use lumen_core::{ChannelId, ChannelSecret, Direction, Opened, Opener, Sealer};

use crate::Script;

const CHANNEL: ChannelId = ChannelId(9);

/// Steps: seal a body under a number of choice and open it; change or cut it; open it again; leave to a successor.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (direction, kind) = match script.flag() {
        true => (Direction::ClientToHost, Kind::Hello),
        false => (Direction::HostToClient, Kind::Video),
    };
    let secret = ChannelSecret::from_bytes([7; 32]);
    let mut sealer = Sealer::new(&secret, CHANNEL, direction);
    let mut opener = Opener::new(&secret, CHANNEL, direction);
    let mut opened = BTreeSet::new();
    while let Some(step) = script.step() {
        let sequence = number(&mut script, opener.next_sequence());
        let mut datagram = [&[0; HEADER_LEN], script.piece(), &[0; TAG_LEN]].concat();
        sealer.seal(kind, sequence, &mut datagram).expect("there is room for head and tag");
        match step % 4 {
            0 => assert_forged(&mut opener, &mut script, datagram.clone()),
            1 => opener = Opener::resuming_at(&secret, CHANNEL, direction, opener.next_sequence()),
            _ => {}
        }
        let next = opener.next_sequence();
        match opener.open(&mut datagram) {
            Ok(Opened::Hello(hello)) => {
                assert!(kind == Kind::Hello && hello.is_newest == (sequence >= next));
                assert!(opened.insert(sequence), "{sequence} was opened twice");
            }
            Ok(Opened::Video(_)) => {
                assert!(kind == Kind::Video && opened.insert(sequence), "{sequence} was opened twice");
            }
            // Its number is spent although its body is nonsense.
            Err(OpenError::Malformed(_)) => assert!(opened.insert(sequence), "{sequence} was read twice"),
            Err(OpenError::Replayed { sequence: told }) => assert_eq!(told, sequence),
            // Of a key that is forgotten, or so far ahead that no network lost so many.
            Err(OpenError::Forged) => assert!(is_out_of_reach(sequence, next), "{sequence} at {next}"),
        }
        assert!(opener.next_sequence() >= next, "the window went back");
    }
}

/// Keys last for 2²⁶ datagrams. The newest one's and the one's before are kept, and the next 1,024 are tried.
fn is_out_of_reach(sequence: u64, next: u64) -> bool {
    let (epoch, newest) = (sequence >> 26, next.saturating_sub(1) >> 26);
    epoch < newest || epoch > newest + 1024
}

/// Near what was seen last, or anywhere.
fn number(script: &mut Script<'_>, near: u64) -> u64 {
    match script.u8() {
        back @ 0..100 => near.saturating_sub(back.into()),
        ahead @ 100..200 => near.saturating_add(u64::from(ahead) - 100),
        200 => script.u64(),
        shift => near.saturating_add(1 << (shift % 64)),
    }
}

/// One bit of it is changed, or it is cut.
fn assert_forged(opener: &mut Opener, script: &mut Script<'_>, mut datagram: Vec<u8>) {
    let before = opener.next_sequence();
    let place = usize::from(script.u16());
    match datagram.get_mut(place) {
        Some(byte) => *byte ^= 1 << (script.u8() % 8),
        None => datagram.truncate(place % datagram.len()),
    }
    assert!(opener.open(&mut datagram).is_err(), "a changed datagram was opened");
    assert_eq!(opener.next_sequence(), before, "a changed datagram moved the window");
}

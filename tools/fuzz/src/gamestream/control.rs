//! The control stream: what is not sealed is not read, what is sealed is read once, and then it must make sense.

use std::collections::BTreeSet;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lumen_gamestream::control::{ControlError, FecStatus, Incoming, LossStats, Opener, ReplayWindow};
use lumen_gamestream::keys::SessionKey;

use super::input;
use crate::Script;

const KEY: [u8; 16] = [0x11; 16];
/// The messages that are known.
const KINDS: [u16; 8] = [0x0302, 0x0307, 0x0301, 0x0350, 0x0200, 0x0201, 0x5502, 0x0206];

/// Steps: a message of any bytes; a sealed one, perhaps changed, perhaps with a length that lies; a restart.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let key = SessionKey::from_bytes(KEY);
    let mut opener = Opener::new(&key, ReplayWindow::default());
    let mut seen = BTreeSet::new();
    while let Some(step) = script.step() {
        match step % 8 {
            0 => {
                let window = opener.window();
                assert!(opener.open(script.piece()).is_err(), "nobody sealed it");
                assert_eq!(opener.window(), window);
            }
            1 => opener = Opener::new(&key, opener.window()),
            2 => {
                let (number, plain) = (script.u32(), script.piece());
                open(&mut opener, &mut seen, number, plain);
            }
            3 => changed(&mut opener, &mut script),
            _ => {
                let kind = KINDS.get(usize::from(step >> 3)).copied().unwrap_or_else(|| script.u16());
                let number = near(&mut script, &seen);
                let payload = script.piece();
                let head = [kind.to_le_bytes(), (payload.len() as u16).to_le_bytes()].concat();
                let opened = open(&mut opener, &mut seen, number, &[&head[..], payload].concat());
                assert!(opened.is_none_or(|opened| opened == (kind, payload.to_vec())));
            }
        }
    }
}

/// Opens what is sealed under `number`, and reads it: no number twice.
fn open(opener: &mut Opener, seen: &mut BTreeSet<u32>, number: u32, plain: &[u8]) -> Option<(u16, Vec<u8>)> {
    match opener.open(&sealed(number, plain)) {
        Ok((kind, payload)) => {
            assert!(seen.insert(number), "{number} was read twice");
            let length = (payload.len() as u16).to_le_bytes();
            assert_eq!(plain, [&kind.to_le_bytes()[..], &length, &payload].concat(), "its length lies");
            read(kind, &payload);
            Some((kind, payload))
        }
        Err(ControlError::Replayed { number: told }) => {
            assert!(
                told == number && (seen.contains(&number) || seen.last().is_some_and(|last| *last > number))
            );
            None
        }
        // Its number is spent although its length lies, unless it is too short to be opened.
        Err(ControlError::Length { .. }) => {
            if plain.len() >= 4 {
                seen.insert(number);
            }
            None
        }
        Err(error) => {
            assert_eq!(Some(error), None, "it was sealed");
            None
        }
    }
}

fn near(script: &mut Script<'_>, seen: &BTreeSet<u32>) -> u32 {
    let last = seen.last().copied().unwrap_or(0);
    match script.u8() {
        0 => script.u32(),
        ahead @ 1..128 => last.saturating_add(ahead.into()),
        back => last.saturating_sub(u32::from(back) * 16 - 128 * 16),
    }
}

fn changed(opener: &mut Opener, script: &mut Script<'_>) {
    let window = opener.window();
    let mut message = sealed(script.u32(), script.piece());
    let place = usize::from(script.u8());
    match message.get_mut(place) {
        Some(byte) => *byte ^= 1 << (script.u8() % 8),
        None => message.truncate(place % message.len()),
    }
    assert!(opener.open(&message).is_err(), "a changed message was read");
    assert_eq!(opener.window(), window);
}

fn sealed(number: u32, plain: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &KEY).expect("AES-128 takes any 16 bytes"));
    let [a, b, c, d] = number.to_le_bytes();
    let nonce = Nonce::assume_unique_for_key([a, b, c, d, 0, 0, 0, 0, 0, 0, b'C', b'C']);
    let mut body = plain.to_vec();
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut body).expect("it is short");
    let length = (4 + 16 + body.len()) as u16;
    [&[1, 0][..], &length.to_le_bytes(), &[a, b, c, d], tag.as_ref(), &body].concat()
}

/// What is read can be said again, and is then read as the same.
fn read(kind: u16, payload: &[u8]) {
    let Ok(message) = Incoming::parse(kind, payload) else {
        return;
    };
    let again = match &message {
        Incoming::InvalidateReferences { first, last } => {
            assert!(last.wrapping_sub(*first) < 1 << 31);
            words(&[*first, 0, *last, 0, 0, 0])
        }
        Incoming::LongTermReference { frame } => words(&[*frame]),
        Incoming::Loss(LossStats { lost, period_ms, last_good_frame }) => {
            words(&[*lost, *period_ms, 0, *last_good_frame, 0, 0, 0, 0])
        }
        Incoming::Fec(status) => fec(status),
        Incoming::Input(event) => {
            input::check(event);
            payload.to_vec()
        }
        Incoming::Unknown { kind: told } => {
            assert!(*told == kind && !KINDS.contains(&kind));
            Vec::new()
        }
        Incoming::RequestIdr | Incoming::Start | Incoming::Ping => Vec::new(),
    };
    assert_eq!(Incoming::parse(kind, &again), Ok(message));
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn fec(status: &FecStatus) -> Vec<u8> {
    let shorts = [
        status.highest,
        status.next_contiguous,
        status.missing_before_highest,
        status.data,
        status.parity,
        status.received_data,
        status.received_parity,
    ];
    let shorts: Vec<u8> = shorts.iter().flat_map(|short| short.to_be_bytes()).collect();
    [&status.frame.to_be_bytes()[..], &shorts, &[status.percent, status.block, status.blocks]].concat()
}

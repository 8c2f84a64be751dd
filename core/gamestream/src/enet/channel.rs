//! One channel: what came in order, and what waits for its turn.

use super::wire::{Fragment, MAX_MESSAGE};
use serde::{Deserialize, Serialize};

/// How far ahead of its turn a message may come. More are not acknowledged, and so come again.
const WINDOW: u16 = 128;

/// What a held message takes beside its bytes.
const HEAD: usize = 32;

/// A message or a part of one that came before its turn. It was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    sequence: u16,
    /// Number and count of its fragments, and the bytes of all; `None` for a whole message.
    part: Option<(u32, u32, u32)>,
    bytes: Vec<u8>,
}

/// Numbers of one channel, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Channel {
    /// Of the last reliable message sent.
    pub(super) sent: u16,
    /// Of the last reliable one delivered.
    received: u16,
    /// Of the last unreliable one delivered since.
    unreliable: u16,
    held: Vec<Held>,
    /// The parts so far of a message that is coming in fragments.
    parts: Vec<u8>,
}

/// What becomes of a reliable message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It, or what waited for it, is delivered now.
    Delivered(Vec<Vec<u8>>),
    /// It waits, or was here before: acknowledge it.
    Noted,
    /// It cannot be taken: it will come again.
    Refused,
}

impl Channel {
    /// What waits for its turn takes so much.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().map(|held| held.bytes.len() + HEAD).sum()
    }

    /// A reliable message or part; `room` is how many bytes may still wait for others. What is next in turn is always taken:
    /// were it refused for lack of room, what takes the room would wait for it for ever.
    pub(super) fn reliable(
        &mut self,
        sequence: u16,
        fragment: Option<Fragment>,
        bytes: &[u8],
        room: usize,
    ) -> Taken {
        let ahead = sequence.wrapping_sub(self.received);
        if ahead == 0 || ahead >= 0x8000 || self.held.iter().any(|held| held.sequence == sequence) {
            return Taken::Noted;
        }
        if ahead > WINDOW || ahead > 1 && bytes.len() + HEAD > room {
            return Taken::Refused;
        }
        let part = fragment.map(|fragment| (fragment.number, fragment.count, fragment.total));
        self.held.push(Held { sequence, part, bytes: bytes.to_vec() });
        if ahead > 1 { Taken::Noted } else { Taken::Delivered(self.deliver()) }
    }

    /// All whose turn it is.
    fn deliver(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        loop {
            let next = self.received.wrapping_add(1);
            let Some(at) = self.held.iter().position(|held| held.sequence == next) else {
                return messages;
            };
            let held = self.held.swap_remove(at);
            (self.received, self.unreliable) = (next, 0);
            messages.extend(self.assemble(held));
        }
    }

    /// A message, when this was all of it. Fragments come here in order, so that the next one is simply appended.
    fn assemble(&mut self, held: Held) -> Option<Vec<u8>> {
        let Some((number, count, total)) = held.part else {
            self.parts.clear();
            return Some(held.bytes);
        };
        if number == 0 {
            self.parts.clear();
        }
        if self.parts.len() + held.bytes.len() <= MAX_MESSAGE {
            self.parts.extend(held.bytes);
        }
        if number + 1 < count {
            return None;
        }
        let message = std::mem::take(&mut self.parts);
        // Parts that contradict each other are no message, although each was one by itself.
        (message.len() == total as usize).then_some(message)
    }

    /// Whether an unreliable message is to be delivered: it is newer than the last, and no reliable one is missing before it.
    pub(super) fn unreliable(&mut self, after: u16, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.unreliable);
        let fresh = after == self.received && ahead != 0 && ahead < 0x8000;
        if fresh {
            self.unreliable = sequence;
        }
        fresh
    }
}

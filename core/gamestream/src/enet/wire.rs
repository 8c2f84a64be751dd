//! ENet's datagrams and commands, byte by byte.
//!
//! ```text
//! datagram   peer u16 (id 0-11, session 12-13, compressed 14, time follows 15) ‖ [time u16] ‖ commands
//! command    kind u8 (| 0x80 acknowledge, 0x40 unsequenced) ‖ channel u8 ‖ sequence u16 ‖ body
//! ```

use super::MAX_CHANNELS;
use crate::fields::Fields;
use serde::{Deserialize, Serialize};

/// Bytes of one message of a client; control messages have some dozens. Each channel may have one half come.
pub const MAX_MESSAGE: usize = 1024;
/// Fragments of one message: with the least MTU, enough for [`MAX_MESSAGE`].
pub const MAX_FRAGMENTS: u32 = 4;

/// The channel of commands that belong to the connection.
pub(super) const CONNECTION: u8 = 0xff;
/// The id in the datagram of one who has none yet.
const NO_PEER: u16 = 0xfff;
const WANTS_ACK: u8 = 0x80;
const UNSEQUENCED: u8 = 0x40;
const TIME_FOLLOWS: u16 = 0x8000;
const COMPRESSED: u16 = 0x4000;

/// Which peer of this host a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(u16);

impl PeerId {
    /// An id of 0 to 4,094.
    pub fn new(id: u16) -> Option<Self> {
        (id < NO_PEER).then_some(Self(id))
    }

    /// Whose datagram this is; `None` for a connect and for what is no datagram.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        Header::parse(&mut Fields(datagram)).and_then(|header| Self::new(header.peer))
    }
}

/// The first bytes of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    peer: u16,
    pub(super) session: u8,
    pub(super) sent_ms: Option<u16>,
}

impl Header {
    pub(super) fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        let word = fields.u16_be()?;
        if word & COMPRESSED != 0 {
            return None;
        }
        let sent_ms = if word & TIME_FOLLOWS != 0 { Some(fields.u16_be()?) } else { None };
        Some(Self { peer: word & NO_PEER, session: (word >> 12 & 3) as u8, sent_ms })
    }

    /// A datagram to `peer`, with its time.
    pub(super) fn bytes(peer: u16, session: u8, now_ms: u16) -> Vec<u8> {
        let word = peer & NO_PEER | u16::from(session & 3) << 12 | TIME_FOLLOWS;
        [word.to_be_bytes(), now_ms.to_be_bytes()].concat()
    }
}

/// One part of a longer message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) number: u32,
    pub(super) count: u32,
    pub(super) total: u32,
    pub(super) offset: u32,
}

/// What a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Acknowledge {
        sequence: u16,
        sent_ms: u16,
    },
    Disconnect {
        data: u32,
    },
    /// Ping, bandwidth limits and throttling: acknowledged, and nothing more.
    Noted,
    Reliable {
        fragment: Option<Fragment>,
        bytes: &'a [u8],
    },
    Unreliable {
        sequence: u16,
        bytes: &'a [u8],
    },
    Unsequenced {
        bytes: &'a [u8],
    },
}

/// A command of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command<'a> {
    pub(super) channel: u8,
    pub(super) sequence: u16,
    pub(super) wants_ack: bool,
    pub(super) body: Body<'a>,
}

impl<'a> Command<'a> {
    /// The next command; `None` when there is none, or none that can be: what follows it cannot be found then.
    pub(super) fn parse(fields: &mut Fields<'a>) -> Option<Self> {
        let (kind, channel, sequence) = (fields.u8()?, fields.u8()?, fields.u16_be()?);
        let body = match kind & 0x0f {
            1 => Body::Acknowledge { sequence: fields.u16_be()?, sent_ms: fields.u16_be()? },
            4 => Body::Disconnect { data: fields.u32_be()? },
            5 => Body::Noted,
            6 => Body::Reliable { fragment: None, bytes: sized(fields)? },
            7 => {
                let sequence = fields.u16_be()?;
                Body::Unreliable { sequence, bytes: sized(fields)? }
            }
            8 => fragment(fields, sequence)?,
            9 => {
                fields.u16_be()?;
                Body::Unsequenced { bytes: sized(fields)? }
            }
            10 => fields.bytes(8).map(|_| Body::Noted)?,
            11 => fields.bytes(12).map(|_| Body::Noted)?,
            _ => return None,
        };
        let wants_ack = kind & WANTS_ACK != 0 && kind & UNSEQUENCED == 0;
        Some(Self { channel, sequence, wants_ack, body })
    }
}

fn sized<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let len = fields.u16_be()?;
    fields.bytes(len.into()).filter(|bytes| bytes.len() <= MAX_MESSAGE)
}

/// start u16 ‖ length u16 ‖ count u32 ‖ number u32 ‖ total u32 ‖ offset u32 ‖ bytes
fn fragment<'a>(fields: &mut Fields<'a>, sequence: u16) -> Option<Body<'a>> {
    let (start, len) = (fields.u16_be()?, fields.u16_be()?);
    let (count, number) = (fields.u32_be()?, fields.u32_be()?);
    let (total, offset) = (fields.u32_be()?, fields.u32_be()?);
    let bytes = fields.bytes(len.into())?;
    let end = u64::from(offset) + bytes.len() as u64;
    let fits = (1..=MAX_FRAGMENTS).contains(&count)
        && number < count
        && total as usize <= MAX_MESSAGE
        && end <= total.into()
        && start.wrapping_add(number as u16) == sequence;
    fits.then_some(Body::Reliable { fragment: Some(Fragment { number, count, total, offset }), bytes })
}

/// Acknowledges `sequence` of `channel`, which came in a datagram of `sent_ms`.
pub(super) fn acknowledge(channel: u8, sequence: u16, sent_ms: u16) -> [u8; 8] {
    let ([a, b], [c, d]) = (sequence.to_be_bytes(), sent_ms.to_be_bytes());
    [1, channel, a, b, a, b, c, d]
}

/// A message.
pub(super) fn send_reliable(channel: u8, sequence: u16, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("callers check the length");
    [&[6 | WANTS_ACK, channel][..], &sequence.to_be_bytes(), &len.to_be_bytes(), bytes].concat()
}

/// Asks for an acknowledgement.
pub(super) fn ping(sequence: u16) -> Vec<u8> {
    [&[5 | WANTS_ACK, CONNECTION][..], &sequence.to_be_bytes()].concat()
}

/// Says goodbye.
pub(super) fn disconnect(sequence: u16, data: u32) -> Vec<u8> {
    [&[4 | WANTS_ACK, CONNECTION][..], &sequence.to_be_bytes(), &data.to_be_bytes()].concat()
}

/// A client that wants to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// What SETUP gave it: finds its session.
    pub data: u32,
    /// The client's number of this connect, the same in each repetition.
    pub connect_id: u32,
    pub(super) their_id: u16,
    pub(super) sessions: (u8, u8),
    pub(super) mtu: u32,
    pub(super) window: u32,
    pub(super) channels: u32,
    /// Interval, acceleration, deceleration: clients want them back.
    pub(super) throttle: [u32; 3],
}

impl Connect {
    /// Reads a datagram whose first command is a connect.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut fields = Fields(datagram);
        let header = Header::parse(&mut fields)?;
        let [kind, channel, ..]: [u8; 4] = fields.array()?;
        if header.peer != NO_PEER || kind != 2 | WANTS_ACK || channel != CONNECTION {
            return None;
        }
        let their_id = fields.u16_be()?;
        let sessions = (next_session(fields.u8()?), next_session(fields.u8()?));
        let (mtu, window, channels) = (fields.u32_be()?, fields.u32_be()?, fields.u32_be()?);
        fields.bytes(8)?;
        let throttle = [fields.u32_be()?, fields.u32_be()?, fields.u32_be()?];
        let (connect_id, data) = (fields.u32_be()?, fields.u32_be()?);
        let can_be = their_id < NO_PEER && (1..=MAX_CHANNELS as u32).contains(&channels);
        can_be.then_some(Self { data, connect_id, their_id, sessions, mtu, window, channels, throttle })
    }

    /// The answer, command 1 of the connection.
    pub(super) fn verify(&self, id: PeerId, mtu: u32) -> Vec<u8> {
        let [_, id @ ..] = u32::from(id.0).to_be_bytes();
        let [_, high, low] = id;
        let mut command = vec![3 | WANTS_ACK, CONNECTION, 0, 1, high, low, self.sessions.0, self.sessions.1];
        let window = self.window.clamp(4096, 65_536);
        let [interval, acceleration, deceleration] = self.throttle;
        let numbers =
            [mtu, window, self.channels, 0, 0, interval, acceleration, deceleration, self.connect_id];
        command.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        command
    }
}

/// Sessions tell the datagrams of one connection from those of the last between the same peers. 0xff is one who had none.
fn next_session(last: u8) -> u8 {
    if last == 0xff { 0 } else { last.wrapping_add(1) & 3 }
}

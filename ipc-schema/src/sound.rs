//! The links of sound: captured's sink to encoded, and encoded's Opus to transportd. Apart from the pictures' links, so that
//! neither waits for the other. What a client's microphone hears goes the other way over the same links.
//!
//! ```text
//!  captured                    encoded                     transportd
//!     │ ── FromSink::Ready ──────► │ ── FromOpus::Ready ──────► │
//!     │ ── FromSink::Pcm ────────► │ ── FromOpus::Packet ─────► │   samples travel in the message: 5 ms each, nothing to give back
//!     │ ◄───────── ToSink::Spoken ─│ ◄───────── ToOpus::Spoken ─│   the client's microphone, where the session has one
//!     │ ◄────────── ToSink::Close ─│ ◄────────── ToOpus::Close ─│
//! ```

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::{Delivery, LinkMessage, failure::Failure};

/// Samples a second of each channel.
pub const RATE: u32 = 48_000;
/// Samples of each channel in one [`Pcm`]: 5 ms, the shortest time that a client asks for.
pub const PCM_FRAMES: usize = 240;
/// Most channels.
pub const MAX_CHANNELS: usize = 8;
/// Longest [`Packet`] in bytes: clients take no more in one datagram.
pub const MAX_PACKET: usize = 1372;

/// Longest Opus packet of a microphone in bytes: 20 ms at 256 kbit/s.
pub const MAX_SPOKEN: usize = 640;
/// Samples of the longest packet of a microphone: 20 ms of one channel.
pub const SPOKEN_FRAMES: usize = 960;

/// Interleaved samples.
pub type Samples = ArrayVec<i16, { PCM_FRAMES * MAX_CHANNELS }>;

/// From captured to encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is made and sent 200 times a second: boxed, each would allocate"
)]
pub enum FromSink {
    /// The sink is read; samples follow.
    Ready {
        /// How many channels they have.
        channels: u32,
    },
    /// There is no sound now; the link stays for a later `Ready`.
    Failed(Failure),
    /// Five milliseconds.
    Pcm(Pcm),
    /// captured ends in an orderly way: wait for its next owner before opening again.
    Closing,
}

/// [`PCM_FRAMES`] samples of each channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pcm {
    /// When the first was played, on CLOCK_MONOTONIC.
    pub pts_ns: u64,
    /// Channels in the order FL FR C LFE BL BR SL SR, as many as `Ready` said.
    pub samples: Samples,
}

/// From encoded to captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "as of [`FromSink`]")]
pub enum ToSink {
    /// The session is over: release all that was made for it, without waiting for the lease.
    Close,
    /// What the client's microphone heard: the next samples of its one channel.
    Spoken(ArrayVec<i16, SPOKEN_FRAMES>),
}

/// From encoded to transportd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromOpus {
    /// Packets follow.
    Ready {
        /// How many channels they have.
        channels: u32,
        /// One of them in which nothing is heard: some clients throw their first packets away, and may have these.
        silence: ArrayVec<u8, MAX_PACKET>,
    },
    /// There is no sound now; the link stays for a later `Ready`.
    Failed(Failure),
    /// What a client decodes.
    Packet(Packet),
    /// encoded ends in an orderly way: wait for its next owner before opening again.
    Closing,
}

/// One Opus packet. All of a session have the same length and duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Packet {
    /// [`Pcm::pts_ns`] of its first sample.
    pub pts_ns: u64,
    /// The packet.
    pub bytes: ArrayVec<u8, MAX_PACKET>,
}

/// From transportd to encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "as of [`FromSink`]")]
pub enum ToOpus {
    /// As [`ToSink::Close`].
    Close,
    /// What the client's microphone heard, as the client sent it: nobody has looked into it.
    Spoken(Spoken),
}

/// One Opus packet of a client's microphone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// One more than that of the packet before, modulo 2³².
    pub number: u32,
    /// The packet.
    pub bytes: ArrayVec<u8, MAX_SPOKEN>,
}

impl LinkMessage for FromSink {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Ready { .. } | Self::Failed(_) | Self::Closing => Delivery::State,
            Self::Pcm(_) => Delivery::Sample,
        }
    }
}

impl LinkMessage for FromOpus {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Ready { .. } | Self::Failed(_) | Self::Closing => Delivery::State,
            Self::Packet(_) => Delivery::Sample,
        }
    }
}

impl LinkMessage for ToSink {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Close => Delivery::State,
            Self::Spoken(_) => Delivery::Sample,
        }
    }
}

impl LinkMessage for ToOpus {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Close => Delivery::State,
            Self::Spoken(_) => Delivery::Sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, MAX_MESSAGE};

    /// Sabotage: ten milliseconds in one message.
    #[test]
    fn the_largest_samples_and_the_longest_packet_fit_a_message() {
        let mut bytes = [0; MAX_MESSAGE];
        let samples = [-7; PCM_FRAMES * MAX_CHANNELS].into();
        let pcm = FromSink::Pcm(Pcm { pts_ns: u64::MAX, samples });
        let len = codec::encode(&pcm, &mut bytes).unwrap();
        assert_eq!(codec::decode::<FromSink>(&bytes[..len]).unwrap(), pcm);
        let packet = FromOpus::Packet(Packet { pts_ns: 1, bytes: [9; MAX_PACKET].into() });
        let len = codec::encode(&packet, &mut bytes).unwrap();
        assert_eq!(codec::decode::<FromOpus>(&bytes[..len]).unwrap(), packet);
        let spoken = ToSink::Spoken([i16::MIN; SPOKEN_FRAMES].into());
        let len = codec::encode(&spoken, &mut bytes).unwrap();
        assert_eq!(codec::decode::<ToSink>(&bytes[..len]).unwrap(), spoken);
        let spoken = ToOpus::Spoken(Spoken { number: u32::MAX, bytes: [9; MAX_SPOKEN].into() });
        let len = codec::encode(&spoken, &mut bytes).unwrap();
        assert_eq!(codec::decode::<ToOpus>(&bytes[..len]).unwrap(), spoken);
    }

    /// Sabotage: believe the count in the message.
    #[test]
    fn more_samples_than_a_message_has_are_refused() {
        let mut bytes = [0; MAX_MESSAGE];
        let pcm = FromSink::Pcm(Pcm { pts_ns: 0, samples: Samples::new() });
        let len = codec::encode(&pcm, &mut bytes).unwrap();
        let count = len - 8;
        bytes[count..len].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(codec::decode::<FromSink>(&bytes[..len]).is_err());
    }
}

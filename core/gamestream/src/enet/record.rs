//! What the next process must know of a peer: plain values, of a bounded size.

use super::MAX_CHANNELS;
use super::channel::Channel;
use super::wire::{MAX_MESSAGE, PeerId};
use serde::{Deserialize, Serialize};

/// Commands that may wait for their acknowledgement.
pub const MAX_UNACKED: usize = 64;
/// Bytes of those commands together.
pub const MAX_UNACKED_BYTES: usize = 8 << 10;
/// Bytes that were acknowledged and wait for those before them, over all channels, with 32 for the head of each.
pub const MAX_HELD_BYTES: usize = 8 << 10;

/// What a record may have when serialised: a half message and some numbers a channel, what waits either way, and their heads.
pub const MAX_RECORD_BYTES: usize =
    MAX_CHANNELS * (MAX_MESSAGE + 32) + MAX_UNACKED_BYTES + MAX_UNACKED * 32 + MAX_HELD_BYTES + 256;
/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// The client has not acknowledged that it was verified.
    Connecting,
    /// Messages go both ways.
    Connected,
    /// The host said goodbye.
    Disconnecting,
    /// It is over.
    Closed,
}

/// A command that was sent and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unacked {
    pub(super) channel: u8,
    pub(super) sequence: u16,
    /// As it was sent, and as it will be sent again.
    pub(super) bytes: Vec<u8>,
}

/// A peer without its clocks. Serialised it has some hundred bytes, and never more than [`MAX_RECORD_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(super) id: PeerId,
    pub(super) their_id: u16,
    pub(super) connect_id: u32,
    /// In the datagrams to the client, and in those from it.
    pub(super) sessions: (u8, u8),
    pub(super) mtu: u16,
    pub(super) phase: Phase,
    /// Of the last command on the connection's own channel.
    pub(super) sequence: u16,
    pub(super) channels: Vec<Channel>,
    pub(super) unacked: Vec<Unacked>,
}

impl Record {
    /// Which peer it is.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// The client's number of its connect: a connect with this number is the same one again.
    pub fn connect_id(&self) -> u32 {
        self.connect_id
    }

    /// Whether messages go both ways.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether the client is gone, for whatever reason.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Bytes that wait for those before them.
    pub(super) fn held_bytes(&self) -> usize {
        self.channels.iter().map(Channel::held_bytes).sum()
    }

    /// Bytes that wait for their acknowledgement.
    pub(super) fn unacked_bytes(&self) -> usize {
        self.unacked.iter().map(|command| command.bytes.len()).sum()
    }
}

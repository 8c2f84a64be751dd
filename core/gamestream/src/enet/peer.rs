//! One client's connection.

use super::TIMEOUT;
use super::channel::{Channel, Taken};
use super::record::{MAX_HELD_BYTES, MAX_UNACKED, MAX_UNACKED_BYTES, Phase, Record, Unacked};
use super::timing::{RoundTrip, Sent, wire_ms};
use super::wire::{self, Body, CONNECTION, Command, Connect, Fragment, Header, PeerId};
use crate::fields::Fields;
use lumen_core::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Silence after which a peer is asked whether it lives.
const PING_AFTER: Duration = Duration::from_millis(500);
/// Because ENet takes no more in one datagram.
const MAX_COMMANDS: usize = 32;
/// Because clients of this protocol use it, and no message of a host is longer.
const MAX_MTU: u32 = 900;
const MIN_MTU: u32 = 576;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said goodbye.
    ByClient {
        /// With this.
        data: u32,
    },
    /// The host did, and the client heard it.
    ByHost,
    /// The client was silent.
    TimedOut,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Messages may be sent.
    Connected,
    /// The client says something.
    Message {
        /// On this channel.
        channel: u8,
        /// What.
        bytes: Vec<u8>,
    },
    /// Nothing more comes.
    Closed(CloseReason),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram to the client, from the address that its connect came to.
    Send(Vec<u8>),
    /// Something the caller should know.
    Event(Event),
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not before, and not after, the connection.
    #[error("the client's control connection is not open")]
    NotConnected,
    /// The client has not acknowledged what was sent.
    #[error("{MAX_UNACKED} control messages wait for the client already")]
    Full,
    /// Longer than a datagram.
    #[error("a control message of {got} bytes does not fit into a datagram")]
    TooLong {
        /// Bytes of the message.
        got: usize,
    },
    /// No such channel.
    #[error("the client has no control channel {got}")]
    Channel {
        /// The channel.
        got: u8,
    },
}

/// What was not taken, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams of another session, or none at all.
    pub foreign: u64,
    /// Datagrams that end in what is no command.
    pub malformed: u64,
    /// Reliable messages refused: too far ahead, or too much waits.
    pub refused: u64,
    /// Unreliable messages that came late, or before a reliable one that is missing.
    pub stale: u64,
    /// Commands sent more than once.
    pub resent: u64,
}

/// A connection with one client.
#[derive(Debug)]
pub struct Peer {
    record: Record,
    /// Times of `record.unacked`, in its order.
    sent: Vec<Sent>,
    round_trip: RoundTrip,
    heard: Timestamp,
    acks: Vec<[u8; 8]>,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Peer {
    /// Answers a connect whose [`Connect::data`] the caller has recognised.
    pub fn accept(connect: &Connect, id: PeerId, now: Timestamp) -> Self {
        let mtu = connect.mtu.clamp(MIN_MTU, MAX_MTU);
        let record = Record {
            id,
            their_id: connect.their_id,
            connect_id: connect.connect_id,
            sessions: connect.sessions,
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            phase: Phase::Connecting,
            sequence: 1,
            channels: vec![Channel::default(); connect.channels as usize],
            unacked: Vec::new(),
        };
        let mut peer = Self::restore(record, now);
        peer.queue(CONNECTION, 1, connect.verify(id, mtu), now);
        peer.flush(now);
        peer
    }

    /// Goes on with what an earlier process recorded: all that was not acknowledged is sent again. Its events are not told
    /// again, so ask [`Record::is_connected`] and [`Record::is_closed`].
    pub fn restore(record: Record, now: Timestamp) -> Self {
        let sent = vec![Sent::new(now); record.unacked.len()];
        let mut peer = Self {
            record,
            sent,
            round_trip: RoundTrip::new(),
            heard: now,
            acks: Vec::new(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
        };
        peer.flush(now);
        peer
    }

    /// What must be written before the outputs are drained.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What was not taken.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// A datagram from the client's address that names this peer ([`PeerId::of`]).
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Timestamp) {
        let mut fields = Fields(datagram);
        let header = Header::parse(&mut fields).filter(|header| header.session == self.record.sessions.1);
        let Some(header) = header.filter(|_| PeerId::of(datagram) == Some(self.record.id)) else {
            self.counters.foreign += 1;
            return;
        };
        while !fields.0.is_empty() {
            let Some(command) = Command::parse(&mut fields) else {
                self.counters.malformed += 1;
                break;
            };
            self.heard = now;
            if self.handle(&command, now)
                && command.wants_ack
                && let Some(sent_ms) = header.sent_ms
            {
                self.acks.push(wire::acknowledge(command.channel, command.sequence, sent_ms));
            }
        }
        self.flush(now);
    }

    /// Sends again what is due, pings, or gives up. Call it at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.record.phase == Phase::Closed {
            return;
        }
        let oldest = self.sent.iter().map(|sent| sent.first).min().unwrap_or(now);
        if self.heard.min(oldest) + TIMEOUT <= now {
            return self.close(CloseReason::TimedOut);
        }
        if self.record.phase == Phase::Connected
            && self.record.unacked.is_empty()
            && self.heard + PING_AFTER <= now
        {
            let sequence = self.next_sequence();
            self.queue(CONNECTION, sequence, wire::ping(sequence), now);
        }
        self.flush(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.record.phase == Phase::Closed {
            return None;
        }
        let due = self.sent.iter().map(|sent| sent.due.min(sent.first + TIMEOUT)).min();
        let idle = self.heard + if self.record.unacked.is_empty() { PING_AFTER } else { TIMEOUT };
        Some(due.map_or(idle, |due| due.min(idle)))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a message that arrives once and in the order of its channel.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&mut self, channel: u8, message: &[u8], now: Timestamp) -> Result<(), SendError> {
        if self.record.phase != Phase::Connected {
            return Err(SendError::NotConnected);
        }
        // A datagram's head has 4 bytes and a command's 6.
        if message.len() + 10 > self.record.mtu.into() {
            return Err(SendError::TooLong { got: message.len() });
        }
        // Two places are kept for a ping and a goodbye.
        let bytes = self.record.unacked_bytes() + message.len();
        if self.record.unacked.len() + 2 >= MAX_UNACKED || bytes > MAX_UNACKED_BYTES {
            return Err(SendError::Full);
        }
        let slot = self.record.channels.get_mut(usize::from(channel));
        let slot = slot.ok_or(SendError::Channel { got: channel })?;
        slot.sent = slot.sent.wrapping_add(1);
        let sequence = slot.sent;
        self.queue(channel, sequence, wire::send_reliable(channel, sequence, message), now);
        self.flush(now);
        Ok(())
    }

    /// Says goodbye; the client's acknowledgement, or its silence, closes the connection.
    pub fn disconnect(&mut self, data: u32, now: Timestamp) {
        if matches!(self.record.phase, Phase::Connecting | Phase::Connected) {
            self.record.phase = Phase::Disconnecting;
            let sequence = self.next_sequence();
            self.queue(CONNECTION, sequence, wire::disconnect(sequence, data), now);
            self.flush(now);
        }
    }

    /// Whether the command is to be acknowledged.
    fn handle(&mut self, command: &Command<'_>, now: Timestamp) -> bool {
        let is_open = self.record.phase == Phase::Connected;
        match command.body {
            Body::Acknowledge { sequence, sent_ms } => {
                self.acknowledged(command.channel, sequence, sent_ms, now);
                false
            }
            Body::Disconnect { data } => {
                self.close(CloseReason::ByClient { data });
                true
            }
            Body::Noted => is_open,
            Body::Reliable { fragment, bytes } if is_open => {
                self.reliable(command.channel, command.sequence, fragment, bytes)
            }
            Body::Unreliable { sequence, bytes } if is_open => {
                let channel = self.record.channels.get_mut(usize::from(command.channel));
                if channel.is_some_and(|channel| channel.unreliable(command.sequence, sequence)) {
                    self.deliver(command.channel, bytes.to_vec());
                } else {
                    self.counters.stale += 1;
                }
                false
            }
            Body::Unsequenced { bytes } if is_open => {
                self.deliver(command.channel, bytes.to_vec());
                false
            }
            Body::Reliable { .. } | Body::Unreliable { .. } | Body::Unsequenced { .. } => false,
        }
    }

    /// Whether the message, or part of one, is to be acknowledged.
    fn reliable(&mut self, at: u8, sequence: u16, fragment: Option<Fragment>, bytes: &[u8]) -> bool {
        let room = MAX_HELD_BYTES.saturating_sub(self.record.held_bytes());
        let channel = self.record.channels.get_mut(usize::from(at));
        match channel.map_or(Taken::Refused, |channel| channel.reliable(sequence, fragment, bytes, room)) {
            Taken::Delivered(messages) => {
                messages.into_iter().for_each(|bytes| self.deliver(at, bytes));
                true
            }
            Taken::Noted => true,
            Taken::Refused => {
                self.counters.refused += 1;
                false
            }
        }
    }

    fn deliver(&mut self, channel: u8, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Event(Event::Message { channel, bytes }));
    }

    fn acknowledged(&mut self, channel: u8, sequence: u16, sent_ms: u16, now: Timestamp) {
        let is_it = |command: &Unacked| command.channel == channel && command.sequence == sequence;
        let Some(at) = self.record.unacked.iter().position(is_it) else {
            return;
        };
        self.record.unacked.remove(at);
        self.sent.remove(at);
        let elapsed = wire_ms(now).wrapping_sub(sent_ms);
        if Duration::from_millis(elapsed.into()) < TIMEOUT {
            self.round_trip.add(Duration::from_millis(elapsed.into()));
        }
        match self.record.phase {
            Phase::Connecting if (channel, sequence) == (CONNECTION, 1) => {
                self.record.phase = Phase::Connected;
                self.outputs.push_back(Output::Event(Event::Connected));
            }
            Phase::Disconnecting if (channel, sequence) == (CONNECTION, self.record.sequence) => {
                self.close(CloseReason::ByHost);
            }
            _ => {}
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if self.record.phase != Phase::Closed {
            self.record.phase = Phase::Closed;
            self.record.unacked.clear();
            self.sent.clear();
            self.outputs.push_back(Output::Event(Event::Closed(reason)));
        }
    }

    fn next_sequence(&mut self) -> u16 {
        self.record.sequence = self.record.sequence.wrapping_add(1);
        self.record.sequence
    }

    fn queue(&mut self, channel: u8, sequence: u16, bytes: Vec<u8>, now: Timestamp) {
        self.record.unacked.push(Unacked { channel, sequence, bytes });
        self.sent.push(Sent::new(now));
    }

    /// Puts acknowledgements and what is due into datagrams.
    fn flush(&mut self, now: Timestamp) {
        let acks: Vec<_> = std::mem::take(&mut self.acks);
        let mut packing = Packing::new(&self.record, now);
        acks.iter().for_each(|ack| packing.add(ack));
        for (command, sent) in self.record.unacked.iter().zip(&mut self.sent) {
            if sent.due <= now {
                self.counters.resent += u64::from(!sent.wait.is_zero());
                sent.again(&self.round_trip, now);
                packing.add(&command.bytes);
            }
        }
        self.outputs.extend(packing.finish().into_iter().map(Output::Send));
    }
}

/// Fills datagrams with commands.
struct Packing {
    head: Vec<u8>,
    mtu: usize,
    commands: usize,
    current: Vec<u8>,
    full: Vec<Vec<u8>>,
}

impl Packing {
    fn new(record: &Record, now: Timestamp) -> Self {
        let head = Header::bytes(record.their_id, record.sessions.0, wire_ms(now));
        Self { current: head.clone(), head, mtu: record.mtu.into(), commands: 0, full: Vec::new() }
    }

    fn add(&mut self, command: &[u8]) {
        if self.commands == MAX_COMMANDS || self.current.len() + command.len() > self.mtu {
            self.turn();
        }
        self.current.extend(command);
        self.commands += 1;
    }

    fn turn(&mut self) {
        let full = std::mem::replace(&mut self.current, self.head.clone());
        if self.commands > 0 {
            self.full.push(full);
        }
        self.commands = 0;
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.turn();
        self.full
    }
}

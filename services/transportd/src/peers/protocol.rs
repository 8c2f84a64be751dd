//! Which protocol a session speaks, and what differs by it when its video starts.

use std::sync::Arc;

use lumen_core::{
    ChannelId, ChannelSecret, Direction, Opener, PacketiserConfig, Sealer, packetiser::ConfigError,
};
use lumen_gamestream::video::PacketiseError;

use crate::{
    record::{Fixed, Record, Terms},
    video::{
        Outlet, Paths,
        cutter::{Cutter, GameStream, Lumen1},
        datagrams::TrafficClass,
        pacing::Pacing,
        proof::{Claim, Proof},
    },
};

/// What a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// lumen's own.
    Lumen1,
    /// That of stock Moonlight clients.
    GameStream {
        /// The app's number in their list.
        app: i32,
    },
}

impl Protocol {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lumen1 => "lumen/1",
            Self::GameStream { .. } => "GameStream",
        }
    }
}

/// A protocol's video socket, or that of its sound.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Where its hellos or pings come in.
    pub paths: Arc<Paths>,
    /// Where it goes out.
    pub outlet: Arc<Outlet>,
    /// Its port.
    pub port: u16,
    /// How datagrams are marked for clients that ask for it.
    pub mark: TrafficClass,
}

impl Gate {
    /// How they are marked for a client that asks, or does not.
    pub fn class(&self, is_asked: bool) -> TrafficClass {
        if is_asked { self.mark } else { TrafficClass::BEST_EFFORT }
    }
}

/// The sockets of the stage that clients say hello to.
#[derive(Debug, Clone)]
pub struct Gates {
    /// lumen/1's.
    pub lumen1: Gate,
    /// GameStream's, where it is served.
    pub gamestream: Option<Gate>,
    /// Its sound's.
    pub sound: Option<Gate>,
}

/// The client's cut is impossible.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// lumen/1's.
    #[error(transparent)]
    Lumen1(#[from] ConfigError),
    /// GameStream's.
    #[error(transparent)]
    GameStream(#[from] PacketiseError),
    /// Nobody listens for it.
    #[error("GameStream is not served")]
    Closed,
}

/// How a session's video finds its client.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) protocol: Protocol,
    pub(super) gate: Gate,
    pub(super) proof: Proof,
    pub(super) cutter: Box<dyn Cutter>,
    pub(super) pacing: Pacing,
    pub(super) class: TrafficClass,
}

impl Lane {
    /// Of the session that `record` is of.
    pub(super) fn of(gates: &Gates, fixed: &Fixed, record: &Arc<Record>) -> Result<Self, LaneError> {
        match record.terms() {
            None => Self::lumen1(gates, fixed, record),
            Some(terms) => Self::gamestream(gates, &terms, record),
        }
    }

    fn lumen1(gates: &Gates, fixed: &Fixed, record: &Arc<Record>) -> Result<Self, LaneError> {
        let (secret, channel) = (ChannelSecret::from_bytes(fixed.secret), ChannelId(fixed.channel));
        let opener = Opener::new(&secret, channel, Direction::ClientToHost);
        let sealer = Sealer::new(&secret, channel, Direction::HostToClient);
        Ok(Self {
            protocol: Protocol::Lumen1,
            gate: gates.lumen1.clone(),
            proof: Proof::Hello(channel, Box::new(opener)),
            cutter: Box::new(Lumen1::new(cut(fixed), sealer, record.clone())?),
            pacing: Pacing::Bitrate { parity_percent: fixed.parity_percent },
            class: TrafficClass::BEST_EFFORT,
        })
    }

    fn gamestream(gates: &Gates, terms: &Terms, record: &Arc<Record>) -> Result<Self, LaneError> {
        let (config, key) = (&terms.config, terms.key());
        let cutter = GameStream::new(config, &key, record.clone())?;
        let gate = gates.gamestream.clone().ok_or(LaneError::Closed)?;
        Ok(Self {
            protocol: Protocol::GameStream { app: terms.app },
            class: gate.class(config.dscp),
            gate,
            proof: Proof::Token(terms.video),
            pacing: Pacing::Asked { kbps: config.bitrate_kbps, datagram_len: cutter.datagram_len() },
            cutter: Box::new(cutter),
        })
    }
}

/// How lumen/1 cuts frames, as launched.
pub(super) fn cut(fixed: &Fixed) -> PacketiserConfig {
    PacketiserConfig { datagram_len: fixed.datagram_len.into(), parity_percent: fixed.parity_percent }
}

/// Whether a channel number is free.
pub(super) fn is_free(gates: &Gates, channel: ChannelId) -> bool {
    gates.lumen1.paths.is_free(Claim::Channel(channel))
}

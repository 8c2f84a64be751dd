//! How a datagram says whose it is, and how that is believed: one way for each protocol.

use lumen_core::{
    seal::{OpenCounters, Opened, Opener},
    wire::{ChannelId, channel_of},
};
use lumen_gamestream::ping::Ping;

/// Whose a datagram says it is, before anything is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// A lumen/1 session's, by the number of its channel.
    Channel(ChannelId),
    /// A GameStream session's, by what SETUP gave its client to say.
    Token([u8; 16]),
}

/// Reads the claim of a datagram as the protocol of a socket has it.
pub type Reader = fn(&[u8]) -> Option<Claim>;

impl Claim {
    /// Of a sealed hello.
    pub fn of_hello(datagram: &[u8]) -> Option<Self> {
        channel_of(datagram).ok().map(Self::Channel)
    }

    /// Of a ping.
    pub fn of_ping(datagram: &[u8]) -> Option<Self> {
        Ping::parse(datagram).map(|ping| Self::Token(ping.payload))
    }
}

/// What a datagram must be to say where its client is.
#[derive(Debug)]
pub enum Proof {
    /// A hello that the client sealed.
    Hello(ChannelId, Box<Opener>),
    /// A ping with a random token that the client was told under its key.
    Token([u8; 16]),
}

impl Proof {
    /// What its datagrams claim.
    pub fn claim(&self) -> Claim {
        match self {
            Self::Hello(channel, _) => Claim::Channel(*channel),
            Self::Token(token) => Claim::Token(*token),
        }
    }

    /// The number of a datagram that is the client's; the higher it is the newer. `None` if it is not the client's, or is known
    /// to be no news.
    pub fn check(&mut self, datagram: &mut [u8]) -> Option<u64> {
        match self {
            Self::Hello(_, opener) => match opener.open(datagram) {
                Ok(Opened::Hello(hello)) if hello.is_newest => Some(hello.sequence),
                _ => None,
            },
            Self::Token(token) => {
                Ping::parse(datagram).filter(|ping| ping.payload == *token).map(|ping| ping.number.into())
            }
        }
    }

    /// What became of the datagrams that claimed it; a token has nothing to open.
    pub fn counters(&self) -> OpenCounters {
        match self {
            Self::Hello(_, opener) => opener.counters(),
            Self::Token(_) => OpenCounters::default(),
        }
    }
}

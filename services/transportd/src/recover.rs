//! What survives a crash, put back in this order: who we are, who may stream, the sockets; and, once the bus is there, the
//! sessions ([`crate::peers::birth::adopt`]).

use std::sync::Arc;

use lumen_stage::{Exit, failpoint, inherited::Stored};

use crate::{
    clients::Clients,
    config::Config,
    gamestream::{Off, identity::Identity as MoonlightIdentity},
    identity::{Identity, IdentityError},
    sockets::{SocketError, Sockets},
    vault::{Vault, VaultError},
};

lumen_stage::steps! {
    /// It is known who we are.
    IDENTIFIED = "identified";
    /// It is known who may stream.
    ALLOWED = "allowed";
    /// The sockets are there.
    BOUND = "bound";
    /// Hellos are heard.
    LISTENING = "listening";
    /// The record of a session says that this incarnation adopts it.
    ADOPTED = "adopted";
    /// Its threads run.
    RAISED = "raised";
    /// All sessions go on.
    GOING_ON = "going-on";
    /// There is a link to encoded.
    ENCODER_LINKED = "encoder-linked";
    /// There is a link to inputd, which knows what is held.
    SEAT_LINKED = "seat-linked";
    /// The record has the next datagram's number.
    SEQUENCE_STORED = "sequence-stored";
    /// The record has the next frame's number.
    FRAME_STORED = "frame-stored";
    /// The record's checksum of where video goes is the new one, and the rest the old.
    SUM_STORED = "sum-stored";
    /// Its length is the new one as well.
    LENGTH_STORED = "length-stored";
    /// All of it is stored.
    SLOT_STORED = "slot-stored";
    /// The record says that the client is back.
    FORGIVEN = "forgiven";
    /// The record has the bitrate that the client asks for.
    BITRATE_STORED = "bitrate-stored";
    /// The record has the mode that the pictures have now.
    MODE_STORED = "mode-stored";
    /// Pings of the sound are heard.
    SOUND_LISTENING = "sound-listening";
    /// There is a link to encoded for it.
    SOUND_LINKED = "sound-linked";
    /// The record has the number of its next packet.
    SOUND_STORED = "sound-stored";
}

/// All that an incarnation starts with.
#[derive(Debug)]
pub struct Recovered {
    /// Who we are.
    pub identity: Identity,
    /// Who may stream.
    pub clients: Arc<Clients>,
    /// Where we listen.
    pub sockets: Sockets,
    /// Who we are to Moonlight; it is there if GameStream's sockets are.
    pub moonlight: Option<MoonlightIdentity>,
}

impl From<VaultError> for Exit {
    fn from(error: VaultError) -> Self {
        Self::Environment(error.to_string())
    }
}

impl From<IdentityError> for Exit {
    fn from(error: IdentityError) -> Self {
        Self::Environment(error.to_string())
    }
}

impl From<SocketError> for Exit {
    fn from(error: SocketError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// Puts everything back.
///
/// # Errors
/// [`Exit::Environment`]: nothing of this gets better by a restart.
pub fn recover(vault: &Vault, config: &Config, stored: Vec<Stored>) -> Result<Recovered, Exit> {
    let identity = Identity::load(vault)?;
    failpoint::at(IDENTIFIED);
    let clients = Arc::new(Clients::load(vault)?);
    failpoint::at(ALLOWED);
    let mut sockets = Sockets::open(config, stored)?;
    let moonlight = sockets.gamestream.as_ref().ok().map(|_| MoonlightIdentity::load(vault));
    let moonlight = moonlight.transpose().unwrap_or_else(|error| {
        sockets.gamestream = Err(Off::from(error));
        None
    });
    failpoint::at(BOUND);
    Ok(Recovered { identity, clients, sockets, moonlight })
}

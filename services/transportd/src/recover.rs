//! What survives a crash, put back in this order: who we are, who may stream, the sockets; and, once the bus is there, the
//! sessions ([`crate::peers::birth::adopt`]).

use std::sync::Arc;

use lumen_stage::{Exit, inherited::Stored};

use crate::{
    clients::Clients,
    config::Config,
    identity::{Identity, IdentityError},
    sockets::{SocketError, Sockets},
    vault::{Vault, VaultError},
};

/// All that an incarnation starts with.
#[derive(Debug)]
pub struct Recovered {
    /// Who we are.
    pub identity: Identity,
    /// Who may stream.
    pub clients: Arc<Clients>,
    /// Where we listen.
    pub sockets: Sockets,
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
    Ok(Recovered {
        identity: Identity::load(vault)?,
        clients: Arc::new(Clients::load(vault)?),
        sockets: Sockets::open(config, stored)?,
    })
}

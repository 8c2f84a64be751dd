//! Who may come, put together: both doors, what is behind them, and the clock of pairing.

use std::{io, net::TcpListener, sync::Arc};

use super::{
    Off,
    doors::Door,
    house::House,
    identity::Identity,
    mdns,
    reception::Reception,
    shelf::{Shelf, Source},
    streams::Streams,
    tls,
};
use crate::{clients::Clients, peers::lobby::Lobby};
use lumen_gamestream::mdns::label;

/// What it is made of.
#[derive(Debug)]
pub struct Parts<S> {
    /// Who this host is.
    pub identity: Identity,
    /// What people call it.
    pub name: String,
    /// Plain HTTP.
    pub http: TcpListener,
    /// HTTP in TLS.
    pub https: TcpListener,
    /// Who may stream.
    pub clients: Arc<Clients>,
    /// Who wants to be paired.
    pub reception: Arc<Reception>,
    /// Who knows the apps.
    pub apps: S,
    /// What streams.
    pub streams: Arc<dyn Streams>,
    /// Whether clients find this host by mDNS.
    pub announce: bool,
}

/// All of it, ready to be served.
#[derive(Debug)]
pub struct Front {
    http: Door,
    https: Door,
    reception: Arc<Reception>,
    /// What mDNS says, if it shall.
    announced: Option<Announced>,
}

#[derive(Debug)]
struct Announced {
    name: String,
    host: String,
    port: u16,
}

impl Front {
    /// # Errors
    /// [`Off`]
    pub fn new(parts: Parts<impl Source>) -> Result<Self, Off> {
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let announced = Announced {
            name: label(&parts.name),
            // Not the machine's own name, for which another responder may speak.
            host: format!("lumen-{}", parts.identity.unique_id()),
            port: port(&parts.http)?,
        };
        let house = Arc::new(House {
            name: parts.name,
            unique_id: parts.identity.unique_id(),
            http: port(&parts.http)?,
            https: port(&parts.https)?,
            clients: parts.clients,
            reception: parts.reception.clone(),
            shelf: Shelf::new(parts.apps),
            streams: parts.streams,
        });
        let (tls, lobby) = (tls::config(&parts.identity)?, Arc::new(Lobby::default()));
        Ok(Self {
            http: Door::new(parts.http, None, house.clone(), lobby.clone())?,
            https: Door::new(parts.https, Some(tls), house, lobby)?,
            reception: parts.reception,
            announced: parts.announce.then_some(announced),
        })
    }

    /// Serves all who come. Never returns.
    pub async fn serve(self) {
        let announced = async {
            if let Some(Announced { name, host, port }) = &self.announced {
                mdns::serve(name, host, *port).await;
            }
        };
        tokio::join!(self.http.listen(), self.https.listen(), self.reception.keep_time(), announced);
    }
}

impl From<io::Error> for Off {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

//! The two doors, HTTP and HTTPS: one request a connection, within limits of bytes, time and connections.

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lumen_gamestream::http::{Parsed, Request, RequestError, answers};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{
    house::{House, Visitor},
    wire::Wire,
};
use crate::peers::lobby::{Lobby, Place};

/// Within which a client must have shaken hands and asked; clients give up after 5 s themselves.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may take: a launch of a slow app. A person with a PIN has less.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// After the kernel gave no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A door.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    house: Arc<House>,
    lobby: Arc<Lobby>,
}

impl Door {
    /// A door of `house` on an open socket; in TLS if `tls` is there. `lobby` has the places of both doors together.
    ///
    /// # Errors
    /// The socket is of no use.
    pub fn new(
        listener: net::TcpListener,
        tls: Option<Arc<ServerConfig>>,
        house: Arc<House>,
        lobby: Arc<Lobby>,
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::from_std(listener)?, tls, house, lobby })
    }

    /// Takes in connections. Never returns.
    pub async fn listen(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => self.welcome(stream, from),
                // Of a client that is gone again, or because there are no descriptors left.
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn welcome(&self, stream: TcpStream, from: SocketAddr) {
        let place = self.lobby.enter();
        let birth = place.birth();
        let (house, tls) = (self.house.clone(), self.tls.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = serve(stream, from, tls, &house, place).await {
                tracing::debug!(STAGE = "transportd", "a connection from {from} came to nothing: {error}");
            }
        });
        self.lobby.seat(birth, from.ip(), task.abort_handle());
    }
}

/// Serves one connection. A Client gives its place up once it has asked; whoever else comes needs it to the end, so that they
/// together never hold more than the lobby has.
async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    house: &House,
    place: Place,
) -> io::Result<()> {
    let (is_tls, local) = (tls.is_some(), stream.local_addr()?);
    let asked = timeout(REQUEST_LIMIT, async {
        let mut wire = Wire::accept(stream, tls).await?;
        let request = read(&mut wire).await?;
        Ok::<_, io::Error>((wire, request))
    });
    let (mut wire, request) = asked.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let visitor = Visitor {
        certificate: wire.client(),
        is_tls,
        local: SocketAddr::new(local.ip().to_canonical(), local.port()),
        remote: from.ip().to_canonical(),
    };
    let _place = house.client(&visitor).is_none().then_some(place);
    let response = match request {
        Err(error) => answers::malformed(error),
        Ok(request) => tokio::select! {
            // What needs no wait is answered also to who has closed its own side already.
            biased;
            response = timeout(ANSWER_LIMIT, house.answer(&request, &visitor)) => match response {
                Ok(response) => response,
                Err(_) => answers::failed(503, "The host took too long. See `lumenctl status` on it.", &request.path),
            },
            () = wire.gone() => return Ok(()),
        },
    };
    wire.answer(&response.to_bytes()).await
}

/// Reads a request's head; the rest of the connection is not looked at.
async fn read(wire: &mut Wire) -> io::Result<Result<Request, RequestError>> {
    let mut received = Vec::new();
    loop {
        match Request::parse(&received) {
            Ok(Parsed::Whole(request)) => return Ok(Ok(request)),
            Ok(Parsed::Partial) => {}
            Err(error) => return Ok(Err(error)),
        }
        if wire.read(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

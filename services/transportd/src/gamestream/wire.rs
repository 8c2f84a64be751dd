//! One TCP connection, with TLS around it or not.

use std::{io, sync::Arc, time::Duration};

use lumen_core::trust::Fingerprint;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::tls::Tunnel;

/// How long a client may take to read its answer.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How long, and how many bytes, are still thrown away after the answer: closed with bytes unread, a socket takes back what it
/// has sent.
const LINGER: (Duration, usize) = (Duration::from_millis(500), 2 << 20);

/// A connection.
#[derive(Debug)]
pub enum Wire {
    /// In the clear.
    Plain(TcpStream),
    /// In TLS.
    Tls(Tunnel),
}

impl Wire {
    /// Takes a connection; with `tls` after its handshake.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn accept(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(match tls {
            None => Self::Plain(stream),
            Some(config) => Self::Tls(Tunnel::accept(stream, config).await?),
        })
    }

    /// The certificate whose key the client proved.
    pub fn client(&self) -> Option<Fingerprint> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tunnel) => tunnel.client(),
        }
    }

    /// Adds what came to `into`; how much. 0 is the end.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read_buf(into).await,
            Self::Tls(tunnel) => tunnel.read(into).await,
        }
    }

    /// Waits until the client is gone. What it says until then is not heard.
    pub async fn gone(&mut self) {
        let mut unheard = Vec::new();
        while let Ok(1..) = self.read(&mut unheard).await {
            unheard.clear();
        }
    }

    /// Sends the answer and closes.
    ///
    /// # Errors
    /// The client did not take it.
    pub async fn answer(mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(WRITE_LIMIT, self.send(bytes))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        // Whoever still sends after this limit gets its answer taken back.
        let _ = timeout(LINGER.0, self.drain(LINGER.1)).await;
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => {
                stream.write_all(bytes).await?;
                stream.shutdown().await
            }
            Self::Tls(tunnel) => {
                tunnel.write(bytes).await?;
                tunnel.finish().await
            }
        }
    }

    async fn drain(&mut self, limit: usize) {
        let (mut unheard, mut total) = (Vec::new(), 0);
        while total < limit {
            match self.read(&mut unheard).await {
                Ok(count @ 1..) => total += count,
                _ => return,
            }
            unheard.clear();
        }
    }
}

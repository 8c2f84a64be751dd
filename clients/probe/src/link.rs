//! One connection to the host and its control stream.

use std::time::Duration;

use lumen_core::{
    ChannelSecret,
    control::SessionId,
    seal::{EXPORTER_LABEL, SECRET_LEN},
};
use quinn::{Chunk, Connection, ConnectionError, ReadError, RecvStream, SendStream};

use crate::{connection::Dialer, failure::Failure};

/// Because the frames in flight at the end shall still be counted, and a host answers a stop at once.
const FAREWELL: Duration = Duration::from_secs(1);

/// Most bytes of the control stream read at once.
const READ: usize = 16 << 10;

/// A connection and the first stream that the client opened on it.
#[derive(Debug)]
pub struct Link {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

impl Link {
    /// Dials, until `deadline`.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub async fn open(dialer: &Dialer, deadline: Duration) -> Result<Self, Failure> {
        let connection = dialer.dial(deadline).await?;
        let (send, receive) = connection.open_bi().await.map_err(|error| dialer.explain(&error))?;
        Ok(Self { connection, send, receive })
    }

    /// The next bytes of the control stream. Can be cancelled without losing any.
    ///
    /// # Errors
    /// Why the connection ended; a stream that ended alone is no use either, and waits for that.
    pub async fn read(&mut self) -> Result<Chunk, ConnectionError> {
        match self.receive.read_chunk(READ, true).await {
            Ok(Some(chunk)) => Ok(chunk),
            Err(ReadError::ConnectionLost(error)) => Err(error),
            Ok(None) | Err(_) => Err(self.connection.closed().await),
        }
    }

    /// Writes to the control stream. A failure is not reported: [`read`](Self::read) sees the same loss.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.send.write_all(bytes).await;
    }

    /// The secret of the session's video, the same on both sides of this connection.
    ///
    /// # Errors
    /// [`Failure::BrokenOff`].
    pub fn secret(&self, session: SessionId) -> Result<ChannelSecret, Failure> {
        let mut secret = [0; SECRET_LEN];
        self.connection
            .export_keying_material(&mut secret, EXPORTER_LABEL, &session.0)
            .map_err(|_| Failure::BrokenOff { why: "TLS gave no key for the video".into() })?;
        Ok(ChannelSecret::from_bytes(secret))
    }

    /// Waits a moment for the host to close, then closes.
    pub async fn leave(mut self) {
        // Fails only where the host has closed, and then there is nothing to finish.
        let _ = self.send.finish();
        let _ = tokio::time::timeout(FAREWELL, self.connection.closed()).await;
        self.connection.close(0u32.into(), b"the client stopped the session");
    }
}

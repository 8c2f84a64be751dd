//! One connection to the host and its control stream.

use std::time::Duration;

use lumen_core::{
    ChannelSecret,
    control::SessionId,
    seal::{EXPORTER_LABEL, SECRET_LEN},
};
use quinn::{Chunk, Connection, ConnectionError, ReadError, RecvStream, SendStream};

use crate::{
    connection::{DIAL_DEADLINE, Dialer},
    failure::Failure,
};

/// Because the frames in flight at the end shall still be counted, and a host answers a stop at once.
const FAREWELL: Duration = Duration::from_secs(1);

/// Most bytes of the control stream read at once.
const READ: usize = 16 << 10;

/// For the first attempt at a host that was lost, because one that dies while it shakes hands leaves an attempt that nobody
/// will answer. Each further one has twice the time of the one before, so that a slow network gets its turn.
const REDIAL_DEADLINE: Duration = Duration::from_millis(300);

/// What came.
#[derive(Debug)]
pub enum Coming {
    /// Bytes of the control stream.
    Control(Chunk),
    /// A datagram.
    Datagram(Vec<u8>),
}

/// A connection and the first stream that the client opened on it.
#[derive(Debug)]
pub struct Link {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

impl Link {
    /// Dials.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub async fn open(dialer: &Dialer) -> Result<Self, Failure> {
        Self::open_within(DIAL_DEADLINE, dialer).await
    }

    /// Dials a host that was lost, after so many vain `attempts`.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub async fn reopen(dialer: &Dialer, attempts: u32) -> Result<Self, Failure> {
        let deadline = REDIAL_DEADLINE.saturating_mul(1u32.checked_shl(attempts).unwrap_or(u32::MAX));
        Self::open_within(deadline.min(DIAL_DEADLINE), dialer).await
    }

    async fn open_within(deadline: Duration, dialer: &Dialer) -> Result<Self, Failure> {
        let connection = dialer.dial(deadline).await?;
        let (send, receive) = connection.open_bi().await.map_err(|error| dialer.explain(&error))?;
        Ok(Self { connection, send, receive })
    }

    /// The next bytes of the control stream, or the next datagram. Can be cancelled without losing any.
    ///
    /// # Errors
    /// Why the connection ended; a stream that ended alone is no use either, and waits for that.
    pub async fn read(&mut self) -> Result<Coming, ConnectionError> {
        tokio::select! {
            // What the host said before it closed comes first: a refusal is read from the stream.
            biased;
            chunk = self.receive.read_chunk(READ, true) => match chunk {
                Ok(Some(chunk)) => Ok(Coming::Control(chunk)),
                Err(ReadError::ConnectionLost(error)) => Err(error),
                Ok(None) | Err(_) => Err(self.connection.closed().await),
            },
            datagram = self.connection.read_datagram() => Ok(Coming::Datagram(datagram?.to_vec())),
        }
    }

    /// Writes to the control stream. A failure is not reported: [`read`](Self::read) sees the same loss.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.send.write_all(bytes).await;
    }

    /// Sends a datagram; false where it cannot be sent, of which [`read`](Self::read) sees the reason if it is a loss.
    pub fn send_datagram(&self, bytes: Vec<u8>) -> bool {
        self.connection.send_datagram(bytes.into()).is_ok()
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

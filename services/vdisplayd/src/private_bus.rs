//! systemd's private socket as a transport for zbus.
//!
//! systemd signs what it sends there as `org.freedesktop.systemd1`, which is no unique name, and zbus (6.2) refuses
//! every message with such a sender. So the first letter of that name is changed to a colon while the bytes come in:
//! `:rg.freedesktop.systemd1` is a unique name of the same length.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use zbus::{
    connection::socket::{ReadHalf, Socket, Split, WriteHalf},
    export::async_trait::async_trait,
};

/// A connection to `$XDG_RUNTIME_DIR/systemd/private`.
#[derive(Debug)]
pub struct PrivateSocket(pub UnixStream);

/// The receiving half.
#[derive(Debug)]
pub struct Receiver {
    stream: OwnedReadHalf,
    patch: SenderPatch,
}

/// The sending half.
#[derive(Debug)]
pub struct Sender(OwnedWriteHalf);

impl Socket for PrivateSocket {
    type ReadHalf = Receiver;
    type WriteHalf = Sender;

    fn split(self) -> Split<Receiver, Sender> {
        let (stream, write) = self.0.into_split();
        Split::new(Receiver { stream, patch: SenderPatch::default() }, Sender(write))
    }
}

#[async_trait]
impl ReadHalf for Receiver {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let count = self.stream.read(buffer).await?;
        self.patch.apply(buffer.get_mut(..count).unwrap_or_default());
        Ok((count, Vec::new()))
    }
}

#[async_trait]
impl WriteHalf for Sender {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// The eight bytes before the sender's name in a header: field code 7, signature "s", length 24.
const BEFORE_NAME: [u8; 8] = {
    let [a, b, c, d] = 24u32.to_ne_bytes();
    [7, 1, b's', 0, a, b, c, d]
};

/// Finds the sender's name in a stream that arrives in pieces of any size.
#[derive(Debug, Default)]
struct SenderPatch {
    /// The newest eight bytes.
    last: [u8; 8],
}

impl SenderPatch {
    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.last == BEFORE_NAME && *byte == b'o' {
                *byte = b':';
            }
            self.last.rotate_left(1);
            if let Some(newest) = self.last.last_mut() {
                *newest = *byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: forget `last` between two calls.
    #[test]
    fn sender_is_patched_wherever_the_stream_is_cut() {
        let stream =
            [&b"OK 1234\r\nheader"[..], &BEFORE_NAME, b"org.freedesktop.systemd1\0 org.other"].concat();
        let wished =
            [&b"OK 1234\r\nheader"[..], &BEFORE_NAME, b":rg.freedesktop.systemd1\0 org.other"].concat();
        for cut in 0..=stream.len() {
            let mut patch = SenderPatch::default();
            let (mut first, mut second) = (stream[..cut].to_vec(), stream[cut..].to_vec());
            patch.apply(&mut first);
            patch.apply(&mut second);
            assert_eq!([first, second].concat(), wished, "cut at {cut}");
        }
        assert!(zbus::names::UniqueName::try_from(":rg.freedesktop.systemd1").is_ok());
    }
}

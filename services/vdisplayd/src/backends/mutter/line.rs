//! A connection to the session bus that outlives this process.
//!
//! Mutter ends what it recorded when the connection that asked for it ends. So each Output has a connection of its
//! own, whose socket also lies in systemd's fd store, and the next vdisplayd speaks on over it: authentication and
//! `Hello` are behind us, the bus knows us by the same name. Nothing else is ever asked over it, because what comes
//! in while nobody reads is thrown away.

use std::{
    env, io,
    io::{IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream as Socket,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use lumen_stage::inherited::{self, StoreError};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use zbus::{
    Connection, DynamicType, Guid, Type,
    connection::{
        Builder,
        socket::{self, ReadHalf, Split, WriteHalf},
    },
    export::async_trait::async_trait,
};

/// Time for one answer, because a gnome-shell that lays out its monitors anew was seen to take half a second.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Descriptors that come with one read, because an answer of Mutter's carries one at most.
const MAX_FDS: usize = 4;

/// Why there is no such connection.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No session bus.
    #[error("no session bus at {}: {source}", path.display())]
    NoBus {
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        source: Box<zbus::Error>,
    },
    /// The socket from the fd store is dead.
    #[error("the connection of before is dead: {0}")]
    Dead(Box<zbus::Error>),
    /// systemd does not keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One connection and the name under which it is stored.
#[derive(Debug)]
pub struct Line {
    connection: Connection,
    name: String,
}

/// Where the user's session bus listens: `$DBUS_SESSION_BUS_ADDRESS` if it is a path, else systemd's place for it.
pub fn session_bus(runtime: &Path) -> PathBuf {
    let address = env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    path_of(&address).unwrap_or_else(|| runtime.join("bus"))
}

fn path_of(address: &str) -> Option<PathBuf> {
    let options = address.split(';').find_map(|one| one.strip_prefix("unix:"))?;
    options.split(',').find_map(|option| option.strip_prefix("path=")).map(PathBuf::from)
}

impl Line {
    /// Connects to the session bus at `bus` and has the socket kept under `name`.
    pub async fn open(bus: &Path, name: &str) -> Result<Self, LineError> {
        let no_bus =
            |source: zbus::Error| LineError::NoBus { path: bus.to_owned(), source: Box::new(source) };
        let socket = Socket::connect(bus).map_err(|error| no_bus(error.into()))?;
        let kept = socket.try_clone().map_err(|error| no_bus(error.into()))?;
        let builder = Builder::unix_stream(socket).method_timeout(ANSWER_LIMIT);
        let connection = builder.build().await.map_err(no_bus)?;
        inherited::store(name, kept.as_fd())?;
        Ok(Self { connection, name: name.to_owned() })
    }

    /// Speaks on over `socket`, which is in the fd store under `name`.
    pub async fn resume(socket: OwnedFd, name: &str) -> Result<Self, LineError> {
        let connection = resume(socket.into()).await.map_err(|error| LineError::Dead(Box::new(error)))?;
        Ok(Self { connection, name: name.to_owned() })
    }

    /// Its connection, to subscribe to signals before the first call; on a resumed one no signal is seen.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Calls a method of `destination` and reads its answer.
    pub async fn call<R, B>(
        &self,
        destination: &str,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, zbus::Error>
    where
        R: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        let answer =
            self.connection.call_method(Some(destination), path, Some(interface), method, body).await?;
        answer.body().deserialize()
    }

    /// Ends it for good: the bus tells everybody that we are gone.
    pub async fn close(self) {
        if let Err(error) = inherited::remove(&self.name) {
            tracing::warn!("a connection to the session bus stays in the fd store: {error}");
        }
        // An error means that it is closed already.
        let _ = self.connection.close().await;
    }
}

async fn resume(socket: Socket) -> Result<Connection, zbus::Error> {
    socket.set_nonblocking(true)?;
    discard_unread(&socket)?;
    let stream = Resumed(UnixStream::from_std(socket)?);
    // p2p, because zbus would say Hello a second time, upon which the bus hangs up.
    let builder = Builder::authenticated_socket(stream, Guid::generate()).p2p().method_timeout(ANSWER_LIMIT);
    builder.build().await
}

/// Throws away what came in while nobody read: the end of a message that was half read when we died, answers to
/// calls that nobody remembers. The bus writes whole messages, so what is read next begins with one.
fn discard_unread(mut socket: &Socket) -> io::Result<()> {
    let mut unread = [0; 4096];
    loop {
        match socket.read(&mut unread) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The authenticated stream as zbus takes one.
#[derive(Debug)]
struct Resumed(UnixStream);

#[derive(Debug)]
struct Receiver(OwnedReadHalf);

#[derive(Debug)]
struct Sender(OwnedWriteHalf);

impl socket::Socket for Resumed {
    type ReadHalf = Receiver;
    type WriteHalf = Sender;

    fn split(self) -> Split<Receiver, Sender> {
        let (read, write) = self.0.into_split();
        Split::new(Receiver(read), Sender(write))
    }
}

#[async_trait]
impl ReadHalf for Receiver {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let stream: &UnixStream = self.0.as_ref();
        stream.async_io(Interest::READABLE, || receive(stream.as_fd(), buffer)).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// What lies ready, and the descriptors that came with it.
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((read.bytes, fds.flatten().collect()))
}

#[async_trait]
impl WriteHalf for Sender {
    // Nothing that is asked over a line carries descriptors.
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bus_address_is_a_path_among_others() {
        assert_eq!(path_of("unix:path=/run/user/7/bus"), Some("/run/user/7/bus".into()));
        assert_eq!(path_of("tcp:host=x;unix:guid=1,path=/b"), Some("/b".into()));
        assert_eq!(path_of("unix:abstract=/tmp/x"), None);
        assert_eq!(path_of(""), None);
    }

    /// Sabotage: leave `discard_unread` out of `resume`.
    #[tokio::test]
    async fn half_a_message_of_before_disturbs_nobody() {
        let (mut bus, ours) = Socket::pair().unwrap();
        bus.write_all(&[0x6c; 5000]).unwrap();
        let connection = resume(ours).await.unwrap();
        let answers = tokio::task::spawn_blocking(move || answer_one_call(bus));
        let asked = connection.call_method(Some("org.x"), "/x", Some("org.x"), "Ask", &());
        let answer: u32 = asked.await.unwrap().body().deserialize().unwrap();
        assert_eq!(answer, 7);
        answers.await.unwrap();
    }

    #[tokio::test]
    async fn dead_connection_is_told() {
        let (bus, ours) = Socket::pair().unwrap();
        drop(bus);
        assert!(matches!(Line::resume(ours.into(), "x").await, Err(LineError::Dead(_))));
    }

    /// Reads one method call and answers 7, as the bus would.
    fn answer_one_call(mut bus: Socket) {
        let mut call = vec![0; 16];
        bus.read_exact(&mut call).unwrap();
        let word = |at: usize| u32::from_ne_bytes(call[at..at + 4].try_into().unwrap());
        let (body, serial, fields) = (word(4), word(8), word(12));
        let mut rest = vec![0; (fields.next_multiple_of(8) + body) as usize];
        bus.read_exact(&mut rest).unwrap();
        // Little endian here as there: method return, version 1, body of 4 bytes, serial 1; fields REPLY_SERIAL,
        // SIGNATURE "u".
        let endian = if cfg!(target_endian = "little") { b'l' } else { b'B' };
        let mut reply = vec![endian, 2, 0, 1];
        for number in [4u32, 1, 15] {
            reply.extend(number.to_ne_bytes());
        }
        reply.extend([5, 1, b'u', 0]);
        reply.extend(serial.to_ne_bytes());
        reply.extend([8, 1, b'g', 0, 1, b'u', 0, 0]);
        reply.extend(7u32.to_ne_bytes());
        bus.write_all(&reply).unwrap();
    }
}

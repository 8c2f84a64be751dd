//! The sockets of the stage: two of lumen/1, and those of GameStream. They lie in systemd's fd store, so that what clients send while the stage
//! restarts waits in the kernel instead of being refused.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use lumen_stage::inherited::{self, Stored};

use crate::{
    config::Config,
    gamestream,
    occupant::{self, Transport},
    record,
};

/// Name in the fd store.
const CONTROL: &str = "control-socket";
/// Name in the fd store.
const VIDEO: &str = "video-socket";

/// Send buffer asked for the video socket in bytes: an IDR of a large picture in one go. The kernel may give less.
pub const SEND_BUFFER: usize = 4 << 20;
/// How long systemd may take to close a socket that it was asked to forget, 50 times 20 ms.
const RELEASE_TRIES: usize = 50;
const RELEASE_PAUSE: Duration = Duration::from_millis(20);

/// Why there is no socket; each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody else has the port.
    #[error(
        "{transport} port {port} of {ip} is taken by {by}; end it, or set `{setting}` in transportd.toml (/etc/lumen, or ~/.config/lumen)",
        port = address.port(), ip = address.ip()
    )]
    Taken {
        /// What kind of port.
        transport: Transport,
        /// Where we wanted to listen.
        address: SocketAddr,
        /// Who is there.
        by: occupant::Occupant,
        /// The setting to change.
        setting: &'static str,
    },
    /// The address is not this machine's, or the port is not ours to take.
    #[error(
        "cannot listen on {address}: {source}; set `{setting}` in transportd.toml (/etc/lumen, or ~/.config/lumen)"
    )]
    Bind {
        /// Where we wanted to listen.
        address: SocketAddr,
        /// The setting to change.
        setting: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// All sockets, non-blocking.
#[derive(Debug)]
pub struct Sockets {
    /// QUIC.
    pub control: UdpSocket,
    /// Video out, hellos in.
    pub video: UdpSocket,
    /// GameStream's, or why there are none: lumen/1 goes on without them.
    pub gamestream: Result<gamestream::sockets::Sockets, gamestream::Off>,
    /// Records of sessions.
    pub records: Vec<Stored>,
    /// Descriptors of the store that nobody knows, removed.
    pub strangers: usize,
}

impl Sockets {
    /// Takes the sockets out of the store where they still fit the configuration, and makes the others.
    pub fn open(config: &Config, stored: Vec<Stored>) -> Result<Self, SocketError> {
        let mut kept = Kept::new(stored);
        let control: UdpSocket = kept.socket(CONTROL, config.listen, "listen")?;
        let video: UdpSocket = kept.socket(VIDEO, config.video(), "video_port")?;
        let gamestream = gamestream::sockets::Sockets::open(&config.gamestream, &mut kept);
        // The kernel's own limit (net.core.wmem_max) may be lower, which costs only a wait when it is full.
        let _ = socket2::SockRef::from(&video).set_send_buffer_size(SEND_BUFFER);
        Ok(Self { control, video, gamestream, records: kept.records(), strangers: kept.sweep() })
    }
}

/// A kind of socket that is kept.
pub trait Kind: From<OwnedFd> + AsFd {
    /// For messages.
    const TRANSPORT: Transport;
    /// For what the kernel says of a descriptor.
    const TYPE: socket2::Type;

    /// A new one.
    fn bound(address: SocketAddr) -> io::Result<Self>;
    /// Where it is.
    fn address(&self) -> io::Result<SocketAddr>;
    /// Whether it waits for bytes.
    fn nonblocking(&self) -> io::Result<()>;
}

impl Kind for UdpSocket {
    const TRANSPORT: Transport = Transport::Udp;
    const TYPE: socket2::Type = socket2::Type::DGRAM;

    fn bound(address: SocketAddr) -> io::Result<Self> {
        Self::bind(address)
    }
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
    fn nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl Kind for TcpListener {
    const TRANSPORT: Transport = Transport::Tcp;
    const TYPE: socket2::Type = socket2::Type::STREAM;

    fn bound(address: SocketAddr) -> io::Result<Self> {
        Self::bind(address)
    }
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
    fn nonblocking(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

/// What the incarnation before left.
#[derive(Debug)]
pub struct Kept(Vec<Stored>);

impl Kept {
    fn new(stored: Vec<Stored>) -> Self {
        Self(stored)
    }

    /// The socket `name` at `address`: that of the incarnation before, or else a new one that is kept for the next.
    ///
    /// # Errors
    /// [`SocketError`] names `setting`.
    pub fn socket<S: Kind>(
        &mut self,
        name: &str,
        address: SocketAddr,
        setting: &'static str,
    ) -> Result<S, SocketError> {
        let stored = self.take(name);
        let was_stored = stored.is_some();
        if let Some(socket) = stored.and_then(|fd| fitting(fd, address)) {
            return Ok(socket);
        }
        forget(name);
        let socket: S = if was_stored { bind_after(address, setting)? } else { bind(address, setting)? };
        if let Err(error) = inherited::store(name, socket.as_fd()) {
            tracing::warn!(STAGE = "transportd", "the {name} would not survive a restart: {error}");
        }
        Ok(socket)
    }

    /// Lets go of the socket `name`: what listens no more shall not look as if it did.
    pub fn drop(&mut self, name: &str) {
        drop(self.take(name));
        forget(name);
    }

    fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let place = self.0.iter().position(|stored| stored.name == name)?;
        Some(self.0.swap_remove(place).fd)
    }

    fn records(&mut self) -> Vec<Stored> {
        self.0.extract_if(.., |stored| stored.name.starts_with(record::PREFIX)).collect()
    }

    /// Drops what is left and removes it from the store, or it would fill up.
    fn sweep(self) -> usize {
        let strangers = self.0.iter().filter(|stored| ![CONTROL, VIDEO].contains(&stored.name.as_str()));
        strangers.inspect(|stored| forget(&stored.name)).count()
    }
}

/// Binds where systemd may still hold the socket of another setting: it lets go a moment after it was asked to.
fn bind_after<S: Kind>(address: SocketAddr, setting: &'static str) -> Result<S, SocketError> {
    for _ in 0..RELEASE_TRIES {
        match bind(address, setting) {
            Err(SocketError::Taken { .. }) => std::thread::sleep(RELEASE_PAUSE),
            done => return done,
        }
    }
    bind(address, setting)
}

fn forget(name: &str) {
    // Without systemd there is no store to remove it from.
    let _ = inherited::remove(name);
}

/// The socket if it is bound where the configuration wants it.
fn fitting<S: Kind>(fd: OwnedFd, wanted: SocketAddr) -> Option<S> {
    let is_such = socket2::SockRef::from(&fd).r#type().is_ok_and(|kind| kind == S::TYPE);
    let socket = S::from(fd);
    let bound = socket.address().ok().filter(|_| is_such)?;
    let port_fits = wanted.port() == 0 || wanted.port() == bound.port();
    (bound.ip() == wanted.ip() && port_fits).then_some(socket)
}

/// A new socket at `address`.
///
/// # Errors
/// [`SocketError`] names `setting`.
pub fn bind<S: Kind>(address: SocketAddr, setting: &'static str) -> Result<S, SocketError> {
    let bound = S::bound(address).and_then(|socket| socket.nonblocking().map(|()| socket));
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let transport = S::TRANSPORT;
            SocketError::Taken { transport, address, by: occupant::find(transport, address), setting }
        }
        _ => SocketError::Bind { address, setting, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str, video_port: u16) -> Config {
        let gamestream = gamestream::config::Settings { enabled: false, ..Default::default() };
        Config { listen: listen.parse().unwrap(), video_port, gamestream, ..Config::default() }
    }

    fn stored(name: &str, socket: &UdpSocket) -> Stored {
        Stored { name: name.to_owned(), fd: socket.try_clone().unwrap().into() }
    }

    /// Sabotage: always bind anew.
    #[test]
    fn the_sockets_of_the_incarnation_before_are_taken_back() {
        let old = Sockets::open(&config("127.0.0.1:0", 0), Vec::new()).unwrap();
        let (control, video) = (old.control.local_addr().unwrap(), old.video.local_addr().unwrap());
        let config = config(&control.to_string(), video.port());
        let store =
            vec![stored(VIDEO, &old.video), stored("left-over", &old.video), stored(CONTROL, &old.control)];
        let new = Sockets::open(&config, store).unwrap();
        assert_eq!(new.control.local_addr().unwrap(), control);
        assert_eq!(new.video.local_addr().unwrap(), video);
        assert_eq!(new.strangers, 1);
    }

    #[test]
    fn a_socket_of_another_configuration_is_not_used() {
        let old = UdpSocket::bind("127.0.0.1:0").unwrap();
        let new = Sockets::open(&config("127.0.0.2:0", 0), vec![stored(CONTROL, &old)]).unwrap();
        assert_ne!(new.control.local_addr().unwrap(), old.local_addr().unwrap());
    }

    #[test]
    fn a_taken_port_is_told_with_its_holder_and_the_setting() {
        let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let error = Sockets::open(&config(&address.to_string(), 0), Vec::new()).unwrap_err();
        let message = error.to_string();
        for part in [address.port().to_string(), std::process::id().to_string(), "`listen`".into()] {
            assert!(message.contains(&part), "{message}");
        }
        let error = Sockets::open(&config("127.0.0.1:0", address.port()), Vec::new()).unwrap_err();
        assert!(error.to_string().contains("`video_port`"), "{error}");
    }

    #[test]
    fn a_foreign_address_is_told_with_the_setting() {
        let error = Sockets::open(&config("192.0.2.1:1", 0), Vec::new()).unwrap_err().to_string();
        assert!(error.contains("192.0.2.1:1") && error.contains("`listen`"), "{error}");
    }
}

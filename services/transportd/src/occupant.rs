//! Who holds a port, as far as this process may see.

use std::{fmt, fs, net::SocketAddr};

/// Which ports are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Those of datagrams.
    Udp,
    /// Those where connections are awaited.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

impl Transport {
    fn tables(self) -> [&'static str; 2] {
        match self {
            Self::Udp => ["/proc/self/net/udp", "/proc/self/net/udp6"],
            Self::Tcp => ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        }
    }

    /// The kernel's number for the state of a socket that keeps others off its port.
    fn state(self) -> &'static str {
        match self {
            Self::Udp => "07",
            Self::Tcp => "0A",
        }
    }

    /// The option of `ss` that lists them.
    fn option(self) -> &'static str {
        match self {
            Self::Udp => "-ulnp",
            Self::Tcp => "-tlnp",
        }
    }
}

/// The holder of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// A process that we may look into.
    Process {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A process of this user that we may not look into, because the sandbox hides it.
    Hidden {
        /// Its user.
        uid: u32,
        /// The port.
        port: u16,
        /// Whose port it is.
        transport: Transport,
    },
    /// The kernel lists nobody; it may have ended meanwhile.
    Nobody,
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "process {pid} ({name})"),
            Self::Hidden { uid, port, transport } => write!(
                f,
                "a process of user {uid} that this stage may not look into (`ss {} sport = :{port}` names it)",
                transport.option()
            ),
            Self::Nobody => f.write_str("somebody who is gone by now: start lumen.target again"),
        }
    }
}

/// Looks for the holder of `address`'s port.
pub fn find(transport: Transport, address: SocketAddr) -> Occupant {
    let port = address.port();
    let sockets = transport
        .tables()
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| holder(&table, port, transport.state()));
    match sockets {
        None => Occupant::Nobody,
        Some((uid, inode)) => process(inode).unwrap_or(Occupant::Hidden { uid, port, transport }),
    }
}

/// User and inode of the socket in `state` on `port` in a table of `/proc/net/udp`'s form.
fn holder(table: &str, port: u16, state: &str) -> Option<(u32, u64)> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
        if u16::from_str_radix(local_port, 16) != Ok(port) || fields.nth(1)? != state {
            return None;
        }
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some((uid, inode))
    })
}

/// Whether a process of this name is among the holders of `address`'s port; systemd holds what lies in a fd store too.
pub fn is_held_by(name: &str, transport: Transport, address: SocketAddr) -> bool {
    let tables = transport.tables().into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let mut sockets = tables.filter_map(|table| holder(&table, address.port(), transport.state()));
    sockets.any(|(_, inode)| processes(inode).any(|pid| name_of(pid) == name))
}

/// The first process that has the socket `inode` open and lets us see it.
fn process(inode: u64) -> Option<Occupant> {
    processes(inode).next().map(|pid| Occupant::Process { pid, name: name_of(pid) })
}

/// All of them.
fn processes(inode: u64) -> impl Iterator<Item = u32> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(move |pid| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target.as_os_str() == wanted.as_str())
    })
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(|_| "?".into(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn the_holder_of_a_port_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let Occupant::Process { pid, .. } = find(Transport::Udp, address) else {
            panic!("{:?}", find(Transport::Udp, address));
        };
        assert_eq!(pid, std::process::id());
        assert_eq!(find(Transport::Tcp, address), Occupant::Nobody);
        drop(socket);
        assert_eq!(find(Transport::Udp, address), Occupant::Nobody);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = find(Transport::Tcp, listener.local_addr().unwrap());
        assert!(matches!(found, Occupant::Process { pid, .. } if pid == std::process::id()), "{found:?}");
    }

    /// Provenance: a line of Linux 6.1.
    #[test]
    fn the_kernels_table_is_read() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
                     1234: 0100007F:BAA1 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 98765 2 0000000000000000 0\n";
        assert_eq!(holder(table, 47777, "07"), Some((1000, 98765)));
        assert_eq!(holder(table, 47778, "07"), None);
        assert_eq!(holder(table, 47777, "0A"), None);
    }
}

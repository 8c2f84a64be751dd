//! Who holds a UDP port, as far as this process may see.

use std::{fmt, fs, net::SocketAddr};

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
    },
    /// The kernel lists nobody; it may have ended meanwhile.
    Nobody,
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "process {pid} ({name})"),
            Self::Hidden { uid, port } => write!(
                f,
                "a process of user {uid} that this stage may not look into (`ss -ulnp sport = :{port}` names it)"
            ),
            Self::Nobody => f.write_str("somebody who is gone by now: start lumen.target again"),
        }
    }
}

/// Looks for the holder of `address`'s port.
pub fn find(address: SocketAddr) -> Occupant {
    let port = address.port();
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    let sockets = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| holder(&table, port));
    match sockets {
        None => Occupant::Nobody,
        Some((uid, inode)) => process(inode).unwrap_or(Occupant::Hidden { uid, port }),
    }
}

/// User and inode of the socket on `port` in a table of `/proc/net/udp`'s form.
fn holder(table: &str, port: u16) -> Option<(u32, u64)> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
        if u16::from_str_radix(local_port, 16) != Ok(port) {
            return None;
        }
        let uid = fields.nth(5)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some((uid, inode))
    })
}

/// The first process that has the socket `inode` open and lets us see it.
fn process(inode: u64) -> Option<Occupant> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            fds.filter_map(|fd| fs::read_link(fd.path()).ok())
                .any(|target| target.as_os_str() == wanted.as_str())
        })
        .map(|pid| Occupant::Process {
            pid,
            name: fs::read_to_string(format!("/proc/{pid}/comm"))
                .map_or_else(|_| "?".into(), |name| name.trim().to_owned()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let Occupant::Process { pid, .. } = find(address) else {
            panic!("{:?}", find(address));
        };
        assert_eq!(pid, std::process::id());
        drop(socket);
        assert_eq!(find(address), Occupant::Nobody);
    }

    /// Provenance: a line of Linux 6.1.
    #[test]
    fn the_kernels_table_is_read() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
                     1234: 0100007F:BAA1 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 98765 2 0000000000000000 0\n";
        assert_eq!(holder(table, 47777), Some((1000, 98765)));
        assert_eq!(holder(table, 47778), None);
    }
}

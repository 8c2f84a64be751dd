//! What passes on this machine's networks: a copy of each UDP datagram over IPv4. Needs root.

use std::{
    io,
    net::UdpSocket,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, eth, socket_with};

/// Protocol number of UDP in an IPv4 head, and where heads end.
const UDP: u8 = 17;
const UDP_HEAD: usize = 8;

/// A copy of a datagram.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Port that it was sent to.
    pub to: u16,
    /// The whole payload.
    pub payload: Vec<u8>,
    /// The type of service of its IPv4 head: DSCP and ECN.
    pub tos: u8,
    /// Port that it came from.
    pub from: u16,
}

/// A listener on all networks of this namespace.
pub struct Tap(UdpSocket);

impl Tap {
    /// From now on.
    ///
    /// # Errors
    /// The kernel refuses it: this is not root.
    pub fn open() -> io::Result<Self> {
        let socket =
            socket_with(AddressFamily::PACKET, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(eth::IP))?;
        // Not a UDP socket; of what std has for those, it does the same here: `recv` and its timeout.
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self(socket))
    }

    /// All that passes within `time` and that `wanted` says yes to.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen(&self, time: Duration, wanted: impl Fn(&Seen) -> bool) -> io::Result<Vec<Seen>> {
        let (end, mut packet, mut seen) = (Instant::now() + time, vec![0; 65_536], Vec::new());
        while Instant::now() < end {
            match self.0.recv(&mut packet) {
                Ok(len) => seen.extend(packet.get(..len).and_then(parse).filter(&wanted)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }
}

/// The datagram in an IPv4 packet; `None` if there is none, or a fragment that is not the first.
fn parse(packet: &[u8]) -> Option<Seen> {
    let [first, tos, .., fragment, offset] = *packet.first_chunk::<8>()?;
    let is_first = fragment & 0x1f == 0 && offset == 0;
    if first >> 4 != 4 || *packet.get(9)? != UDP || !is_first {
        return None;
    }
    let udp = packet.get(usize::from(first & 15) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes(udp.get(at..)?.first_chunk().copied()?));
    Some(Seen { to: port(2)?, from: port(0)?, payload: udp.get(UDP_HEAD..)?.to_vec(), tos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_read_out_of_its_packet() {
        let mut packet = vec![0x46, 0xa0, 0, 34, 0, 0, 0x40, 0, 64, UDP, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2];
        packet.extend([0; 4]);
        packet.extend([0x12, 0x34, 0xbb, 0x80, 0, 10, 0, 0, 7, 8]);
        let seen = Seen { to: 48_000, from: 0x1234, payload: vec![7, 8], tos: 0xa0 };
        assert_eq!(parse(&packet), Some(seen));
        for (at, value) in [(0, 0x60), (6, 0x21), (7, 1), (9, 6)] {
            let mut other = packet.clone();
            other[at] = value;
            assert_eq!(parse(&other), None, "byte {at} is {value}");
        }
        assert_eq!(parse(&packet[..27]), None);
    }
}

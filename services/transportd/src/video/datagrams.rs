//! One call of sendmsg for a burst: with GSO, our own address, and the mark that networks sort by.
//!
//! quinn-udp sends a type of service with each datagram, of which it leaves its caller the two bits of ECN; what is sent so
//! outranks what the socket was told.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, UdpSocket},
};

use arrayvec::ArrayVec;
use libc::{
    IP_PKTINFO, IP_TOS, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO, IPV6_TCLASS, SOL_UDP, UDP_SEGMENT, c_int,
};
use socket2::{MsgHdr, SockAddr, SockRef};

use super::outlet::Destination;

/// The type of service (IPv4) or traffic class (IPv6) of a datagram: a DSCP, and no ECN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficClass(u8);

impl TrafficClass {
    /// Like all other traffic.
    pub const BEST_EFFORT: Self = Self(0);
    /// CS5, because access points make Wi-Fi's *video* of it; other hosts mark theirs so.
    pub const VIDEO: Self = Self(40 << 2);
    /// CS6, because access points make Wi-Fi's *voice* of it.
    pub const SOUND: Self = Self(48 << 2);

    /// The byte of the IP head.
    pub const fn byte(self) -> u8 {
        self.0
    }
}

/// Bytes of a control message's head: `struct cmsghdr`.
const HEAD: usize = size_of::<usize>() + 2 * size_of::<c_int>();
/// Room for an address of IPv6, a traffic class and a length, each with its head, and aligned.
const ROOM: usize = 3 * HEAD + 24 + 2 * size_of::<usize>();

/// Control messages, as the kernel reads them.
#[derive(Default)]
struct Control(ArrayVec<u8, ROOM>);

impl Control {
    fn push(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        let len = HEAD + data.len();
        let parts = [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
        let padding = [0; size_of::<usize>()];
        let padding = padding.get(..len.next_multiple_of(padding.len()) - len).unwrap_or_default();
        for part in parts.into_iter().chain([padding]) {
            self.0.try_extend_from_slice(part).expect("there is room for one of each kind");
        }
    }

    fn class(&mut self, class: TrafficClass, to: IpAddr) {
        let byte = c_int::from(class.byte()).to_ne_bytes();
        // IPv4 on a socket of IPv6 has a head of IPv4.
        match to.to_canonical() {
            IpAddr::V4(_) => self.push(IPPROTO_IP, IP_TOS, &byte),
            IpAddr::V6(_) => self.push(IPPROTO_IPV6, IPV6_TCLASS, &byte),
        }
    }

    fn source(&mut self, from: IpAddr) {
        let mut info = [0; 20];
        match from {
            // The interface, our address, and one that only the kernel fills in.
            IpAddr::V4(from) => {
                info[4..8].copy_from_slice(&from.octets());
                self.push(IPPROTO_IP, IP_PKTINFO, &info[..12]);
            }
            // Our address and the interface.
            IpAddr::V6(from) => {
                info[..16].copy_from_slice(&from.octets());
                self.push(IPPROTO_IPV6, IPV6_PKTINFO, &info);
            }
        }
    }
}

/// Sends `contents` as one datagram, or as several of `segment_len` bytes, of which the last may be shorter. Does not allocate.
///
/// # Errors
/// What the kernel says; nothing was sent then.
pub fn send(
    socket: &UdpSocket,
    contents: &[u8],
    segment_len: Option<u16>,
    destination: Destination,
    class: TrafficClass,
) -> io::Result<()> {
    let mut control = Control::default();
    control.class(class, destination.to.ip());
    if let Some(len) = segment_len {
        control.push(SOL_UDP, UDP_SEGMENT, &len.to_ne_bytes());
    }
    if let Some(from) = destination.from {
        control.source(from);
    }
    let (address, buffers) = (SockAddr::from(destination.to), [IoSlice::new(contents)]);
    let message = MsgHdr::new().with_addr(&address).with_buffers(&buffers).with_control(&control.0);
    loop {
        match SockRef::from(socket).sendmsg(&message, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map(drop),
        }
    }
}

//! A UDP socket as the session threads use it: bursts out with GSO, one call of the kernel each.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use lumen_core::Burst;
use quinn_udp::UdpSocketState;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    datagrams::{self, TrafficClass},
    figures::Figures,
};

/// How long a full socket may hold a session up before the burst is given up, twice 5 ms: all bursts of a
/// large frame together must stay below the watchdog's patience.
const FULL_TRIES: usize = 2;
const FULL_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// Where a client's datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Where its newest hello came from.
    pub to: SocketAddr,
    /// Which of our addresses it was sent to: answers leave from there.
    pub from: Option<IpAddr>,
}

/// The stage's video socket.
#[derive(Debug)]
pub struct Outlet {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Datagrams that one call may send.
    max_segments: AtomicUsize,
}

impl Outlet {
    /// Sets the socket's options.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let max_segments = state.max_gso_segments().max(1).into();
        Ok(Self { socket, state, max_segments })
    }

    /// Datagrams that one call may send: 1 where the kernel has no GSO.
    pub fn max_segments(&self) -> usize {
        self.max_segments.load(Relaxed)
    }

    /// The socket itself, for what comes in.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Its options, for what comes in.
    pub fn state(&self) -> &UdpSocketState {
        &self.state
    }

    /// Hands a burst to the kernel, in one call if it can. What the kernel refuses is counted, not sent again: parity
    /// and IDRs mend it as they mend a loss. Does not allocate.
    pub fn send(&self, burst: &Burst<'_>, destination: Destination, class: TrafficClass, figures: &Figures) {
        if burst.count <= self.max_segments() {
            let segment_len = (burst.count > 1).then_some(burst.segment_len);
            match self.hand_over(burst.bytes, segment_len, destination, class) {
                Ok(()) => return figures.burst(burst.count, burst.bytes.len()),
                Err(error) if burst.count > 1 && is_about_segments(&error) => {
                    self.max_segments.store(1, Relaxed);
                }
                Err(_) => return lost(burst.count, figures),
            }
        }
        for datagram in burst.datagrams() {
            match self.hand_over(datagram, None, destination, class) {
                Ok(()) => figures.burst(1, datagram.len()),
                Err(_) => lost(1, figures),
            }
        }
    }

    /// Hands one datagram to the kernel, and waits a moment where it has no room for it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn post(&self, datagram: &[u8], destination: Destination, class: TrafficClass) -> io::Result<()> {
        self.hand_over(datagram, None, destination, class)
    }

    fn hand_over(
        &self,
        contents: &[u8],
        segment_len: Option<usize>,
        destination: Destination,
        class: TrafficClass,
    ) -> io::Result<()> {
        // No datagram is longer than its length can say.
        let segment_len = segment_len.map(|len| len as u16);
        for _ in 0..FULL_TRIES {
            match datagrams::send(&self.socket, contents, segment_len, destination, class) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_room(),
                done => return done,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn wait_for_room(&self) {
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::OUT)];
        // An interrupted or failed wait is a shorter one; the tries are counted.
        let _ = poll(&mut fds, Some(&FULL_PAUSE));
    }
}

/// Whether the kernel or its device may have no GSO, which some say only when they are asked to send so.
fn is_about_segments(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::INVAL))
}

fn lost(datagrams: usize, figures: &Figures) {
    figures.unsent.fetch_add(datagrams as u64, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet() -> Outlet {
        Outlet::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap()
    }

    #[test]
    fn a_burst_arrives_as_its_datagrams() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (outlet, figures) = (outlet(), Figures::default());
        let destination = Destination { to: receiver.local_addr().unwrap(), from: None };
        let bytes: Vec<u8> = (0..3000u32).map(|n| (n / 1000) as u8).collect();
        let burst = Burst { bytes: &bytes, segment_len: 1000, count: 3 };
        outlet.send(&burst, destination, TrafficClass::BEST_EFFORT, &figures);
        let mut buffer = [0; 2000];
        for n in 0..3 {
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 1000);
            assert_eq!(buffer[0], n);
        }
        assert_eq!(figures.datagrams.load(Relaxed), 3);
        assert_eq!(figures.bytes.load(Relaxed), 3000);
    }

    #[test]
    fn what_the_kernel_refuses_is_counted() {
        let (outlet, figures) = (outlet(), Figures::default());
        let destination = Destination { to: "[2001:db8::1]:9".parse().unwrap(), from: None };
        let burst = Burst { bytes: &[0; 100], segment_len: 50, count: 2 };
        outlet.send(&burst, destination, TrafficClass::BEST_EFFORT, &figures);
        assert_eq!(figures.unsent.load(Relaxed), 2);
        assert_eq!(figures.datagrams.load(Relaxed), 0);
    }
}

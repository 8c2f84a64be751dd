//! A link: one end of a `SOCK_SEQPACKET` pair that carries one kind of message in each direction.
//!
//! Both ends send a [`Hello`] first. Every received packet is checked whole before anything is done with it: its
//! length, its message, the exact number of its descriptors, and what each of them is. A packet that fails ends
//! the link, since a peer that breaks the contract once cannot be trusted with the next message.
//!
//! **Invariant:** descriptors are received CLOEXEC and a sender keeps no copy of a link, or its hang-up is lost.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use arrayvec::ArrayVec;
use lumen_ipc::{
    FdKind, FdRule, Generation, LinkMessage, Stage,
    codec::{self, CodecError, MAX_MESSAGE},
    handshake::{HandshakeError, Hello},
    pool::MAX_BUFFERS,
};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg,
        socketpair, sockopt,
    },
};

use crate::{
    dmabuf, failpoint,
    memory::{self, MemoryError},
};

/// Descriptors of one packet.
pub type Fds = ArrayVec<OwnedFd, MAX_BUFFERS>;

/// Why a link cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other end hung up.
    #[error("the other end of the link hung up")]
    Closed,
    /// The other end does not read: its queue is full. The message was not sent.
    #[error("the other end of the link does not read")]
    Full,
    /// The descriptor is not a link.
    #[error("the file descriptor is not a SOCK_SEQPACKET Unix socket")]
    NotALink,
    /// The greeting was not acceptable.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A packet was not a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A packet was longer than a message, or came with more descriptors than any message has.
    #[error("a packet was larger than any message")]
    Oversized,
    /// A message came with the wrong number of descriptors.
    #[error("a message came with {got} file descriptors, it takes {need}")]
    FdCount {
        /// How many it takes.
        need: usize,
        /// How many came.
        got: usize,
    },
    /// A descriptor was not what the message says.
    #[error(transparent)]
    Fd(#[from] MemoryError),
    /// The kernel refused.
    #[error("the link failed: {0}")]
    Kernel(Errno),
}

/// A received message with its descriptors, all checked.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// Its descriptors, as many and of the kind that [`LinkMessage::fds`] says.
    pub fds: Fds,
}

/// One end of a link. Never blocks; poll [`AsFd`] for readiness.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
    expected: Stage,
    peer: Option<Generation>,
}

/// Makes the two ends of a link.
pub fn pair() -> Result<(OwnedFd, OwnedFd), LinkError> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
        .map_err(LinkError::Kernel)
}

impl Link {
    /// Starts a link over `fd` and greets the other end, which must be `expected`.
    pub fn start(fd: OwnedFd, me: Stage, generation: Generation, expected: Stage) -> Result<Self, LinkError> {
        let kind = sockopt::socket_type(&fd).map_err(|_| LinkError::NotALink)?;
        let domain = sockopt::socket_domain(&fd).map_err(|_| LinkError::NotALink)?;
        if kind != SocketType::SEQPACKET || domain != AddressFamily::UNIX {
            return Err(LinkError::NotALink);
        }
        rustix::io::ioctl_fionbio(&fd, true).map_err(LinkError::Kernel)?;
        let link = Self { fd, expected, peer: None };
        link.send(&Hello::new(me, generation), &[])?;
        Ok(link)
    }

    /// The incarnation of the other end, once its greeting came.
    pub fn peer(&self) -> Option<Generation> {
        self.peer
    }

    /// Sends one message with its descriptors, which stay the caller's. Does not allocate.
    pub fn send<M: LinkMessage>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        debug_assert_eq!(message.fds().count, fds.len());
        let mut bytes = [0; MAX_MESSAGE];
        let len = codec::encode(message, &mut bytes)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_BUFFERS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(LinkError::Oversized);
        }
        let packet = bytes.get(..len).unwrap_or_default();
        failpoint::at_message("sends", message);
        match sendmsg(
            &self.fd,
            &[IoSlice::new(packet)],
            &mut control,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        ) {
            Ok(_) => {
                failpoint::at_message("sent", message);
                Ok(())
            }
            Err(Errno::AGAIN) => Err(LinkError::Full),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(LinkError::Closed),
            Err(error) => Err(LinkError::Kernel(error)),
        }
    }

    /// Takes the next message, `None` if none has come yet. Takes in the greeting on the way.
    pub fn receive<M: LinkMessage>(&mut self) -> Result<Option<Received<M>>, LinkError> {
        if self.peer.is_none() {
            let Some(hello) = self.packet::<Hello>()? else {
                return Ok(None);
            };
            hello.message.check(self.expected)?;
            self.peer = Some(hello.message.generation);
        }
        self.packet()
    }

    fn packet<M: LinkMessage>(&self) -> Result<Option<Received<M>>, LinkError> {
        let mut bytes = [0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_BUFFERS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut read = || recvmsg(&self.fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
        // A peer that hung up without having read all leaves ECONNRESET once, before what it said last.
        let received =
            match read().or_else(|error| if error == Errno::CONNRESET { read() } else { Err(error) }) {
                Ok(received) => received,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::CONNRESET | Errno::NOTCONN) => return Err(LinkError::Closed),
                Err(error) => return Err(LinkError::Kernel(error)),
            };
        let fds = take_fds(&mut control);
        if received.bytes == 0 && fds.is_empty() {
            return Err(LinkError::Closed);
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(LinkError::Oversized);
        }
        let message: M = codec::decode(bytes.get(..received.bytes).unwrap_or_default())?;
        check_fds(message.fds(), &fds)?;
        failpoint::at_message("took", &message);
        Ok(Some(Received { message, fds }))
    }
}

/// All received descriptors; the buffer has room for no more than [`MAX_BUFFERS`].
fn take_fds(control: &mut RecvAncillaryBuffer<'_>) -> Fds {
    let mut fds = Fds::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            received.for_each(|fd| drop(fds.try_push(fd)));
        }
    }
    fds
}

fn check_fds(rule: FdRule, fds: &Fds) -> Result<(), LinkError> {
    if fds.len() != rule.count {
        return Err(LinkError::FdCount { need: rule.count, got: fds.len() });
    }
    for fd in fds {
        match rule.kind {
            FdKind::SealedMemfd { bytes } => memory::check_sealed(fd.as_fd(), bytes)?,
            FdKind::Dmabuf { bytes } => dmabuf::check(fd.as_fd(), bytes)?,
        }
    }
    Ok(())
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::{
        Damage, Mode, Timeline,
        capture::{Frame, FromCapture, ToCapture},
        encode::{Codec, FromEncode},
        pool::BufferId,
    };

    fn link() -> (Link, Link) {
        let (a, b) = pair().unwrap();
        let a = Link::start(a, Stage::Captured, Generation(1), Stage::Encoded).unwrap();
        (a, Link::start(b, Stage::Encoded, Generation(2), Stage::Captured).unwrap())
    }

    fn frame(number: u64) -> FromCapture {
        let buffer = BufferId { pool: 1, buffer: 0 };
        let damage = Damage::full(64, 64);
        let timeline = Timeline::default();
        FromCapture::Frame(Frame { number, buffer, damage, skipped: 0, pointer: None, timeline })
    }

    #[test]
    fn messages_arrive_whole_and_in_order_after_the_greeting() {
        let (a, mut b) = link();
        (0..5).for_each(|n| a.send(&frame(n), &[]).unwrap());
        for n in 0..5 {
            assert_eq!(b.receive::<FromCapture>().unwrap().unwrap().message, frame(n));
        }
        assert!(b.receive::<FromCapture>().unwrap().is_none());
        assert_eq!(b.peer(), Some(Generation(1)));
        drop(a);
        assert!(matches!(b.receive::<FromCapture>(), Err(LinkError::Closed)));
    }

    /// Sabotage: take ECONNRESET for the hang-up.
    #[test]
    fn the_last_words_of_a_peer_that_did_not_read_all_are_heard() {
        let (a, mut b) = link();
        a.send(&frame(1), &[]).unwrap();
        b.send(&ToCapture::Close, &[]).unwrap();
        b.send(&frame(2), &[]).unwrap();
        let mut a = a;
        assert!(a.receive::<ToCapture>().unwrap().is_some());
        drop(a);
        assert_eq!(b.receive::<FromCapture>().unwrap().unwrap().message, frame(1));
        assert!(matches!(b.receive::<FromCapture>(), Err(LinkError::Closed)));
    }

    #[test]
    fn a_stage_at_the_wrong_end_is_refused() {
        let (a, b) = pair().unwrap();
        let _a = Link::start(a, Stage::Inputd, Generation(1), Stage::Encoded).unwrap();
        let mut b = Link::start(b, Stage::Encoded, Generation(2), Stage::Captured).unwrap();
        assert!(matches!(
            b.receive::<FromCapture>(),
            Err(LinkError::Handshake(HandshakeError::Stage { .. }))
        ));
    }

    #[test]
    fn only_unix_seqpacket_sockets_are_links() {
        let start = |fd: OwnedFd| Link::start(fd, Stage::Encoded, Generation(1), Stage::Captured);
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(start(null.into()), Err(LinkError::NotALink)));
        let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(matches!(start(stream.into()), Err(LinkError::NotALink)));
    }

    /// Sabotage: leave out `check_fds`, or compare the count with `<`.
    #[test]
    fn descriptors_of_the_wrong_kind_or_number_end_the_link() {
        let ready = FromEncode::Ready {
            mode: Mode { width: 64, height: 64, refresh_mhz: 60_000 },
            codec: Codec::H264,
            ring_bytes: 8192,
        };
        let good = memory::sealed("test", 8192).unwrap();
        let small = memory::sealed("test", 4096).unwrap();
        let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        let cases: [(&[&OwnedFd], bool); 5] =
            [(&[&good], true), (&[], false), (&[&good, &good], false), (&[&small], false), (&[&null], false)];
        for (fds, accepted) in cases {
            let (a, mut b) = link();
            let mut bytes = [0; MAX_MESSAGE];
            let len = codec::encode(&ready, &mut bytes).unwrap();
            send_raw(&a, &bytes[..len], &fds.iter().map(|fd| fd.as_fd()).collect::<Vec<_>>());
            let answer = b.receive::<FromEncode>();
            assert_eq!(answer.is_ok(), accepted, "{answer:?}");
        }
    }

    fn send_raw(link: &Link, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(20))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
        sendmsg(&link.fd, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    /// Sabotage: keep the descriptors of refused packets in a list.
    #[test]
    fn a_hostile_stage_costs_no_descriptor_and_no_panic() {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        let baseline = open();
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        for _ in 0..20_000 {
            let (a, mut b) = link();
            let bytes: Vec<u8> = (0..random() % 80 + 1).map(|_| (random() % 6) as u8).collect();
            let fds: Vec<_> = (0..random() % 18).map(|_| null.as_fd()).collect();
            send_raw(&a, &bytes, &fds);
            let _ = b.receive::<FromCapture>();
            drop(a);
            while b.receive::<ToCapture>().is_ok_and(|message| message.is_some()) {}
        }
        // Other tests of this process open a few of their own.
        assert!(open() < baseline + 40, "{} descriptors, {baseline} before", open());
    }
}

//! The Wayland wire: requests out, events in, and not one allocation once it is warm.
//!
//! Our own, because wayland-client allocates for every object made and both capture protocols make one for
//! every picture; and because one read a wake-up is enough here, where it takes two. Only what a capture
//! needs is here: no server-made objects, no events with descriptors. A test compares
//! [`protocol`](super::protocol) with the protocol files.
//!
//! Every message is `object: u32, length << 16 | opcode: u32, arguments…` in the machine's byte order, each
//! argument 4 bytes but strings (length with the final zero, bytes, padding to 4). Descriptors travel beside
//! the bytes.

use super::protocol::{Interface, display};
use arrayvec::ArrayVec;
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
        sendmsg,
    },
};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// Bytes of the two words before the arguments.
const HEADER: usize = 8;
/// Bytes read at once. Because libwayland sends no message above 4096 and queues no more than this at a time.
const INCOMING: usize = 16 * 1024;
/// Descriptors sent with one packet, as libwayland does.
const MAX_FDS: usize = 28;
/// Ids from here on are made by the server; none of our interfaces does so.
const SERVER_IDS: u32 = 0xff00_0000;

/// An object on both sides of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub u32);

/// The one object that is always there.
pub(super) const DISPLAY: Id = Id(1);

/// Why the connection is at its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The compositor closed it.
    #[error("the compositor closed the connection")]
    Closed,
    /// The kernel refused.
    #[error("{0}")]
    Kernel(Errno),
    /// The compositor refused a request of ours.
    #[error("the compositor refused a request to {interface}: {message} (code {code})")]
    Refused {
        /// What the request went to.
        interface: &'static str,
        /// The error's number in that interface.
        code: u32,
        /// The compositor's own words.
        message: String,
    },
    /// The compositor sent what is no event.
    #[error("the compositor sent {what}")]
    Garbage {
        /// What it sent.
        what: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// Free for a new object.
    Free,
    Live(Interface),
    /// Destroyed by us; its events mean nothing, and its id is free when the server says so.
    Dead,
}

/// One event, its arguments not yet read.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub sender: Id,
    pub interface: Interface,
    pub opcode: u16,
    pub arguments: Arguments<'a>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    socket: UnixStream,
    /// Indexed by id − 1.
    slots: Vec<Slot>,
    incoming: Box<[u8]>,
    taken: usize,
    filled: usize,
    outgoing: Vec<u8>,
    outgoing_fds: ArrayVec<OwnedFd, MAX_FDS>,
}

impl Wire {
    /// Speaks Wayland over `socket`, which nobody has used yet.
    pub fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            slots: vec![Slot::Live(Interface::Display)],
            incoming: vec![0; INCOMING].into_boxed_slice(),
            taken: 0,
            filled: 0,
            outgoing: Vec::with_capacity(4096),
            outgoing_fds: ArrayVec::new(),
        }
    }

    /// A new id for an object that the next request makes.
    pub fn make(&mut self, interface: Interface) -> Id {
        let free = self.slots.iter().position(|slot| *slot == Slot::Free);
        let index = free.unwrap_or(self.slots.len());
        match self.slots.get_mut(index) {
            Some(slot) => *slot = Slot::Live(interface),
            None => self.slots.push(Slot::Live(interface)),
        }
        Id(index as u32 + 1)
    }

    /// The request just sent destroyed `id`.
    pub fn forget(&mut self, id: Id) {
        if let Some(slot) = self.slot(id.0) {
            *slot = Slot::Dead;
        }
    }

    /// Starts a request; it is queued by [`Request::send`].
    pub fn request(&mut self, object: Id, opcode: u16) -> Request<'_> {
        let start = self.outgoing.len();
        self.outgoing.extend_from_slice(&object.0.to_ne_bytes());
        self.outgoing.extend_from_slice(&u32::from(opcode).to_ne_bytes());
        Request { wire: self, start }
    }

    /// Lets a copy of `fd` travel with the request queued next.
    ///
    /// # Errors
    /// No descriptor is left, or the connection is at its end.
    pub fn attach(&mut self, fd: BorrowedFd<'_>) -> Result<(), WireError> {
        let copy = rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(WireError::Kernel)?;
        if self.outgoing_fds.is_full() {
            self.flush()?;
        }
        self.outgoing_fds.try_push(copy).map_err(|_| WireError::Kernel(Errno::AGAIN))
    }

    /// Sends what is queued. What the kernel does not take now goes with the next flush.
    ///
    /// # Errors
    /// The connection is at its end.
    pub fn flush(&mut self) -> Result<(), WireError> {
        while !self.outgoing.is_empty() {
            match self.send() {
                Ok(sent) => {
                    self.outgoing.drain(..sent);
                    self.outgoing_fds.clear();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(WireError::Closed),
                Err(errno) => return Err(WireError::Kernel(errno)),
            }
        }
        Ok(())
    }

    /// One packet of what is queued, with all descriptors; how many bytes the kernel took.
    fn send(&self) -> Result<usize, Errno> {
        let fds: ArrayVec<BorrowedFd<'_>, MAX_FDS> = self.outgoing_fds.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            // Always fits: the space is for as many as the list holds.
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.socket, &[IoSlice::new(&self.outgoing)], &mut control, flags)
    }

    /// Reads what arrived, once; whether anything did.
    ///
    /// # Errors
    /// The connection is at its end.
    pub fn read(&mut self) -> Result<bool, WireError> {
        self.incoming.copy_within(self.taken..self.filled, 0);
        (self.taken, self.filled) = (0, self.filled - self.taken);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let rest = self.incoming.get_mut(self.filled..).unwrap_or_default();
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        // Descriptors, which none of our events has, are closed with `control`.
        match recvmsg(&self.socket, &mut [IoSliceMut::new(rest)], &mut control, flags) {
            Ok(received) if received.bytes == 0 => Err(WireError::Closed),
            Ok(received) => {
                self.filled += received.bytes;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(WireError::Closed),
            Err(errno) => Err(WireError::Kernel(errno)),
        }
    }

    /// The next event among what was read, those of the display handled on the way.
    ///
    /// # Errors
    /// The compositor refused a request, or sent garbage.
    pub fn next(&mut self) -> Result<Option<Event<'_>>, WireError> {
        loop {
            let Some((sender, opcode, length)) = self.header()? else { return Ok(None) };
            let body = self.taken + HEADER..self.taken + length;
            self.taken += length;
            let slot = self.slot(sender).map_or(Slot::Free, |slot| *slot);
            match slot {
                Slot::Free => return Err(WireError::Garbage { what: "an event of an unknown object" }),
                Slot::Dead => {}
                Slot::Live(Interface::Display) => self.handle_display(opcode, body)?,
                Slot::Live(interface) => {
                    let arguments = Arguments(self.incoming.get(body).unwrap_or_default());
                    return Ok(Some(Event { sender: Id(sender), interface, opcode, arguments }));
                }
            }
        }
    }

    /// Sender, opcode and length of the next message, once it is here as a whole.
    fn header(&self) -> Result<Option<(u32, u16, usize)>, WireError> {
        let mut words = Arguments(self.incoming.get(self.taken..self.filled).unwrap_or_default());
        let here = words.0.len();
        let (Ok(sender), Ok(word)) = (words.uint(), words.uint()) else { return Ok(None) };
        let length = (word >> 16) as usize;
        if length < HEADER || !length.is_multiple_of(4) || length > INCOMING {
            return Err(WireError::Garbage { what: "a message of an impossible length" });
        }
        Ok((length <= here).then_some((sender, word as u16, length)))
    }

    fn handle_display(&mut self, opcode: u16, body: std::ops::Range<usize>) -> Result<(), WireError> {
        let mut arguments = Arguments(self.incoming.get(body).unwrap_or_default());
        match opcode {
            display::DELETE_ID => {
                let id = arguments.uint()?;
                if let Some(slot) = self.slot(id).filter(|_| id != DISPLAY.0) {
                    *slot = Slot::Free;
                }
                Ok(())
            }
            display::ERROR => {
                let (object, code) = (arguments.uint()?, arguments.uint()?);
                let message = String::from_utf8_lossy(arguments.string()?).into_owned();
                let interface = match self.slot(object) {
                    Some(Slot::Live(interface)) => interface.name(),
                    _ => "an object that is gone",
                };
                Err(WireError::Refused { interface, code, message })
            }
            _ => Ok(()),
        }
    }

    fn slot(&mut self, id: u32) -> Option<&mut Slot> {
        let index = id.checked_sub(1).filter(|_| id < SERVER_IDS)?;
        self.slots.get_mut(index as usize)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A request under construction.
#[must_use = "a request is queued by `send` alone"]
pub(super) struct Request<'a> {
    wire: &'a mut Wire,
    start: usize,
}

impl Request<'_> {
    /// An unsigned argument.
    pub fn uint(self, value: u32) -> Self {
        self.wire.outgoing.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// A signed argument.
    pub fn int(self, value: i32) -> Self {
        self.uint(value.cast_unsigned())
    }

    /// An object, an existing or a new one.
    pub fn object(self, id: Id) -> Self {
        self.uint(id.0)
    }

    /// A string without a zero in it.
    pub fn string(self, text: &str) -> Self {
        let length = text.len() + 1;
        let request = self.uint(length as u32);
        request.wire.outgoing.extend_from_slice(text.as_bytes());
        let zeros = length.next_multiple_of(4) - text.len();
        request.wire.outgoing.extend(std::iter::repeat_n(0, zeros));
        request
    }

    /// Queues it.
    pub fn send(self) {
        let length = (self.wire.outgoing.len() - self.start) as u32;
        let at = self.start + 4..self.start + HEADER;
        if let Some(word) = self.wire.outgoing.get_mut(at).and_then(|word| word.first_chunk_mut::<4>()) {
            *word = (u32::from_ne_bytes(*word) | length << 16).to_ne_bytes();
        }
    }
}

/// The arguments of an event, read one after the other.
#[derive(Debug)]
pub(super) struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    /// An unsigned number or an object.
    pub fn uint(&mut self) -> Result<u32, WireError> {
        let (word, rest) = self.0.split_first_chunk::<4>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u32::from_ne_bytes(*word))
    }

    /// A signed number.
    pub fn int(&mut self) -> Result<i32, WireError> {
        self.uint().map(u32::cast_signed)
    }

    /// A string without its final zero.
    pub fn string(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.uint()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length.next_multiple_of(4)).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes.get(..length.saturating_sub(1)).unwrap_or_default())
    }
}

const SHORT: WireError = WireError::Garbage { what: "an event that is too short" };

#[cfg(test)]
mod tests;

//! The connection to EIS: its first words, what it says, and what is on its way to it. Never waits after the first words.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use lumen_stage::clock::now_ns;
use reis::{
    Interface, PendingRequestResult,
    ei::{self, handshake::ContextType},
    event::{Device, EiEvent, EiEventConverter},
    handshake::EiHandshaker,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::EisError;

/// How long a compositor may take nothing from us. Because what waits for it is in our memory: 2,000 events a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection on which both sides have said who they are.
pub(super) struct Wire {
    context: ei::Context,
    converter: EiEventConverter,
    /// CLOCK_MONOTONIC nanoseconds since when the compositor takes nothing.
    stuck_since: Option<u64>,
}

impl Wire {
    /// Says the first words over `socket`, until `end` at the latest.
    pub(super) fn greet(socket: UnixStream, end: Instant) -> Result<Self, EisError> {
        let context = ei::Context::new(socket).map_err(lost)?;
        let mut greeting = EiHandshaker::new("lumen", ContextType::Sender);
        loop {
            wait(&context, end)?;
            context.read().map_err(lost)?;
            while let Some(said) = context.pending_event() {
                let Some(said) = understood(said)? else { continue };
                if let Some(answer) = greeting.handle_event(said).map_err(lost)? {
                    let converter = EiEventConverter::new(&context, answer);
                    return Ok(Self { context, converter, stuck_since: None });
                }
            }
        }
    }

    /// Waits until the compositor says something, until `end` at the latest.
    pub(super) fn wait(&self, end: Instant) -> Result<(), EisError> {
        wait(&self.context, end)
    }

    /// All that the compositor said.
    pub(super) fn hear(&mut self) -> Result<Vec<EiEvent>, EisError> {
        // What came with the first words is there already, and what it said last before it went counts.
        let read = self.context.read();
        while let Some(said) = self.context.pending_event() {
            if let Some(said) = understood(said)? {
                self.converter.handle_event(said).map_err(lost)?;
            }
        }
        let heard: Vec<EiEvent> = std::iter::from_fn(|| self.converter.next_event()).collect();
        match read {
            Err(error) if heard.is_empty() => Err(lost(error)),
            _ => Ok(heard),
        }
    }

    /// Sends what waits; what the kernel does not take now goes with the next call.
    pub(super) fn flush(&mut self) -> Result<(), EisError> {
        match self.context.flush().map_err(io::Error::from) {
            Ok(()) => self.stuck_since = None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let since = *self.stuck_since.get_or_insert_with(now_ns);
                if Duration::from_nanos(now_ns() - since) > PATIENCE {
                    return Err(EisError::Silent { ms: PATIENCE.as_millis() });
                }
            }
            Err(error) => return Err(lost(error)),
        }
        Ok(())
    }

    /// What was said to `device` since its last frame happens, now.
    pub(super) fn frame(&self, device: &Device) {
        device.device().frame(self.converter.connection().serial(), now_ns() / 1000);
    }

    /// Asks for the compositor's word that it has read what was said before: which callback it will say is done.
    pub(super) fn sync(&self) -> u64 {
        self.converter.connection().connection().sync(1).as_object().id()
    }

    /// Whether all that was said was sent at the last [`flush`](Self::flush).
    pub(super) fn is_clear(&self) -> bool {
        self.stuck_since.is_none()
    }

    /// What the connection is called, and the last serial of the compositor's.
    pub(super) fn numbers(&self) -> (u64, u32) {
        let connection = self.converter.connection();
        (connection.connection().as_object().id(), connection.serial())
    }

    /// The connection, for who sends the rest.
    pub(super) fn context(&self) -> ei::Context {
        self.context.clone()
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.context.as_fd()
    }
}

fn wait(context: &ei::Context, end: Instant) -> Result<(), EisError> {
    let left = end.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [PollFd::new(context, PollFlags::IN)], Some(&timeout)) {
        Ok(0) => Err(EisError::Silent { ms: super::ANSWER.as_millis() }),
        // An interrupted wait reads nothing, and what is not there yet is awaited again.
        _ => Ok(()),
    }
}

/// What was said, unless it is of something that we gave back.
fn understood<T>(said: PendingRequestResult<T>) -> Result<Option<T>, EisError> {
    match said {
        PendingRequestResult::Request(said) => Ok(Some(said)),
        PendingRequestResult::InvalidObject(_) => Ok(None),
        PendingRequestResult::ParseError(error) => Err(lost(error)),
    }
}

fn lost(error: impl std::fmt::Display) -> EisError {
    EisError::Lost(error.to_string())
}

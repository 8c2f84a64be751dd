//! The first words with a compositor: what it has, which output is ours, which way of capturing it offers.

use super::{
    protocol::{Interface, Said, display, output, read, registry},
    wire::{DISPLAY, Id, Wire, WireError},
};
use crate::backends::SourceError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// How long a compositor may take to answer each of two questions. Because the session's thread waits here,
/// and its watchdog allows it 2 s.
const ANSWER: Duration = Duration::from_millis(700);
/// wl_output tells its name from this version on.
const OUTPUT_WITH_NAME: u32 = 4;
/// wlr-screencopy copies only what changed from version 2 on and says `buffer_done` from version 3 on.
const SCREENCOPY: u32 = 3;

/// An output of the compositor, as it described itself.
#[derive(Debug)]
pub(super) struct Output {
    pub id: Id,
    /// Its number in the registry.
    pub global: u32,
    pub name: String,
    pub width: u32,
    pub height: u32,
    pub refresh_mhz: u32,
    pub transform: u32,
}

/// The way of capturing that the compositor offers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Offered {
    CopyCapture { source_maker: Id, copy_capture: Id },
    Screencopy { manager: Id },
}

/// A connection, and what was found behind it.
#[derive(Debug)]
pub(super) struct Compositor {
    pub wire: Wire,
    pub shm: Id,
    pub output: Output,
    pub offered: Offered,
}

struct Global {
    name: u32,
    interface: String,
    version: u32,
}

struct Greeting {
    wire: Wire,
    registry: Id,
    globals: Vec<Global>,
}

impl Compositor {
    /// Asks the compositor behind `socket` for the output called `name`, and for a way of capturing, which is
    /// ext-image-copy-capture only if `copy_capture` allows it. Waits for its two answers, 0.7 s each at most.
    ///
    /// # Errors
    /// `Silent`, `Lost`, `NoOutput`, `NoProtocol`.
    pub fn find(socket: UnixStream, name: &str, copy_capture: bool) -> Result<Self, SourceError> {
        let mut greeting = Greeting::new(socket)?;
        let shm = greeting.bind(Interface::Shm, 1)?;
        let offered = greeting.capture_protocol(copy_capture)?;
        let output = greeting.output(name)?;
        Ok(Self { wire: greeting.wire, shm, output, offered })
    }
}

impl Greeting {
    fn new(socket: UnixStream) -> Result<Self, SourceError> {
        let mut wire = Wire::new(socket);
        let registry = wire.make(Interface::Registry);
        wire.request(DISPLAY, display::GET_REGISTRY).object(registry).send();
        let mut globals = Vec::new();
        settle(&mut wire, |_, said| {
            if let Said::Global { name, interface, version } = said {
                globals.push(Global { name, interface, version });
            }
        })?;
        Ok(Self { wire, registry, globals })
    }

    /// Binds the first global of this kind in exactly this version.
    fn bind(&mut self, interface: Interface, version: u32) -> Result<Id, SourceError> {
        let fits = |global: &&Global| global.interface == interface.name() && global.version >= version;
        let global = self.globals.iter().find(fits).map(|global| global.name);
        let global = global.ok_or(SourceError::NoProtocol { missing: interface.name() })?;
        Ok(self.bind_global(global, interface, version))
    }

    fn bind_global(&mut self, global: u32, interface: Interface, version: u32) -> Id {
        let id = self.wire.make(interface);
        let request = self.wire.request(self.registry, registry::BIND).uint(global);
        request.string(interface.name()).uint(version).object(id).send();
        id
    }

    fn offers(&self, interface: Interface) -> bool {
        self.globals.iter().any(|global| global.interface == interface.name())
    }

    /// ext-image-copy-capture where it is whole, because it missed no picture where wlr-screencopy missed one
    /// in some hundred.
    fn capture_protocol(&mut self, copy_capture: bool) -> Result<Offered, SourceError> {
        if copy_capture && self.offers(Interface::SourceMaker) && self.offers(Interface::CopyCapture) {
            let source_maker = self.bind(Interface::SourceMaker, 1)?;
            let copy_capture = self.bind(Interface::CopyCapture, 1)?;
            return Ok(Offered::CopyCapture { source_maker, copy_capture });
        }
        Ok(Offered::Screencopy { manager: self.bind(Interface::Screencopy, SCREENCOPY)? })
    }

    fn output(&mut self, name: &str) -> Result<Output, SourceError> {
        let is_output = |global: &&Global| global.interface == Interface::Output.name();
        let fits = |global: &&Global| global.version >= OUTPUT_WITH_NAME;
        let globals: Vec<u32> = self.globals.iter().filter(is_output).filter(fits).map(|g| g.name).collect();
        let bind =
            |global| Output::new(self.bind_global(global, Interface::Output, OUTPUT_WITH_NAME), global);
        let mut outputs: Vec<Output> = globals.into_iter().map(bind).collect();
        settle(&mut self.wire, |sender, said| {
            let output = outputs.iter_mut().find(|output| output.id == sender);
            output.into_iter().for_each(|output| output.hear(&said));
        })?;
        let known = outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = outputs.iter().position(|output| output.name == name);
        let ours = found.map(|index| outputs.swap_remove(index));
        for other in outputs {
            self.wire.request(other.id, output::RELEASE).send();
            self.wire.forget(other.id);
        }
        ours.ok_or(SourceError::NoOutput { name: name.to_owned(), known })
    }
}

/// Waits until the compositor has handled everything asked before, showing what it says meanwhile to `hear`.
fn settle(wire: &mut Wire, mut hear: impl FnMut(Id, Said)) -> Result<(), SourceError> {
    let callback = wire.make(Interface::Callback);
    wire.request(DISPLAY, display::SYNC).object(callback).send();
    let end = Instant::now() + ANSWER;
    loop {
        while let Some(event) = wire.next()? {
            let sender = event.sender;
            match read(event)? {
                Some(Said::Synced) if sender == callback => return Ok(()),
                Some(said) => hear(sender, said),
                None => {}
            }
        }
        wire.flush()?;
        wait(wire, end)?;
        wire.read()?;
    }
}

fn wait(wire: &Wire, end: Instant) -> Result<(), SourceError> {
    let left = end.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [PollFd::new(wire, PollFlags::IN)], Some(&timeout)) {
        Ok(0) => Err(SourceError::Silent { ms: ANSWER.as_millis() }),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(WireError::Kernel(errno).into()),
    }
}

impl Output {
    fn new(id: Id, global: u32) -> Self {
        Self { id, global, name: String::new(), width: 0, height: 0, refresh_mhz: 0, transform: 0 }
    }

    /// Takes in what it says of itself; a rate or size below zero counts as unknown.
    pub fn hear(&mut self, said: &Said) {
        let unsigned = |n: i32| u32::try_from(n).unwrap_or(0);
        match said {
            Said::OutputName(name) => name.clone_into(&mut self.name),
            Said::OutputTransform(transform) => self.transform = *transform,
            Said::OutputMode { width, height, refresh_mhz } => {
                (self.width, self.height) = (unsigned(*width), unsigned(*height));
                self.refresh_mhz = unsigned(*refresh_mhz);
            }
            _ => {}
        }
    }
}

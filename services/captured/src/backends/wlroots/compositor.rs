//! The first words with a compositor: what it has, which output is ours, which way of capturing it offers.

use super::inbox::{Inbox, Listened, Said};
use crate::backends::SourceError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};
use wayland_client::{
    Connection, Proxy,
    backend::{InvalidId, WaylandError},
    protocol::{
        wl_callback::WlCallback, wl_display, wl_output::WlOutput, wl_registry, wl_registry::WlRegistry,
        wl_shm::WlShm,
    },
};
use wayland_protocols::ext::{
    image_capture_source::v1::client::ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1,
    image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1,
};
use wayland_protocols_wlr::screencopy::v1::client::zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1;

/// How long a compositor may take to answer. Because the session's thread waits here, and its watchdog allows 2 s.
const ANSWER: Duration = Duration::from_secs(1);
/// wl_output tells its name from this version on.
const OUTPUT_WITH_NAME: u32 = 4;
/// wlr-screencopy copies only what changed from version 2 on and says `buffer_done` from version 3 on.
const SCREENCOPY: u32 = 3;

/// An output of the compositor, as it described itself.
#[derive(Debug)]
pub(super) struct Output {
    pub proxy: WlOutput,
    /// Its number in the registry.
    pub global: u32,
    pub name: String,
    pub width: u32,
    pub height: u32,
    pub refresh_mhz: u32,
    pub transform: u32,
}

/// The way of capturing that the compositor offers.
#[derive(Debug)]
pub(super) enum Offered {
    CopyCapture(ExtOutputImageCaptureSourceManagerV1, ExtImageCopyCaptureManagerV1),
    Screencopy(ZwlrScreencopyManagerV1),
}

/// A connection, and what was found behind it.
pub(super) struct Compositor {
    pub connection: Connection,
    pub inbox: Arc<Inbox>,
    pub shm: WlShm,
    pub output: Output,
    pub offered: Offered,
}

struct Global {
    name: u32,
    interface: String,
    version: u32,
}

struct Greeting {
    connection: Connection,
    inbox: Arc<Inbox>,
    registry: WlRegistry,
    globals: Vec<Global>,
}

impl Compositor {
    /// Asks the compositor behind `socket` for the output called `name`. Waits for its answers, a second each at most.
    ///
    /// # Errors
    /// `Silent`, `Lost`, `NoOutput`, `NoProtocol`.
    pub fn find(socket: UnixStream, name: &str) -> Result<Self, SourceError> {
        let greeting = Greeting::new(socket)?;
        let shm = greeting.bind::<WlShm>("wl_shm", 1, 1)?;
        let offered = greeting.capture_protocol()?;
        let output = greeting.output(name)?;
        let Greeting { connection, inbox, .. } = greeting;
        Ok(Self { connection, inbox, shm, output, offered })
    }
}

impl Greeting {
    fn new(socket: UnixStream) -> Result<Self, SourceError> {
        let gone = |_| WaylandError::Io(rustix::io::Errno::PIPE.into());
        let connection = Connection::from_socket(socket).map_err(gone)?;
        let inbox = Inbox::new();
        let get = wl_display::Request::GetRegistry {};
        let registry = made(connection.display().send_constructor(get, inbox.ear::<WlRegistry>()))?;
        let mut greeting = Self { connection, inbox, registry, globals: Vec::new() };
        let mut globals = Vec::new();
        greeting.settle(|_, said| {
            if let Said::Global { name, interface, version } = said {
                globals.push(Global { name, interface, version });
            }
        })?;
        greeting.globals = globals;
        Ok(greeting)
    }

    /// Waits until the compositor has handled everything asked before, showing what it says meanwhile to `hear`.
    fn settle(&self, mut hear: impl FnMut(u32, Said)) -> Result<(), SourceError> {
        let ear = self.inbox.ear::<WlCallback>();
        let sync: WlCallback =
            made(self.connection.display().send_constructor(wl_display::Request::Sync {}, ear))?;
        let end = Instant::now() + ANSWER;
        loop {
            while let Some((sender, said)) = self.inbox.take() {
                match said {
                    Said::Synced if sender == sync.id().protocol_id() => return Ok(()),
                    said => hear(sender, said),
                }
            }
            self.connection.flush()?;
            self.wait_until(end)?;
            match self.connection.prepare_read().map(wayland_client::backend::ReadEventsGuard::read) {
                Some(Err(WaylandError::Io(error))) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(_)) | None => {}
            }
        }
    }

    fn wait_until(&self, end: Instant) -> Result<(), SourceError> {
        let left = end.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.connection, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => Err(SourceError::Silent { seconds: ANSWER.as_secs() }),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(SourceError::System { what: "waiting for the compositor", errno }),
        }
    }

    fn bind<I: Listened>(&self, interface: &'static str, least: u32, most: u32) -> Result<I, SourceError> {
        let matches = |global: &&Global| global.interface == interface && global.version >= least;
        let global = self.globals.iter().find(matches).ok_or(SourceError::NoProtocol { missing: interface })?;
        self.bind_global(global, most)
    }

    fn bind_global<I: Listened>(&self, global: &Global, most: u32) -> Result<I, SourceError> {
        let id = (I::interface(), global.version.min(most));
        made(self.registry.send_constructor(
            wl_registry::Request::Bind { name: global.name, id },
            self.inbox.ear::<I>(),
        ))
    }

    /// ext-image-copy-capture where it is whole, because it missed no picture where wlr-screencopy missed one in some hundred.
    fn capture_protocol(&self) -> Result<Offered, SourceError> {
        let sources = self.bind("ext_output_image_capture_source_manager_v1", 1, 1);
        let captures = self.bind("ext_image_copy_capture_manager_v1", 1, 1);
        match (sources, captures) {
            (Ok(sources), Ok(captures)) => Ok(Offered::CopyCapture(sources, captures)),
            _ => self
                .bind("zwlr_screencopy_manager_v1", SCREENCOPY, SCREENCOPY)
                .map(Offered::Screencopy),
        }
    }

    fn output(&self, name: &str) -> Result<Output, SourceError> {
        let globals = self.globals.iter().filter(|global| global.interface == "wl_output");
        let mut outputs = Vec::new();
        for global in globals.filter(|global| global.version >= OUTPUT_WITH_NAME) {
            let proxy = self.bind_global(global, OUTPUT_WITH_NAME)?;
            outputs.push(Output::new(proxy, global.name));
        }
        self.settle(|sender, said| {
            let output = outputs.iter_mut().find(|output| output.is(sender));
            output.into_iter().for_each(|output| output.hear(&said));
        })?;
        let found = outputs.iter().position(|output| output.name == name);
        let known = outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
        let ours = found.map(|index| outputs.swap_remove(index));
        outputs.iter().for_each(|other| other.proxy.release());
        ours.ok_or(SourceError::NoOutput { name: name.to_owned(), known })
    }
}

impl Output {
    fn new(proxy: WlOutput, global: u32) -> Self {
        Self { proxy, global, name: String::new(), width: 0, height: 0, refresh_mhz: 0, transform: 0 }
    }

    /// Whether the object with this protocol id is this output.
    pub fn is(&self, sender: u32) -> bool {
        self.proxy.id().protocol_id() == sender
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

/// An object just made; its maker being gone means that the connection is.
pub(super) fn made<T>(object: Result<T, InvalidId>) -> Result<T, SourceError> {
    object.map_err(|InvalidId| WaylandError::Io(rustix::io::Errno::PIPE.into()).into())
}

//! The connection: what the compositor has, which output is ours, which keymap its keyboard has.

use std::{
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{fs::FileExt, net::UnixStream},
    },
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::{
    Connection, Dispatch, EventQueue, Proxy, QueueHandle, WEnum,
    backend::WaylandError,
    delegate_noop,
    protocol::{
        wl_callback::{self, WlCallback},
        wl_keyboard::{self, KeymapFormat, WlKeyboard},
        wl_output::{self, WlOutput},
        wl_registry::{self, WlRegistry},
        wl_seat::{self, Capability, WlSeat},
    },
};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::{
    zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1,
    zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1,
};
use wayland_protocols_wlr::virtual_pointer::v1::client::{
    zwlr_virtual_pointer_manager_v1::ZwlrVirtualPointerManagerV1,
    zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1,
};

use super::WlrError;

/// How long a compositor may take to answer one question. Because the session's thread waits here, and its watchdog allows
/// it 2 s.
const ANSWER: Duration = Duration::from_millis(700);

/// wl_output tells its name from this version on.
const OUTPUT_WITH_NAME: u32 = 4;

/// A pointer can be bound to an output from this version on.
const POINTER_WITH_OUTPUT: u32 = 2;

/// Longest keymap that is read. Because that of a whole keyboard has some 60 KiB.
const MAX_KEYMAP: u32 = 1 << 20;

/// A connection to a compositor that has everything.
pub(super) struct Compositor {
    connection: Connection,
    queue: EventQueue<Heard>,
    heard: Heard,
    seat: WlSeat,
    output: WlOutput,
    keyboards: ZwpVirtualKeyboardManagerV1,
    pointers: ZwlrVirtualPointerManagerV1,
}

struct Global {
    name: u32,
    interface: String,
    version: u32,
}

/// What the compositor said.
#[derive(Default)]
struct Heard {
    globals: Vec<Global>,
    /// Names of the outputs, by the numbers of their globals.
    outputs: Vec<(u32, String)>,
    has_keyboard: bool,
    keymap: Option<String>,
    answered: bool,
    /// Number of our output's global, once it is known.
    ours: Option<u32>,
    is_gone: bool,
}

impl Compositor {
    /// Asks the compositor behind `socket` for the output called `name` and for the protocols.
    pub(super) fn find(socket: UnixStream, name: &str) -> Result<Self, WlrError> {
        let connection =
            Connection::from_socket(socket).map_err(|error| WlrError::Lost(error.to_string()))?;
        let queue = connection.new_event_queue();
        let handle = queue.handle();
        let registry = connection.display().get_registry(&handle, ());
        let mut greeting = Greeting { connection, queue, heard: Heard::default(), registry };
        greeting.settle()?;
        let keyboards: ZwpVirtualKeyboardManagerV1 = greeting.bind(1, ())?;
        let pointers: ZwlrVirtualPointerManagerV1 = greeting.bind(POINTER_WITH_OUTPUT, ())?;
        let seat: WlSeat = greeting.bind(1, ())?;
        let output = greeting.output(name)?;
        if greeting.heard.has_keyboard {
            seat.get_keyboard(&handle, ());
            greeting.settle()?;
        }
        let Greeting { connection, queue, heard, .. } = greeting;
        Ok(Self { connection, queue, heard, seat, output, keyboards, pointers })
    }

    /// The keymap of the compositor's own keyboard, if it has one.
    pub(super) fn keymap(&self) -> Option<&str> {
        self.heard.keymap.as_deref()
    }

    pub(super) fn make_keyboard(&self) -> ZwpVirtualKeyboardV1 {
        self.keyboards.create_virtual_keyboard(&self.seat, &self.queue.handle(), ())
    }

    /// A pointer that reaches our output only.
    pub(super) fn make_pointer(&self) -> ZwlrVirtualPointerV1 {
        let handle = self.queue.handle();
        self.pointers.create_virtual_pointer_with_output(Some(&self.seat), Some(&self.output), &handle, ())
    }

    /// Waits until the compositor has handled everything asked before.
    pub(super) fn settle(&mut self) -> Result<(), WlrError> {
        settle(&self.connection, &mut self.queue, &mut self.heard)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// Takes in what came and sends what is queued; never waits.
    pub(super) fn dispatch(&mut self) -> Result<(), WlrError> {
        self.queue.dispatch_pending(&mut self.heard).map_err(lost)?;
        if let Some(guard) = self.connection.prepare_read() {
            match guard.read() {
                Ok(_) => {}
                Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(lost(error)),
            }
            self.queue.dispatch_pending(&mut self.heard).map_err(lost)?;
        }
        flush(&self.connection)?;
        if self.heard.is_gone { Err(WlrError::OutputGone) } else { Ok(()) }
    }
}

/// The first words with a compositor.
struct Greeting {
    connection: Connection,
    queue: EventQueue<Heard>,
    heard: Heard,
    registry: WlRegistry,
}

impl Greeting {
    fn settle(&mut self) -> Result<(), WlrError> {
        settle(&self.connection, &mut self.queue, &mut self.heard)
    }

    /// Binds the first global of this kind in exactly this version.
    fn bind<I, U>(&self, version: u32, data: U) -> Result<I, WlrError>
    where
        I: Proxy + 'static,
        U: Send + Sync + 'static,
        Heard: Dispatch<I, U>,
    {
        let interface = I::interface().name;
        let fits = |global: &&Global| global.interface == interface && global.version >= version;
        let global = self.heard.globals.iter().find(fits);
        let global = global.ok_or(WlrError::NoProtocol { missing: interface })?;
        Ok(self.registry.bind(global.name, version, &self.queue.handle(), data))
    }

    fn output(&mut self, name: &str) -> Result<WlOutput, WlrError> {
        let handle = self.queue.handle();
        let interface = WlOutput::interface().name;
        let fits = |global: &&Global| global.interface == interface && global.version >= OUTPUT_WITH_NAME;
        let mut outputs: Vec<(u32, WlOutput)> = Vec::new();
        for global in self.heard.globals.iter().filter(fits) {
            let output = self.registry.bind(global.name, OUTPUT_WITH_NAME, &handle, global.name);
            outputs.push((global.name, output));
        }
        self.settle()?;
        let ours = self.heard.outputs.iter().find(|(_, known)| known == name).map(|(global, _)| *global);
        self.heard.ours = ours;
        let mut found = None;
        for (global, output) in outputs {
            if Some(global) == ours {
                found = Some(output);
            } else {
                output.release();
            }
        }
        found.ok_or_else(|| {
            let known: Vec<&str> = self.heard.outputs.iter().map(|(_, name)| name.as_str()).collect();
            WlrError::NoOutput { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

/// Waits until the compositor has handled everything asked before, [`ANSWER`] at most.
fn settle(connection: &Connection, queue: &mut EventQueue<Heard>, heard: &mut Heard) -> Result<(), WlrError> {
    heard.answered = false;
    connection.display().sync(&queue.handle(), ());
    let end = Instant::now() + ANSWER;
    loop {
        queue.dispatch_pending(heard).map_err(lost)?;
        if heard.answered {
            return Ok(());
        }
        flush(connection)?;
        let Some(guard) = connection.prepare_read() else { continue };
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(connection, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(WlrError::Silent { ms: ANSWER.as_millis() }),
            // An interrupted wait reads nothing, and what is not there yet is awaited again.
            _ => match guard.read() {
                Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => drop(read.map_err(lost)?),
            },
        }
    }
}

/// Sends what is queued; what the kernel does not take now goes with the next call.
fn flush(connection: &Connection) -> Result<(), WlrError> {
    match connection.flush() {
        Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        flushed => flushed.map_err(lost),
    }
}

fn lost(error: impl std::fmt::Display) -> WlrError {
    WlrError::Lost(error.to_string())
}

/// The text of a keymap as a compositor hands it over: `size` bytes with a zero at the end.
fn read_keymap(fd: OwnedFd, size: u32) -> Option<String> {
    let mut bytes = vec![0; size.min(MAX_KEYMAP) as usize];
    // At a place, because the offset is shared with every other reader.
    File::from(fd).read_exact_at(&mut bytes, 0).ok()?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    bytes.truncate(end);
    String::from_utf8(bytes).ok()
}

impl Dispatch<WlRegistry, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, version } => {
                heard.globals.push(Global { name, interface, version });
            }
            wl_registry::Event::GlobalRemove { name } => {
                heard.globals.retain(|global| global.name != name);
                heard.is_gone |= heard.ours == Some(name);
            }
            _ => {}
        }
    }
}

impl Dispatch<WlOutput, u32> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlOutput,
        event: wl_output::Event,
        global: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_output::Event::Name { name } = event {
            heard.outputs.push((*global, name));
        }
    }
}

impl Dispatch<WlSeat, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlSeat,
        event: wl_seat::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_seat::Event::Capabilities { capabilities: WEnum::Value(capabilities) } = event {
            heard.has_keyboard = capabilities.contains(Capability::Keyboard);
        }
    }
}

impl Dispatch<WlKeyboard, ()> for Heard {
    fn event(
        heard: &mut Self,
        keyboard: &WlKeyboard,
        event: wl_keyboard::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        // Ours follows as soon as we type; only what was there before is of interest.
        if let wl_keyboard::Event::Keymap { format: WEnum::Value(KeymapFormat::XkbV1), fd, size } = event
            && heard.keymap.is_none()
        {
            heard.keymap = read_keymap(fd, size);
        }
        if keyboard.version() >= 3 && heard.keymap.is_some() {
            keyboard.release();
        }
    }
}

impl Dispatch<WlCallback, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlCallback,
        event: wl_callback::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        heard.answered |= matches!(event, wl_callback::Event::Done { .. });
    }
}

delegate_noop!(Heard: ZwpVirtualKeyboardManagerV1);
delegate_noop!(Heard: ZwpVirtualKeyboardV1);
delegate_noop!(Heard: ZwlrVirtualPointerManagerV1);
delegate_noop!(Heard: ZwlrVirtualPointerV1);

//! vdisplayd, as a session sees it: who gives it a source and takes it back.

use crate::{
    backends::{
        Source,
        pattern::Pattern,
        pipewire::{Asked, PipeWire},
        wlroots::{SCREENCOPY, Wlroots},
    },
    sound::Desks,
    tried::Tried,
};
use lumen_ipc::{
    Failure, FailureClass, Mode, SessionId, Stage,
    bus::{self, OutputSpec},
};
use lumen_stage::{Bus, Ladder, pulse::Pulse};
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::OnceLock,
};

/// Gives sources to sessions.
pub trait Display: Send + Sync {
    /// A source of `spec` for `session`. May wait, beating `pulse`.
    ///
    /// # Errors
    /// What to tell the reader.
    fn acquire(
        &self,
        session: SessionId,
        spec: &OutputSpec,
        pulse: &Pulse,
    ) -> Result<Box<dyn Source>, Failure>;

    /// A fresh connection to PipeWire; none by itself. May wait, beating `pulse`.
    ///
    /// # Errors
    /// Why there is no sound.
    fn sound(&self, _session: SessionId, _pulse: &Pulse) -> Result<OwnedFd, Failure> {
        let text = "no sound: the pictures are a test picture, without a desktop";
        let advice = "remove backend = \"pattern\" from captured.toml to get a desktop";
        Err(Failure::new(FailureClass::Environment, text, advice))
    }

    /// `session` needs its Output no more.
    fn release(&self, session: SessionId, pulse: &Pulse);
}

/// vdisplayd, over lumen's bus.
pub struct Vdisplayd {
    bus: OnceLock<Bus>,
    ladder: Ladder,
    desks: Desks,
}

impl Vdisplayd {
    /// Not yet to be reached. What it gives is captured in a way that `ladder` has not set aside; whose desktop it
    /// is, `desks` are told.
    pub fn new(ladder: Ladder, desks: Desks) -> Self {
        Self { bus: OnceLock::new(), ladder, desks }
    }

    /// From now on it can be reached.
    pub fn connect(&self, bus: Bus) {
        // Set once at the stage's start; a second bus would be the same one.
        let _ = self.bus.set(bus);
    }
}

impl Display for Vdisplayd {
    fn acquire(
        &self,
        session: SessionId,
        spec: &OutputSpec,
        pulse: &Pulse,
    ) -> Result<Box<dyn Source>, Failure> {
        let starting = || Failure::new(FailureClass::Temporary, "captured is starting", "wait a moment");
        let bus = self.bus.get().ok_or_else(starting)?;
        let call = async { bus.call(Stage::Vdisplayd, "Acquire", &(session.to_string(), spec)).await };
        let source: bus::Source = bus.wait(pulse, call).map_err(Failure::from)?;
        self.desks.place(session, source.users.unwrap_or_default());
        open(source, spec, &self.ladder)
    }

    fn sound(&self, session: SessionId, pulse: &Pulse) -> Result<OwnedFd, Failure> {
        let starting = || Failure::new(FailureClass::Temporary, "captured is starting", "wait a moment");
        let bus = self.bus.get().ok_or_else(starting)?;
        let call = async { bus.call(Stage::Vdisplayd, "Sound", &session.to_string()).await };
        let source: bus::SoundSource = bus.wait(pulse, call).map_err(Failure::from)?;
        let unreadable = || {
            let text = "no sound: vdisplayd answered without a connection to PipeWire";
            let advice =
                "install the same version of lumen-vdisplayd and lumen-captured, then restart lumen.target";
            Failure::new(FailureClass::Internal, text, advice)
        };
        source.fd.map(OwnedFd::from).ok_or_else(unreadable)
    }

    fn release(&self, session: SessionId, pulse: &Pulse) {
        let Some(bus) = self.bus.get() else { return };
        let call = async { bus.call::<_, ()>(Stage::Vdisplayd, "Release", &session.to_string()).await };
        if let Err(error) = bus.wait(pulse, call) {
            tracing::warn!(SESSION = %session, "vdisplayd was not told that the Output is free: {error}");
        }
    }
}

/// No compositor at all: the pattern, for every session.
pub struct Patterns;

impl Display for Patterns {
    fn acquire(&self, _: SessionId, spec: &OutputSpec, _: &Pulse) -> Result<Box<dyn Source>, Failure> {
        pattern(spec)
    }

    fn release(&self, _: SessionId, _: &Pulse) {}
}

/// Pictures of PipeWire as the GPU's memory, and as plain memory.
const PIPEWIRE: [&str; 2] = ["pipewire-dmabuf", "pipewire-memfd"];

/// Makes the source that vdisplayd's answer describes.
///
/// # Errors
/// An answer that makes no sense, or a source that does not work.
pub fn open(source: bus::Source, spec: &OutputSpec, ladder: &Ladder) -> Result<Box<dyn Source>, Failure> {
    let bus::Source { kind, fd, node, serial, output, detour, .. } = source;
    let mode = Mode { width: source.width, height: source.height, refresh_mhz: source.refresh_mhz };
    let purpose = mode.to_string();
    if ladder.is_falling() {
        let text = "captured begins anew, to capture in another way";
        return Err(Failure::new(FailureClass::Temporary, text, "wait a moment"));
    }
    match (kind.as_str(), fd, node, output) {
        ("wayland", Some(fd), None, Some(output)) => {
            let socket = UnixStream::from(OwnedFd::from(fd));
            let source = Wlroots::new(socket, &output, |way| !ladder.has_fallen(way, &purpose))?;
            let rung = ladder.hold(source.name(), &purpose, source.name() == SCREENCOPY);
            Ok(Box::new(Tried::new(source, rung)))
        }
        ("pipewire", Some(fd), Some(node), None) => {
            let first = usize::from(spec.memory.as_deref() != Some("dmabuf"));
            let chosen = PIPEWIRE.get(first..).and_then(|ways| ladder.choose(ways, &purpose));
            let (_, rung) = chosen.expect("there is at least one way");
            let asked = Asked { mode, dmabuf: rung.name() == PIPEWIRE[0], detour: detour == Some(true) };
            let source = {
                let _inside = rung.begin();
                PipeWire::new(fd.into(), (node, serial), asked)?
            };
            Ok(Box::new(Tried::new(source, rung)))
        }
        ("pattern", None, None, None) => pattern(spec),
        (kind, fd, node, output) => Err(Failure::new(
            FailureClass::Internal,
            format!(
                "vdisplayd answered with a source of kind {kind:?}, {} connection, {} node and {} output name, \
                 which captured cannot read",
                if fd.is_some() { "a" } else { "no" },
                if node.is_some() { "a" } else { "no" },
                if output.is_some() { "an" } else { "no" },
            ),
            "install the same version of lumen-vdisplayd and lumen-captured, then restart lumen.target",
        )),
    }
}

fn pattern(spec: &OutputSpec) -> Result<Box<dyn Source>, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(FailureClass::Request, error.to_string(), "ask for another mode, like 1280x720@60")
    };
    let mode: Mode = spec.mode().map_err(|error| refused(&error))?;
    Ok(Box::new(Pattern::new(mode)?))
}

//! vdisplayd, as a session sees it: who knows where input goes.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::OnceLock,
};

use lumen_ipc::{Failure, FailureClass, SessionId, Stage, bus::SeatSource};
use lumen_stage::{Bus, pulse::Pulse};

use crate::{
    backends::{
        Backend,
        eis::{Eis, drain::Drains},
        log::Log,
        wlr::Wlr,
    },
    config::Layout,
};

/// Gives backends to sessions.
pub trait Display: Send + Sync {
    /// What reaches the Output of `session`. May wait, beating `pulse`.
    ///
    /// # Errors
    /// Why nothing can be typed now.
    fn seat(&self, session: SessionId, pulse: &Pulse) -> Result<Box<dyn Backend>, Failure>;
}

/// vdisplayd, over lumen's bus.
pub struct Vdisplayd {
    bus: OnceLock<Bus>,
    layout: Layout,
    touch: Option<Drains>,
}

impl Vdisplayd {
    /// Not yet to be reached. `layout` is for desktops that have no keyboard of their own; fingers are taken if there is
    /// who lets go of them.
    pub fn new(layout: Layout, touch: Option<Drains>) -> Self {
        Self { bus: OnceLock::new(), layout, touch }
    }

    /// From now on it can be reached.
    pub fn connect(&self, bus: Bus) {
        // Set once at the stage's start; a second bus would be the same one.
        let _ = self.bus.set(bus);
    }
}

impl Display for Vdisplayd {
    fn seat(&self, session: SessionId, pulse: &Pulse) -> Result<Box<dyn Backend>, Failure> {
        let starting = || Failure::new(FailureClass::Temporary, "inputd is starting", "wait a moment");
        let bus = self.bus.get().ok_or_else(starting)?;
        let call = async { bus.call(Stage::Vdisplayd, "Seat", &session.to_string()).await };
        open(bus.wait(pulse, call).map_err(Failure::from)?, &self.layout, self.touch.clone())
    }
}

/// Opens what vdisplayd's answer describes.
fn open(source: SeatSource, layout: &Layout, touch: Option<Drains>) -> Result<Box<dyn Backend>, Failure> {
    let SeatSource { kind, fd, output, region, desktop, again } = source;
    let desktop = desktop.unwrap_or_else(|| "a compositor".to_owned());
    match (kind.as_str(), fd.map(|fd| UnixStream::from(OwnedFd::from(fd))), output, region) {
        ("wayland", Some(socket), Some(output), _) => {
            let mut wlr = Wlr::open(socket, &output, &desktop, layout)?;
            // Unless vdisplayd knows better.
            if again != Some(false) {
                wlr.let_go();
            }
            Ok(Box::new(wlr))
        }
        ("eis", Some(socket), _, Some(region)) => Ok(Box::new(Eis::open(socket, region, &desktop, touch)?)),
        (kind, socket, output, region) => Err(Failure::new(
            FailureClass::Internal,
            format!(
                "cannot type: vdisplayd answered with a seat of kind {kind:?}, {} connection, {} output name and {} \
                 region, which inputd cannot read",
                if socket.is_some() { "a" } else { "no" },
                if output.is_some() { "an" } else { "no" },
                if region.is_some() { "a" } else { "no" },
            ),
            "install the same version of lumen-vdisplayd and lumen-inputd, then restart lumen.target",
        )),
    }
}

/// No Output is asked for: input is counted.
pub struct Logs;

impl Display for Logs {
    fn seat(&self, _: SessionId, _: &Pulse) -> Result<Box<dyn Backend>, Failure> {
        Ok(Box::new(Log))
    }
}

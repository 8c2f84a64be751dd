//! The devices that the compositor gives, and what becomes of them.
//!
//! ```text
//!  seat ── bind ──► keyboard, pointer: there for as long as the connection is
//!            └────► ground, screen: come with our monitor, and anew each time when monitors move
//! ```
//! A keyboard that is replaced ends the connection, because Mutter (48) keeps down what was held on the old one until its
//! client goes; what the client holds goes down again on the next one.

use reis::event::{Device, DeviceCapability, DeviceResumed, EiEvent};

use super::{
    EisError,
    keyboard::Keyboard,
    pointer::{Ground, Pointer},
    touch::Screen,
};

/// What there is.
#[derive(Default)]
pub(super) struct Devices {
    pub(super) keyboard: Option<Keyboard>,
    pub(super) pointer: Option<Pointer>,
    /// `None` while our monitor is not on the desktop.
    pub(super) ground: Option<Ground>,
    /// Likewise, and where the compositor takes no fingers.
    pub(super) screen: Option<Screen>,
    /// Whether fingers are wanted.
    pub(super) touch: bool,
    /// Numbers our turns with devices.
    sequence: u32,
}

impl Devices {
    /// None yet; fingers are wanted if `touch`.
    pub(super) fn new(touch: bool) -> Self {
        Self { touch, ..Self::default() }
    }

    /// The compositor said something; `region` names our Output.
    ///
    /// # Errors
    /// A device that held something is gone, or all of them are.
    pub(super) fn handle(&mut self, event: EiEvent, region: &str) -> Result<(), EisError> {
        match event {
            EiEvent::SeatAdded(added) => {
                use DeviceCapability::{Button, Keyboard, Pointer, PointerAbsolute, Scroll, Touch};
                let hands = Keyboard | Pointer | PointerAbsolute | Button | Scroll;
                added.seat.bind_capabilities(if self.touch { hands | Touch } else { hands });
            }
            EiEvent::DeviceResumed(resumed) => self.take(&resumed, region)?,
            EiEvent::DevicePaused(paused) => self.leave(&paused.device)?,
            EiEvent::DeviceRemoved(removed) => self.leave(&removed.device)?,
            EiEvent::KeyboardModifiers(modifiers) => {
                if let Some(keyboard) = self.keyboard.as_mut().filter(|ours| ours.is(&modifiers.device)) {
                    keyboard.hear(&modifiers);
                }
            }
            EiEvent::SeatRemoved(_) => return Err(EisError::Changed { what: "seat" }),
            EiEvent::Disconnected(said) => {
                let reason = said.explanation.unwrap_or_else(|| format!("{:?}", said.reason));
                return Err(EisError::Lost(reason));
            }
            _ => {}
        }
        Ok(())
    }

    /// A device takes input from now on.
    fn take(&mut self, resumed: &DeviceResumed, region: &str) -> Result<(), EisError> {
        let device = &resumed.device;
        if let Some(keys) = device.interface() {
            self.keyboard = Some(Keyboard::new(device, keys)?);
        } else if let Some(pointer) = Pointer::of(device) {
            self.pointer = Some(pointer);
        } else {
            let (ground, screen) = (Ground::of(device, region), Screen::of(device, region));
            if ground.is_none() && screen.is_none() {
                return Ok(());
            }
            self.ground = ground.or(self.ground.take());
            self.screen = screen.or(self.screen.take());
        }
        self.sequence += 1;
        device.device().start_emulating(resumed.serial, self.sequence);
        Ok(())
    }

    /// A device takes none any more.
    fn leave(&mut self, device: &Device) -> Result<(), EisError> {
        if self.ground.as_ref().is_some_and(|ground| ground.is(device)) {
            self.ground = None;
        }
        if self.screen.as_ref().is_some_and(|screen| screen.is(device)) {
            self.screen = None;
        }
        if self.keyboard.as_ref().is_some_and(|keyboard| keyboard.is(device)) {
            return Err(EisError::Changed { what: "keyboard" });
        }
        if self.pointer.as_ref().is_some_and(|pointer| pointer.device == *device) {
            return Err(EisError::Changed { what: "pointer" });
        }
        Ok(())
    }
}

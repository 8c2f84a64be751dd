//! The backend *eis*: libei's protocol, spoken to a compositor that takes input by EIS (GNOME's Mutter).
//!
//! The connection is a fresh one that vdisplayd asked for; what it held goes up with it. Text is typed on the keymap that the
//! keyboard comes with: Mutter (48, 51) has no `ei_text`, and its `NotifyKeyboardKeysym` knows no other characters either.
//!
//! A connection on which a finger is down does not just end: [`drain`] lifts it first, also after this process's death.

mod devices;
pub mod drain;
mod keyboard;
mod pointer;
mod record;
mod text;
mod touch;
mod wire;

use std::{
    io,
    os::{fd::BorrowedFd, unix::net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use lumen_ipc::{Failure, FailureClass, input::BY_MEANING};

use self::{
    devices::Devices,
    drain::Drains,
    keyboard::Keyboard,
    pointer::{Pointer, Whereabouts},
    record::Record,
    wire::Wire,
};
use super::Backend;
use crate::{counts::Refused, event::Event, fingers::Touch};

/// How long a compositor may take until its devices are there. Because the session's thread waits here, and its watchdog
/// allows it 2 s.
const ANSWER: Duration = Duration::from_millis(700);

/// How long the connections of before may take to end, likewise.
const FORMER: Duration = Duration::from_millis(500);

/// How long the touch screen may come after the other devices. Because it comes with the monitor, which may not be there yet,
/// and whether there is one is told with the first word.
const SCREEN: Duration = Duration::from_millis(50);

/// How long after the last finger went up the connection still lies in systemd's fd store. Because the compositor handles that
/// some time after it has read it, and fingers that tap cost no message to systemd each.
const AFTER_FINGERS: Duration = Duration::from_millis(500);

/// How long programs have to take notice of the keyboard. Because Mutter tells one of them that was without a keyboard nothing of the
/// keys that went down before it did.
const NOTICE: Duration = Duration::from_millis(50);

/// Evdev's keys, of which buttons begin above.
const KEYS: std::ops::RangeInclusive<u16> = 1..=255;

/// `BTN_LEFT` to `BTN_TASK`.
const BUTTONS: std::ops::RangeInclusive<u16> = 0x110..=0x117;

/// Why nothing can be typed.
#[derive(Debug, thiserror::Error)]
pub enum EisError {
    /// It did not answer, or takes nothing.
    #[error("the compositor's EIS did not answer within {ms} ms")]
    Silent {
        /// Milliseconds.
        ms: u128,
    },
    /// The connection is at its end.
    #[error("the compositor's EIS is gone: {0}")]
    Lost(String),
    /// A device was replaced.
    #[error("the compositor replaced its {what}")]
    Changed {
        /// Which.
        what: &'static str,
    },
    /// What a finger does cannot be kept for the next inputd.
    #[error("fingers cannot be kept across a restart of inputd: {0}")]
    Unkept(io::Error),
    /// The keyboard's keymap is none that XKB reads.
    #[error("the compositor's keyboard has no keymap that can be read")]
    NoKeymap,
}

impl From<EisError> for Failure {
    fn from(error: EisError) -> Self {
        let (class, advice) = match &error {
            EisError::NoKeymap => {
                (FailureClass::Environment, "look at the keyboard's settings in GNOME, and install xkb-data")
            }
            EisError::Silent { .. } | EisError::Lost(_) | EisError::Changed { .. } | EisError::Unkept(_) => {
                (FailureClass::Temporary, "it is asked for again")
            }
        };
        Self::new(class, format!("cannot type: {error}"), advice)
    }
}

/// One session's devices in one compositor.
pub struct Eis {
    wire: Wire,
    devices: Devices,
    whereabouts: Whereabouts,
    region: String,
    why: String,
    /// It had a touch screen at some time, which comes and goes with the monitor.
    takes_touch: bool,
    /// Who lets go of the connection if fingers were down; `None` if none are taken.
    drains: Option<Drains>,
    /// Of the fingers that are down, or were until the given time.
    record: Option<(Record, Option<Instant>)>,
}

impl Eis {
    /// Takes the keyboard and the pointer that the EIS behind `socket` gives, and places on the Output that it calls
    /// `region`, and its touch screen if there are `drains` for it. Waits for them, 0.7 s at most, for the programs to take
    /// notice of them, and for the ends of connections on which fingers were, 0.5 s at most.
    ///
    /// # Errors
    /// Why nothing can be typed there.
    pub fn open(
        socket: UnixStream,
        region: String,
        desktop: &str,
        drains: Option<Drains>,
    ) -> Result<Self, EisError> {
        let (end, touch) = (Instant::now() + ANSWER, drains.is_some());
        let fingers = if touch { "" } else { "; no touch: `touch = false` in inputd.toml" };
        let why = format!(
            "{desktop} takes input by EIS; layout: that of the desktop's own keyboard; text: characters that it has{fingers}"
        );
        let (wire, devices) = (Wire::greet(socket, end)?, Devices::new(touch));
        let whereabouts = Whereabouts::default();
        let (takes_touch, record) = (false, None);
        let mut eis = Self { wire, devices, whereabouts, region, why, takes_touch, drains, record };
        eis.await_devices(end)?;
        thread::sleep(NOTICE);
        // Now, because the desktop is never without a keyboard then.
        eis.drains.iter().for_each(|drains| drains.wait(FORMER));
        Ok(eis)
    }

    /// Waits for keyboard and pointer until `end`, and a little for the touch screen if one is wanted.
    fn await_devices(&mut self, end: Instant) -> Result<(), EisError> {
        let (mut is_whole, touch) = (false, self.drains.is_some());
        loop {
            self.turn()?;
            is_whole |= self.devices.keyboard.is_some() && self.devices.pointer.is_some();
            if is_whole && (self.takes_touch || !touch) {
                return Ok(());
            }
            let patience = if is_whole { end.min(Instant::now() + SCREEN) } else { end };
            match self.wire.wait(patience) {
                Err(_) if is_whole => return Ok(()),
                waited => waited?,
            }
        }
    }

    /// Takes in what the compositor said, and sends what waits.
    fn turn(&mut self) -> Result<(), EisError> {
        for event in self.wire.hear()? {
            self.devices.handle(event, &self.region)?;
        }
        self.takes_touch |= self.devices.screen.is_some();
        if let (None, Some((record, _))) = (&self.devices.screen, &mut self.record) {
            // A screen that went took its fingers along: nobody can lift them any more.
            record.edit(|said| said.slots = Default::default()).map_err(EisError::Unkept)?;
        }
        self.whereabouts.settle(self.devices.ground.as_ref(), &self.wire);
        self.flush()?;
        let is_over = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() > AFTER_FINGERS);
        let over = self.record.take_if(|(_, since)| is_over(*since));
        over.into_iter().for_each(|(record, _)| record.remove());
        Ok(())
    }

    /// Sends what waits.
    fn flush(&mut self) -> Result<(), EisError> {
        self.wire.flush()?;
        if let Some((record, since)) = self.record.as_mut().filter(|_| self.wire.is_clear()) {
            record.settle().map_err(EisError::Unkept)?;
            *since = record.is_empty().then(|| since.unwrap_or_else(Instant::now));
        }
        Ok(())
    }

    /// Plays what a finger does; whether there was one.
    fn touch(&mut self, touch: Touch) -> Result<bool, EisError> {
        let Some(screen) = self.devices.screen.as_mut() else { return Ok(false) };
        if self.record.is_none() && matches!(touch, Touch::Down(_)) {
            let record = Record::keep(self.wire.descriptor()).map_err(EisError::Unkept)?;
            self.record = Some((record, None));
        }
        let Some((record, _)) = self.record.as_mut() else { return Ok(false) };
        screen.play(touch, &self.wire, record).map_err(EisError::Unkept)
    }

    /// Plays it; it is not sent yet.
    fn play_unsent(&mut self, event: &Event) -> Result<Option<Refused>, EisError> {
        match event {
            Event::Press(code) => return self.press(*code, true),
            Event::Release(code) => return self.press(*code, false),
            Event::Motion { dx, dy } => {
                let Devices { pointer, ground, .. } = &self.devices;
                let pointer = pointer.as_ref().ok_or(EisError::Changed { what: "pointer" })?;
                self.whereabouts.motion((*dx, *dy), pointer, ground.as_ref(), &self.wire);
            }
            Event::Position { x, y } => {
                self.whereabouts.position(*x, *y, self.devices.ground.as_ref(), &self.wire);
            }
            Event::Scroll { dx, dy } => self.pointer()?.scroll(*dx, *dy, &self.wire),
            Event::Text(text) => {
                let (keyboard, wire) = self.keyboard()?;
                return Ok(keyboard.text(text, wire));
            }
            Event::Touch(touch) => {
                let is_played = self.touch(*touch)?;
                return Ok((!is_played && matches!(touch, Touch::Down(_))).then_some(Refused::Finger));
            }
        }
        Ok(None)
    }

    fn keyboard(&mut self) -> Result<(&mut Keyboard, &Wire), EisError> {
        let keyboard = self.devices.keyboard.as_mut().ok_or(EisError::Changed { what: "keyboard" })?;
        Ok((keyboard, &self.wire))
    }

    fn pointer(&self) -> Result<&Pointer, EisError> {
        self.devices.pointer.as_ref().ok_or(EisError::Changed { what: "pointer" })
    }

    fn press(&mut self, code: u16, pressed: bool) -> Result<Option<Refused>, EisError> {
        if KEYS.contains(&(code & !BY_MEANING)) {
            let (keyboard, wire) = self.keyboard()?;
            keyboard.key(code, pressed, wire);
        } else if BUTTONS.contains(&code) {
            self.pointer()?.button(code, pressed, &self.wire);
        } else {
            return Ok(Some(Refused::Code));
        }
        Ok(None)
    }
}

impl Backend for Eis {
    fn name(&self) -> &'static str {
        "eis"
    }

    fn why(&self) -> String {
        self.why.clone()
    }

    fn play(&mut self, event: &Event) -> Result<Option<Refused>, Failure> {
        let refused = self.play_unsent(event)?;
        // One by one, so that what a finger does is sent whole.
        self.flush()?;
        if let (Event::Text(_), Some((record, _)), false) = (event, &mut self.record, self.wire.is_clear()) {
            // Only a text is so long that the kernel may have taken a part of it.
            record.edit(|said| said.is_ragged = true).map_err(EisError::Unkept)?;
        }
        Ok(refused)
    }

    fn is_ready(&self) -> bool {
        self.wire.is_clear()
    }

    fn takes_touch(&self) -> bool {
        self.takes_touch
    }

    fn failure(&self) -> Option<Failure> {
        None
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.wire.descriptor())
    }

    fn dispatch(&mut self) -> Result<(), Failure> {
        Ok(self.turn()?)
    }
}

impl Drop for Eis {
    fn drop(&mut self) {
        if let (Some((record, _)), Some(drains)) = (self.record.take(), &self.drains) {
            drains.begin(self.wire.context(), record);
        }
    }
}

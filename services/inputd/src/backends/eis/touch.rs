//! The touch screen: our Output, on which fingers are. EI knows their places alone, no pressure.

use std::io;

use lumen_ipc::input::MAX_FINGERS;
use reis::{Interface, ei, event::Device};

use super::{
    pointer::{Area, spot},
    record::{Record, Slot},
    wire::Wire,
};
use crate::fingers::Touch;

/// A touch screen of our monitor. One that the compositor replaces had no finger on it that the next one has: a finger comes
/// down on a screen or is not there.
pub(super) struct Screen {
    device: Device,
    touches: ei::Touchscreen,
    area: Area,
    /// The client's numbers of the fingers that are down, by their places in the record.
    fingers: [Option<u32>; MAX_FINGERS],
}

impl Screen {
    /// The region called `name` of `device`, if it takes fingers there.
    pub(super) fn of(device: &Device, name: &str) -> Option<Self> {
        let touches = device.interface()?;
        let area = super::pointer::area(device, name)?;
        Some(Self { device: device.clone(), touches, area, fingers: [None; MAX_FINGERS] })
    }

    pub(super) fn is(&self, device: &Device) -> bool {
        self.device == *device
    }

    /// Plays it, with what the heir has to know in `record`, where a finger comes or goes; whether there was a finger for it, or room
    /// for one. It is not sent yet.
    ///
    /// # Errors
    /// It cannot be written down.
    pub(super) fn play(&mut self, touch: Touch, wire: &Wire, record: &mut Record) -> io::Result<bool> {
        let id = match touch {
            Touch::Down(finger) | Touch::Move(finger) => finger.id,
            Touch::Up(id) | Touch::Cancel(id) => id,
        };
        let known = self.fingers.iter().position(|finger| *finger == Some(id));
        let place = match touch {
            Touch::Down(_) => known.or_else(|| self.fingers.iter().position(Option::is_none)),
            _ => known,
        };
        let numbered = place.and_then(|place| Some((place, u32::try_from(place).ok()? + 1)));
        let Some((place, number)) = numbered else { return Ok(false) };
        match touch {
            Touch::Down(finger) if known.is_none() => {
                let (x, y) = self.at(finger.x, finger.y);
                self.touches.down(number, x, y);
            }
            Touch::Down(finger) | Touch::Move(finger) => {
                let (x, y) = self.at(finger.x, finger.y);
                self.touches.motion(number, x, y);
                wire.frame(&self.device);
                return Ok(true);
            }
            Touch::Cancel(_) if self.cancels() => self.touches.cancel(number),
            Touch::Up(_) | Touch::Cancel(_) => self.touches.up(number),
        }
        wire.frame(&self.device);
        let (down, callback) = (matches!(touch, Touch::Down(_)), wire.sync());
        if let Some(finger) = self.fingers.get_mut(place) {
            *finger = down.then_some(id);
        }
        self.note(place, Slot::Going { down, callback }, wire, record)?;
        Ok(true)
    }

    /// Older servers know no cancelling.
    fn cancels(&self) -> bool {
        self.touches.version() >= 2
    }

    /// Where a place in 1/65,535 of the Output is on the desktop.
    fn at(&self, x: u16, y: u16) -> (f32, f32) {
        let part = |coordinate: u16| f64::from(coordinate) / f64::from(u16::MAX);
        let spot = spot((part(x), part(y)), self.area);
        let [left, top, ..] = self.area;
        // Fits: a desktop is far smaller than the 24 bits that are exact.
        ((left + spot.x) as f32, (top + spot.y) as f32)
    }

    fn note(&self, place: usize, slot: Slot, wire: &Wire, record: &mut Record) -> io::Result<()> {
        let touchscreen = self.touches.as_object().id();
        record.edit(|said| {
            if said.touchscreen != touchscreen {
                // The fingers on the screen of before are gone with it.
                said.slots = [Slot::Up; MAX_FINGERS];
            }
            (said.connection, said.serial) = wire.numbers();
            (said.touchscreen, said.device) = (touchscreen, self.device.device().as_object().id());
            said.cancels = self.cancels();
            if let Some(place) = said.slots.get_mut(place) {
                *place = slot;
            }
        })
    }
}

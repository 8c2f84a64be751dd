//! The touch screen: our Output, on which fingers are. EI knows their places alone, no pressure.

use lumen_ipc::input::MAX_FINGERS;
use reis::{ei, event::Device};

use super::{
    pointer::{Area, spot},
    wire::Wire,
};
use crate::fingers::Touch;

/// A touch screen of our monitor. One that the compositor replaces had no finger on it that the next one has: a finger comes
/// down on a screen or is not there.
pub(super) struct Screen {
    device: Device,
    touches: ei::Touchscreen,
    area: Area,
    /// The client's numbers of the fingers that are down; EI gets their places here, counted from 1. Because Mutter takes 0 for no
    /// finger, and has room for 16.
    slots: [Option<u32>; MAX_FINGERS],
}

impl Screen {
    /// The region called `name` of `device`, if it takes fingers there.
    pub(super) fn of(device: &Device, name: &str) -> Option<Self> {
        let touches = device.interface()?;
        let area = super::pointer::area(device, name)?;
        Some(Self { device: device.clone(), touches, area, slots: [None; MAX_FINGERS] })
    }

    pub(super) fn is(&self, device: &Device) -> bool {
        self.device == *device
    }

    /// Plays it; whether there was a finger for it, or room for one.
    pub(super) fn play(&mut self, touch: Touch, wire: &Wire) -> bool {
        let id = match touch {
            Touch::Down(finger) | Touch::Move(finger) => finger.id,
            Touch::Up(id) | Touch::Cancel(id) => id,
        };
        let known = self.slots.iter().position(|slot| *slot == Some(id));
        let slot = match touch {
            Touch::Down(_) => known.or_else(|| self.slots.iter().position(Option::is_none)),
            _ => known,
        };
        let numbered = slot.and_then(|slot| Some((u32::try_from(slot).ok()? + 1, self.slots.get_mut(slot)?)));
        let Some((number, slot)) = numbered else { return false };
        let at = |x: u16, y: u16| {
            let part = |coordinate: u16| f64::from(coordinate) / f64::from(u16::MAX);
            let spot = spot((part(x), part(y)), self.area);
            let [left, top, ..] = self.area;
            // Fits: a desktop is far smaller than the 24 bits that are exact.
            ((left + spot.x) as f32, (top + spot.y) as f32)
        };
        match touch {
            Touch::Down(finger) => {
                let (x, y) = at(finger.x, finger.y);
                match slot.replace(id) {
                    None => self.touches.down(number, x, y),
                    Some(_) => self.touches.motion(number, x, y),
                }
            }
            Touch::Move(finger) => {
                let (x, y) = at(finger.x, finger.y);
                self.touches.motion(number, x, y);
            }
            Touch::Up(_) => {
                *slot = None;
                self.touches.up(number);
            }
            Touch::Cancel(_) => {
                *slot = None;
                // Older servers know no other end.
                match self.touches.version() {
                    0 | 1 => self.touches.up(number),
                    _ => self.touches.cancel(number),
                }
            }
        }
        wire.frame(&self.device);
        true
    }
}

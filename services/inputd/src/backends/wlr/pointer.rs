//! The pointer, bound to one output.

use wayland_client::protocol::wl_pointer::{Axis, AxisSource, ButtonState};
use wayland_protocols_wlr::virtual_pointer::v1::client::zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1;

use super::now_ms;

/// Positions come in 1/65,535 of the Output.
const EXTENT: u32 = 65_535;

/// One notch of a wheel in the messages.
const NOTCH: i32 = 120;

/// One notch of a wheel in Wayland's pixels, as libinput has it.
const NOTCH_PIXELS: f64 = 15.0;

/// Farthest that one event scrolls. Because Wayland's fractions end at 2²³, and no document is longer than this.
const MOST_PIXELS: f64 = 1_000_000.0;

/// A virtual pointer.
pub(super) struct Pointer {
    device: ZwlrVirtualPointerV1,
}

impl Pointer {
    pub(super) fn new(device: ZwlrVirtualPointerV1) -> Self {
        Self { device }
    }

    /// Moves by pixels × 256.
    pub(super) fn motion(&self, dx: i32, dy: i32) {
        self.device.motion(now_ms(), f64::from(dx) / 256.0, f64::from(dy) / 256.0);
        self.device.frame();
    }

    /// Goes to 1/65,535 of the Output.
    pub(super) fn position(&self, x: u16, y: u16) {
        self.device.motion_absolute(now_ms(), x.into(), y.into(), EXTENT, EXTENT);
        self.device.frame();
    }

    /// `code` is `BTN_*`.
    pub(super) fn button(&self, code: u16, pressed: bool) {
        let state = if pressed { ButtonState::Pressed } else { ButtonState::Released };
        self.device.button(now_ms(), code.into(), state);
        self.device.frame();
    }

    /// Scrolls by 1/120 of a notch.
    pub(super) fn scroll(&self, dx: i32, dy: i32) {
        for (axis, amount) in [(Axis::HorizontalScroll, dx), (Axis::VerticalScroll, dy)] {
            if amount != 0 {
                self.scroll_along(axis, amount);
            }
        }
        self.device.frame();
    }

    /// Whole notches are a wheel's. A part of one cannot be told as such in this protocol: it is smooth scrolling, which
    /// goes just as far.
    fn scroll_along(&self, axis: Axis, amount: i32) {
        let pixels = f64::from(amount) * NOTCH_PIXELS / f64::from(NOTCH);
        let pixels = pixels.clamp(-MOST_PIXELS, MOST_PIXELS);
        // wlroots takes the source for the axis that was named last.
        if amount % NOTCH == 0 {
            self.device.axis_discrete(now_ms(), axis, pixels, amount / NOTCH);
            self.device.axis_source(AxisSource::Wheel);
        } else {
            self.device.axis(now_ms(), axis, pixels);
            self.device.axis_source(AxisSource::Continuous);
        }
    }
}

impl Drop for Pointer {
    fn drop(&mut self) {
        self.device.destroy();
    }
}

//! The pointer: one device for motion, buttons and scrolling, one for places on our Output.

use reis::{
    ei::{self, button::ButtonState},
    event::{Device, Region},
};

use super::wire::Wire;

/// One notch of a wheel in the messages, and in EI.
const NOTCH: i32 = 120;

/// One notch in pixels of smooth scrolling: Mutter (48, 51) makes 120 parts of a notch of as many.
const NOTCH_PIXELS: f32 = 10.0;

/// Most that one event scrolls: a thousand notches. Because Mutter turns each notch into an event of its own.
const MOST: i32 = 1000 * NOTCH;

/// What a place stays away from the right and the lower edge, where the next monitor begins.
const EDGE: f64 = 1.0 / 16.0;

/// How much of the Output is its upper left corner.
const CORNER: f64 = 0.01;

/// Steps that one motion is cut into. Because it is motion of a person's for less than a second.
const MOST_STEPS: f64 = 32.0;

/// The device of which there is one for all monitors.
pub(super) struct Pointer {
    pub(super) device: Device,
    pub(super) motion: ei::Pointer,
    pub(super) buttons: ei::Button,
    pub(super) scrolling: ei::Scroll,
}

impl Pointer {
    /// All that it takes, if `device` has it.
    pub(super) fn of(device: &Device) -> Option<Self> {
        let (motion, buttons) = (device.interface()?, device.interface()?);
        Some(Self { device: device.clone(), motion, buttons, scrolling: device.interface()? })
    }

    /// `code` is `BTN_*`.
    pub(super) fn button(&self, code: u16, pressed: bool, wire: &Wire) {
        let state = if pressed { ButtonState::Press } else { ButtonState::Released };
        self.buttons.button(code.into(), state);
        wire.frame(&self.device);
    }

    /// Scrolls by 1/120 of a notch. Whole notches are a wheel's; Mutter drops what of a wheel is not whole, so parts go as
    /// smooth scrolling.
    pub(super) fn scroll(&self, dx: i32, dy: i32, wire: &Wire) {
        let (dx, dy) = (dx.clamp(-MOST, MOST), dy.clamp(-MOST, MOST));
        let whole = |amount: i32| if amount % NOTCH == 0 { amount } else { 0 };
        let (whole_x, whole_y) = (whole(dx), whole(dy));
        if (whole_x, whole_y) != (0, 0) {
            self.scrolling.scroll_discrete(whole_x, whole_y);
            wire.frame(&self.device);
        }
        if (dx, dy) != (whole_x, whole_y) {
            // Fits: at most 10,000 pixels.
            let pixels = |amount: i32| amount as f32 * NOTCH_PIXELS / NOTCH as f32;
            self.scrolling.scroll(pixels(dx - whole_x), pixels(dy - whole_y));
            wire.frame(&self.device);
        }
    }
}

/// Our Output on the desktop.
pub(super) struct Ground {
    device: Device,
    places: ei::PointerAbsolute,
    area: Area,
}

/// Our Output's left and upper edge, width and height, in pixels of the desktop.
pub(super) type Area = [f64; 4];

/// The region called `name` of `device`, if it has that.
pub(super) fn area(device: &Device, name: &str) -> Option<Area> {
    let ours = |region: &&Region| region.mapping_id.as_deref() == Some(name);
    let Region { x, y, width, height, .. } = device.regions().iter().find(ours)?;
    Some([x, y, width, height].map(|side| f64::from(*side)))
}

impl Ground {
    /// The region called `name` of `device`, if it has that.
    pub(super) fn of(device: &Device, name: &str) -> Option<Self> {
        let places = device.interface()?;
        Some(Self { device: device.clone(), places, area: area(device, name)? })
    }

    pub(super) fn is(&self, device: &Device) -> bool {
        self.device == *device
    }

    fn go(&self, spot: Spot, wire: &Wire) {
        let [x, y, ..] = self.area;
        // Fits: a desktop is far smaller than the 24 bits that are exact.
        self.places.motion_absolute((x + spot.x) as f32, (y + spot.y) as f32);
        wire.frame(&self.device);
    }
}

/// A place on the Output in pixels from its left and upper edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Where the pointer is on our Output, as far as our own motion tells: EIS does not.
///
/// GNOME has one pointer for all monitors, and a relative motion would take it off ours. So it begins in our middle, and a
/// motion that would lead beyond an edge begins as far from it as it goes. It is played all the same, because a game that
/// holds the pointer turns by it.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    /// In parts of the Output's size, which may change.
    at: Option<(f64, f64)>,
    /// `at` was not played yet, because the Output was not on the desktop.
    is_due: bool,
    /// The pointer may be in the upper left corner, out of which the first leap ends at the upper edge: gnome-shell 51 has a
    /// barrier there.
    is_cornered: bool,
}

impl Whereabouts {
    /// Goes to 1/65,535 of the Output.
    pub(super) fn position(&mut self, x: u16, y: u16, ground: Option<&Ground>, wire: &Wire) {
        let part = |coordinate: u16| f64::from(coordinate) / f64::from(u16::MAX);
        self.is_cornered |= self.at.is_none_or(|(x, y)| x.max(y) < CORNER);
        (self.at, self.is_due) = (Some((part(x), part(y))), true);
        self.settle(ground, wire);
    }

    /// Goes where it should be already, if it is not.
    pub(super) fn settle(&mut self, ground: Option<&Ground>, wire: &Wire) {
        if let (Some(at), Some(ground), true) = (self.at, ground, self.is_due) {
            ground.go(spot(at, ground.area), wire);
            if self.is_cornered {
                ground.go(spot(at, ground.area), wire);
            }
            (self.is_due, self.is_cornered) = (false, false);
        }
    }

    /// Moves by pixels × 256, and does not leave the Output. Without one there is nothing to move on.
    pub(super) fn motion(
        &mut self,
        (dx, dy): (i32, i32),
        pointer: &Pointer,
        ground: Option<&Ground>,
        wire: &Wire,
    ) {
        let Some(ground) = ground else { return };
        if self.at.is_none() {
            (self.at, self.is_due, self.is_cornered) = (Some((0.5, 0.5)), true, true);
        }
        self.settle(Some(ground), wire);
        let [_, _, width, height] = ground.area;
        let mut at = self.at.map_or(Spot { x: 0.0, y: 0.0 }, |at| spot(at, ground.area));
        for step in steps(at, (f64::from(dx) / 256.0, f64::from(dy) / 256.0), ground.area) {
            if let Some(begin) = step.begin {
                ground.go(begin, wire);
            }
            pointer.motion.motion_relative(step.delta.0 as f32, step.delta.1 as f32);
            wire.frame(&pointer.device);
            at = step.end;
        }
        self.at = Some((at.x / width, at.y / height));
    }
}

/// The last pixel's inner side is the last place.
pub(super) fn spot((x, y): (f64, f64), [_, _, width, height]: Area) -> Spot {
    let within = |part: f64, side: f64| (part * side).min(side - EDGE);
    Spot { x: within(x, width), y: within(y, height) }
}

/// A part of a motion that is no longer than half the Output.
#[derive(Debug, PartialEq)]
struct Step {
    /// Where it begins if not where the pointer is.
    begin: Option<Spot>,
    delta: (f64, f64),
    end: Spot,
}

/// The steps of a motion, none of which leads beyond an edge.
fn steps(from: Spot, (dx, dy): (f64, f64), [_, _, width, height]: [f64; 4]) -> Vec<Step> {
    let (half_x, half_y) = (width / 2.0, height / 2.0);
    let count = (dx.abs() / half_x).max(dy.abs() / half_y).ceil().clamp(1.0, MOST_STEPS);
    let delta = ((dx / count).clamp(-half_x, half_x), (dy / count).clamp(-half_y, half_y));
    let mut at = from;
    let step = |_| {
        let straight = Spot { x: at.x + delta.0, y: at.y + delta.1 };
        let end = Spot { x: straight.x.clamp(0.0, width - EDGE), y: straight.y.clamp(0.0, height - EDGE) };
        let begin = (end != straight).then_some(Spot { x: end.x - delta.0, y: end.y - delta.1 });
        at = end;
        Step { begin, delta, end }
    };
    // Fits: it is at most MOST_STEPS.
    (0..count as u32).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: [f64; 4] = [1366.0, 0.0, 1280.0, 720.0];

    /// Sabotage: let 65,535 be the first pixel of the next monitor.
    #[test]
    fn corners_and_centre_are_on_the_output() {
        assert_eq!(spot((0.0, 0.0), AREA), Spot { x: 0.0, y: 0.0 });
        assert_eq!(spot((1.0, 1.0), AREA), Spot { x: 1280.0 - EDGE, y: 720.0 - EDGE });
        assert_eq!(spot((0.5, 0.5), AREA), Spot { x: 640.0, y: 360.0 });
    }

    /// Sabotage: let a step begin where the pointer is, always; it would end on the next monitor.
    #[test]
    fn motion_is_played_whole_and_ends_at_the_edge() {
        let from = Spot { x: 10.0, y: 700.0 };
        let free = Step { begin: None, delta: (5.5, -20.25), end: Spot { x: 15.5, y: 679.75 } };
        assert_eq!(steps(from, (5.5, -20.25), AREA), [free]);
        let begin = Some(Spot { x: 11.0, y: 700.0 });
        let at_the_edge = Step { begin, delta: (-11.0, 0.0), end: Spot { x: 0.0, y: 700.0 } };
        assert_eq!(steps(from, (-11.0, 0.0), AREA), [at_the_edge]);
        let far = steps(from, (2000.0, -100.0), AREA);
        assert_eq!(far.iter().map(|step| step.delta.0).sum::<f64>(), 2000.0);
        assert_eq!(far.last().map(|step| step.end), Some(Spot { x: 1280.0 - EDGE, y: 600.0 }));
    }

    #[test]
    fn no_step_leaves_the_output() {
        let on = |spot: Spot| (0.0..1280.0).contains(&spot.x) && (0.0..720.0).contains(&spot.y);
        for delta in [(1e9, 1e9), (-8e6, 3.0), (0.0, -719.0), (640.0, 360.0)] {
            let mut at = Spot { x: 1279.0, y: 1.0 };
            for step in steps(at, delta, AREA) {
                let begin = step.begin.unwrap_or(at);
                at = Spot { x: begin.x + step.delta.0, y: begin.y + step.delta.1 };
                assert!(on(begin) && on(at), "{delta:?}: {begin:?} to {at:?}");
            }
        }
    }
}

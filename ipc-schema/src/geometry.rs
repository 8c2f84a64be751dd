//! Sizes, rates and changed areas.

use std::{fmt, str::FromStr};

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

/// Size and refresh rate of an Output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mode {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Thousandths of a hertz: 59.94 Hz is 59,940.
    pub refresh_mhz: u32,
}

/// Why a mode cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// Too small, too large or odd.
    #[error(
        "a picture of {width}×{height} cannot be streamed: width and height must be even, at least {min} and at most {max} pixels",
        min = Mode::MIN_SIDE, max = Mode::MAX_SIDE
    )]
    Size {
        /// Asked width in pixels.
        width: u32,
        /// Asked height in pixels.
        height: u32,
    },
    /// Too slow or too fast.
    #[error(
        "a refresh rate of {mhz} mHz cannot be streamed: it must be between {min} and {max} mHz",
        min = Mode::MIN_REFRESH_MHZ, max = Mode::MAX_REFRESH_MHZ
    )]
    Refresh {
        /// Asked rate in thousandths of a hertz.
        mhz: u32,
    },
    /// Not of the form `1280x720@60`.
    #[error("{text:?} is not a mode: write WIDTHxHEIGHT@HZ, like 1280x720@60 or 1920x1080@59.94")]
    Syntax {
        /// The offending text.
        text: String,
    },
}

impl Mode {
    /// Smallest side in pixels, because encoders refuse less.
    pub const MIN_SIDE: u32 = 64;
    /// Largest side in pixels: that of HEVC and AV1 encoders; an encoder may allow less.
    pub const MAX_SIDE: u32 = 8192;
    /// Slowest refresh in thousandths of a hertz.
    pub const MIN_REFRESH_MHZ: u32 = 1_000;
    /// Fastest refresh in thousandths of a hertz.
    pub const MAX_REFRESH_MHZ: u32 = 500_000;

    /// The mode itself if it can be streamed.
    pub fn check(self) -> Result<Self, ModeError> {
        let side = |n: u32| (Self::MIN_SIDE..=Self::MAX_SIDE).contains(&n) && n.is_multiple_of(2);
        if !side(self.width) || !side(self.height) {
            return Err(ModeError::Size { width: self.width, height: self.height });
        }
        if !(Self::MIN_REFRESH_MHZ..=Self::MAX_REFRESH_MHZ).contains(&self.refresh_mhz) {
            return Err(ModeError::Refresh { mhz: self.refresh_mhz });
        }
        Ok(self)
    }

    /// Time between two pictures in nanoseconds; one second for a rate of zero.
    pub fn frame_ns(self) -> u64 {
        1_000_000_000_000 / u64::from(self.refresh_mhz).max(1_000)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hz, rest) = (self.refresh_mhz / 1000, self.refresh_mhz % 1000);
        write!(f, "{}x{}@{hz}", self.width, self.height)?;
        match rest {
            0 => Ok(()),
            rest => f.write_str(format!(".{rest:03}").trim_end_matches('0')),
        }
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    /// Reads `1280x720@59.94`; does not [`check`](Mode::check).
    fn from_str(text: &str) -> Result<Self, ModeError> {
        let syntax = || ModeError::Syntax { text: text.to_owned() };
        let (size, rate) = text.split_once('@').ok_or_else(syntax)?;
        let (width, height) = size.split_once('x').ok_or_else(syntax)?;
        let hz: f64 = rate.parse().map_err(|_| syntax())?;
        if !(0.0..=1e6).contains(&hz) {
            return Err(syntax());
        }
        Ok(Self {
            width: width.parse().map_err(|_| syntax())?,
            height: height.parse().map_err(|_| syntax())?,
            refresh_mhz: (hz * 1000.0).round() as u32,
        })
    }
}

/// A rectangle in pixels; `x + width` and `y + height` never pass 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl Rect {
    /// The smallest rectangle around both.
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = self.x.saturating_add(self.width).max(other.x.saturating_add(other.width));
        let bottom = self.y.saturating_add(self.height).max(other.y.saturating_add(other.height));
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// The part that lies inside a picture of `width` × `height`; `None` if nothing does.
    pub fn clip(self, width: u32, height: u32) -> Option<Self> {
        let right = self.x.saturating_add(self.width).min(width);
        let bottom = self.y.saturating_add(self.height).min(height);
        (self.x < right && self.y < bottom).then(|| Self {
            x: self.x,
            y: self.y,
            width: right - self.x,
            height: bottom - self.y,
        })
    }
}

/// What changed since the Frame before: a short list of rectangles; empty means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage(ArrayVec<Rect, { Damage::MAX_RECTS }>);

impl Damage {
    /// Longest list; a further rectangle is united with the last, so damage grows but is never lost.
    pub const MAX_RECTS: usize = 16;

    /// All of a picture of `width` × `height` pixels.
    pub fn full(width: u32, height: u32) -> Self {
        let mut damage = Self::default();
        damage.add(Rect { x: 0, y: 0, width, height });
        damage
    }

    /// Adds one changed rectangle. Empty ones are ignored.
    pub fn add(&mut self, rect: Rect) {
        if rect.width == 0 || rect.height == 0 {
            return;
        }
        if let Err(full) = self.0.try_push(rect)
            && let Some(last) = self.0.last_mut()
        {
            *last = last.union(full.element());
        }
    }

    /// Adds all of `other`: the damage of a skipped Frame.
    pub fn unite(&mut self, other: &Self) {
        other.rects().iter().for_each(|rect| self.add(*rect));
    }

    /// The changed rectangles.
    pub fn rects(&self) -> &[Rect] {
        &self.0
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all rectangles.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn modes_are_written_as_they_are_read() {
        for text in ["1280x720@60", "1920x1080@59.94", "800x600@23.976"] {
            assert_eq!(text.parse::<Mode>().unwrap().to_string(), text);
        }
        assert_eq!("1920x1080@59.94".parse::<Mode>().unwrap().refresh_mhz, 59_940);
    }

    #[test]
    fn modes_that_nobody_can_show_are_refused() {
        for text in ["0x0@60", "1x1@60", "20000x20000@60", "1281x720@60", "1280x720@0", "1280x720@501"] {
            assert!(text.parse::<Mode>().unwrap().check().is_err(), "{text}");
        }
        for text in ["", "x@", "1280x720", "1280x720@-1", "1280x720@NaN", "ax1@60"] {
            assert!(matches!(text.parse::<Mode>(), Err(ModeError::Syntax { .. })), "{text}");
        }
    }

    proptest! {
        /// Sabotage: drop the rectangle that does not fit instead of uniting it.
        #[test]
        fn damage_covers_every_rectangle_added(
            rects in proptest::collection::vec((0u32..500, 0u32..500, 1u32..50, 1u32..50), 0..60)
        ) {
            let mut damage = Damage::default();
            for &(x, y, width, height) in &rects {
                damage.add(Rect { x, y, width, height });
            }
            for &(x, y, width, height) in &rects {
                let inside = |r: &Rect| r.x <= x && r.y <= y && r.x + r.width >= x + width && r.y + r.height >= y + height;
                prop_assert!(damage.rects().iter().any(inside));
            }
        }
    }
}

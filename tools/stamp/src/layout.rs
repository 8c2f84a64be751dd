//! Where everything lies in a frame of a given size.

/// The smallest frame whose blocks and glyphs are still whole pixels.
const SMALLEST: (u32, u32) = (320, 180);

/// The layout is written down for this grid and stretched to the frame.
const GRID: (u32, u32) = (320, 180);

/// A rectangle in pixels of the frame, never empty and never beyond its edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Region {
    /// The same rectangle without its outer quarter on each side, where neighbours bleed in through 4:2:0.
    pub fn core(self) -> Self {
        let (dx, dy) = (self.width / 4, self.height / 4);
        Self { x: self.x + dx, y: self.y + dy, width: self.width - 2 * dx, height: self.height - 2 * dy }
    }
}

/// What the two large moving places show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Text in one and noise in the other: the stamp, which can be compared.
    #[default]
    Both,
    /// Text in both, as a desktop would.
    Text,
    /// Noise in both, as a game would.
    Noise,
}

/// A patch of one colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What people call it.
    pub name: &'static str,
    /// Red, green, blue.
    pub rgb: [u8; 3],
    /// Where it is.
    pub region: Region,
}

/// A frame was asked for that cannot hold the stamp.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a stamp needs at least 320x180 pixels, not {width}x{height}")]
pub struct TooSmall {
    /// The asked width.
    pub width: u32,
    /// The asked height.
    pub height: u32,
}

/// The places of a frame of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Width of the frame.
    pub width: u32,
    /// Height of the frame.
    pub height: u32,
    /// The number as 16 x 4 blocks.
    pub code: Region,
    /// The number in digits.
    pub title: Region,
    /// Text that scrolls with the number.
    pub text: Region,
    /// Noise that pans with the number.
    pub noise: Region,
    /// Text that never changes.
    pub still: Region,
    /// Red, green, blue, grey.
    pub patches: [Patch; 4],
    /// Pixels per dot of the font.
    pub dot: u32,
    /// What `text` and `noise` show.
    pub content: Content,
}

impl Layout {
    /// The layout of a frame of `width` x `height` pixels.
    pub fn of(width: u32, height: u32) -> Result<Self, TooSmall> {
        if width < SMALLEST.0 || height < SMALLEST.1 {
            return Err(TooSmall { width, height });
        }
        let place = |x, y, w, h| place(width, height, (x, y, w, h));
        let patch = |name, rgb, x| Patch { name, rgb, region: place(x, 8, 40, 32) };
        Ok(Self {
            width,
            height,
            code: place(8, 8, 128, 32),
            title: place(8, 41, 304, 7),
            text: place(8, 50, 304, 60),
            noise: place(8, 116, 96, 56),
            still: place(112, 116, 200, 56),
            patches: [
                patch("red", [255, 0, 0], 152),
                patch("green", [0, 255, 0], 192),
                patch("blue", [0, 0, 255], 232),
                patch("grey", [128, 128, 128], 272),
            ],
            dot: (width / GRID.0).min(height / GRID.1).div_ceil(2),
            content: Content::Both,
        })
    }

    /// The same places, with other things in them.
    pub fn showing(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// What differs between two frames; all else is the same in each.
    pub fn moving(&self) -> [Region; 4] {
        [self.code, self.title, self.text, self.noise]
    }

    /// Bytes of a frame in XRGB8888 without padding.
    pub fn bytes(&self) -> usize {
        self.width as usize * self.height as usize * 4
    }
}

/// Stretches a rectangle of the grid; each edge alone, so that neighbours stay neighbours.
fn place(width: u32, height: u32, (x, y, w, h): (u32, u32, u32, u32)) -> Region {
    let across = |v: u32| (u64::from(v) * u64::from(width) / u64::from(GRID.0)) as u32;
    let down = |v: u32| (u64::from(v) * u64::from(height) / u64::from(GRID.1)) as u32;
    let (left, top) = (across(x), down(y));
    Region { x: left, y: top, width: across(x + w) - left, height: down(y + h) - top }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apart(a: Region, b: Region) -> bool {
        a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y
    }

    proptest! {
        // Sabotage: make the text region 70 units high.
        #[test]
        fn places_are_whole_and_apart(width in 320u32..5000, height in 180u32..3000) {
            let layout = Layout::of(width, height).unwrap();
            let mut all = layout.moving().to_vec();
            all.push(layout.still);
            all.extend(layout.patches.iter().map(|p| p.region));
            for (i, a) in all.iter().enumerate() {
                prop_assert!(a.width >= 8 && a.height >= 7, "{a:?}");
                prop_assert!(a.x + a.width <= width && a.y + a.height <= height);
                for b in &all[i + 1..] {
                    prop_assert!(apart(*a, *b), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn small_frames_are_refused() {
        assert_eq!(Layout::of(319, 180), Err(TooSmall { width: 319, height: 180 }));
        assert_eq!(Layout::of(320, 179), Err(TooSmall { width: 320, height: 179 }));
    }
}

//! The mouse pointer, where it is not part of the picture.

use serde::{Deserialize, Serialize};

use crate::message::{FdKind, FdRule};

/// Where the pointer is and what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// Of the hotspot, in pixels from the picture's left edge; may lie outside.
    pub x: i32,
    /// Of the hotspot, in pixels from the picture's top edge; may lie outside.
    pub y: i32,
    /// [`PointerBitmap::id`] of a bitmap sent before on this link.
    pub bitmap: u32,
}

/// What a pointer looks like. Its message carries one memfd: rows from the top, 4 bytes a pixel in the order blue, green,
/// red, alpha, colours premultiplied by alpha, no padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointerBitmap {
    /// Rises with each new bitmap of a session.
    pub id: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pixels from the bitmap's left edge to the point that points.
    pub hotspot_x: i32,
    /// Pixels from the bitmap's top edge to the point that points.
    pub hotspot_y: i32,
}

impl PointerBitmap {
    /// Largest side in pixels, because no compositor draws a larger one in a hardware plane.
    pub const MAX_SIDE: u32 = 256;

    /// Bytes of its pixels; `None` if a side is 0 or too large.
    pub fn bytes(&self) -> Option<u64> {
        let possible = 1..=Self::MAX_SIDE;
        let fits = possible.contains(&self.width) && possible.contains(&self.height);
        fits.then(|| u64::from(self.width) * u64::from(self.height) * 4)
    }

    /// The file descriptor that must come with it. Of an impossible size any memfd will do: such a bitmap is counted by
    /// whoever reads it, and ends nothing.
    pub fn fds(&self) -> FdRule {
        FdRule { count: 1, kind: FdKind::SealedMemfd { bytes: self.bytes().unwrap_or(0) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bitmaps_of_a_pointers_size_have_bytes() {
        let of = |width, height| PointerBitmap { id: 1, width, height, hotspot_x: 0, hotspot_y: 0 }.bytes();
        assert_eq!(of(24, 32), Some(3072));
        assert_eq!((of(0, 1), of(257, 1), of(1, u32::MAX)), (None, None, None));
    }
}

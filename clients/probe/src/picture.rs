//! A decoded picture: three planes of 8 bits, 4:2:0, BT.709, limited range.

use lumen_stamp::Plane;

/// A picture that the decoder lends until the next one.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Luma, `width` x `height`.
    pub y: Plane<'a>,
    /// Blue-difference chroma, half of both.
    pub cb: Plane<'a>,
    /// Red-difference chroma, half of both.
    pub cr: Plane<'a>,
}

//! A picture as the encoder takes it: planar YUV 4:2:0, BT.709, limited range, eight bits.

use std::ops::Range;

use crate::backends::kernel::{Before, TILE};

/// One picture's planes, tightly owned. Width and height are even.
///
/// The luma plane is `height` rows of `stride` bytes; each chroma plane is `height / 2` rows of `stride / 2` bytes.
pub struct Picture {
    width: usize,
    height: usize,
    stride: usize,
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

/// Rows of luma are padded to so many bytes, because then those of chroma too are whole vectors, of which the encoder's
/// SIMD reads 32 bytes.
const ROW_ALIGN: usize = TILE * 2;

/// A part of two rows of luma, and the chroma that belongs to it.
pub struct TwoRows<'a> {
    /// Upper and lower row.
    pub luma: [&'a mut [[u8; TILE]]; 2],
    /// Cb and Cr.
    pub chroma: [&'a mut [[u8; TILE / 2]]; 2],
}

impl Picture {
    /// A black picture; odd sizes lose their last column or row, because 4:2:0 cannot show them.
    pub fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width & !1, height & !1);
        let stride = width.next_multiple_of(ROW_ALIGN);
        Self {
            width,
            height,
            stride,
            luma: vec![16; stride * height],
            blue: vec![128; stride / 2 * (height / 2)],
            red: vec![128; stride / 2 * (height / 2)],
        }
    }

    /// Even width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Even height in rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes from one row of luma to the next; chroma has half of it.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The luma plane.
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }

    /// The Cb and Cr planes.
    pub fn chroma(&self) -> (&[u8], &[u8]) {
        (&self.blue, &self.red)
    }

    /// All three planes: Y, Cb, Cr.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        (&mut self.luma, &mut self.blue, &mut self.red)
    }

    /// Tiles `tiles` of the even row `y` and of the next one; `None` outside the picture.
    pub fn two_rows(&self, y: usize, tiles: &Range<usize>) -> Option<Before<'_>> {
        let (stride, len) = (self.stride, tiles.len() * TILE);
        let (start, half) = (y * stride + tiles.start * TILE, y / 2 * (stride / 2) + tiles.start * TILE / 2);
        let luma = |start: usize| Some(self.luma.get(start..start + len)?.as_chunks().0);
        let blue = self.blue.get(half..half + len / 2)?;
        let red = self.red.get(half..half + len / 2)?;
        Some(Before {
            luma: [luma(start)?, luma(start + stride)?],
            chroma: [blue.as_chunks().0, red.as_chunks().0],
        })
    }

    /// As [`Picture::two_rows`], to be written.
    pub fn two_rows_mut(&mut self, y: usize, tiles: &Range<usize>) -> Option<TwoRows<'_>> {
        let (stride, len) = (self.stride, tiles.len() * TILE);
        let (start, half) = (y * stride + tiles.start * TILE, y / 2 * (stride / 2) + tiles.start * TILE / 2);
        let (upper, lower) = self.luma.get_mut(start..start + stride + len)?.split_at_mut(stride);
        let blue = self.blue.get_mut(half..half + len / 2)?;
        let red = self.red.get_mut(half..half + len / 2)?;
        Some(TwoRows {
            luma: [upper.get_mut(..len)?.as_chunks_mut().0, lower.as_chunks_mut().0],
            chroma: [blue.as_chunks_mut().0, red.as_chunks_mut().0],
        })
    }

    /// Takes tiles `tiles` of the rows `rows`, from an even one to an even one, out of a picture of the same size.
    pub fn take_over(&mut self, from: &Self, rows: &Range<usize>, tiles: &Range<usize>) {
        let (stride, half) = (self.stride, self.stride / 2);
        let columns = tiles.start * TILE..tiles.end * TILE;
        copy_rows(&mut self.luma, &from.luma, stride, rows, &columns);
        let (rows, columns) = (rows.start / 2..rows.end / 2, columns.start / 2..columns.end / 2);
        copy_rows(&mut self.blue, &from.blue, half, &rows, &columns);
        copy_rows(&mut self.red, &from.red, half, &rows, &columns);
    }
}

fn copy_rows(to: &mut [u8], from: &[u8], stride: usize, rows: &Range<usize>, columns: &Range<usize>) {
    for start in rows.clone().map(|y| y * stride) {
        let part = start + columns.start..start + columns.end;
        if let (Some(to), Some(from)) = (to.get_mut(part.clone()), from.get(part)) {
            to.copy_from_slice(from);
        }
    }
}

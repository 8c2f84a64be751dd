//! Captured pixels to what the encoder takes, compared on the way with what it took before.

use std::ops::Range;

use lumen_ipc::pool::Layout;

use crate::backends::kernel::{Kernel, Next, Rows, Sums, TILE};
use crate::picture::Picture;

/// Why a buffer's pixels cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The buffer ends before its last row does.
    #[error("rows {first}..{last} of {stride} bytes do not lie in a buffer of {bytes} bytes")]
    TooShort {
        /// First row wanted.
        first: usize,
        /// Row after the last one wanted.
        last: usize,
        /// Bytes a row.
        stride: usize,
        /// Bytes there are.
        bytes: usize,
    },
    /// The buffer's rows do not fill the picture's.
    #[error("rows of {got} pixels with {stride} bytes do not fill a picture of {need}")]
    TooNarrow {
        /// Pixels of the picture's rows.
        need: usize,
        /// Pixels of the buffer's rows.
        got: usize,
        /// Bytes of the buffer's rows.
        stride: usize,
    },
}

/// A captured picture.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Rows of [`Layout::stride`] bytes.
    pub pixels: &'a [u8],
    /// What they are.
    pub layout: &'a Layout,
}

/// A rectangle of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From an even row to an even row.
    pub rows: Range<usize>,
    /// Columns, in tiles.
    pub tiles: Range<usize>,
}

/// Converts for pictures of one width.
pub struct Converter {
    kernel: Kernel,
    /// [`Rows::above`] of each tile of a row.
    above: Vec<[u8; TILE]>,
}

/// Two rows of a picture that is converted.
struct Step<'a> {
    y: usize,
    pixels: [&'a [[u8; TILE * 4]]; 2],
    tiles: Range<usize>,
    has_above: bool,
}

impl Converter {
    /// For pictures as wide as `picture`.
    pub fn new(kernel: Kernel, picture: &Picture) -> Self {
        Self { kernel, above: vec![[0; TILE]; picture.stride() / TILE] }
    }

    /// Converts `part` of `source` into `picture`, and adds to `sums`, one for each tile, what differs from `before`.
    ///
    /// `source` is as wide as `picture`, save the last column of an odd one.
    ///
    /// # Errors
    /// The buffer is shorter than its layout says, or narrower than the picture.
    pub fn convert(
        &mut self,
        source: Source<'_>,
        part: &Part,
        picture: &mut Picture,
        before: &Picture,
        sums: &mut [Sums],
    ) -> Result<(), ConvertError> {
        let (width, pitch) = (picture.width(), source.layout.stride as usize);
        let rows = checked(source, &part.rows, width)?;
        let whole = part.tiles.start..part.tiles.end.min(width / TILE);
        let rest = whole.end..part.tiles.end;
        let (sums, rest_sums) = sums.split_at_mut(whole.len().min(sums.len()));
        for (y, rows) in part.rows.clone().step_by(2).zip(rows.chunks_exact(pitch * 2)) {
            let (upper, lower) = rows.split_at(pitch);
            let columns = whole.start * TILE * 4..whole.end * TILE * 4;
            let pixels = [upper, lower].map(|row| row.get(columns.clone()).unwrap_or_default().as_chunks().0);
            let step = Step { y, pixels, tiles: whole.clone(), has_above: y > part.rows.start };
            self.two_rows(source.layout, &step, picture, before, sums);
            if rest.is_empty() {
                continue;
            }
            let columns = rest.start * TILE * 4..width * 4;
            let [upper, lower] =
                [upper, lower].map(|row| padded(row.get(columns.clone()).unwrap_or_default()));
            let step = Step { pixels: [&[upper], &[lower]], tiles: rest.clone(), ..step };
            self.two_rows(source.layout, &step, picture, before, rest_sums);
        }
        Ok(())
    }

    fn two_rows(
        &mut self,
        layout: &Layout,
        step: &Step<'_>,
        picture: &mut Picture,
        before: &Picture,
        sums: &mut [Sums],
    ) {
        let next = Next { pixels: layout.stride as usize * 2, luma: picture.stride() * 2 };
        let (Some(to), Some(before), Some(above)) = (
            picture.two_rows_mut(step.y, &step.tiles),
            before.two_rows(step.y, &step.tiles),
            self.above.get_mut(step.tiles.clone()),
        ) else {
            return;
        };
        let (pixels, has_above) = (step.pixels, step.has_above);
        let rows = Rows { pixels, luma: to.luma, chroma: to.chroma, before, above, has_above, sums, next };
        self.kernel.run(layout.format, rows);
    }
}

/// The bytes of these rows.
fn checked<'a>(source: Source<'a>, rows: &Range<usize>, width: usize) -> Result<&'a [u8], ConvertError> {
    let Source { pixels, layout } = source;
    let (stride, got) = (layout.stride as usize, layout.width as usize);
    if got < width || stride < width * 4 {
        return Err(ConvertError::TooNarrow { need: width, got, stride });
    }
    let (first, last) = (rows.start, rows.end);
    let too_short = ConvertError::TooShort { first, last, stride, bytes: pixels.len() };
    pixels.get(first * stride..last * stride).ok_or(too_short)
}

/// The pixels of a row that do not fill a tile, then black ones.
fn padded(pixels: &[u8]) -> [u8; TILE * 4] {
    let mut tile = [0; TILE * 4];
    tile.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
    tile
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::pool::PixelFormat;

    /// All of `source` as a picture of its size.
    fn convert(source: Source<'_>) -> Result<Picture, ConvertError> {
        let mut picture = Picture::new(source.layout.width as usize, source.layout.height as usize);
        let before = Picture::new(picture.width(), picture.height());
        let part = Part { rows: 0..picture.height(), tiles: 0..picture.width().div_ceil(TILE) };
        let mut sums = vec![Sums::default(); part.tiles.len()];
        Converter::new(Kernel::best(), &picture).convert(source, &part, &mut picture, &before, &mut sums)?;
        Ok(picture)
    }

    /// BT.709 limited range of one colour, in floating point.
    fn exact([b, g, r]: [u8; 3]) -> [f64; 3] {
        let [b, g, r] = [b, g, r].map(|value| f64::from(value) / 255.0);
        let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        [16.0 + 219.0 * luma, 128.0 + 224.0 * (b - luma) / 1.8556, 128.0 + 224.0 * (r - luma) / 1.5748]
    }

    fn converted(color: [u8; 3], format: PixelFormat) -> [u8; 3] {
        let [b, g, r] = color;
        let pixel = if format == PixelFormat::Bgrx { [b, g, r, 9] } else { [r, g, b, 9] };
        let layout = Layout { width: 66, height: 16, stride: 66 * 4 + 12, format };
        let pixels: Vec<u8> = (0..16).flat_map(|_| [pixel.repeat(66), vec![0; 12]].concat()).collect();
        let picture = convert(Source { pixels: &pixels, layout: &layout }).unwrap();
        let at = picture.stride() * 15 + 65;
        let chroma = picture.stride() / 2 * 7 + 32;
        [picture.luma()[at], picture.chroma().0[chroma], picture.chroma().1[chroma]]
    }

    // Sabotage: use BT.601, full range, or swap red and blue.
    #[test]
    fn colours_are_bt709_limited_within_one_step() {
        let colors = [
            [0, 0, 0],
            [255, 255, 255],
            [0, 0, 255],
            [0, 255, 0],
            [255, 0, 0],
            [128, 128, 128],
            [17, 120, 233],
        ];
        for color in colors {
            for format in [PixelFormat::Bgrx, PixelFormat::Rgbx] {
                let (got, want) = (converted(color, format), exact(color));
                let near = got.iter().zip(want).all(|(got, want)| (f64::from(*got) - want).abs() <= 1.5);
                assert!(near, "{color:?}: {got:?}, exactly {want:?}");
            }
        }
    }

    // Sabotage: read the pixels without a look at their number, or at the layout's width.
    #[test]
    fn a_buffer_that_does_not_fill_the_picture_is_refused() {
        let layout = Layout { width: 64, height: 32, stride: 256, format: PixelFormat::Bgrx };
        let source = |pixels| Source { pixels, layout: &layout };
        let pixels = vec![0; 256 * 32];
        assert!(convert(source(&pixels)).is_ok());
        assert!(matches!(convert(source(&pixels[1..])), Err(ConvertError::TooShort { last: 32, .. })));
        let overlapping = Layout { stride: 252, ..layout };
        let narrow = convert(Source { pixels: &pixels, layout: &overlapping });
        assert!(matches!(narrow, Err(ConvertError::TooNarrow { need: 64, stride: 252, .. })));
    }
}

//! Captured pixels to what the encoder takes: BT.709, limited range, 4:2:0 by SIMD.

use std::ops::Range;

use lumen_ipc::pool::{Layout, PixelFormat};
use yuv::{BufferStoreMut, YuvConversionMode, YuvError, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

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
    /// The converter refuses the geometry.
    #[error("the pixels cannot be converted: {0}")]
    Geometry(#[from] YuvError),
}

/// Converts the even number of rows `rows` of a buffer of `layout` into the first rows of `band`.
///
/// The band is as wide as the layout, less the last column of an odd one.
///
/// # Errors
/// The buffer is shorter than its layout says, or narrower than the band.
pub fn convert(
    pixels: &[u8],
    layout: &Layout,
    rows: Range<usize>,
    band: &mut Picture,
) -> Result<(), ConvertError> {
    let (width, stride, pitch) = (band.width(), band.stride() as u32, layout.stride as usize);
    let (first, last) = (rows.start, rows.end);
    // Whole rows: the converter drops a last pair of rows that ends before its stride does.
    let Some(pixels) = pixels.get(first * pitch..last * pitch) else {
        return Err(ConvertError::TooShort { first, last, stride: pitch, bytes: pixels.len() });
    };
    let (luma, blue, red) = band.planes_mut();
    let mut image = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(luma),
        y_stride: stride,
        u_plane: BufferStoreMut::Borrowed(blue),
        u_stride: stride / 2,
        v_plane: BufferStoreMut::Borrowed(red),
        v_stride: stride / 2,
        width: width as u32,
        height: rows.len() as u32,
    };
    let convert = match layout.format {
        PixelFormat::Bgrx => yuv::bgra_to_yuv420,
        PixelFormat::Rgbx => yuv::rgba_to_yuv420,
    };
    convert(&mut image, pixels, layout.stride, YuvRange::Limited, YuvStandardMatrix::Bt709, MODE)?;
    Ok(())
}

/// Seven-bit coefficients, because they are within one step of exact and take half the time.
const MODE: YuvConversionMode = YuvConversionMode::Fast;

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut band = Picture::new(66, 16);
        convert(&pixels, &layout, 0..16, &mut band).unwrap();
        let at = band.stride() * 15 + 65;
        let chroma = band.stride() / 2 * 7 + 32;
        [band.luma()[at], band.chroma().0[chroma], band.chroma().1[chroma]]
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

    #[test]
    fn a_buffer_shorter_than_its_layout_is_refused() {
        let layout = Layout { width: 64, height: 32, stride: 256, format: PixelFormat::Bgrx };
        let mut band = Picture::new(64, 16);
        let pixels = vec![0; 256 * 31];
        assert!(matches!(convert(&pixels, &layout, 16..32, &mut band), Err(ConvertError::TooShort { .. })));
        assert!(convert(&pixels, &layout, 0..16, &mut band).is_ok());
    }
}

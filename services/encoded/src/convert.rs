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
pub fn convert(pixels: &[u8], layout: &Layout, rows: Range<usize>, band: &mut Picture) -> Result<(), ConvertError> {
    let (width, stride, pitch) = (band.width(), band.stride() as u32, layout.stride as usize);
    let (first, last) = (rows.start, rows.end);
    let Some(pixels) = last.checked_sub(1).and_then(|end| pixels.get(first * pitch..end * pitch + width * 4)) else {
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

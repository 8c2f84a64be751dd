//! A picture as the encoder takes it: planar YUV 4:2:0, BT.709, limited range, eight bits.

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

/// Rows of luma are padded to this many bytes, because the encoder's SIMD reads whole vectors.
const ROW_ALIGN: usize = 32;

impl Picture {
    /// A black picture; odd sizes lose their last column or row, because 4:2:0 cannot show them.
    pub fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width & !1, height & !1);
        let stride = width.next_multiple_of(ROW_ALIGN * 2);
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

    /// Replaces `count` rows from the even row `first` on by the first rows of `band`, a picture of the same width.
    pub fn replace_rows(&mut self, first: usize, band: &Self, count: usize) {
        if self.stride != band.stride {
            return;
        }
        let (stride, half) = (self.stride, self.stride / 2);
        for (to, from, start, len) in [
            (&mut self.luma, &band.luma, stride * first, stride * count),
            (&mut self.blue, &band.blue, half * (first / 2), half * (count / 2)),
            (&mut self.red, &band.red, half * (first / 2), half * (count / 2)),
        ] {
            if let (Some(to), Some(from)) = (to.get_mut(start..start + len), from.get(..len)) {
                to.copy_from_slice(from);
            }
        }
    }
}

//! Finds the number in a decoded picture.

use crate::{
    code,
    compare::Plane,
    layout::{Layout, TooSmall},
};

/// Least difference of luma between the white and the black blocks of the pattern; a frame has 219.
const LEAST_CONTRAST: f64 = 80.0;

/// A block nearer to the middle than this share of the contrast is neither black nor white.
const UNSURE: f64 = 0.15;

/// Why no number was read.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ReadError {
    /// The picture cannot hold a stamp.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// The plane is shorter than its stride and height say.
    #[error("the luma plane holds {got} bytes where {need} are needed")]
    Truncated {
        /// Bytes that stride and height ask for.
        need: usize,
        /// Bytes there are.
        got: usize,
    },
    /// Nothing black and white where the blocks should be: not a stamp, or not in full screen.
    #[error("no stamp: the blocks differ by {contrast:.0} of 219 levels")]
    NoStamp {
        /// Luma of the pattern's white blocks less that of its black ones.
        contrast: f64,
    },
    /// A block that is neither black nor white.
    #[error("block {index} of the stamp is grey: luma {luma:.0}")]
    Unsure {
        /// 0..64, row by row.
        index: u32,
        /// Its mean luma.
        luma: f64,
    },
    /// Clear blocks, but not those of any number.
    #[error("the stamp's checksum does not match: blocks {blocks:#018x}")]
    Checksum {
        /// The blocks as read.
        blocks: u64,
    },
}

/// The number of the frame whose luma plane (BT.709 limited range, `stride` bytes a row) is `luma`.
///
/// Never guesses: a picture that is not clearly frame *n* is an error.
pub fn read(luma: &[u8], stride: usize, width: u32, height: u32) -> Result<u32, ReadError> {
    let layout = Layout::of(width, height)?;
    let need = stride * (height as usize - 1) + width as usize;
    if luma.len() < need || stride < width as usize {
        return Err(ReadError::Truncated { need, got: luma.len() });
    }
    let plane = Plane { bytes: luma, stride };
    let mean = |index| plane.mean(code::block(layout.code, index).core());
    let (black, white) = levels(mean);
    let contrast = white - black;
    if contrast < LEAST_CONTRAST {
        return Err(ReadError::NoStamp { contrast });
    }
    let middle = (white + black) / 2.0;
    let mut blocks = 0u64;
    for index in 0..code::COLUMNS * code::ROWS {
        let luma = mean(index);
        if (luma - middle).abs() < UNSURE * contrast {
            return Err(ReadError::Unsure { index, luma });
        }
        blocks = blocks << 1 | u64::from(luma > middle);
    }
    code::decode(blocks).ok_or(ReadError::Checksum { blocks })
}

/// The mean luma of the pattern's black and of its white blocks.
fn levels(mean: impl Fn(u32) -> f64) -> (f64, f64) {
    let mut sums = [0.0; 2];
    for index in 0..8 {
        let [black, white] = &mut sums;
        let sum = if code::PATTERN >> (7 - index) & 1 == 1 { white } else { black };
        *sum += mean(index) / 4.0;
    }
    sums.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reference, render};
    use proptest::prelude::*;

    /// A small generator, so that a failing case prints one seed.
    struct Noise(u64);
    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0 >> 33
        }
    }

    fn luma_of(number: u32, width: u32, height: u32) -> Vec<u8> {
        let mut reference = Reference::new(Layout::of(width, height).unwrap());
        reference.draw(number);
        reference.luma()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        // Sabotage: swap two blocks in code::block, or draw the number's complement.
        #[test]
        fn what_is_drawn_is_read_back(number: u32, seed: u64, width in 320u32..1400, height in 180u32..800) {
            let mut luma = luma_of(number, width, height);
            prop_assert_eq!(read(&luma, width as usize, width, height), Ok(number));
            // Quantised to 12 levels, then ±40 of noise: worse than QP 45 leaves it.
            let mut noise = Noise(seed);
            for y in &mut luma {
                let coarse = i64::from(*y / 20 * 20 + 10);
                *y = (coarse + (noise.next() % 81) as i64 - 40).clamp(0, 255) as u8;
            }
            prop_assert_eq!(read(&luma, width as usize, width, height), Ok(number));
        }

        // Sabotage: skip the checksum and the contrast.
        #[test]
        fn garbage_is_not_a_number(seed: u64, flat: u8, block in 1u32..40) {
            let mut noise = Noise(seed);
            let (width, height) = (640u32, 360u32);
            prop_assert!(read(&vec![flat; 640 * 360], 640, width, height).is_err());
            let cells: Vec<u8> = (0..641 * 361).map(|_| if noise.next() & 1 == 0 { 16 } else { 235 }).collect();
            let blocky: Vec<u8> = (0..width * height)
                .map(|i| cells[((i / width / block) * 641 + i % width / block) as usize])
                .collect();
            prop_assert!(read(&blocky, 640, width, height).is_err());
        }
    }

    // Sabotage: let a half-drawn picture pass by reading only the first row of blocks.
    #[test]
    fn two_halves_of_two_frames_are_not_a_frame() {
        let (old, new) = (luma_of(0x0123_4567, 640, 360), luma_of(0x89ab_cdef, 640, 360));
        let layout = Layout::of(640, 360).unwrap();
        let cut = (layout.code.y + layout.code.height / 2) as usize * 640;
        let torn = [&new[..cut], &old[cut..]].concat();
        assert!(matches!(read(&torn, 640, 640, 360), Err(ReadError::Checksum { .. })));
    }

    #[test]
    fn a_short_plane_is_refused() {
        let mut pixels = vec![0; 640 * 360 * 4];
        render(7, 640, 360, &mut pixels).unwrap();
        let luma = luma_of(7, 640, 360);
        let short = read(&luma[..luma.len() - 1], 640, 640, 360);
        assert_eq!(short, Err(ReadError::Truncated { need: 640 * 360, got: 640 * 360 - 1 }));
        assert!(read(&luma, 639, 640, 360).is_err());
    }
}

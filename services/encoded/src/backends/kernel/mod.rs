//! The one loop that touches every pixel: converts two rows, and compares them with those of the picture before while they
//! are in registers. BT.709, limited range, 4:2:0, seven-bit coefficients, because those are within one step of exact.
//!
//! One file per set of instructions; all give the same bytes, and `portable` says which.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use lumen_ipc::pool::PixelFormat;

/// Pixels that are converted as one, because the widest vector holds the luma of so many.
pub const TILE: usize = 32;

/// Two rows of tiles; all slices are of the same length.
pub struct Rows<'a> {
    /// Four bytes a pixel, upper and lower row.
    pub pixels: [&'a [[u8; TILE * 4]]; 2],
    /// Where their luma goes.
    pub luma: [&'a mut [[u8; TILE]]; 2],
    /// Where Cb and Cr of both go.
    pub chroma: [&'a mut [[u8; TILE / 2]]; 2],
    /// Luma and chroma of the picture before.
    pub before: Before<'a>,
    /// Luma of the upper row of the two rows above; becomes that of these.
    pub above: &'a mut [[u8; TILE]],
    /// Whether there is something in `above`.
    pub has_above: bool,
    /// What is found is added here.
    pub sums: &'a mut [Sums],
    /// Where the next two rows lie, for instructions that fetch them early.
    pub next: Next,
}

/// Two rows of a finished picture.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    /// Upper and lower row.
    pub luma: [&'a [[u8; TILE]]; 2],
    /// Cb and Cr of both.
    pub chroma: [&'a [[u8; TILE / 2]]; 2],
}

/// Bytes from two rows to the next two.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    /// Of pixels.
    pub pixels: usize,
    /// Of luma.
    pub luma: usize,
}

/// Sums over one tile: the first two belong to its left 16 columns, the others to the right ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Absolute luma differences to the picture before, of each eight columns.
    pub difference: [u64; 4],
    /// Absolute differences of Cb and of Cr, of each 16 columns.
    pub tint: [u64; 4],
    /// Absolute luma steps of upper rows: to the right-hand neighbour in the same 16 columns, and to the row `above`;
    /// of each eight columns.
    pub texture: [u64; 4],
}

/// Seven-bit coefficients of the four bytes of a pixel.
#[derive(Clone, Copy)]
pub struct Weights {
    /// For luma.
    pub luma: [i8; 4],
    /// For Cb.
    pub blue: [i8; 4],
    /// For Cr.
    pub red: [i8; 4],
}

impl Weights {
    /// Those of a format.
    pub fn of(format: PixelFormat) -> Self {
        match format {
            PixelFormat::Bgrx => {
                Self { luma: [8, 79, 23, 0], blue: [56, -43, -13, 0], red: [-5, -51, 56, 0] }
            }
            PixelFormat::Rgbx => {
                Self { luma: [23, 79, 8, 0], blue: [-13, -43, 56, 0], red: [56, -51, -5, 0] }
            }
        }
    }
}

/// What is added before a sum loses its seven bits: the offset, and not quite half a step.
const LUMA_BIAS: i16 = 16 * 128 + 63;
const CHROMA_BIAS: i16 = 128 * 128 + 63;

/// Which instructions are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Those that every machine has.
    Portable,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
}

impl Kernel {
    /// The fastest that this machine has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = avx2::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }

    /// What an administrator calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
        }
    }

    /// Converts and compares.
    pub fn run(self, format: PixelFormat, rows: Rows<'_>) {
        let weights = Weights::of(format);
        match self {
            Self::Portable => portable::run(weights, rows),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.run(weights, rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TILES: usize = 3;

    /// What a kernel reads and writes.
    #[derive(Debug, Clone, PartialEq)]
    struct Bench {
        pixels: [[[u8; TILE * 4]; TILES]; 2],
        luma: [[[u8; TILE]; TILES]; 2],
        chroma: [[[u8; TILE / 2]; TILES]; 2],
        luma_before: [[[u8; TILE]; TILES]; 2],
        chroma_before: [[[u8; TILE / 2]; TILES]; 2],
        above: [[u8; TILE]; TILES],
        sums: [Sums; TILES],
    }

    impl Bench {
        /// Black pixels after a black picture.
        fn black() -> Self {
            Self {
                pixels: [[[0; TILE * 4]; TILES]; 2],
                luma: [[[0; TILE]; TILES]; 2],
                chroma: [[[0; TILE / 2]; TILES]; 2],
                luma_before: [[[16; TILE]; TILES]; 2],
                chroma_before: [[[128; TILE / 2]; TILES]; 2],
                above: [[16; TILE]; TILES],
                sums: [Sums::default(); TILES],
            }
        }

        fn filled(bytes: &[u8]) -> Self {
            let (mut bench, mut bytes) = (Self::black(), bytes.iter().copied().cycle());
            let mut next = || bytes.next().unwrap();
            bench.pixels.as_flattened_mut().as_flattened_mut().fill_with(&mut next);
            bench.luma_before.as_flattened_mut().as_flattened_mut().fill_with(&mut next);
            bench.chroma_before.as_flattened_mut().as_flattened_mut().fill_with(&mut next);
            bench.above.as_flattened_mut().fill_with(&mut next);
            bench
        }

        fn after(mut self, kernel: Kernel, format: PixelFormat, has_above: bool) -> Self {
            let ([upper, lower], [blue, red]) = (&mut self.luma, &mut self.chroma);
            let rows = Rows {
                pixels: [&self.pixels[0], &self.pixels[1]],
                luma: [upper, lower],
                chroma: [blue, red],
                before: Before {
                    luma: [&self.luma_before[0], &self.luma_before[1]],
                    chroma: [&self.chroma_before[0], &self.chroma_before[1]],
                },
                above: &mut self.above,
                has_above,
                sums: &mut self.sums,
                next: Next { pixels: 4096, luma: 1024 },
            };
            kernel.run(format, rows);
            self
        }
    }

    proptest! {
        // Sabotage: swap two lanes in `avx2`, or let it round another way.
        #[test]
        fn every_kernel_equals_the_portable_one(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 1200),
            swapped: bool,
            has_above: bool,
        ) {
            let format = if swapped { PixelFormat::Rgbx } else { PixelFormat::Bgrx };
            let bench = Bench::filled(&bytes);
            let best = bench.clone().after(Kernel::best(), format, has_above);
            prop_assert_eq!(best, bench.after(Kernel::Portable, format, has_above));
        }
    }

    // Sabotage: count a step from one 16 columns to the next, or the difference of the upper row only.
    #[test]
    fn sums_are_of_their_own_columns() {
        let mut bench = Bench::black();
        // One white pixel at the end of a block's upper row, one at the start of a lower row.
        bench.pixels[0][1][15 * 4..16 * 4].fill(255);
        bench.pixels[1][2][..4].fill(255);
        let sums = bench.after(Kernel::Portable, PixelFormat::Bgrx, true).sums;
        let white = 235 - 16;
        let upper = Sums { difference: [0, white, 0, 0], texture: [0, 2 * white, 0, 0], ..Sums::default() };
        let lower = Sums { difference: [white, 0, 0, 0], ..Sums::default() };
        assert_eq!(sums, [Sums::default(), upper, lower]);
    }

    // Sabotage: let `tint` be 0.
    #[test]
    fn another_colour_of_the_same_brightness_is_seen() {
        let mut bench = Bench::black();
        bench.chroma_before[1][0][9] = 100;
        let sums = bench.after(Kernel::Portable, PixelFormat::Bgrx, true).sums;
        assert_eq!(sums[0], Sums { tint: [0, 0, 0, 28], ..Sums::default() });
    }
}

//! How much a picture differs from the one before, seen cheaply before it is encoded.

use std::ops::Range;

use crate::backends::kernel::{Sums, TILE};
use crate::motion::{Motion, Pair};
use crate::picture::Picture;

/// Rows of a band: one row of macroblocks, the height in which pictures are converted.
pub const BAND: usize = 16;

/// What the rate control is told about a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Change {
    /// Share of 16×16 blocks that differ, 0 to 1.
    pub fraction: f64,
    /// Share of 16×16 blocks that differ and did not just move, 0 to `fraction`.
    pub novelty: f64,
    /// Sum of absolute luma differences to the picture before.
    pub difference: f64,
    /// Sum of absolute luma steps between neighbours of the whole picture, in every other row: what an IDR has to code.
    pub texture: f64,
    /// That of the picture before.
    pub texture_before: f64,
}

/// Takes in what the kernel finds, and remembers each block's texture.
pub struct Comparison {
    /// Of each block, band after band.
    textures: Vec<u32>,
    texture: u64,
    texture_before: f64,
    /// Blocks from one band to the next in `textures`: those of whole tiles.
    columns: usize,
    blocks: usize,
    changed: Vec<(u16, u16)>,
    /// Whether a block is among them.
    is_changed: Vec<bool>,
    difference: u64,
    motion: Motion,
}

impl Comparison {
    /// For pictures of `picture`'s size.
    pub fn new(picture: &Picture) -> Self {
        let bands = picture.height().div_ceil(BAND);
        let blocks = bands * picture.width().div_ceil(BAND);
        let columns = picture.stride() / BAND;
        Self {
            textures: vec![0; bands * columns],
            texture: 0,
            texture_before: 0.0,
            columns,
            blocks,
            // All blocks may change at once, and a frame shall not allocate.
            changed: Vec::with_capacity(blocks),
            is_changed: vec![false; bands * columns],
            difference: 0,
            motion: Motion::default(),
        }
    }

    /// Takes in the tiles of `band` from tile `first` on.
    pub fn add(&mut self, band: usize, first: usize, sums: &[Sums]) {
        let blocks = sums.iter().flat_map(|sums| {
            let blocks = [sums.difference, sums.tint, sums.texture].map(|[a, b, c, d]| (a + b, c + d));
            [blocks.map(|(left, _)| left), blocks.map(|(_, right)| right)]
        });
        for (column, [difference, tint, texture]) in (first * (TILE / BAND)..).zip(blocks) {
            if difference + tint == 0 {
                continue;
            }
            self.change(band, column);
            self.difference += difference;
            if let Some(known) = self.textures.get_mut(band * self.columns + column) {
                self.texture = self.texture - u64::from(*known) + texture;
                *known = texture as u32;
            }
        }
    }

    /// Something else changed the blocks that lie in `rows` and `columns` of pixels, by `difference` in all.
    pub fn add_area(&mut self, rows: &Range<usize>, columns: &Range<usize>, difference: u64) {
        for band in rows.start / BAND..rows.end.div_ceil(BAND) {
            (columns.start / BAND..columns.end.div_ceil(BAND)).for_each(|column| self.change(band, column));
        }
        self.difference += difference;
    }

    fn change(&mut self, band: usize, column: usize) {
        let known = self.is_changed.get_mut(band * self.columns + column);
        if known.is_some_and(|known| !std::mem::replace(known, true)) {
            self.changed.push(((column * BAND) as u16, (band * BAND) as u16));
        }
    }

    /// The blocks that changed since the last [`Comparison::take`]: x and y of their upper left pixels.
    pub fn changed(&self) -> &[(u16, u16)] {
        &self.changed
    }

    /// What was found since the last call; `pair` is the whole of both pictures.
    pub fn take(&mut self, pair: Pair<'_>) -> Change {
        let fraction = self.changed.len() as f64 / self.blocks.max(1) as f64;
        let texture = self.texture as f64;
        let change = Change {
            fraction,
            novelty: fraction * self.motion.novelty(pair, &self.changed),
            difference: self.difference as f64,
            texture,
            texture_before: std::mem::replace(&mut self.texture_before, texture),
        };
        self.changed.clear();
        self.is_changed.fill(false);
        self.difference = 0;
        change
    }
}

/// Sum of absolute differences, in a form that the compiler knows as one instruction for sixteen.
#[inline]
pub fn distance_16(a: &[u8; 16], b: &[u8; 16]) -> u32 {
    a.iter().zip(b).map(|(&a, &b)| (i32::from(a) - i32::from(b)).unsigned_abs()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: keep `changed` after `take`, or forget the texture of what did not change.
    #[test]
    fn a_changed_block_is_counted_once_and_forgotten_after() {
        let luma = vec![100; 64 * 32];
        let pair = Pair { old: &luma, new: &luma, stride: 64, width: 64, height: 32 };
        let mut comparison = Comparison::new(&Picture::new(64, 32));
        let changed = Sums { difference: [0, 0, 5, 15], texture: [0, 0, 7, 4], ..Sums::default() };
        comparison.add(1, 1, &[changed]);
        let change = comparison.take(pair);
        assert_eq!((change.fraction, change.difference, change.texture), (1.0 / 8.0, 20.0, 11.0));
        comparison.add(0, 0, &[Sums::default(), Sums { texture: [1, 1, 1, 1], ..changed }]);
        let next = comparison.take(pair);
        assert_eq!((next.fraction, next.texture_before, next.texture), (1.0 / 8.0, 11.0, 13.0));
        comparison.add(1, 0, &[Sums { tint: [0, 9, 0, 0], texture: [13, 0, 0, 0], ..Sums::default() }]);
        let last = comparison.take(pair);
        assert_eq!((last.fraction, last.difference), (1.0 / 8.0, 0.0), "another colour is another picture");
        let last = comparison.take(pair);
        assert_eq!((last.fraction, last.texture), (0.0, 26.0), "texture is of the whole picture and stays");
    }
}

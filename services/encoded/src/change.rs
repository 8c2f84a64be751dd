//! How much a picture differs from the one before, seen cheaply before it is encoded.

use crate::motion::{Motion, Pair};
use crate::picture::Picture;

/// Rows of a band: one row of macroblocks, the unit in which pictures are converted and compared.
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
    /// Sum of absolute luma steps between neighbours of the whole picture: what an IDR has to code.
    pub texture: f64,
    /// That of the picture before.
    pub texture_before: f64,
}

/// Compares band after band, and remembers each band's texture.
pub struct Comparison {
    textures: Vec<u64>,
    texture_before: f64,
    blocks: usize,
    changed: Vec<(u16, u16)>,
    difference: u64,
    /// Difference of each block of the band that is looked at.
    columns: Vec<u32>,
    motion: Motion,
}

impl Comparison {
    /// For pictures of `picture`'s size.
    pub fn new(picture: &Picture) -> Self {
        let bands = picture.height().div_ceil(BAND);
        let blocks = bands * picture.width().div_ceil(BAND);
        // All blocks may change at once, and a frame shall not allocate.
        let changed = Vec::with_capacity(blocks);
        Self {
            textures: vec![0; bands],
            texture_before: 0.0,
            blocks,
            changed,
            difference: 0,
            columns: vec![0; picture.width().div_ceil(BAND)],
            motion: Motion::default(),
        }
    }

    /// Takes one band of luma, `old` and `new` of the same length with `stride` bytes a row and `width` pixels.
    pub fn add(&mut self, band: usize, old: &[u8], new: &[u8], stride: usize, width: usize) {
        self.columns.fill(0);
        for (old, new) in old.chunks(stride).zip(new.chunks(stride)) {
            // A row's padding never differs, so its last block may reach into it.
            let (old, new) = (old.as_chunks::<BAND>().0, new.as_chunks::<BAND>().0);
            for (column, (old, new)) in self.columns.iter_mut().zip(old.iter().zip(new)) {
                *column += distance_16(old, new);
            }
        }
        for (column, &difference) in
            self.columns.iter().enumerate().filter(|(_, difference)| **difference > 0)
        {
            if self.changed.len() < self.blocks {
                self.changed.push(((column * BAND) as u16, (band * BAND) as u16));
            }
            self.difference += u64::from(difference);
        }
        if let Some(texture) = self.textures.get_mut(band) {
            *texture = steps(new, stride, width);
        }
    }

    /// What was found since the last call; `pair` is the whole of both pictures.
    pub fn take(&mut self, pair: Pair<'_>) -> Change {
        let fraction = self.changed.len() as f64 / self.blocks.max(1) as f64;
        let texture = self.textures.iter().sum::<u64>() as f64;
        let change = Change {
            fraction,
            novelty: fraction * self.motion.novelty(pair, &self.changed),
            difference: self.difference as f64,
            texture,
            texture_before: std::mem::replace(&mut self.texture_before, texture),
        };
        self.changed.clear();
        self.difference = 0;
        change
    }
}

/// Sum of absolute differences, in a form that the compiler knows as one instruction for sixteen.
#[inline]
fn distance_16(a: &[u8; 16], b: &[u8; 16]) -> u32 {
    a.iter().zip(b).map(|(&a, &b)| (i32::from(a) - i32::from(b)).unsigned_abs()).sum()
}

/// Sum of absolute differences.
pub fn distance(a: &[u8], b: &[u8]) -> u32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| u32::from(a.abs_diff(*b)));
    a.iter().zip(b).map(|(a, b)| distance_16(a, b)).sum::<u32>() + rest.sum::<u32>()
}

/// Absolute steps to the right-hand neighbour, and to the one two rows below, in every other row.
fn steps(luma: &[u8], stride: usize, width: usize) -> u64 {
    let mut sum = 0;
    let mut above: Option<&[u8]> = None;
    for row in luma.chunks(stride).step_by(2).filter_map(|row| row.get(..width)) {
        let across = row.get(..width - 1).zip(row.get(1..)).map_or(0, |(a, b)| distance(a, b));
        sum += u64::from(across + above.map_or(0, |above| distance(above, row)));
        above = Some(row);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_block_is_counted_once_and_forgotten_after() {
        let old = vec![100; 64 * 32];
        let mut new = old.clone();
        new[5] = 90;
        new[64 + 6] = 110;
        let pair = Pair { old: &old, new: &new, stride: 64, width: 64, height: 32 };
        let mut comparison = Comparison::new(&Picture::new(64, 32));
        comparison.add(0, &old[..64 * BAND], &new[..64 * BAND], 64, 64);
        let change = comparison.take(pair);
        assert_eq!((change.fraction, change.difference), (1.0 / 8.0, 20.0));
        let next = comparison.take(pair);
        assert_eq!(
            (next.fraction, next.texture),
            (0.0, change.texture),
            "texture is of the whole picture and stays"
        );
    }
}

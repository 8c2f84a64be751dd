//! How much a picture differs from the one before, seen cheaply before it is encoded.

use crate::picture::Picture;

/// Rows of a band: one row of macroblocks, the unit in which pictures are converted and compared.
pub const BAND: usize = 16;

/// What the rate control is told about a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Change {
    /// Share of 16×16 blocks that differ, 0 to 1.
    pub fraction: f64,
    /// Sum of absolute luma differences to the picture before.
    pub difference: f64,
    /// Sum of absolute luma steps between neighbours of the whole picture: what an IDR has to code.
    pub texture: f64,
}

/// Compares band after band, and remembers each band's texture.
pub struct Comparison {
    textures: Vec<u64>,
    blocks: usize,
    changed: usize,
    difference: u64,
}

impl Comparison {
    /// For pictures of `picture`'s size.
    pub fn new(picture: &Picture) -> Self {
        let bands = picture.height().div_ceil(BAND);
        Self { textures: vec![0; bands], blocks: bands * picture.width().div_ceil(BAND), changed: 0, difference: 0 }
    }

    /// Takes one band of luma, `old` and `new` of the same length with `stride` bytes a row and `width` pixels.
    pub fn add(&mut self, band: usize, old: &[u8], new: &[u8], stride: usize, width: usize) {
        for x in (0..width).step_by(BAND) {
            let end = (x + BAND).min(width);
            let rows = old.chunks(stride).zip(new.chunks(stride));
            let sad: u32 = rows
                .filter_map(|(old, new)| Some((old.get(x..end)?, new.get(x..end)?)))
                .map(|(old, new)| old.iter().zip(new).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>())
                .sum();
            self.changed += usize::from(sad > 0);
            self.difference += u64::from(sad);
        }
        if let Some(texture) = self.textures.get_mut(band) {
            *texture = steps(new, stride, width);
        }
    }

    /// What was found since the last call.
    pub fn take(&mut self) -> Change {
        let change = Change {
            fraction: self.changed as f64 / self.blocks.max(1) as f64,
            difference: self.difference as f64,
            texture: self.textures.iter().sum::<u64>() as f64,
        };
        (self.changed, self.difference) = (0, 0);
        change
    }
}

/// Absolute steps to the right-hand neighbour, and to the one two rows below.
fn steps(luma: &[u8], stride: usize, width: usize) -> u64 {
    let across = luma.chunks(stride).filter_map(|row| Some((row.get(..width.checked_sub(1)?)?, row.get(1..width)?)));
    let down = luma.chunks(stride).zip(luma.chunks(stride).skip(2)).filter_map(|(a, b)| Some((a.get(..width)?, b.get(..width)?)));
    across.chain(down).map(|(a, b)| u64::from(a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_block_is_counted_once_and_forgotten_after() {
        let old = vec![100; 64 * BAND];
        let mut new = old.clone();
        new[5] = 90;
        new[64 + 6] = 110;
        let mut comparison = Comparison::new(&Picture::new(64, 32));
        comparison.add(0, &old, &new, 64, 64);
        let change = comparison.take();
        assert_eq!((change.fraction, change.difference), (1.0 / 8.0, 20.0));
        assert_eq!(comparison.take().fraction, 0.0);
        assert_eq!(comparison.take().texture, change.texture, "texture is of the whole picture and stays");
    }
}

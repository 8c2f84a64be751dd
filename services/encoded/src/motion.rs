//! Tells a picture that moved from a new one: a look at some of the changed blocks, with the movements seen lately.

use arrayvec::ArrayVec;

use crate::change::{BAND, distance_16};

/// Changed blocks that are looked at.
const SAMPLES: usize = 32;
/// Of those, how many are searched along both axes when no known movement explains them.
const SEARCHES: usize = 12;
/// How far, in pixels.
const REACH: isize = 24;
/// Movements remembered, newest first.
const KNOWN: usize = 6;
/// A movement explains a block when this share of the unmoved difference is left.
const EXPLAINED: f64 = 0.4;
/// A mean difference a pixel below which a block counts as the old one, a little changed.
const SLIGHT: u64 = 6 * (BAND * BAND) as u64;

type Vector = (isize, isize);

/// Looks for movement in successive pictures of one size.
#[derive(Default)]
pub struct Motion {
    known: ArrayVec<Vector, KNOWN>,
}

/// Luma of two pictures of the same geometry.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// The picture before.
    pub old: &'a [u8],
    /// The picture now.
    pub new: &'a [u8],
    /// Bytes a row.
    pub stride: usize,
    /// Pixels.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Motion {
    /// Share of the `changed` blocks (x, y of their upper left pixels) that no movement explains, 0 to 1.
    pub fn novelty(&mut self, pair: Pair<'_>, changed: &[(u16, u16)]) -> f64 {
        let step = changed.len().div_ceil(SAMPLES).max(1);
        let whole = |&&(x, y): &&(u16, u16)| {
            usize::from(x) + BAND <= pair.width && usize::from(y) + BAND <= pair.height
        };
        let (mut seen, mut new, mut searches) = (0, 0, 0);
        for &(x, y) in changed.iter().skip(step / 2).step_by(step).filter(whole) {
            seen += 1;
            let block = Block::new(pair, usize::from(x), usize::from(y));
            let limit = (block.difference((0, 0), u64::MAX).unwrap_or(0) as f64 * EXPLAINED) as u64;
            if limit <= SLIGHT || self.known.iter().any(|&vector| block.difference(vector, limit).is_some()) {
                continue;
            }
            searches += 1;
            match (searches <= SEARCHES).then(|| block.search(limit)).flatten() {
                Some(vector) => self.remember(vector),
                None => new += 1,
            }
        }
        if seen == 0 { 0.0 } else { f64::from(new) / f64::from(seen) }
    }

    fn remember(&mut self, vector: Vector) {
        if self.known.is_full() {
            self.known.pop();
        }
        self.known.insert(0, vector);
    }
}

struct Block<'a> {
    pair: Pair<'a>,
    x: usize,
    y: usize,
    /// Its pixels in the new picture.
    rows: [[u8; BAND]; BAND],
}

impl<'a> Block<'a> {
    fn new(pair: Pair<'a>, x: usize, y: usize) -> Self {
        let mut rows = [[0; BAND]; BAND];
        for (row, from) in rows.iter_mut().zip((y * pair.stride + x..).step_by(pair.stride)) {
            *row = piece(pair.new, from).copied().unwrap_or_default();
        }
        Self { pair, x, y, rows }
    }

    /// Absolute luma difference to the old picture moved by `vector`; `None` above `limit` or outside the picture.
    fn difference(&self, (dx, dy): Vector, limit: u64) -> Option<u64> {
        let Pair { old, stride, width, height, .. } = self.pair;
        let (x, y) = (self.x.checked_add_signed(dx)?, self.y.checked_add_signed(dy)?);
        if x + BAND > width || y + BAND > height {
            return None;
        }
        let mut sum = 0;
        for (row, from) in self.rows.iter().zip((y * stride + x..).step_by(stride)) {
            sum += u64::from(distance_16(piece(old, from)?, row));
            if sum > limit {
                return None;
            }
        }
        Some(sum)
    }

    /// The nearest movement along an axis that explains the block.
    fn search(&self, limit: u64) -> Option<Vector> {
        (1..=REACH)
            .flat_map(|d| [(0, d), (0, -d), (d, 0), (-d, 0)])
            .find(|&vector| self.difference(vector, limit).is_some())
    }
}

/// As many bytes from `start` on as a block is wide.
fn piece(luma: &[u8], start: usize) -> Option<&[u8; BAND]> {
    luma.get(start..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Scene;

    fn luma(seed: u32, number: usize) -> Vec<u8> {
        let scene = Scene { width: 320, height: 192, seed, noise: 20 };
        let mut pixels = vec![0; 320 * 192 * 4];
        scene.draw(number, &mut pixels);
        pixels.chunks_exact(4).map(|pixel| pixel[1]).collect()
    }

    fn all_blocks() -> Vec<(u16, u16)> {
        (0..12).flat_map(|y| (0..20).map(move |x| (x * 16, y * 16))).collect()
    }

    /// Sabotage: let `novelty` count every block that differs.
    #[test]
    fn scrolled_text_is_known_and_another_page_is_new() {
        let (old, moved, other) = (luma(1, 0), luma(1, 5), luma(2, 5));
        let mut motion = Motion::default();
        let pair = |new| Pair { old: &old, new, stride: 320, width: 320, height: 192 };
        assert!(motion.novelty(pair(&moved), &all_blocks()) < 0.3);
        assert!(motion.novelty(pair(&other), &all_blocks()) > 0.6);
    }
}

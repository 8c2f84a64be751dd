//! The picture that is encoded next: kept up to date band by band, and compared with the one before.

use std::ops::Range;

use lumen_ipc::pool::Layout;

use crate::change::{BAND, Change, Comparison};
use crate::convert::{ConvertError, convert};
use crate::motion::Pair;
use crate::picture::Picture;
use crate::ratecontrol::Plan;
use crate::soften::soften;

/// The newest picture in the encoder's format.
pub struct Canvas {
    picture: Picture,
    /// Luma of the picture before; differs from `picture` in the `painted` bands at most.
    before: Vec<u8>,
    painted: Vec<bool>,
    band: Picture,
    softened: Picture,
    comparison: Comparison,
}

impl Canvas {
    /// A black canvas for pictures of this size.
    pub fn new(width: usize, height: usize) -> Self {
        let picture = Picture::new(width, height);
        Self {
            before: picture.luma().to_vec(),
            painted: vec![false; height.div_ceil(BAND)],
            band: Picture::new(width, BAND),
            softened: Picture::new(width, height),
            comparison: Comparison::new(&picture),
            picture,
        }
    }

    /// The newest picture.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// The newest picture as `plan` wants it encoded.
    pub fn at(&mut self, plan: Plan) -> &Picture {
        let Some(side) = plan.grain.block().filter(|_| plan.sharp < 1.0) else {
            return &self.picture;
        };
        let sharp = (plan.sharp * self.painted.len() as f64).round() as usize * BAND;
        soften(&self.picture, &mut self.softened, side, sharp);
        &self.softened
    }

    /// Takes the rows `damaged` (in any order, widened to whole bands) from a buffer of `layout`.
    ///
    /// # Errors
    /// The buffer is not what its layout says; the canvas may then be partly painted.
    pub fn paint(
        &mut self,
        pixels: &[u8],
        layout: &Layout,
        damaged: impl IntoIterator<Item = Range<usize>> + Clone,
    ) -> Result<(), ConvertError> {
        self.remember();
        for band in 0..self.painted.len() {
            let (first, last) = (band * BAND, (band * BAND + BAND).min(self.picture.height()));
            if damaged.clone().into_iter().any(|rows| rows.start < last && first < rows.end) {
                self.paint_band(pixels, layout, band, first..last)?;
            }
        }
        Ok(())
    }

    /// Nothing is painted: the next change is none.
    pub fn keep(&mut self) {
        self.remember();
    }

    /// Makes `before` the newest picture again.
    fn remember(&mut self) {
        let bytes = self.picture.stride() * BAND;
        let bands = self.before.chunks_mut(bytes).zip(self.picture.luma().chunks(bytes));
        for ((before, now), painted) in bands.zip(&mut self.painted) {
            if std::mem::take(painted) {
                before.copy_from_slice(now);
            }
        }
    }

    fn paint_band(
        &mut self,
        pixels: &[u8],
        layout: &Layout,
        band: usize,
        rows: Range<usize>,
    ) -> Result<(), ConvertError> {
        let (stride, width, count) = (self.picture.stride(), self.picture.width(), rows.len());
        convert(pixels, layout, rows.clone(), &mut self.band)?;
        let new = self.band.luma().get(..stride * count).unwrap_or_default();
        let old = self.picture.luma().get(stride * rows.start..stride * rows.end).unwrap_or_default();
        self.comparison.add(band, old, new, stride, width);
        self.picture.replace_rows(rows.start, &self.band, count);
        if let Some(painted) = self.painted.get_mut(band) {
            *painted = true;
        }
        Ok(())
    }

    /// What the paintings since the last call changed.
    pub fn take_change(&mut self) -> Change {
        self.comparison.take(Pair {
            old: &self.before,
            new: self.picture.luma(),
            stride: self.picture.stride(),
            width: self.picture.width(),
            height: self.picture.height(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Scene;

    // Sabotage: paint one band less than is damaged.
    #[test]
    fn painting_only_the_damage_equals_painting_all() {
        let scene = Scene { width: 200, height: 150, seed: 3, noise: 30 };
        let (mut old, mut new) = (vec![0; 200 * 150 * 4], vec![0; 200 * 150 * 4]);
        scene.draw(0, &mut old);
        scene.draw(1, &mut new);
        let rows = |range: std::ops::Range<usize>| range.start * 800..range.end * 800;
        // Only these rows change.
        let damage = [37..41, 120..150];
        let mut mixed = old.clone();
        for range in damage.clone() {
            mixed[rows(range.clone())].copy_from_slice(&new[rows(range)]);
        }
        let (mut partly, mut whole) = (Canvas::new(200, 150), Canvas::new(200, 150));
        partly.paint(&old, &scene.layout(), std::iter::once(0..150)).unwrap();
        partly.take_change();
        partly.paint(&mixed, &scene.layout(), damage).unwrap();
        whole.paint(&mixed, &scene.layout(), std::iter::once(0..150)).unwrap();
        assert_eq!(partly.picture().luma(), whole.picture().luma());
        assert_eq!(partly.picture().chroma(), whole.picture().chroma());
        let change = partly.take_change();
        assert!(change.fraction > 0.1 && change.fraction < 0.5, "{change:?}");
        partly.keep();
        assert_eq!(partly.take_change().fraction, 0.0);
    }
}

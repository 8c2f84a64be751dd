//! The picture that is encoded next: kept up to date band by band, and compared while it is.

use std::ops::Range;

use lumen_ipc::pool::Layout;

use crate::change::{BAND, Change, Comparison};
use crate::convert::{ConvertError, convert};
use crate::picture::Picture;

/// The newest picture in the encoder's format.
pub struct Canvas {
    picture: Picture,
    band: Picture,
    comparison: Comparison,
}

impl Canvas {
    /// A black canvas for pictures of this size.
    pub fn new(width: usize, height: usize) -> Self {
        let picture = Picture::new(width, height);
        Self { band: Picture::new(width, BAND), comparison: Comparison::new(&picture), picture }
    }

    /// The newest picture.
    pub fn picture(&self) -> &Picture {
        &self.picture
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
        for first in (0..self.picture.height()).step_by(BAND) {
            let last = (first + BAND).min(self.picture.height());
            if damaged.clone().into_iter().any(|rows| rows.start < last && first < rows.end) {
                self.paint_band(pixels, layout, first..last)?;
            }
        }
        Ok(())
    }

    fn paint_band(&mut self, pixels: &[u8], layout: &Layout, rows: Range<usize>) -> Result<(), ConvertError> {
        let (stride, width, count) = (self.picture.stride(), self.picture.width(), rows.len());
        convert(pixels, layout, rows.clone(), &mut self.band)?;
        let new = self.band.luma().get(..stride * count).unwrap_or_default();
        let old = self.picture.luma().get(stride * rows.start..stride * rows.end).unwrap_or_default();
        self.comparison.add(rows.start / BAND, old, new, stride, width);
        self.picture.replace_rows(rows.start, &self.band, count);
        Ok(())
    }

    /// What the paintings since the last call changed.
    pub fn take_change(&mut self) -> Change {
        self.comparison.take()
    }
}

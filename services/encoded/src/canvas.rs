//! The picture that is encoded next: kept up to date tile by tile, and compared with the one before.

use std::ops::Range;

use lumen_ipc::Damage;

use crate::backends::kernel::{Kernel, Sums, TILE};
use crate::change::{BAND, Change, Comparison};
use crate::convert::{ConvertError, Converter, Part, Source};
use crate::motion::Pair;
use crate::picture::Picture;
use crate::pointer::{Area, Beneath, Placed};
use crate::ratecontrol::Plan;
use crate::soften::soften;

/// The newest picture in the encoder's format, and the one before it. They change places with each painting, because then
/// nothing is copied but what was painted the last time and is not painted again.
pub struct Canvas {
    newest: Picture,
    before: Picture,
    softened: Picture,
    /// Tiles in which the two differ, band after band; none else do.
    painted: Vec<bool>,
    /// Tiles that are being painted.
    damaged: Vec<bool>,
    /// Tiles in a band.
    columns: usize,
    converter: Converter,
    /// Room for those of one run of tiles.
    sums: Vec<Sums>,
    comparison: Comparison,
    converted_bytes: u64,
    pointer: Option<Placed>,
    /// The pointer on the picture that was encoded last, and how much it differed from what was beneath it.
    drawn: Option<(Placed, u64)>,
    beneath: Beneath,
}

impl Canvas {
    /// A black canvas for pictures of this size, converted by the fastest instructions.
    pub fn new(width: usize, height: usize) -> Self {
        Self::with(Kernel::best(), width, height)
    }

    /// A black canvas for pictures of this size, converted by these instructions.
    pub fn with(kernel: Kernel, width: usize, height: usize) -> Self {
        let newest = Picture::new(width, height);
        let (bands, columns) = (newest.height().div_ceil(BAND), newest.width().div_ceil(TILE));
        Self {
            before: Picture::new(width, height),
            softened: Picture::new(width, height),
            painted: vec![false; bands * columns],
            damaged: vec![false; bands * columns],
            columns,
            converter: Converter::new(kernel, &newest),
            sums: vec![Sums::default(); columns],
            comparison: Comparison::new(&newest),
            converted_bytes: 0,
            pointer: None,
            drawn: None,
            beneath: Beneath::default(),
            newest,
        }
    }

    /// The newest picture.
    pub fn picture(&self) -> &Picture {
        &self.newest
    }

    /// Only the newest picture.
    #[cfg(test)]
    pub fn into_picture(self) -> Picture {
        self.newest
    }

    /// The newest picture as `plan` wants it encoded.
    pub fn at(&mut self, plan: Plan) -> &Picture {
        let Some(side) = plan.grain.block().filter(|_| plan.sharp < 1.0) else {
            return &self.newest;
        };
        let sharp = (plan.sharp * self.bands() as f64).round() as usize * BAND;
        soften(&self.newest, &mut self.softened, side, sharp);
        &self.softened
    }

    /// Takes the damaged part of `source`, widened to whole tiles.
    ///
    /// # Errors
    /// The buffer is not what its layout says; the canvas must then be painted whole.
    pub fn paint(&mut self, source: Source<'_>, damage: &Damage) -> Result<(), ConvertError> {
        self.mark(damage);
        std::mem::swap(&mut self.newest, &mut self.before);
        for band in 0..self.bands() {
            let mut tiles = 0..0;
            while tiles.end < self.columns {
                tiles = self.run(band, tiles.end);
                self.paint_run(source, band, &tiles)?;
            }
        }
        std::mem::swap(&mut self.painted, &mut self.damaged);
        Ok(())
    }

    fn bands(&self) -> usize {
        self.newest.height().div_ceil(BAND)
    }

    fn mark(&mut self, damage: &Damage) {
        self.damaged.fill(false);
        let Self { columns, newest, .. } = self;
        let (width, height) = (newest.width() as u32, newest.height() as u32);
        for rect in damage.rects().iter().filter_map(|rect| rect.clip(width, height)) {
            let (x, y) = (rect.x as usize, rect.y as usize);
            let tiles = x / TILE..(x + rect.width as usize).div_ceil(TILE);
            let bands = y / BAND..(y + rect.height as usize).div_ceil(BAND);
            for band in self.damaged.chunks_mut(*columns).skip(bands.start).take(bands.len()) {
                band.get_mut(tiles.clone()).unwrap_or_default().fill(true);
            }
        }
    }

    /// Whether a tile is to be painted, and whether it was the last time.
    fn state(&self, band: usize, tile: usize) -> (bool, bool) {
        let is = |tiles: &[bool]| tiles.get(band * self.columns + tile) == Some(&true);
        (is(&self.damaged), is(&self.painted))
    }

    /// The tiles from `first` on that are alike in what is to be done with them.
    fn run(&self, band: usize, first: usize) -> Range<usize> {
        let (damaged, painted) = self.state(band, first);
        let alike = |&tile: &usize| {
            let (now, then) = self.state(band, tile);
            now == damaged && (now || then == painted)
        };
        first..(first..self.columns).find(|tile| !alike(tile)).unwrap_or(self.columns)
    }

    fn paint_run(
        &mut self,
        source: Source<'_>,
        band: usize,
        tiles: &Range<usize>,
    ) -> Result<(), ConvertError> {
        let rows = band * BAND..(band * BAND + BAND).min(self.newest.height());
        match self.state(band, tiles.start) {
            (false, false) => {}
            (false, true) => self.newest.take_over(&self.before, &rows, tiles),
            (true, _) => {
                let sums = self.sums.get_mut(..tiles.len()).unwrap_or_default();
                sums.fill(Sums::default());
                let part = Part { rows, tiles: tiles.clone() };
                self.converter.convert(source, &part, &mut self.newest, &self.before, sums)?;
                self.comparison.add(band, tiles.start, sums);
                let columns = (tiles.end * TILE).min(self.newest.width()) - tiles.start * TILE;
                self.converted_bytes += (part.rows.len() * columns * 4) as u64;
            }
        }
        Ok(())
    }

    /// From now on the pointer is there, or nowhere.
    pub fn point(&mut self, pointer: Option<Placed>) {
        self.pointer = pointer;
    }

    /// Draws the pointer on the newest picture, which must then be lifted before anything else is painted.
    pub fn draw(&mut self) {
        self.drawn = self.pointer.as_ref().map(|pointer| {
            let difference = self.beneath.draw(&mut self.newest, pointer);
            (pointer.clone(), difference)
        });
    }

    /// Takes the pointer off again.
    pub fn lift(&mut self) {
        self.beneath.lift(&mut self.newest);
    }

    /// A pointer that moved changes the picture where it was and where it is.
    fn compare_pointer(&mut self) {
        if self.drawn.as_ref().map(|(pointer, _)| pointer) == self.pointer.as_ref() {
            return;
        }
        let was = self.drawn.as_ref().and_then(|(pointer, by)| Some((pointer.area(&self.newest)?, *by)));
        // What it will differ by is known when it is drawn: likely as much as where it was.
        let likely = was.as_ref().map(|(_, by)| *by);
        let is = self.pointer.as_ref().and_then(|pointer| pointer.area(&self.newest));
        let is = is.map(|area| {
            let by = likely.unwrap_or_else(|| guessed(&area));
            (area, by)
        });
        for (area, by) in was.into_iter().chain(is) {
            self.comparison.add_area(&area.rows, &area.columns, by);
        }
    }

    /// What the paintings since the last call changed, and the pointer since it was drawn.
    pub fn take_change(&mut self) -> Change {
        self.take_change_seen_by(|_| {})
    }

    /// As [`Canvas::take_change`]; `see` is shown the blocks that changed: x and y of their upper left pixels.
    pub fn take_change_seen_by(&mut self, see: impl FnOnce(&[(u16, u16)])) -> Change {
        self.compare_pointer();
        see(self.comparison.changed());
        self.comparison.take(Pair {
            old: self.before.luma(),
            new: self.newest.luma(),
            stride: self.newest.stride(),
            width: self.newest.width(),
            height: self.newest.height(),
        })
    }

    /// Bytes of pixels that were converted so far.
    pub fn converted_bytes(&self) -> u64 {
        self.converted_bytes
    }
}

/// The luma difference of a pointer that was never drawn, by its area: half of the way from black to white.
fn guessed(area: &Area) -> u64 {
    (area.rows.len() * area.columns.len()) as u64 * 110
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pointer::tests::solid_sprite, synthetic::Scene};
    use lumen_ipc::{Rect, pool::Layout};
    use proptest::prelude::*;

    const SCENE: Scene = Scene { width: 202, height: 150, seed: 3, noise: 30 };

    fn pixels(number: usize) -> Vec<u8> {
        let mut pixels = vec![0; SCENE.width * SCENE.height * 4];
        SCENE.draw(number, &mut pixels);
        pixels
    }

    fn damage(rects: &[Rect]) -> Damage {
        let mut damage = Damage::default();
        rects.iter().for_each(|rect| damage.add(*rect));
        damage
    }

    /// What `old` shows after `rects` of it became `new`.
    fn mixed(mut old: Vec<u8>, new: &[u8], rects: &[Rect]) -> Vec<u8> {
        for rect in rects {
            for y in rect.y..rect.y + rect.height {
                let start = (y as usize * SCENE.width + rect.x as usize) * 4;
                let row = start..start + rect.width as usize * 4;
                old[row.clone()].copy_from_slice(&new[row]);
            }
        }
        old
    }

    fn rect() -> impl Strategy<Value = Rect> {
        (0u32..202, 0u32..150, 1u32..90, 1u32..90).prop_map(|(x, y, width, height)| {
            let rect = Rect { x, y, width, height };
            rect.clip(SCENE.width as u32, SCENE.height as u32).unwrap()
        })
    }

    proptest! {
        // Sabotage: paint one tile less than is damaged, or forget to take over what only the other picture has.
        #[test]
        fn painting_only_the_damage_equals_painting_all(
            steps in proptest::collection::vec(proptest::collection::vec(rect(), 0..4), 1..6)
        ) {
            let layout = SCENE.layout();
            let all = Damage::full(layout.width, layout.height);
            let (mut partly, mut shown) = (Canvas::new(SCENE.width, SCENE.height), pixels(0));
            partly.paint(Source { pixels: &shown, layout: &layout }, &all).unwrap();
            for (number, rects) in steps.iter().enumerate() {
                shown = mixed(shown, &pixels(number + 1), rects);
                partly.paint(Source { pixels: &shown, layout: &layout }, &damage(rects)).unwrap();
                let mut whole = Canvas::new(SCENE.width, SCENE.height);
                whole.paint(Source { pixels: &shown, layout: &layout }, &all).unwrap();
                prop_assert_eq!(partly.picture().luma(), whole.picture().luma());
                prop_assert_eq!(partly.picture().chroma(), whole.picture().chroma());
                prop_assert_eq!(partly.take_change().texture, whole.take_change().texture);
            }
        }
    }

    // Sabotage: let `take_change` keep what it found.
    #[test]
    fn a_change_is_told_once_and_as_large_as_it_is() {
        let layout = SCENE.layout();
        let mut canvas = Canvas::new(SCENE.width, SCENE.height);
        let all = Damage::full(layout.width, layout.height);
        canvas.paint(Source { pixels: &pixels(0), layout: &layout }, &all).unwrap();
        assert!(canvas.take_change().fraction > 0.9);
        let changed = [Rect { x: 0, y: 0, width: 202, height: 40 }];
        let shown = mixed(pixels(0), &pixels(1), &changed);
        canvas.paint(Source { pixels: &shown, layout: &layout }, &all).unwrap();
        let change = canvas.take_change();
        assert!(change.fraction > 0.1 && change.fraction <= 0.3, "{change:?}");
        assert_eq!(canvas.take_change().fraction, 0.0);
    }

    // Sabotage: convert whole bands.
    #[test]
    fn a_blinking_text_cursor_converts_a_hundredth_of_the_picture() {
        let layout = Layout { width: 1280, height: 720, stride: 5120, ..SCENE.layout() };
        let (mut canvas, mut pixels) = (Canvas::new(1280, 720), vec![0; 5120 * 720]);
        canvas.paint(Source { pixels: &pixels, layout: &layout }, &Damage::full(1280, 720)).unwrap();
        canvas.take_change();
        let whole = canvas.converted_bytes();
        assert_eq!(whole, 5120 * 720);
        let cursor = Rect { x: 635, y: 347, width: 10, height: 20 };
        for blink in 0..10 {
            for y in cursor.y as usize..(cursor.y + cursor.height) as usize {
                pixels[y * 5120..][cursor.x as usize * 4..][..40].fill(if blink % 2 == 0 { 255 } else { 0 });
            }
            canvas.paint(Source { pixels: &pixels, layout: &layout }, &damage(&[cursor])).unwrap();
            assert!(canvas.take_change().fraction > 0.0);
        }
        let each = (canvas.converted_bytes() - whole) / 10;
        assert!(each > 0 && each * 100 <= whole, "{each} of {whole} bytes");
    }

    // Sabotage: leave out where the pointer was, or lift it before it is encoded.
    #[test]
    fn a_pointer_that_moves_changes_where_it_was_and_where_it_is() {
        let layout = SCENE.layout();
        let mut canvas = Canvas::new(SCENE.width, SCENE.height);
        let all = Damage::full(layout.width, layout.height);
        canvas.paint(Source { pixels: &pixels(0), layout: &layout }, &all).unwrap();
        let clean = canvas.picture().luma().to_vec();
        canvas.take_change();
        let sprite = solid_sprite(10, 10, [0, 0, 255, 255]);
        let mut drawn_at = |x, y| {
            canvas.point(Some(Placed::new(x, y, sprite.clone())));
            canvas.compare_pointer();
            let mut blocks = canvas.comparison.changed().to_vec();
            blocks.sort_unstable();
            assert_eq!(canvas.take_change().difference > 0.0, !blocks.is_empty());
            canvas.draw();
            let red = canvas.picture().luma()[y as usize * canvas.picture().stride() + x as usize];
            assert_eq!(red, 62);
            canvas.lift();
            assert_eq!(canvas.picture().luma(), clean);
            blocks
        };
        assert_eq!(drawn_at(3, 3), [(0, 0)]);
        assert_eq!(drawn_at(60, 30), [(0, 0), (48, 16), (48, 32), (64, 16), (64, 32)]);
        assert_eq!(drawn_at(60, 30), [], "it did not move");
        canvas.point(None);
        assert!(canvas.take_change().fraction > 0.0, "it went away");
        canvas.draw();
        assert_eq!(canvas.take_change().fraction, 0.0);
    }
}

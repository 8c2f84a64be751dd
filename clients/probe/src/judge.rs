//! Judges decoded pictures of lumen-stamp by drawing the frames they claim to be again.

use lumen_stamp::{Layout, ReadError, Reference, TooSmall, patch_error, read};
use serde::Serialize;

use crate::picture::Picture;

/// The first pictures may still be soft: they are judged by their number and not by their sharpness.
pub const SHARP_FROM: u64 = 10;

/// What one picture shows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// The number read from it.
    pub stamp: Option<u32>,
    /// Why there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// PSNR of the scrolling text's luma in decibels, at most 99; `None` where there is no number.
    pub text_psnr_db: Option<f64>,
    /// PSNR of the luma of the text that never changes.
    pub still_psnr_db: Option<f64>,
    /// The largest distance of a patch's mean Y, Cb or Cr from its colour, in levels.
    pub patch_error: f64,
}

/// What all pictures showed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StampSummary {
    /// Pictures with a number.
    pub read: u64,
    /// Pictures without one.
    pub unreadable: u64,
    /// Pictures without one after a change of size, before the program had drawn in the new one.
    pub resizing: u64,
    /// Why the first of these had none.
    pub unreadable_because: Option<String>,
    /// The first number.
    pub first: Option<u32>,
    /// The last number.
    pub last: Option<u32>,
    /// Each picture that is no repeat has a higher number than the one before.
    pub strictly_rising: bool,
    /// Pictures not marked as repeats that show the number before once more.
    pub same_again: u64,
    /// Pictures whose number is lower than the one before.
    pub fallen: u64,
    /// Pictures marked as repeats that show another number.
    pub false_repeats: u64,
    /// Numbers between the first and the last that no picture showed.
    pub skipped: u64,
    /// Lowest PSNR of the text from the 10th picture on, in decibels; `None` before it. Counted from the first number.
    pub text_psnr_min_db: Option<f64>,
    /// Mean PSNR of the text from the 10th picture on.
    pub text_psnr_mean_db: Option<f64>,
    /// PSNR of the text in the first picture with a number.
    pub text_psnr_first_db: Option<f64>,
    /// Largest error of a colour patch from the 10th picture on, in levels.
    pub patch_error_max: f64,
    /// The picture (by count, from 1) from which on the text never was below 35 dB.
    pub sharp_from: Option<u64>,
}

/// Below this the text is called blurred.
const SHARP_DB: f64 = 35.0;

/// Reads and judges pictures in the order of arrival.
#[derive(Debug)]
pub struct Judge {
    reference: Option<Reference>,
    summary: StampSummary,
    /// Pictures of this size, from the first number on.
    pictures: u64,
    size: Option<(u32, u32)>,
    /// The size has changed, and no number came since.
    is_resizing: bool,
    psnr_sum: f64,
    psnr_count: u64,
}

impl Default for Judge {
    fn default() -> Self {
        let summary = StampSummary { strictly_rising: true, ..StampSummary::default() };
        Self {
            reference: None,
            summary,
            pictures: 0,
            size: None,
            is_resizing: false,
            psnr_sum: 0.0,
            psnr_count: 0,
        }
    }
}

impl Judge {
    /// Judges the next picture. `repeat` is what the host said of it.
    pub fn judge(&mut self, picture: &Picture<'_>, repeat: bool) -> Verdict {
        let size = (picture.width, picture.height);
        if self.size.replace(size).is_some_and(|before| before != size) {
            // The compositor gives the program its new size after the first pictures of it.
            (self.is_resizing, self.pictures) = (true, 0);
        }
        let verdict = match self.look(picture) {
            Ok(verdict) => verdict,
            Err(error) => Verdict { unreadable: Some(error.to_string()), ..Verdict::default() },
        };
        // An empty desktop, before the program has drawn, is no picture of the stamp yet.
        self.pictures += u64::from(self.pictures > 0 || verdict.stamp.is_some());
        self.follow(&verdict, repeat);
        self.weigh(&verdict);
        verdict
    }

    /// What all pictures so far showed.
    pub fn summary(&self) -> StampSummary {
        let mut summary = self.summary.clone();
        summary.text_psnr_mean_db = (self.psnr_count > 0).then(|| self.psnr_sum / self.psnr_count as f64);
        summary
    }

    /// The reference for pictures of this size.
    fn reference(&mut self, width: u32, height: u32) -> Result<&mut Reference, TooSmall> {
        let fits = |r: &Reference| (r.layout().width, r.layout().height) == (width, height);
        let reference = match self.reference.take().filter(fits) {
            Some(reference) => reference,
            None => Reference::new(Layout::of(width, height)?),
        };
        Ok(self.reference.insert(reference))
    }

    fn look(&mut self, picture: &Picture<'_>) -> Result<Verdict, ReadError> {
        let (width, height) = (picture.width, picture.height);
        let number = read(picture.y.bytes, picture.y.stride, width, height)?;
        let reference = self.reference(width, height)?;
        reference.draw(number);
        let layout = reference.layout();
        let patches = layout.patches.iter().map(|p| patch_error(p, picture.y, picture.cb, picture.cr).worst);
        // JSON knows no infinity; an exact picture is said to have more than any lossy one.
        let psnr = |region| Some(reference.psnr_y(region, picture.y).min(99.0));
        Ok(Verdict {
            stamp: Some(number),
            unreadable: None,
            text_psnr_db: psnr(layout.text),
            still_psnr_db: psnr(layout.still),
            patch_error: patches.fold(0.0, f64::max),
        })
    }

    /// Compares the picture's number with the one before.
    fn follow(&mut self, verdict: &Verdict, repeat: bool) {
        let summary = &mut self.summary;
        let Some(number) = verdict.stamp else {
            if self.is_resizing {
                summary.resizing += 1;
                return;
            }
            summary.unreadable += 1;
            summary.unreadable_because =
                summary.unreadable_because.take().or_else(|| verdict.unreadable.clone());
            return;
        };
        self.is_resizing = false;
        summary.read += 1;
        summary.first.get_or_insert(number);
        if let Some(last) = summary.last {
            match (repeat, number.cmp(&last)) {
                (true, std::cmp::Ordering::Equal) => {}
                (true, _) => summary.false_repeats += 1,
                (false, std::cmp::Ordering::Equal) => summary.same_again += 1,
                (false, std::cmp::Ordering::Less) => summary.fallen += 1,
                (false, std::cmp::Ordering::Greater) => summary.skipped += u64::from(number - last - 1),
            }
        }
        summary.last = Some(number);
        summary.strictly_rising = summary.same_again + summary.fallen + summary.false_repeats == 0;
    }

    /// Keeps the worst of each measure.
    fn weigh(&mut self, verdict: &Verdict) {
        let summary = &mut self.summary;
        let Some(psnr) = verdict.text_psnr_db else {
            summary.sharp_from = None;
            return;
        };
        if self.pictures == 1 {
            summary.text_psnr_first_db = Some(psnr);
        }
        if psnr >= SHARP_DB {
            summary.sharp_from.get_or_insert(self.pictures);
        } else {
            summary.sharp_from = None;
        }
        if self.pictures >= SHARP_FROM {
            self.psnr_sum += psnr;
            self.psnr_count += 1;
            summary.text_psnr_min_db = Some(summary.text_psnr_min_db.map_or(psnr, |min| min.min(psnr)));
            summary.patch_error_max = summary.patch_error_max.max(verdict.patch_error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stamp::{Plane, ycbcr};

    const SIZE: (u32, u32) = (320, 180);

    /// Planes of frame `number`, chroma right only in the patches.
    fn planes(number: u32) -> [Vec<u8>; 3] {
        let layout = Layout::of(SIZE.0, SIZE.1).unwrap();
        let mut reference = Reference::new(layout.clone());
        reference.draw(number);
        let (mut cb, mut cr) = (vec![128; 160 * 90], vec![128; 160 * 90]);
        for patch in &layout.patches {
            let [_, b, r] = ycbcr(patch.rgb).map(|v| v.round() as u8);
            let region = patch.region;
            for y in region.y / 2..(region.y + region.height) / 2 {
                for x in region.x / 2..(region.x + region.width) / 2 {
                    cb[(y * 160 + x) as usize] = b;
                    cr[(y * 160 + x) as usize] = r;
                }
            }
        }
        [reference.luma(), cb, cr]
    }

    fn picture(planes: &[Vec<u8>; 3]) -> Picture<'_> {
        let [y, cb, cr] = planes;
        let plane = |bytes, stride| Plane { bytes, stride };
        Picture { width: SIZE.0, height: SIZE.1, y: plane(y, 320), cb: plane(cb, 160), cr: plane(cr, 160) }
    }

    fn judge(numbers: &[(u32, bool)]) -> StampSummary {
        let mut judge = Judge::default();
        for (number, repeat) in numbers {
            judge.judge(&picture(&planes(*number)), *repeat);
        }
        judge.summary()
    }

    // Sabotage: compare with `>=`, or let a repeat count as a rise.
    #[test]
    fn numbers_must_rise() {
        let good = judge(&[(7, false), (8, false), (8, true), (11, false)]);
        assert!(good.strictly_rising);
        assert_eq!((good.first, good.last, good.skipped, good.read), (Some(7), Some(11), 2, 4));
        assert!(!judge(&[(7, false), (7, false)]).strictly_rising);
        assert_eq!(judge(&[(7, false), (6, false)]).fallen, 1);
        assert_eq!(judge(&[(7, false), (8, true)]).false_repeats, 1);
    }

    // Sabotage: judge the text against the number before, or start at the first picture.
    #[test]
    fn a_blurred_picture_is_seen_from_the_tenth_on() {
        let mut judge = Judge::default();
        let mut blurred = |number: u32, by: u8| {
            let mut planes = planes(number);
            planes[0].iter_mut().step_by(2).for_each(|y| *y = y.saturating_add(by));
            judge.judge(&picture(&planes), false);
        };
        (0..9).for_each(|n| blurred(n, 30));
        (9..12).for_each(|n| blurred(n, 0));
        assert_eq!(judge.summary().text_psnr_min_db, Some(99.0));
        assert_eq!(judge.summary().sharp_from, Some(10));
        let mut planes = planes(12);
        planes[0].iter_mut().for_each(|y| *y = y.saturating_add(6));
        judge.judge(&picture(&planes), false);
        let summary = judge.summary();
        assert!(summary.text_psnr_min_db.unwrap() < 33.0, "{summary:?}");
        assert!(summary.patch_error_max > 5.0, "{summary:?}");
        assert_eq!(summary.sharp_from, None);
    }

    // Sabotage: count what the compositor shows before the program has its new size as unreadable, or never again after it.
    #[test]
    fn a_change_of_size_gives_the_program_time_to_draw() {
        let mut judge = Judge::default();
        judge.judge(&picture(&planes(7)), false);
        let small = [vec![100; 160 * 90], vec![128; 80 * 45], vec![128; 80 * 45]];
        let [y, cb, cr] = &small;
        let plane = |bytes, stride| Plane { bytes, stride };
        let picture_of_half =
            Picture { width: 160, height: 90, y: plane(y, 160), cb: plane(cb, 80), cr: plane(cr, 80) };
        judge.judge(&picture_of_half, false);
        judge.judge(&picture_of_half, true);
        assert_eq!((judge.summary().resizing, judge.summary().unreadable), (2, 0));
        judge.judge(&picture(&planes(8)), false);
        let grey = [vec![100; 320 * 180], vec![128; 160 * 90], vec![128; 160 * 90]];
        judge.judge(&picture(&grey), false);
        let summary = judge.summary();
        assert_eq!((summary.read, summary.resizing, summary.unreadable), (2, 2, 1));
    }

    #[test]
    fn a_picture_without_stamp_is_counted() {
        let mut judge = Judge::default();
        let grey = [vec![100; 320 * 180], vec![128; 160 * 90], vec![128; 160 * 90]];
        let verdict = judge.judge(&picture(&grey), false);
        assert!(verdict.stamp.is_none() && verdict.unreadable.is_some());
        assert_eq!((judge.summary().read, judge.summary().unreadable), (0, 1));
    }
}

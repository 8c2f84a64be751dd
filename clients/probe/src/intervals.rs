//! What came between two changes, and in which sizes.

use std::time::Duration;

use lumen_core::Timestamp;
use serde::Serialize;

use crate::change::Change;

/// Pictures of one size, one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SizeSummary {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Number of the first frame.
    pub first_frame: u64,
    /// Pictures that are no repeats.
    pub frames: u64,
    /// Pictures marked as repeats.
    pub repeats: u64,
}

/// Pictures between two changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IntervalSummary {
    /// The change that began it; empty for the first.
    pub change: String,
    /// Seconds after the first picture at which it began.
    pub from_s: f64,
    /// Its length in seconds, up to the last picture for the last one.
    pub length_s: f64,
    /// Pictures that are no repeats.
    pub frames: u64,
    /// Pictures marked as repeats.
    pub repeats: u64,
    /// Bytes of access units.
    pub bytes: u64,
    /// Bits a second of access units.
    pub bitrate_bps: f64,
    /// Unique pictures a second.
    pub fps: f64,
}

/// One decoded picture.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Number of its frame.
    pub frame: u64,
    /// When it was decoded.
    pub at: Timestamp,
    /// Its size.
    pub size: (u32, u32),
    /// Whether it shows what was shown before.
    pub repeat: bool,
    /// Of its access unit.
    pub bytes: usize,
}

/// Collects both.
#[derive(Debug)]
pub struct Intervals {
    /// The next changes, the last one first.
    to_come: Vec<Change>,
    intervals: Vec<IntervalSummary>,
    sizes: Vec<SizeSummary>,
    first: Option<Timestamp>,
    last: Duration,
}

impl Intervals {
    /// Divided by these changes.
    pub fn new(mut changes: Vec<Change>) -> Self {
        changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        let intervals = vec![IntervalSummary::default()];
        Self { to_come: changes, intervals, sizes: Vec::new(), first: None, last: Duration::ZERO }
    }

    /// The next picture.
    pub fn add(&mut self, seen: Seen) {
        let first = *self.first.get_or_insert(seen.at);
        self.last = seen.at.since(first);
        let is_size = |size: &SizeSummary| (size.width, size.height) == seen.size;
        if !self.sizes.last().is_some_and(is_size) {
            let (width, height) = seen.size;
            self.sizes.push(SizeSummary { width, height, first_frame: seen.frame, frames: 0, repeats: 0 });
        }
        while let Some(change) = self.to_come.pop_if(|change| change.at <= self.last) {
            let from_s = change.at.as_secs_f64();
            let begun = IntervalSummary { change: change.to_string(), from_s, ..Default::default() };
            self.intervals.push(begun);
        }
        let (new, again) = (u64::from(!seen.repeat), u64::from(seen.repeat));
        if let Some(size) = self.sizes.last_mut() {
            (size.frames, size.repeats) = (size.frames + new, size.repeats + again);
        }
        if let Some(interval) = self.intervals.last_mut() {
            (interval.frames, interval.repeats) = (interval.frames + new, interval.repeats + again);
            interval.bytes += seen.bytes as u64;
        }
    }

    /// What came.
    pub fn summary(self) -> (Vec<SizeSummary>, Vec<IntervalSummary>) {
        let ends: Vec<f64> = self.intervals.iter().skip(1).map(|next| next.from_s).collect();
        let ends = ends.into_iter().chain([self.last.as_secs_f64()]);
        let measure = |(mut interval, end): (IntervalSummary, f64)| {
            interval.length_s = (end - interval.from_s).max(0.0);
            if interval.length_s > 0.0 {
                interval.bitrate_bps = interval.bytes as f64 * 8.0 / interval.length_s;
                interval.fps = interval.frames as f64 / interval.length_s;
            }
            interval
        };
        (self.sizes, self.intervals.into_iter().zip(ends).map(measure).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(frame: u64, ms: u64, size: (u32, u32)) -> Seen {
        Seen { frame, at: Timestamp::from_ns(ms * 1_000_000), size, repeat: false, bytes: 1000 }
    }

    // Sabotage: count a picture at the very time of a change to the interval before, or measure from the first picture.
    #[test]
    fn pictures_are_counted_where_they_belong() {
        let changes = ["2:bitrate=2M", "1:mode=64x64@60"].map(|text| text.parse().unwrap());
        let mut intervals = Intervals::new(changes.into());
        let pictures = [(0, 5000), (1, 5500), (2, 6000), (3, 6500), (4, 7000), (5, 9000)];
        for (frame, ms) in pictures {
            intervals.add(seen(frame, ms, if frame < 3 { (8, 8) } else { (64, 64) }));
        }
        intervals.add(Seen { repeat: true, ..seen(6, 9000, (64, 64)) });
        let (sizes, intervals) = intervals.summary();
        let size = |width, first_frame, frames, repeats| SizeSummary {
            width,
            height: width,
            first_frame,
            frames,
            repeats,
        };
        assert_eq!(sizes, [size(8, 0, 3, 0), size(64, 3, 3, 1)]);
        let got: Vec<_> =
            intervals.iter().map(|i| (i.change.as_str(), i.frames, i.length_s, i.bitrate_bps)).collect();
        assert_eq!(
            got,
            [
                ("", 2, 1.0, 16_000.0),
                ("mode=64x64@60", 2, 1.0, 16_000.0),
                ("bitrate=2000000", 2, 2.0, 12_000.0)
            ]
        );
        assert_eq!(intervals[2].fps, 1.0);
    }
}

//! Samples by a sink's clock made samples by CLOCK_MONOTONIC, because a client gets nothing but their count: two clocks that are
//! 200 millionths apart are 17 s apart after a day.
//!
//! ```text
//!  Pcm of the sink ─► Pace: how many samples they are, at what step ─► windowed sinc ─► Pcm, 48,000 samples a second
//! ```
//! Where the sink keeps time, which one made for a session does, samples pass as they are.

use std::{collections::VecDeque, f64::consts::PI};

use lumen_ipc::sound::{PCM_FRAMES, Pcm, RATE, Samples};

/// An error beyond this is a gap: nobody plays faster for it.
const GAP_NS: f64 = 50e6;
/// An error within this is jitter of the stamps.
const QUIET_NS: f64 = 0.5e6;
/// In what time an error is made good.
const SETTLE_NS: f64 = 4e9;
/// Most that the pitch may change: nobody hears the sixtieth part of a semitone.
const MOST: f64 = 1e-3;

/// Samples of the sink that one of ours is made of.
const TAPS: usize = 32;
/// Places between two samples for which the weights are known; in between they are interpolated.
const PHASES: usize = 256;

/// How the next samples are made.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    /// Place of the first one, in samples of the piece.
    first: f64,
    /// From each to the next.
    step: f64,
    /// How many.
    count: usize,
}

/// Keeps the count of samples to the clock.
#[derive(Debug, Default)]
struct Pace {
    /// When sample 0 of ours was due, on CLOCK_MONOTONIC.
    origin_ns: Option<f64>,
    /// Samples of ours.
    out: u64,
    /// Place of the next one in the next piece.
    place: f64,
}

impl Pace {
    /// Of a piece that was played at `pts_ns`.
    fn take(&mut self, pts_ns: u64) -> Run {
        let played = pts_ns as f64 + nanoseconds(self.place);
        let due = nanoseconds(self.out as f64);
        let origin = self.origin_ns.get_or_insert(played - due);
        let mut error = played - *origin - due;
        if error.abs() > GAP_NS {
            (*origin, error) = (played - due, 0.0);
        }
        let drift = (error.abs() - QUIET_NS).max(0.0).copysign(error);
        let step = 1.0 - (drift / SETTLE_NS).clamp(-MOST, MOST);
        let first = self.place;
        let count = ((PCM_FRAMES as f64 - first) / step).ceil();
        self.place = first + count * step - PCM_FRAMES as f64;
        self.out += count as u64;
        Run { first, step, count: count as usize }
    }
}

fn nanoseconds(samples: f64) -> f64 {
    samples * 1e9 / f64::from(RATE)
}

/// Resamples.
#[derive(Debug)]
pub struct Resampler {
    channels: usize,
    pace: Pace,
    /// Interleaved: what the next samples are made of.
    kept: Vec<i16>,
    /// Rows of [`TAPS`] weights, for each phase and the one after the last.
    weights: Vec<[f32; TAPS]>,
    begun: Samples,
    begun_ns: u64,
    ready: VecDeque<Pcm>,
}

impl Resampler {
    /// For so many channels, at most [`lumen_ipc::sound::MAX_CHANNELS`].
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            pace: Pace::default(),
            kept: vec![0; TAPS * channels],
            weights: (0..=PHASES).map(|phase| weights(phase as f64 / PHASES as f64)).collect(),
            begun: Samples::new(),
            begun_ns: 0,
            ready: VecDeque::with_capacity(2),
        }
    }

    /// Takes a piece of [`PCM_FRAMES`] samples of each channel; [`Self::pop`] then has what it became. One of other channels is
    /// left out.
    pub fn take(&mut self, pcm: &Pcm) {
        if pcm.samples.len() != PCM_FRAMES * self.channels {
            return;
        }
        let stale = self.kept.len() - TAPS * self.channels;
        self.kept.drain(..stale);
        self.kept.extend(&pcm.samples);
        let run = self.pace.take(pcm.pts_ns);
        for n in 0..run.count {
            let place = run.first + n as f64 * run.step;
            if self.begun.is_empty() {
                let at_ns = nanoseconds(place - (TAPS / 2) as f64);
                self.begun_ns = pcm.pts_ns.saturating_add_signed(at_ns as i64);
            }
            self.make(place);
            if self.begun.len() == PCM_FRAMES * self.channels {
                let samples = std::mem::take(&mut self.begun);
                self.ready.push_back(Pcm { pts_ns: self.begun_ns, samples });
            }
        }
    }

    /// The next piece.
    pub fn pop(&mut self) -> Option<Pcm> {
        self.ready.pop_front()
    }

    /// One sample of each channel, half of [`TAPS`] before `place`.
    fn make(&mut self, place: f64) {
        let (whole, phase) = (place as usize, place.fract() * PHASES as f64);
        // One row more than there are samples before the piece, so that the first of them is the second row.
        let rows = self.kept.get((whole + 1) * self.channels..).unwrap_or_default();
        if phase == 0.0 {
            let middle = rows.chunks_exact(self.channels).nth(TAPS / 2 - 1).unwrap_or_default();
            self.begun.extend(middle.iter().copied());
            return;
        }
        let weights = match self.weights.get(phase as usize..) {
            Some([before, after, ..]) => {
                let share = phase.fract() as f32;
                std::array::from_fn(|tap| mix(before, after, tap, share))
            }
            _ => [0.0; TAPS],
        };
        for channel in 0..self.channels {
            let taps = rows.iter().skip(channel).step_by(self.channels);
            let sum: f32 = taps.zip(&weights).map(|(sample, weight)| f32::from(*sample) * weight).sum();
            self.begun.push(sum.round() as i16);
        }
    }
}

fn mix(before: &[f32; TAPS], after: &[f32; TAPS], tap: usize, share: f32) -> f32 {
    let of = |row: &[f32; TAPS]| row.get(tap).copied().unwrap_or_default();
    of(before) + (of(after) - of(before)) * share
}

/// Weights of the samples around a place that lies `phase` of a sample after the [`TAPS`] / 2-th of them.
fn weights(phase: f64) -> [f32; TAPS] {
    let half = (TAPS / 2) as f64;
    let raw: [f64; TAPS] = std::array::from_fn(|tap| {
        let x = tap as f64 - (half - 1.0) - phase;
        // Blackman's window.
        let at = PI * x / half;
        let window = 0.42 + 0.5 * at.cos() + 0.08 * (2.0 * at).cos();
        let sinc = if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) };
        sinc * if x.abs() < half { window } else { 0.0 }
    });
    // So that what stands still is as loud as before.
    let sum: f64 = raw.iter().sum();
    raw.map(|weight| (weight / sum) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: f64 = 86_400e9;

    /// When a clock that is so many millionths fast hands out its `n`th piece, with jitter of 0.2 ms.
    fn piece_ns(n: u64, ppm: f64) -> u64 {
        let jitter = [0.0, 200e3, -150e3, 50e3][n as usize % 4];
        (1e12 + n as f64 * nanoseconds(PCM_FRAMES as f64) / (1.0 + ppm * 1e-6) + jitter) as u64
    }

    /// Sabotage: pass on what comes (17 s after a day), or correct without a bound.
    #[test]
    fn after_a_day_by_a_clock_that_is_wrong_sound_is_where_it_belongs() {
        for ppm in [200.0, -200.0, 0.0] {
            let (mut pace, mut n, mut worst) = (Pace::default(), 0, 0.0f64);
            while (piece_ns(n, ppm) as f64 - 1e12) < DAY_NS {
                let at_ns = piece_ns(n, ppm);
                let run = pace.take(at_ns);
                assert!((239..=242).contains(&run.count) && (run.step - 1.0).abs() <= MOST);
                assert!((0.0..1.01).contains(&pace.place), "{}", pace.place);
                // What the client got by then.
                let made = nanoseconds(pace.out as f64);
                let passed = at_ns as f64 - 1e12 + nanoseconds(PCM_FRAMES as f64);
                worst = worst.max((made - passed).abs());
                n += 1;
            }
            assert!(worst < 3e6, "{ppm} ppm: {worst} ns apart");
        }
    }

    /// Sabotage: play faster until a gap is made good.
    #[test]
    fn a_gap_is_not_made_good() {
        let mut pace = Pace::default();
        pace.take(1_000_000_000);
        let run = pace.take(3_000_000_000);
        assert_eq!(run, Run { first: 0.0, step: 1.0, count: PCM_FRAMES });
    }

    fn piece(n: u64, at_ns: u64, channels: usize) -> Pcm {
        let sample = |frame: u64, channel: usize| {
            let phase = frame as f64 * 1000.0 * (channel + 1) as f64 / f64::from(RATE);
            (10_000.0 * (phase * 2.0 * PI).sin()) as i16
        };
        let frames = n * PCM_FRAMES as u64..(n + 1) * PCM_FRAMES as u64;
        let samples = frames.flat_map(|frame| (0..channels).map(move |channel| sample(frame, channel)));
        Pcm { pts_ns: at_ns, samples: samples.collect() }
    }

    /// Sabotage: resample all the same.
    #[test]
    fn a_sink_that_keeps_time_is_passed_on_as_it_is() {
        let mut resampler = Resampler::new(2);
        let (mut sent, mut made) = (Vec::new(), Vec::new());
        for n in 0..50 {
            let pcm = piece(n, piece_ns(n, 0.0), 2);
            sent.extend(pcm.samples.clone());
            resampler.take(&pcm);
            made.extend(resampler.pop().unwrap().samples);
            assert!(resampler.pop().is_none());
        }
        let delay = TAPS / 2 * 2;
        assert_eq!(made[delay..], sent[..sent.len() - delay]);
    }

    /// Sabotage: repeat or leave out whole samples, or mix up channels.
    #[test]
    fn tones_stay_tones_and_little_is_kept() {
        for ppm in [900.0, -900.0] {
            let (mut resampler, mut made) = (Resampler::new(2), Vec::new());
            for n in 0..2000 {
                resampler.take(&piece(n, piece_ns(n, ppm), 2));
                while let Some(pcm) = resampler.pop() {
                    made.push(pcm);
                }
                assert!(resampler.kept.len() <= 2 * (TAPS + PCM_FRAMES) && resampler.ready.is_empty());
            }
            // By the clock 10 s are 10 s, whatever the sink says.
            let expected = 2000.0 / (1.0 + ppm * 1e-6);
            assert!((made.len() as f64 - expected).abs() < 2.0, "{} of {expected}", made.len());
            let (first, last) = (made[1500].pts_ns, made[1900].pts_ns);
            assert!((last - first).abs_diff(400 * 5_000_000) < 1_000_000, "{}", last - first);
            // Each channel has the tone of its own, and nothing beside it.
            let late: Vec<i16> = made[1800..].iter().flat_map(|pcm| pcm.samples.clone()).collect();
            for channel in 0..2 {
                let one: Vec<f64> = late.iter().skip(channel).step_by(2).map(|x| f64::from(*x)).collect();
                let hertz = 1000.0 * (channel + 1) as f64 * (1.0 + ppm * 1e-6);
                let turn = 2.0 * (2.0 * PI * hertz / f64::from(RATE)).cos();
                // A tone satisfies x[n+1] = turn · x[n] − x[n−1]; clicks and other tones do not.
                let wrong = one.windows(3).map(|w| (w[2] - turn * w[1] + w[0]).abs()).fold(0.0, f64::max);
                assert!(wrong < 60.0, "channel {channel}: {wrong}");
            }
        }
    }
}

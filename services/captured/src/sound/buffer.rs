//! What a microphone heard, between a network that brings it unevenly and PipeWire, which takes it by its own clock.
//!
//! ```text
//!  dry: silence ── there is enough ─► plays: step by step, a little faster where more is left than needed, a little slower where
//!      ▲                              less is
//!      └────────── nothing is left ─────┘
//! ```

use std::collections::VecDeque;

use lumen_ipc::sound::RATE;

/// Samples of a millisecond.
const MS: usize = RATE as usize / 1000;
/// What shall be left after PipeWire took its share: jitter up to that is not heard.
const LEAST: usize = 20 * MS;
/// The same on a network that ran dry more than once.
const MOST: usize = 40 * MS;
/// By how much more is kept after it ran dry, and less after a quiet time.
const MORE: usize = 5 * MS;
/// In what time less is kept again.
const QUIET: usize = 10 * RATE as usize;
/// What is left beyond need by more than this is left out at once: nobody waits for a network that has caught up.
const TOO_LATE: usize = 100 * MS;
/// Most that is kept: what comes while nobody takes it.
const ROOM: usize = 500 * MS;
/// How long is looked at what is left before the step changes.
const LOOK: usize = RATE as usize;
/// In what time a difference is made good.
const SETTLE: f64 = 10.0 * RATE as f64;
/// A difference within this is jitter.
const STILL: f64 = 2.0 * MS as f64;
/// Most that the pitch may change: nobody hears the thirtieth part of a semitone.
const FASTEST: f64 = 2e-3;

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times that nothing was left.
    pub dry: u64,
    /// Samples that were left out, because there were too many.
    pub left_out: u64,
}

/// A session's.
#[derive(Debug)]
pub struct Buffer {
    samples: VecDeque<i16>,
    /// Between which two of the first samples the next one lies: 0 to 1.
    place: f64,
    /// From each to the next.
    step: f64,
    plays: bool,
    /// What shall be left.
    target: usize,
    /// Samples since it ran dry.
    quiet: usize,
    /// Least that was left while it was looked at, and for how many samples that is.
    look: (usize, usize),
    counts: Counts,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            samples: VecDeque::with_capacity(ROOM),
            place: 0.0,
            step: 1.0,
            plays: false,
            target: LEAST,
            quiet: 0,
            look: (usize::MAX, 0),
            counts: Counts::default(),
        }
    }
}

impl Buffer {
    /// Takes what was heard.
    pub fn take(&mut self, samples: &[i16]) {
        self.samples.extend(samples);
        self.leave_out(self.samples.len().saturating_sub(ROOM));
    }

    /// The next samples, or silence, little-endian.
    pub fn give(&mut self, to: &mut [[u8; 2]]) {
        self.prepare(to.len());
        to.iter_mut().for_each(|sample| *sample = self.next().to_le_bytes());
    }

    /// What happened until now.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn prepare(&mut self, count: usize) {
        if !self.plays {
            self.plays = self.samples.len() > count + self.target;
            self.look = (usize::MAX, 0);
            return;
        }
        let left = self.samples.len().saturating_sub(count);
        let (least, looked) = self.look;
        self.look = (least.min(left), looked + count);
        self.quiet += count;
        if self.quiet > QUIET {
            (self.quiet, self.target) = (0, LEAST.max(self.target - MORE));
        }
        if self.look.1 > LOOK {
            self.settle(self.look.0);
            self.look = (usize::MAX, 0);
        }
    }

    /// `least` was left at any time.
    fn settle(&mut self, least: usize) {
        let beyond = least.saturating_sub(self.target);
        if beyond > TOO_LATE {
            self.leave_out(beyond);
        }
        let error = least as f64 - self.target as f64;
        let error = (error.abs() - STILL).max(0.0).copysign(error);
        self.step = 1.0 + (error / SETTLE).clamp(-FASTEST, FASTEST);
    }

    fn leave_out(&mut self, count: usize) {
        self.samples.drain(..count.min(self.samples.len()));
        self.counts.left_out += count as u64;
    }

    fn next(&mut self) -> i16 {
        if !self.plays {
            return 0;
        }
        let [Some(&before), Some(&one), Some(&two), Some(&after)] = [0, 1, 2, 3].map(|n| self.samples.get(n))
        else {
            self.run_dry();
            return 0;
        };
        let sample = between([before, one, two, after].map(f64::from), self.place);
        self.place += self.step;
        while self.place >= 1.0 {
            self.place -= 1.0;
            self.samples.pop_front();
        }
        sample
    }

    fn run_dry(&mut self) {
        self.plays = false;
        self.counts.dry += 1;
        (self.quiet, self.target) = (0, MOST.min(self.target + MORE));
        (self.step, self.place) = (1.0, 0.0);
        self.samples.clear();
    }
}

/// What lies at `place` between the second and the third of four samples (a cubic through all of them: Catmull and Rom's).
fn between([before, one, two, after]: [f64; 4], place: f64) -> i16 {
    let bend = 3.0 * (one - two) + after - before;
    let slope = 2.0 * before - 5.0 * one + 4.0 * two - after;
    let value = one + 0.5 * place * (two - before + place * (slope + place * bend));
    value.round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stamp::tones;

    const TONE: f64 = 500.0;

    fn tone(from: usize, count: usize) -> Vec<i16> {
        let sample = |n: usize| (8000.0 * (n as f64 * TONE * std::f64::consts::TAU / 48_000.0).sin()) as i16;
        (from..from + count).map(sample).collect()
    }

    fn given(buffer: &mut Buffer, count: usize) -> Vec<i16> {
        let mut samples = vec![[1; 2]; count];
        buffer.give(&mut samples);
        samples.into_iter().map(i16::from_le_bytes).collect()
    }

    /// PipeWire takes `takes` samples at a time by its clock, the client brings 20 ms at a time by one that is `ppm` fast, each late by
    /// `jitter`. What was heard, and the most that ever waited.
    fn life(seconds: u64, ppm: f64, takes: usize, jitter: impl Fn(u64) -> f64) -> (Buffer, Vec<i16>, usize) {
        let (mut buffer, mut heard, mut sent, mut most) = (Buffer::default(), Vec::new(), 0u64, 0);
        let due = |n: u64| n as f64 * 0.02 / (1.0 + ppm * 1e-6) + jitter(n);
        for turn in 0..seconds * 48_000 / takes as u64 {
            let now = (turn * takes as u64) as f64 / 48_000.0;
            while due(sent) <= now {
                buffer.take(&tone(sent as usize * 960, 960));
                sent += 1;
            }
            most = most.max(buffer.samples.len());
            heard.extend(given(&mut buffer, takes));
        }
        (buffer, heard, most)
    }

    /// Sabotage: take each sample once whatever the clocks say, or correct by whole packets.
    #[test]
    fn clocks_that_differ_run_neither_dry_nor_late() {
        for ppm in [300.0, -300.0, 0.0] {
            for takes in [256, 480, 1024] {
                let (buffer, heard, most) = life(200, ppm, takes, |n| [0.0, 0.004, 0.001][n as usize % 3]);
                assert_eq!(buffer.counts(), Counts::default(), "{ppm} ppm, {takes}");
                let bound = LEAST + takes + 45 * MS;
                assert!(most < bound, "{ppm} ppm, {takes}: {most} samples waited");
                let last = &heard[heard.len() - 4800..];
                let clearness = tones::loudness(last, TONE) - tones::loudness(last, 1370.0);
                assert!(clearness > 40.0, "{ppm} ppm, {takes}: {clearness} dB");
            }
        }
    }

    /// Sabotage: begin with the first sample, or never keep more.
    #[test]
    fn a_network_that_stands_still_is_waited_for_once_and_not_for_ever() {
        // It brings nothing for 300 ms, and then all at once.
        let pause = |n: u64| if (500..515).contains(&n) { (515 - n) as f64 * 0.02 } else { 0.0 };
        let (buffer, heard, _) = life(60, 0.0, 480, pause);
        assert!(buffer.counts().dry <= 2 && buffer.counts().left_out > 0, "{:?}", buffer.counts());
        assert!(buffer.samples.len() < MOST + 60 * MS, "{} samples wait", buffer.samples.len());
        assert!(tones::loudness(&heard[heard.len() - 4800..], TONE) > -15.0);
        assert!(heard[..LEAST].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn what_nobody_takes_does_not_pile_up_and_what_is_not_there_is_silence() {
        let mut buffer = Buffer::default();
        assert!(given(&mut buffer, 480).iter().all(|sample| *sample == 0));
        (0..1000).for_each(|n| buffer.take(&tone(n * 960, 960)));
        assert_eq!(buffer.samples.len(), ROOM);
    }
}

//! Samples as PipeWire hands them out, cut into equal pieces that say when they were played.

use lumen_ipc::sound::{PCM_FRAMES, Pcm, RATE, Samples};
use std::collections::VecDeque;

/// Bytes of a sample.
const SAMPLE: usize = size_of::<i16>();
/// A step of the clock beyond this is a gap, not jitter.
const GAP_NS: i128 = 50_000_000;
/// How slowly the clock follows what it is told. Because single reports are late by as much as a busy machine is, and the true
/// drift of two clocks is below 100 µs a second.
const SLOWNESS: i128 = 64;

/// When each sample was played, by what is said of some of them.
#[derive(Debug, Default)]
struct Clock {
    /// CLOCK_MONOTONIC nanoseconds of sample 0.
    origin: Option<i128>,
}

impl Clock {
    fn hear(&mut self, frame: u64, at_ns: u64) {
        let said = i128::from(at_ns) - duration_ns(frame);
        let origin = self.origin.get_or_insert(said);
        let error = said - *origin;
        *origin += if error.abs() > GAP_NS { error } else { error / SLOWNESS };
    }

    fn at(&self, frame: u64) -> u64 {
        let at = self.origin.unwrap_or_default() + duration_ns(frame);
        u64::try_from(at).unwrap_or_default()
    }
}

fn duration_ns(frames: u64) -> i128 {
    i128::from(frames) * 1_000_000_000 / i128::from(RATE)
}

/// Cuts.
#[derive(Debug)]
pub struct Chopper {
    channels: usize,
    clock: Clock,
    /// Samples of each channel that came.
    came: u64,
    begun: Samples,
    ready: VecDeque<Pcm>,
}

impl Chopper {
    /// For so many channels, at most [`lumen_ipc::sound::MAX_CHANNELS`].
    pub fn new(channels: usize) -> Self {
        let ready = VecDeque::with_capacity(16);
        Self { channels, clock: Clock::default(), came: 0, begun: Samples::new(), ready }
    }

    /// Takes interleaved little-endian samples, of which the first was played at `at_ns`. Bytes beyond the last whole set of
    /// channels are left out.
    pub fn take(&mut self, bytes: &[u8], at_ns: u64) {
        self.clock.hear(self.came, at_ns);
        let full = PCM_FRAMES * self.channels;
        for frame in bytes.chunks_exact(SAMPLE * self.channels) {
            let samples = frame.as_chunks::<SAMPLE>().0.iter().map(|sample| i16::from_le_bytes(*sample));
            self.begun.extend(samples);
            self.came += 1;
            if self.begun.len() == full {
                let samples = std::mem::take(&mut self.begun);
                let pts_ns = self.clock.at(self.came - PCM_FRAMES as u64);
                self.ready.push_back(Pcm { pts_ns, samples });
            }
        }
    }

    /// The next piece.
    pub fn pop(&mut self) -> Option<Pcm> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(from: i16, frames: usize) -> Vec<u8> {
        (0..frames).flat_map(|n| [from + n as i16, -1]).flat_map(i16::to_le_bytes).collect()
    }

    /// Sabotage: begin a piece with each buffer, and what is over is lost.
    #[test]
    fn pieces_are_whole_whatever_the_buffers_are() {
        let mut chopper = Chopper::new(2);
        let mut sent = 0;
        for frames in [100, 1, 256, 480, 3, 600] {
            chopper.take(&bytes(sent as i16, frames), 1_000_000 + sent * 1_000_000_000 / u64::from(RATE));
            sent += frames as u64;
        }
        let pieces: Vec<Pcm> = std::iter::from_fn(|| chopper.pop()).collect();
        assert_eq!(pieces.len() as u64, sent / PCM_FRAMES as u64);
        let left = pieces.iter().flat_map(|piece| piece.samples.chunks(2).map(|pair| pair[0]));
        assert!(left.eq(0..(pieces.len() * PCM_FRAMES) as i16));
    }

    /// Sabotage: stamp each piece with the time of the buffer that ended it.
    #[test]
    fn stamps_are_five_milliseconds_apart_however_late_buffers_come() {
        let mut chopper = Chopper::new(1);
        for n in 0..2000u64 {
            let late_ns = [0, 3_000_000, 900_000, 0][n as usize % 4];
            chopper.take(&[0; 2 * 256], 50_000_000_000 + n * 256 * 1_000_000_000 / 48_000 + late_ns);
        }
        let stamps: Vec<u64> = std::iter::from_fn(|| chopper.pop()).map(|piece| piece.pts_ns).collect();
        for pair in stamps.windows(2).skip(100) {
            assert!(pair[1].abs_diff(pair[0] + 5_000_000) < 200_000, "{pair:?}");
        }
    }

    /// Sabotage: believe the first report for ever, or follow a gap as slowly as jitter.
    #[test]
    fn a_gap_moves_the_clock_and_so_does_a_clock_that_runs_otherwise() {
        let mut chopper = Chopper::new(1);
        let tick = |n: u64| n * 5_000_000;
        (0..100).for_each(|n| chopper.take(&[0; 480], tick(n)));
        (200..300).for_each(|n| chopper.take(&[0; 480], tick(n)));
        let last = std::iter::from_fn(|| chopper.pop()).last().unwrap();
        assert!(last.pts_ns.abs_diff(tick(299)) < 100_000, "{}", last.pts_ns);
        // A thousandth too fast for a minute is 60 ms.
        let fast = |n: u64| tick(300) + n * 4_995_000;
        (0..12_000).for_each(|n| chopper.take(&[0; 480], fast(n)));
        let last = std::iter::from_fn(|| chopper.pop()).last().unwrap();
        assert!(last.pts_ns.abs_diff(fast(11_999)) < 2_000_000, "{} {}", last.pts_ns, fast(11_999));
    }
}

//! How much parity frames carry, from what the client reports of them, and what that leaves for pictures.
//!
//! ```text
//!  0x5502, 0x0301 ─► losses of the last second ─► as much parity as mends nearly every Block ─► at once
//!  silence, since clients report only what was not whole ─► held for 5 s ─► 5 points less every 2 s ─► LEAST
//! ```
//! **Invariant:** pictures and their parity together stay within what the user asked.

use arrayvec::ArrayVec;
use lumen_core::Timestamp;
use std::time::Duration;

use crate::control::FecStatus;
use crate::rtsp::StreamConfig;
use crate::video::{FRAME_HEAD_LEN, RTP_LEN, SEAL_LEN, SHARD_HEAD_LEN};

/// Where nothing is lost, in percent: a datagram in a frame of ten may still be.
pub const LEAST: u8 = 10;

/// Because who loses more is helped by a lower bitrate, which [`share`] leaves at two thirds.
pub const MOST: u8 = 50;

/// For clients that do not report, in percent: it mends what a Wi-Fi loses, and is what they are used to.
pub const UNREPORTED: u8 = 20;

/// How often losses are judged.
pub const TICK: Duration = Duration::from_millis(250);

/// Ticks that are judged together: a second.
const WINDOW: usize = 4;

/// How long parity outlasts the losses that it is for.
const HOLD: Duration = Duration::from_secs(5);

/// How often, and by how many points, it falls: from [`MOST`] in 16 s.
const FALL: (Duration, u8) = (Duration::from_secs(2), 5);

/// Deviations that a Block's losses may lie above their mean: one frame in a thousand is not mended. Losses that come
/// in pairs spread by √2 more than those that come alone.
const DEVIATIONS: f64 = 3.1 * std::f64::consts::SQRT_2;

/// Frames lost whole that one report counts for: a longer silence is an outage, which no parity mends.
const MOST_LOST: u64 = 4;

/// What was lost within a tick.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    /// Shards.
    missing: f64,
    /// Data shards that were sent, of all frames.
    sent: f64,
    /// Sum of the lengths of the Blocks reported, and of their squares, in shards.
    lengths: (f64, f64),
}

/// Parity in percent where nothing is known to be lost.
pub fn least(config: &StreamConfig) -> u8 {
    if config.reports_fec { LEAST } else { UNREPORTED }
}

/// Judges one client's reports.
#[derive(Clone, Debug)]
pub struct Parity {
    percent: u8,
    now: Losses,
    window: ArrayVec<Losses, WINDOW>,
    /// Frames and datagrams sent at the last tick.
    frames: u64,
    sent: u64,
    /// The newest frame that was reported lost whole.
    lost: u64,
    /// Of those that were since the last tick.
    lost_frames: u64,
    falls_at: Timestamp,
}

impl Parity {
    /// Before the first frame, or after a restart: with so many percent, `sent` datagrams so far.
    pub fn new(percent: u8, sent: u64, now: Timestamp) -> Self {
        Self {
            percent: percent.clamp(LEAST, MOST),
            now: Losses::default(),
            window: ArrayVec::new(),
            frames: 0,
            sent,
            lost: 0,
            lost_frames: 0,
            // What it was raised for may go on.
            falls_at: now + HOLD,
        }
    }

    /// Parity in percent of the data.
    pub fn percent(&self) -> u8 {
        self.percent
    }

    /// The client lost some of a Block. Numbers that no Block has count for little, because a Block's length is bounded.
    pub fn handle_report(&mut self, report: &FecStatus) {
        let came = report.received_data.saturating_add(report.received_parity).min(255);
        let missing = report.missing_before_highest.min(255);
        let length = f64::from(came + missing);
        self.now.missing += f64::from(missing);
        self.now.lengths.0 += length;
        self.now.lengths.1 += length * length;
    }

    /// The client cannot go on without these frames. Of one of which nothing came, or too little to say so, there is no report; a client
    /// that waits says all since the first again, which counts once.
    pub fn handle_lost(&mut self, first: u64, last: u64) {
        if first > self.lost {
            self.lost_frames += last.saturating_sub(first).saturating_add(1).min(MOST_LOST);
        }
        self.lost = self.lost.max(last);
    }

    /// Call it every [`TICK`], with the frames and datagrams sent so far. Whether the parity changed.
    pub fn handle_tick(&mut self, frames: u64, sent: u64, now: Timestamp) -> bool {
        let (shards, count) = (sent.saturating_sub(self.sent) as f64, frames.saturating_sub(self.frames));
        self.lose_whole(shards / count.max(1) as f64);
        let data = shards * 100.0 / f64::from(100 + u16::from(self.percent));
        (self.frames, self.sent) = (frames, sent);
        if self.window.is_full() {
            self.window.remove(0);
        }
        self.window.push(Losses { sent: data, ..std::mem::take(&mut self.now) });
        let (before, needed) = (self.percent, self.needed());
        if needed >= self.percent && needed > LEAST {
            (self.percent, self.falls_at) = (needed, now + HOLD);
        } else if self.percent > LEAST && self.falls_at <= now {
            (self.percent, self.falls_at) = (needed.max(self.percent - FALL.1), now + FALL.0);
        }
        self.percent != before
    }

    /// Counts the frames that were lost since the last tick as Blocks of `length` shards, of which none came.
    fn lose_whole(&mut self, length: f64) {
        let (count, length) = (std::mem::take(&mut self.lost_frames) as f64, length.clamp(1.0, 255.0));
        self.now.missing += count * length;
        self.now.lengths.0 += count * length;
        self.now.lengths.1 += count * length * length;
    }

    /// What would mend nearly all Blocks of the last second, in whole fives.
    fn needed(&self) -> u8 {
        let mut all = Losses::default();
        for tick in &self.window {
            all.missing += tick.missing;
            all.sent += tick.sent;
            all.lengths = (all.lengths.0 + tick.lengths.0, all.lengths.1 + tick.lengths.1);
        }
        if all.missing <= 0.0 {
            return LEAST;
        }
        // What was reported was sent, whatever the clocks of both sides make of the second.
        let rate = (all.missing / all.sent.max(all.lengths.0)).min(0.5);
        // Most of all data lies in the long Blocks.
        let length = (all.lengths.1 / all.lengths.0).max(1.0);
        let worst = rate + DEVIATIONS * (rate * (1.0 - rate) / length).sqrt();
        let percent = 100.0 * worst / (1.0 - rate);
        ((percent / 5.0).ceil() * 5.0).clamp(LEAST.into(), MOST.into()) as u8
    }
}

/// What of the user's bitrate is left for pictures beside `percent` of parity and all heads, in bits a second.
pub fn share(config: &StreamConfig, percent: u8) -> u32 {
    let payload = u64::from(config.packet_size).saturating_sub(RTP_LEN as u64).max(1);
    let sealing = if config.encryption.video { SEAL_LEN as u64 } else { 0 };
    let datagram = payload + SHARD_HEAD_LEN as u64 + sealing;
    let (asked, centi_hz) = (u64::from(config.bitrate_kbps) * 1000, u64::from(config.centi_hz.max(1)));
    // Datagrams of a frame that uses all.
    let frame = asked * 100 / (8 * datagram * centi_hz);
    let data = (1..=frame).rev().find(|data| data + parity(*data, percent, config.min_parity) <= frame);
    let data = data.unwrap_or(1);
    let all = data + parity(data, percent, config.min_parity);
    let bits = asked.min(all * datagram * 8 * centi_hz / 100) * data * payload / (all * datagram);
    // The head of each frame is the host's.
    let heads = FRAME_HEAD_LEN as u64 * 8 * centi_hz / 100;
    u32::try_from(bits.saturating_sub(heads)).unwrap_or(u32::MAX)
}

/// Parity shards of a frame of `data` shards.
fn parity(data: u64, percent: u8, least: u8) -> u64 {
    if percent == 0 { 0 } else { (data * u64::from(percent)).div_ceil(100).max(least.into()) }
}

#[cfg(test)]
mod tests;

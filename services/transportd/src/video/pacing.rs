//! How fast a session's frames leave.
//!
//! ```text
//! lumen/1                        8 × the bitrate with parity, 65 kB at once
//! GameStream below 100 Mbit/s    a link twice as fast as what the user asked, or Fast Ethernet: 8 datagrams each 250 µs,
//!                                24 beyond the rate
//! GameStream from there on       as lumen/1: what carries that is no slower than gigabit Ethernet
//! ```

use std::time::Duration;

use lumen_core::PacerConfig;

/// Bytes that leave at once: a frame of 10 Mbit/s at 60 fps is less than half of it, so only large ones are paced.
const BURST_BYTES: usize = 65_000;

/// How much faster than the asked bitrate a large frame leaves: an IDR of ten frames' worth then takes little more
/// than one frame's time, and a switch's queue behind a slower link is not overrun.
const HASTE: u64 = 8;

/// Slowest pace in bits a second, because below it pacing costs more latency than it saves queueing.
const SLOWEST_BPS: u64 = 50_000_000;

/// What a user asks of a link that is surely faster than Fast Ethernet, in 1,000 bits a second.
const FAST_KBPS: u32 = 100_000;

/// Bits a second on the wire that Fast Ethernet bears beside the client's other streams.
const FAST_ETHERNET_BPS: u64 = 95_000_000;

/// Datagrams beyond the rate: three quarters of the smallest queue of a switch, 32.
const AHEAD: usize = 24;

/// Datagrams of one send, and from one to the next: less than 32 would take from a link four times as slow.
const BURST: (usize, Duration) = (8, Duration::from_micros(250));

/// What a datagram has on the wire beside its payload: Ethernet with its preamble and gap, IPv6 and UDP.
const WIRE_BYTES: usize = 86;

/// What frames are paced for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// A bitrate that the client changes as its link does, to which parity comes.
    Bitrate {
        /// In percent of the bitrate.
        parity_percent: u16,
    },
    /// What a user said once.
    Asked {
        /// For everything, in 1,000 bits a second.
        kbps: u32,
        /// Bytes of each datagram.
        datagram_len: usize,
    },
}

impl Pacing {
    /// For pictures of `bitrate_bps`, on a kernel that takes `max_segments` datagrams a call.
    pub fn config(&self, bitrate_bps: u32, max_segments: usize) -> PacerConfig {
        let rate_bps = self.rate(bitrate_bps);
        match *self {
            Self::Asked { datagram_len, .. } if self.is_spread() => PacerConfig {
                rate_bps,
                burst_bytes: AHEAD * datagram_len,
                max_segments: max_segments.min(BURST.0),
                // One call for each datagram: they keep the distance of eight among them.
                gap: BURST.1 * max_segments.min(BURST.0) as u32 / BURST.0 as u32,
            },
            Self::Asked { .. } | Self::Bitrate { .. } => {
                PacerConfig { rate_bps, burst_bytes: BURST_BYTES, max_segments, gap: Duration::ZERO }
            }
        }
    }

    /// Whether every frame of some datagrams is spread over its time, so that the next picture must be begun before it has left.
    pub fn is_spread(&self) -> bool {
        matches!(*self, Self::Asked { kbps, .. } if kbps < FAST_KBPS)
    }

    /// Bits of UDP payload a second.
    pub fn rate(&self, bitrate_bps: u32) -> u64 {
        match *self {
            Self::Bitrate { parity_percent } => {
                let with_parity = u64::from(bitrate_bps) * (100 + u64::from(parity_percent)) / 100;
                (with_parity * HASTE).max(SLOWEST_BPS)
            }
            Self::Asked { kbps, .. } if kbps >= FAST_KBPS => u64::from(kbps) * 1000 * HASTE,
            Self::Asked { kbps, datagram_len } => {
                // A frame then takes little more than half of its time, whatever the user asked.
                let on_wire = (u64::from(kbps) * 1900).max(FAST_ETHERNET_BPS);
                let (len, extra) = (datagram_len.max(1) as u64, WIRE_BYTES as u64);
                on_wire * len / (len + extra)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idr_of_ten_frames_leaves_within_one_and_a_half() {
        let (bitrate, frame_bits) = (10_000_000, 10_000_000 / 60);
        let idr_bits = 10 * frame_bits * 120 / 100 - BURST_BYTES as u64 * 8;
        let frames = idr_bits as f64 / Pacing::Bitrate { parity_percent: 20 }.rate(bitrate) as f64 * 60.0;
        assert!(frames < 1.5, "{frames}");
    }

    /// Sabotage: count the payload alone, or let the rate follow what is left for pictures.
    #[test]
    fn what_a_user_asked_decides_how_fast_frames_leave() {
        let rate = |kbps| Pacing::Asked { kbps, datagram_len: 1408 }.rate(1) as f64 * 1494.0 / 1408.0 / 1e6;
        assert!((94.9..=95.0).contains(&rate(5_000)), "{}", rate(5_000));
        assert!((94.9..=95.0).contains(&rate(50_000)), "{}", rate(50_000));
        assert!((151.9..=152.0).contains(&rate(80_000)), "{}", rate(80_000));
        let fast = Pacing::Asked { kbps: 100_000, datagram_len: 1408 }.config(1, 64);
        assert_eq!((fast.rate_bps, fast.max_segments), (800_000_000, 64));
    }

    /// Sabotage: begin the next picture early wherever a large one is paced.
    #[test]
    fn only_what_is_spread_over_its_time_lets_the_next_picture_begin_early() {
        let asked = |kbps| Pacing::Asked { kbps, datagram_len: 1408 };
        assert!(asked(5_000).is_spread() && asked(99_999).is_spread());
        assert!(!asked(100_000).is_spread() && !Pacing::Bitrate { parity_percent: 20 }.is_spread());
    }

    #[test]
    fn a_kernel_without_segmentation_sends_as_many_in_the_same_time() {
        let slow = |max_segments| Pacing::Asked { kbps: 20_000, datagram_len: 1408 }.config(1, max_segments);
        assert_eq!((slow(64).max_segments, slow(64).gap.as_nanos()), (8, 250_000));
        assert_eq!((slow(1).max_segments, slow(1).gap.as_nanos()), (1, 31_250));
    }
}

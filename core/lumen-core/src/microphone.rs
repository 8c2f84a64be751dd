//! A client's microphone: [`crate::sound::Packet`]s from the client to the host, which trusts none of them.

use std::time::Duration;

use crate::{Timestamp, sound::Packet};

/// Longest Opus packet in bytes: 20 ms at 256 kbit/s.
pub const MAX_OPUS: usize = 640;

/// Packets a second that a host takes: a tenth more than those of 10 ms, because clocks differ.
pub const RATE: u32 = 110;

/// Packets that may come at once: what a network that stood still for half a second brings.
pub const BURST: u32 = 50;

/// Between two packets at [`RATE`].
const STEP_NS: u64 = 1_000_000_000 / RATE as u64;

/// The client's side: numbers packets, also over connections.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    next: u32,
}

impl Sender {
    /// Before the first packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The datagram of the next packet, whose first sample was heard at `recorded`; `None` for one that no host takes. One that
    /// cannot be sent counts as lost.
    pub fn packet(&mut self, opus: &[u8], recorded: Timestamp) -> Option<Vec<u8>> {
        if opus.is_empty() || opus.len() > MAX_OPUS {
            return None;
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        Some(Packet { number, played: recorded, opus }.to_bytes())
    }
}

/// Why a host leaves a datagram out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is no packet, or a longer one than [`MAX_OPUS`].
    Malformed,
    /// It is one more than [`RATE`] and [`BURST`] let through.
    TooMany,
}

/// The host's side: what one session may send.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Until when what came lasts at [`RATE`].
    filled: Timestamp,
}

impl Intake {
    /// Of a session that begins.
    pub fn new(now: Timestamp) -> Self {
        Self { filled: now }
    }

    /// What a datagram has that came `now`. Whether its number is new and its Opus sound is for the decoder to say.
    ///
    /// # Errors
    /// [`Dropped`]; also what is malformed counts for the quota.
    pub fn take<'a>(&mut self, datagram: &'a [u8], now: Timestamp) -> Result<Packet<'a>, Dropped> {
        let filled = self.filled.max(now) + Duration::from_nanos(STEP_NS);
        if filled.since(now) > Duration::from_nanos(STEP_NS * u64::from(BURST)) {
            return Err(Dropped::TooMany);
        }
        self.filled = filled;
        let packet = Packet::parse(datagram).ok_or(Dropped::Malformed)?;
        if packet.opus.len() > MAX_OPUS { Err(Dropped::Malformed) } else { Ok(packet) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    /// Sabotage: number packets anew, or let one through that the host refuses.
    #[test]
    fn packets_are_numbered_and_come_as_they_were_sent() {
        let (mut sender, mut intake) = (Sender::new(), Intake::new(at(0)));
        for number in 0..3 {
            let datagram = sender.packet(b"opus", at(20 * u64::from(number))).unwrap();
            let packet = intake.take(&datagram, at(20 * u64::from(number))).unwrap();
            assert_eq!((packet.number, packet.opus), (number, &b"opus"[..]));
        }
        assert_eq!(sender.packet(&[], at(0)), None);
        assert_eq!(sender.packet(&[0; MAX_OPUS + 1], at(0)), None);
        assert!(sender.packet(&[0; MAX_OPUS], at(0)).is_some());
    }

    /// Sabotage: believe the length, or take whatever begins like a packet.
    #[test]
    fn what_is_malformed_or_too_long_is_dropped() {
        let mut intake = Intake::new(at(0));
        let long = Packet { number: 0, played: at(0), opus: &[0; MAX_OPUS + 1] }.to_bytes();
        for datagram in [&long[..], b"", b"\xc9", b"\xc8123456789012345"] {
            assert_eq!(intake.take(datagram, at(0)), Err(Dropped::Malformed));
        }
    }

    /// Sabotage: count no packets, or forbid what a real microphone sends.
    #[test]
    fn a_flood_is_held_to_the_quota_and_a_microphone_is_not() {
        let datagram = Packet { number: 0, played: at(0), opus: b"opus" }.to_bytes();
        let mut intake = Intake::new(at(0));
        let passed = (0..100_000).filter(|n| intake.take(&datagram, at(n / 10)).is_ok()).count();
        assert!(passed <= (RATE * 10 + BURST) as usize, "{passed} packets in 10 s");
        let mut intake = Intake::new(at(0));
        assert!((0..60_000).all(|n| intake.take(&datagram, at(n * 10)).is_ok()));
        // Half a second that came late.
        assert!((0..BURST).all(|_| intake.take(&datagram, at(700_000)).is_ok()));
    }
}

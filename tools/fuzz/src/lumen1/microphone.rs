//! Datagrams that a client sends for its microphone.

use lumen_core::Timestamp;
use lumen_core::microphone::{BURST, Intake, MAX_OPUS, RATE, Sender};

use crate::Script;

/// Steps of time and a datagram each: one of the client's own, or any bytes. No more come through than the quota lets, none that is
/// longer than a packet may be, and each as it was sent.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (mut intake, mut sender) = (Intake::new(Timestamp::from_ns(0)), Sender::new());
    let (mut now, mut passed) = (Timestamp::from_ns(0), 0u64);
    while let Some(step) = script.step() {
        now = now + script.span();
        let own = (step & 1 == 0).then(|| sender.packet(script.piece(), now)).flatten();
        let datagram = own.unwrap_or_else(|| script.piece().to_vec());
        for _ in 0..=step >> 1 {
            let Ok(packet) = intake.take(&datagram, now) else { continue };
            assert!((1..=MAX_OPUS).contains(&packet.opus.len()));
            assert_eq!(packet.to_bytes(), datagram);
            passed += 1;
        }
        let most = now.as_ns() / 1_000_000 * u64::from(RATE) / 1000 + u64::from(BURST);
        assert!(passed <= most + 1, "{passed} packets in {now:?}");
    }
}

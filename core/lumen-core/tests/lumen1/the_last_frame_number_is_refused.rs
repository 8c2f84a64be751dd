use lumen_core::wire::{BlockShape, FrameFlags, Shard};
use lumen_core::{Output, Reassembler, ReassemblerConfig, Timestamp};
use std::time::Duration;

// Found by fuzzing lumen1_reassembly: what was counted on from the last number of all ran over, and frames were told twice.
// Sabotage: take a shard of frame u64::MAX.
#[test]
fn the_last_frame_number_is_refused_and_those_before_it_are_told_once() {
    let first = u64::MAX - 3;
    let mut reassembler =
        Reassembler::new(ReassemblerConfig { max_frames: 3, ..ReassemblerConfig::starting_at(first) });
    let shape = BlockShape { data: 2, parity: 0, shard_len: 64 };
    let now = Timestamp::from_ns(0);
    for frame in [u64::MAX - 1, u64::MAX, u64::MAX] {
        let flags = FrameFlags::default();
        let shard = Shard { frame, flags, shape, index: 0, sent: now, bytes: &[0; 64] };
        reassembler.handle_shard(&shard, now);
    }
    for seconds in 1..9 {
        reassembler.handle_timeout(now + Duration::from_secs(seconds));
    }
    let mut told = Vec::new();
    while let Some(output) = reassembler.poll_output() {
        if let Output::Lost { first, count } = output {
            told.extend(first..first + count);
        }
    }
    assert_eq!(told, [first, first + 1, first + 2]);
    assert_eq!((reassembler.counters().malformed, reassembler.held_bytes()), (2, 0));
}

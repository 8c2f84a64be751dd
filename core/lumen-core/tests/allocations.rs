//! A frame costs no allocation once buffers are warm, neither where it is sent nor where it is received.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not see that this is a test throughout"
)]

use lumen_core::seal::LocalCounter;
use lumen_core::{
    ChannelId, ChannelSecret, DatagramBatch, Direction, FrameMeta, Opened, Opener, Output, Pace, Pacer,
    PacerConfig, Packetiser, PacketiserConfig, Reassembler, ReassemblerConfig, Sealer, Timestamp,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

struct Counting;

thread_local! {
    /// Of this thread only, because the test harness allocates on its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is being torn down has no counter left, and nobody asks for it.
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + 1));
}

// SAFETY: each call is passed on unchanged to the system's allocator, which keeps GlobalAlloc's contract; counting
// touches a thread-local without a destructor and so never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System`, since `alloc` and `realloc` pass on to it.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above, and the caller's promises are those that `System` asks for.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

const CHANNEL: ChannelId = ChannelId(5);
/// Because parity must change between none and some, and rates between Leopard's two.
const LENGTHS: [usize; 5] = [1, 700, 20_000, 60_000, 250_000];

// Sabotage: make the batch, the encoder or a burst anew for each frame.
#[test]
fn sending_allocates_nothing_after_the_hundredth_frame() {
    let secret = ChannelSecret::from_bytes([1; 32]);
    let mut packetiser = Packetiser::new(PacketiserConfig::default()).unwrap();
    let mut sealer = Sealer::new(&secret, CHANNEL, Direction::HostToClient);
    let (mut batch, mut counter, mut now) =
        (DatagramBatch::new(), LocalCounter::default(), Timestamp::from_ns(0));
    let config =
        PacerConfig { rate_bps: 100_000_000, burst_bytes: 64_000, max_segments: 46, gap: Duration::ZERO };
    let mut pacer = Pacer::new(config, now);
    let unit = vec![3; 250_000];
    let mut bytes = 0;
    let mut before = 0;
    for number in 0..400u64 {
        if number == 100 {
            before = allocations();
        }
        let len = LENGTHS[(number % 5) as usize];
        packetiser
            .packetise(&unit[..len], &FrameMeta { number, ..FrameMeta::default() }, &mut batch)
            .unwrap();
        loop {
            match pacer.poll(batch.remaining(), batch.segment_len(), now) {
                Pace::Send(count) => {
                    let burst = batch.seal_next(count, now, &mut sealer, &mut counter).unwrap().unwrap();
                    bytes += burst.bytes.len();
                }
                Pace::Wait(until) => now = until,
                Pace::Idle => break,
            }
        }
    }
    assert_eq!(allocations() - before, 0, "allocations in 300 frames");
    assert!(before > 0 && bytes > 20_000_000);
}

// Sabotage: drop frames instead of recycling them, or collect what is missing in a Vec.
#[test]
fn receiving_allocates_nothing_after_the_hundredth_frame() {
    let secret = ChannelSecret::from_bytes([1; 32]);
    let mut packetiser =
        Packetiser::new(PacketiserConfig { parity_percent: 50, ..PacketiserConfig::default() }).unwrap();
    let mut sealer = Sealer::new(&secret, CHANNEL, Direction::HostToClient);
    let mut opener = Opener::new(&secret, CHANNEL, Direction::HostToClient);
    let mut reassembler = Reassembler::new(ReassemblerConfig::starting_at(0));
    let (mut batch, mut counter) = (DatagramBatch::new(), LocalCounter::default());
    let (unit, mut datagram) = (vec![3; 250_000], vec![0; 1400]);
    let (mut before, mut frames) = (0, 0);
    for number in 0..400u64 {
        if number == 100 {
            before = allocations();
        }
        let now = Timestamp::from_ns(number * 16_000_000);
        let len = LENGTHS[(number % 5) as usize];
        packetiser
            .packetise(&unit[..len], &FrameMeta { number, ..FrameMeta::default() }, &mut batch)
            .unwrap();
        let mut index = 0;
        while let Some(burst) = batch.seal_next(46, now, &mut sealer, &mut counter).unwrap() {
            for sealed in burst.datagrams() {
                index += 1;
                // Each fifth is lost.
                if index % 5 != 3 {
                    let datagram = &mut datagram[..sealed.len()];
                    datagram.copy_from_slice(sealed);
                    let Ok(Opened::Video(shard)) = opener.open(datagram) else {
                        unreachable!("it was sealed")
                    };
                    reassembler.handle_shard(&shard, now);
                }
            }
        }
        while let Some(output) = reassembler.poll_output() {
            if let Output::Frame(frame) = output {
                assert_eq!(frame.unit().len(), len);
                frames += 1;
                reassembler.recycle(frame);
            }
        }
    }
    assert_eq!(frames, 400);
    assert_eq!(allocations() - before, 0, "allocations in 300 frames");
}

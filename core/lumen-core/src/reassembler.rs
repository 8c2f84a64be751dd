//! Shards into frames, in the order of their numbers, with bounded memory.
//!
//! ```text
//!            ┌─ a shard ─► Gathering ─ enough shards ─► Complete ─┐
//! Unseen ────┤                 │                                  ├─ all before it settled ─► handed out in order
//!            └─────────────────┴─ expired ─► GivenUp ─────────────┘
//! ```
//! The oldest unsettled frame expires when a newer one has been complete for [`ReassemblerConfig::reorder`], or when no shard
//! of it came for [`ReassemblerConfig::stall`]. Shards of settled frames are late and ignored.
//!
//! **Invariant**: memory is checked before it is taken: incoming blocks and frames not yet polled never exceed `max_bytes`.

use crate::block::{Buffers, IncomingBlock, Put, ReceivedFrame};
use crate::fec::BlockDecoder;
use crate::time::Timestamp;
use crate::wire::Shard;
use std::collections::VecDeque;
use std::time::Duration;

/// Because a caller hands each frame back before it polls the next but one.
const SPARE_BUFFERS: usize = 4;

/// What a reassembler may use, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblerConfig {
    /// Number of the first frame expected, from `Launched`.
    pub next_frame: u64,
    /// Frames gathered or waiting at once; at least 1.
    pub max_frames: usize,
    /// Bytes of all of them.
    pub max_bytes: usize,
    /// How long a complete frame waits for an older one whose shards may only be late.
    pub reorder: Duration,
    /// How long a frame may go without a new shard.
    pub stall: Duration,
    /// How long to wait for an IDR before asking again; should exceed the round trip.
    pub idr_retry: Duration,
}

impl ReassemblerConfig {
    /// 64 frames, 64 MiB, 10 ms of reordering, 100 ms of stall, an IDR asked for each 150 ms.
    pub fn starting_at(next_frame: u64) -> Self {
        Self {
            next_frame,
            max_frames: 64,
            max_bytes: 64 << 20,
            reorder: Duration::from_millis(10),
            stall: Duration::from_millis(100),
            idr_retry: Duration::from_millis(150),
        }
    }
}

/// What a reassembler has to say, in the order of frame numbers.
#[derive(Debug)]
pub enum Output {
    /// A whole frame. Hand it back with [`Reassembler::recycle`] when it was read.
    Frame(ReceivedFrame),
    /// Frames `first..first + count` will never be whole.
    Lost {
        /// The first of them.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Nothing can be decoded before an IDR with a number above this.
    NeedIdr {
        /// The newest frame known to be lost.
        after_frame: u64,
    },
}

/// What became of shards and frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyCounters {
    /// Frames handed out.
    pub frames: u64,
    /// Of those, frames of which data shards were recovered.
    pub recovered_frames: u64,
    /// Data shards recovered.
    pub recovered_shards: u64,
    /// Frames given up.
    pub lost_frames: u64,
    /// Shards that were needed.
    pub shards: u64,
    /// Shards of frames already settled, or whole without them.
    pub late_shards: u64,
    /// Shards that came twice in two datagrams.
    pub duplicate_shards: u64,
    /// Shards that contradict others of their frame, and blocks that hold no unit.
    pub malformed: u64,
    /// Shards refused because their frame would not fit into `max_bytes`.
    pub over_memory: u64,
}

enum Slot {
    Unseen,
    Gathering(IncomingBlock),
    Complete(ReceivedFrame),
    GivenUp,
}

/// Whether what comes next can be decoded.
enum Reference {
    /// Nothing was handed out and nothing lost.
    Unstarted,
    /// Each frame since an IDR was handed out.
    Whole,
    /// `after` was lost, and an IDR asked for at `asked`.
    Broken { after: u64, asked: Option<Timestamp> },
}

/// Gathers the shards of one channel. Drain [`poll_output`](Self::poll_output) after each call.
pub struct Reassembler {
    config: ReassemblerConfig,
    /// Number of the first slot's frame.
    next: u64,
    /// Frames `next..`.
    slots: VecDeque<Slot>,
    /// When the oldest complete frame that must wait was complete.
    blocked_since: Option<Timestamp>,
    ready: VecDeque<Output>,
    reference: Reference,
    /// Bytes of gathering blocks (their worst case) and of frames not yet polled.
    held: usize,
    spare: Vec<Buffers>,
    decoder: BlockDecoder,
    counters: ReassemblyCounters,
}

impl std::fmt::Debug for Reassembler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reassembler")
            .field("next", &self.next)
            .field("held", &self.held)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Reassembler {
    /// An empty one.
    pub fn new(config: ReassemblerConfig) -> Self {
        Self {
            config: ReassemblerConfig { max_frames: config.max_frames.max(1), ..config },
            next: config.next_frame,
            slots: VecDeque::new(),
            blocked_since: None,
            ready: VecDeque::new(),
            reference: Reference::Unstarted,
            held: 0,
            spare: Vec::new(),
            decoder: BlockDecoder::default(),
            counters: ReassemblyCounters::default(),
        }
    }

    /// What became of everything so far.
    pub fn counters(&self) -> ReassemblyCounters {
        self.counters
    }

    /// Bytes held for frames that were not handed out.
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// Takes a shard that an [`Opener`](crate::seal::Opener) opened.
    pub fn handle_shard(&mut self, shard: &Shard<'_>, now: Timestamp) {
        self.gather(shard, now);
        self.handle_timeout(now);
    }

    /// Gives up what has expired. Call it at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.settle();
        while self.front_deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up_front();
            self.settle();
        }
        self.ask(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let ask = match self.reference {
            Reference::Broken { asked: Some(asked), .. } => Some(asked + self.config.idr_retry),
            _ => None,
        };
        [self.front_deadline(), ask].into_iter().flatten().min()
    }

    /// The next thing to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.ready.pop_front()?;
        if let Output::Frame(frame) = &output {
            self.held = self.held.saturating_sub(frame.block_len());
        }
        Some(output)
    }

    /// Takes back the memory of a frame that was read.
    pub fn recycle(&mut self, frame: ReceivedFrame) {
        self.keep(frame.into_buffers());
    }

    fn keep(&mut self, buffers: Buffers) {
        if self.spare.len() < SPARE_BUFFERS {
            self.spare.push(buffers);
        }
    }

    fn gather(&mut self, shard: &Shard<'_>, now: Timestamp) {
        // None could follow it, and what is counted on from it would run over.
        if shard.frame == u64::MAX {
            self.counters.malformed += 1;
            return;
        }
        let Some(ahead) = shard.frame.checked_sub(self.next) else {
            self.counters.late_shards += 1;
            return;
        };
        if ahead >= self.config.max_frames as u64 {
            self.jump_to(shard.frame);
        }
        let index = usize::try_from(shard.frame - self.next).unwrap_or(usize::MAX);
        while self.slots.len() <= index {
            self.slots.push_back(Slot::Unseen);
        }
        if matches!(self.slots.get(index), Some(Slot::Unseen)) && !self.begin(index, shard, now) {
            return;
        }
        let Some(Slot::Gathering(block)) = self.slots.get_mut(index) else {
            self.counters.late_shards += 1;
            return;
        };
        match block.put(shard, now) {
            Put::Kept => self.counters.shards += 1,
            Put::Duplicate => self.counters.duplicate_shards += 1,
            Put::Inconsistent => self.counters.malformed += 1,
        }
        if block.has_enough() {
            self.complete(index, now);
        }
    }

    /// Moves the window so that `frame` is its last, giving up what falls out of it.
    fn jump_to(&mut self, frame: u64) {
        let first = frame - (self.config.max_frames as u64 - 1);
        while self.next < first && !self.slots.is_empty() {
            self.give_up_front();
            self.settle();
        }
        if self.next < first {
            self.lose(self.next, first - self.next);
            self.next = first;
        }
    }

    /// Takes memory for the frame of `shard`; false if there is not enough until older frames are settled.
    fn begin(&mut self, index: usize, shard: &Shard<'_>, now: Timestamp) -> bool {
        let cost = IncomingBlock::cost(&shard.shape);
        if self.held + cost > self.config.max_bytes {
            self.counters.over_memory += 1;
            return false;
        }
        let buffers = self.spare.pop().unwrap_or_default();
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot::Gathering(IncomingBlock::new(shard, now, buffers));
            self.held += cost;
        }
        true
    }

    fn complete(&mut self, index: usize, now: Timestamp) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let Slot::Gathering(block) = std::mem::replace(slot, Slot::GivenUp) else {
            return;
        };
        self.held -= IncomingBlock::cost(block.shape());
        match block.complete(&mut self.decoder, now) {
            Ok(frame) => {
                self.held += frame.block_len();
                *slot = Slot::Complete(frame);
                self.blocked_since.get_or_insert(now);
            }
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// When the front, if it is unsettled, expires.
    fn front_deadline(&self) -> Option<Timestamp> {
        let last_received = match self.slots.front()? {
            Slot::Gathering(block) => Some(block.last_received()),
            _ => self.slots.iter().filter_map(last_received).min(),
        };
        let stalled = last_received.map(|at| at + self.config.stall);
        let overtaken = self.blocked_since.map(|since| since + self.config.reorder);
        [stalled, overtaken].into_iter().flatten().min()
    }

    fn give_up_front(&mut self) {
        let Some(slot @ (Slot::Unseen | Slot::Gathering(_))) = self.slots.front_mut() else {
            return;
        };
        if let Slot::Gathering(block) = std::mem::replace(slot, Slot::GivenUp) {
            self.held -= IncomingBlock::cost(block.shape());
            self.keep(block.into_buffers());
        }
    }

    /// Hands out all settled frames at the front.
    fn settle(&mut self) {
        let before = self.next;
        while let Some(Slot::Complete(_) | Slot::GivenUp) = self.slots.front() {
            match self.slots.pop_front() {
                Some(Slot::Complete(frame)) => self.hand_out(frame),
                _ => self.lose(self.next, 1),
            }
            self.next = self.next.saturating_add(1);
        }
        if self.next != before {
            self.blocked_since = self.slots.iter().filter_map(completed).min();
        }
    }

    fn hand_out(&mut self, mut frame: ReceivedFrame) {
        match self.reference {
            _ if frame.idr => self.reference = Reference::Whole,
            Reference::Unstarted => {
                self.reference = Reference::Broken { after: frame.number, asked: None };
            }
            Reference::Whole | Reference::Broken { .. } => {}
        }
        frame.decodable = matches!(self.reference, Reference::Whole);
        self.counters.frames += 1;
        self.counters.recovered_frames += u64::from(frame.recovered_shards > 0);
        self.counters.recovered_shards += frame.recovered_shards as u64;
        self.ready.push_back(Output::Frame(frame));
    }

    fn lose(&mut self, first: u64, count: u64) {
        self.counters.lost_frames += count;
        let asked = match self.reference {
            Reference::Broken { asked, .. } => asked,
            _ => None,
        };
        self.reference = Reference::Broken { after: first + (count - 1), asked };
        match self.ready.back_mut() {
            Some(Output::Lost { first: start, count: run }) if *start + *run == first => *run += count,
            _ => self.ready.push_back(Output::Lost { first, count }),
        }
    }

    /// Asks for an IDR, unless the frames just handed out brought one; again when none came in time.
    fn ask(&mut self, now: Timestamp) {
        if let Reference::Broken { after, asked } = &mut self.reference
            && asked.is_none_or(|at| at + self.config.idr_retry <= now)
        {
            *asked = Some(now);
            let after_frame = *after;
            self.ready.push_back(Output::NeedIdr { after_frame });
        }
    }
}

fn last_received(slot: &Slot) -> Option<Timestamp> {
    match slot {
        Slot::Gathering(block) => Some(block.last_received()),
        _ => None,
    }
}

fn completed(slot: &Slot) -> Option<Timestamp> {
    match slot {
        Slot::Complete(frame) => Some(frame.completed),
        _ => None,
    }
}

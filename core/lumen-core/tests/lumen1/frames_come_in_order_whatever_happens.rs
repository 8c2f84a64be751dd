use crate::pair::{Client, Host, meta, unit};
use lumen_core::{FrameMeta, Output, ReassemblerConfig, Timestamp};
use lumen_netem::Rng;
use proptest::prelude::*;
use std::time::Duration;

/// What can happen to a stream.
#[derive(Clone, Debug)]
enum Op {
    /// The host sends a frame of this length.
    Send { len: usize, idr: bool },
    /// Of what is under way the datagram at this place (of 1) arrives.
    Deliver(f64),
    /// It arrives and stays under way: it will come twice.
    Double(f64),
    /// It is lost.
    Drop(f64),
    /// Milliseconds pass.
    Wait(u64),
    /// The host skips frame numbers, as if whole frames were lost.
    Skip(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1usize..6000, any::<bool>()).prop_map(|(len, idr)| Op::Send { len, idr }),
        20 => (0.0..1.0f64).prop_map(Op::Deliver),
        2 => (0.0..1.0f64).prop_map(Op::Double),
        3 => (0.0..1.0f64).prop_map(Op::Drop),
        4 => (0u64..30).prop_map(Op::Wait),
        1 => (1u64..20).prop_map(Op::Skip),
    ]
}

struct World {
    host: Host,
    client: Client,
    flying: Vec<Vec<u8>>,
    now: Timestamp,
    next_sent: u64,
    next_received: u64,
    whole_since_idr: bool,
}

const MAX_BYTES: usize = 64 << 10;

impl World {
    fn new(parity: u16) -> Self {
        let config =
            ReassemblerConfig { max_frames: 8, max_bytes: MAX_BYTES, ..ReassemblerConfig::starting_at(0) };
        Self {
            host: Host::new(parity),
            client: Client::with(config),
            flying: Vec::new(),
            now: Timestamp::from_ns(0),
            next_sent: 0,
            next_received: 0,
            whole_since_idr: false,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Send { len, idr } => {
                let number = self.next_sent;
                self.next_sent += 1;
                let datagrams =
                    self.host.send(&unit(len, number), &FrameMeta { idr, ..meta(number) }, self.now);
                self.flying.extend(datagrams);
            }
            Op::Deliver(place) => {
                if let Some(index) = self.index(place) {
                    let datagram = self.flying.remove(index);
                    let _ = self.client.receive(&datagram, self.now);
                }
            }
            Op::Double(place) => {
                if let Some(index) = self.index(place) {
                    let _ = self.client.receive(&self.flying[index], self.now);
                }
            }
            Op::Drop(place) => {
                if let Some(index) = self.index(place) {
                    self.flying.remove(index);
                }
            }
            Op::Wait(ms) => {
                self.now = self.now + Duration::from_millis(ms);
                self.client.reassembler.handle_timeout(self.now);
            }
            Op::Skip(count) => self.next_sent += count,
        }
    }

    fn index(&self, place: f64) -> Option<usize> {
        (!self.flying.is_empty()).then_some((place * self.flying.len() as f64) as usize)
    }

    fn verify_invariants(&mut self) {
        assert!(self.client.reassembler.held_bytes() <= MAX_BYTES);
        for output in self.client.outputs() {
            match output {
                Output::Frame(frame) => {
                    assert_eq!(frame.number, self.next_received, "numbers are without gap and repeat");
                    self.next_received += 1;
                    assert!(frame.unit() == unit(frame.unit().len(), frame.number), "bytes are the host's");
                    self.whole_since_idr |= frame.idr;
                    assert_eq!(frame.decodable, self.whole_since_idr);
                    self.client.reassembler.recycle(frame);
                }
                Output::Lost { first, count } => {
                    assert_eq!(first, self.next_received);
                    assert!(count > 0);
                    self.next_received += count;
                    self.whole_since_idr = false;
                }
                Output::NeedIdr { after_frame } => {
                    assert!(!self.whole_since_idr);
                    assert!(after_frame < self.next_received);
                }
            }
        }
        assert!(self.next_received <= self.next_sent);
        let counters = self.client.counters();
        assert_eq!(counters.frames + counters.lost_frames, self.next_received);
        assert!(
            self.client.reassembler.poll_timeout().is_none_or(|at| at > self.now),
            "a deadline was missed"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // Sabotage: hand out a complete frame before an unsettled one, count a late shard, or let `held` drift.
    #[test]
    fn frames_come_in_order_whatever_happens(parity in 0u16..=100, ops in prop::collection::vec(op(), 1..300)) {
        let mut world = World::new(parity);
        for op in ops {
            world.apply(op);
            world.verify_invariants();
        }
        // In the end nothing is held for ever.
        world.apply(Op::Wait(10_000));
        world.verify_invariants();
        prop_assert_eq!(world.client.reassembler.held_bytes(), 0);
    }
}

// Units of each length are cut out of memory that larger ones have used.
#[test]
fn recycled_memory_never_shows_through() {
    let (mut host, mut client, mut rng) = (Host::new(20), Client::new(), Rng::new(3));
    for number in 0..300 {
        let unit = unit(1 + rng.below(40_000) as usize, number);
        for datagram in host.send(&unit, &meta(number), Timestamp::from_ns(number)) {
            client.receive(&datagram, Timestamp::from_ns(number)).unwrap();
        }
        for output in client.outputs() {
            let Output::Frame(frame) = output else { panic!("{output:?}") };
            assert!(frame.unit() == unit);
            client.reassembler.recycle(frame);
        }
    }
}

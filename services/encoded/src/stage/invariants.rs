//! What holds for a session whatever its neighbours do.

use std::collections::HashSet;

use lumen_ipc::{capture::FromCapture, encode::Control, pool::PixelFormat};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Attach,
    HangUp,
    Frame,
    Sent,
    Control { idr_wanted: u32 },
    UpstreamLost,
    Pool { wide: bool },
    EncoderFailure,
    Wait { ms: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => Just(Op::Attach),
        1 => Just(Op::HangUp),
        8 => Just(Op::Frame),
        8 => Just(Op::Sent),
        2 => (0u32..5).prop_map(|idr_wanted| Op::Control { idr_wanted }),
        1 => Just(Op::UpstreamLost),
        1 => any::<bool>().prop_map(|wide| Op::Pool { wide }),
        1 => Just(Op::EncoderFailure),
        4 => (0u64..1500).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// A session with neighbours that keep the contract.
struct World {
    session: Session,
    now_ns: u64,
    frames: u64,
    out: HashSet<u32>,
    linked: bool,
    attached: bool,
    announced: Option<Mode>,
    unsent: Option<u64>,
    units: u64,
    /// The next AccessUnit must be an IDR.
    idr_due: bool,
    fail_next: bool,
}

const SPEC: (u32, u32) = (640, 360);

fn spec() -> StreamSpec {
    StreamSpec {
        width: SPEC.0,
        height: SPEC.1,
        refresh_mhz: 60_000,
        app: None,
        cursor: None,
        codec: "h264".into(),
        bitrate_bps: 10_000_000,
    }
}

impl World {
    fn new() -> Self {
        Self {
            session: Session::new(spec(), Duration::from_secs(3600), 0),
            now_ns: 0,
            frames: 0,
            out: HashSet::new(),
            linked: false,
            attached: false,
            announced: None,
            unsent: None,
            units: 0,
            idr_due: true,
            fail_next: false,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Attach => {
                self.session.handle_attach(spec(), self.now_ns);
                (self.attached, self.announced, self.unsent, self.idr_due) = (true, None, None, true);
            }
            Op::HangUp => {
                self.session.handle_hangup(self.now_ns);
                (self.attached, self.announced, self.unsent) = (false, None, None);
            }
            Op::Frame if self.linked && self.out.len() < MAX_FRAMES_OUT => self.send_frame(),
            Op::Sent => {
                if let Some(number) = self.unsent.take() {
                    assert_eq!(self.session.handle_reader(ToEncode::Sent { number }), Ok(Some(number)));
                }
            }
            Op::Control { idr_wanted } if self.attached => {
                let control = Control { bitrate_bps: 1_000_000, idr_wanted };
                self.session.handle_reader(ToEncode::Control(control)).unwrap();
            }
            Op::UpstreamLost if self.linked => {
                self.session.handle_upstream_lost(self.now_ns);
                self.linked = false;
                self.out.clear();
            }
            Op::Pool { wide } if self.linked => self.send_pool(if wide { 1280 } else { 640 }),
            Op::EncoderFailure => self.fail_next = true,
            Op::Wait { ms } => self.now_ns += ms * 1_000_000,
            _ => {}
        }
        self.drain();
    }

    fn send_frame(&mut self) {
        self.frames += 1;
        let buffer = (0..5).find(|buffer| !self.out.contains(buffer)).unwrap();
        self.out.insert(buffer);
        let frame = Frame {
            number: self.frames,
            buffer: BufferId { pool: 1, buffer },
            damage: Damage::full(640, 360),
            skipped: 0,
            pointer: None,
            timeline: Timeline::default(),
        };
        self.session.handle_capture(FromCapture::Frame(frame), self.now_ns).unwrap();
    }

    fn send_pool(&mut self, width: u32) {
        let layout = Layout { width, height: 360, stride: width * 4, format: PixelFormat::Bgrx };
        self.idr_due |= self.session.handle_pool(&layout);
    }

    fn drain(&mut self) {
        for _ in 0..100 {
            let Some(output) = self.session.poll_output(self.now_ns) else { return };
            self.carry_out(output);
        }
        panic!("no end of outputs");
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Open(_) => {
                self.session.handle_linked();
                self.linked = true;
                self.send_pool(640);
            }
            Output::Return(id) => assert!(self.out.remove(&id.buffer), "buffer {} returned twice", id.buffer),
            Output::Take(frame) => assert!(self.out.contains(&frame.buffer.buffer), "read after its return"),
            Output::Announce(mode) => self.announced = Some(mode),
            Output::Encode { kind, frame, .. } => self.encode(kind, frame),
            Output::End { .. } => panic!("the lease is an hour"),
            Output::Tell(_) | Output::SetBitrate(_) => {}
        }
    }

    fn encode(&mut self, kind: UnitKind, frame: u64) {
        assert!(self.attached, "nobody reads");
        assert_eq!(self.announced, self.session.mode(), "the reader knows the mode");
        assert_eq!(self.unsent, None, "one is unsent");
        assert!(frame > 0 && frame <= self.frames);
        assert!(!self.idr_due || kind == UnitKind::Idr, "{kind:?} where a decoder begins");
        if std::mem::take(&mut self.fail_next) {
            self.session.handle_encoder_failure();
            (self.idr_due, self.announced) = (true, None);
            return;
        }
        self.units += 1;
        self.unsent = Some(self.units);
        self.idr_due = false;
        self.session.handle_encoded(self.units, kind, self.units.is_multiple_of(3), self.now_ns);
    }

    /// After everything settled, nothing is kept that captured waits for while a reader reads.
    fn verify_invariants(&self) {
        if self.attached && self.unsent.is_none() && self.linked {
            assert!(self.out.is_empty(), "buffers {:?} were kept", self.out);
        }
        assert!(self.out.len() <= MAX_FRAMES_OUT);
        let due = self.session.poll_timeout(self.now_ns);
        assert!(due != Some(Duration::ZERO), "something is due and was not done");
    }
}

proptest! {
    // Sabotage: leave out any of the conditions in `poll_picture`, or return a buffer before it was read.
    #[test]
    fn a_session_keeps_its_contract(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        world.drain();
        for op in &ops {
            world.apply(op);
            world.verify_invariants();
        }
    }
}

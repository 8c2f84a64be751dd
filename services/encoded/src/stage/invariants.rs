//! What holds for a session whatever its neighbours do.

use std::collections::HashSet;

use lumen_ipc::{
    Damage,
    capture::FromCapture,
    encode::Control,
    pointer::Pointer,
    pool::{Layout, PixelFormat},
};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Attach,
    HangUp,
    Frame,
    Pointer,
    PointerTaken,
    Sent,
    Control { idr_wanted: u32, losses: u32 },
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
        4 => Just(Op::Pointer),
        2 => Just(Op::PointerTaken),
        8 => Just(Op::Sent),
        2 => (0u32..5, 0u32..5).prop_map(|(idr_wanted, losses)| Op::Control { idr_wanted, losses }),
        1 => Just(Op::UpstreamLost),
        1 => any::<bool>().prop_map(|wide| Op::Pool { wide }),
        1 => Just(Op::EncoderFailure),
        4 => (0u64..1500).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// A session with neighbours that keep the contract.
struct World {
    session: Session,
    /// The reader wants the pointer apart.
    apart: bool,
    now_ns: u64,
    frames: u64,
    out: HashSet<u32>,
    linked: bool,
    attached: bool,
    announced: Option<Mode>,
    unsent: Option<u64>,
    units: u64,
    /// A movement of the pointer that was not answered.
    pointer_out: bool,
    /// What the reader was told of the pointer and has not answered.
    told: bool,
    /// Ids of bitmaps that the reader has.
    bitmaps: HashSet<u32>,
    /// The next AccessUnit must be an IDR.
    idr_due: bool,
    fail_next: bool,
}

const SPEC: (u32, u32) = (640, 360);

fn spec(apart: bool) -> StreamSpec {
    StreamSpec {
        width: SPEC.0,
        height: SPEC.1,
        refresh_mhz: 60_000,
        app: None,
        cursor: apart.then(|| "separate".into()),
        repeat_mhz: None,
        references: None,
        channels: None,
        microphone: None,
        codec: "h264".into(),
        bitrate_bps: 10_000_000,
    }
}

impl World {
    fn new(apart: bool) -> Self {
        Self {
            session: Session::new(spec(apart), Duration::from_secs(3600), 0),
            apart,
            now_ns: 0,
            frames: 0,
            out: HashSet::new(),
            linked: false,
            attached: false,
            announced: None,
            unsent: None,
            units: 0,
            pointer_out: false,
            told: false,
            bitmaps: HashSet::new(),
            idr_due: true,
            fail_next: false,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Attach => {
                self.session.handle_attach(spec(self.apart), self.now_ns);
                self.told = false;
                self.bitmaps.clear();
                (self.attached, self.announced, self.unsent, self.idr_due) = (true, None, None, true);
            }
            Op::HangUp => {
                self.session.handle_hangup(self.now_ns);
                (self.attached, self.announced, self.unsent) = (false, None, None);
                self.told = false;
            }
            Op::Frame if self.linked && self.out.len() < MAX_FRAMES_OUT => self.send_frame(),
            Op::Pointer if self.linked && !self.pointer_out => {
                self.pointer_out = true;
                let pointer = Some(Pointer { x: self.now_ns as i32, y: 0, bitmap: 1 });
                let message = FromCapture::Pointer { pointer, timeline: Timeline::default() };
                self.session.handle_capture(message, self.now_ns).unwrap();
            }
            Op::PointerTaken if self.told => {
                self.told = false;
                self.session.handle_reader(ToEncode::PointerTaken).unwrap();
            }
            Op::Sent => {
                if let Some(number) = self.unsent.take() {
                    assert_eq!(self.session.handle_reader(ToEncode::Sent { number }), Ok(Some(number)));
                }
            }
            Op::Control { idr_wanted, losses } if self.attached => {
                let control = Control { bitrate_bps: 1_000_000, idr_wanted, losses, lost_from: 1 };
                self.session.handle_reader(ToEncode::Control(control)).unwrap();
            }
            Op::UpstreamLost if self.linked => {
                self.session.handle_upstream_lost(self.now_ns);
                (self.linked, self.pointer_out) = (false, false);
                self.bitmaps.clear();
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
            pointer: Some(Pointer { x: 0, y: self.frames as i32, bitmap: 2 }),
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
            Output::Tell(_) | Output::SetBitrate(_) | Output::Lose(_) => {}
            Output::Point(_) => assert!(!self.apart, "drawn where it is wanted apart"),
            Output::AnswerPointer => {
                assert!(std::mem::take(&mut self.pointer_out), "nothing was to be answered");
            }
            Output::TellBitmap(id) => assert!(self.bitmaps.insert(id), "told twice"),
            Output::TellPointer(pointer) => {
                assert!(self.apart && self.attached && !std::mem::replace(&mut self.told, true));
                assert!(pointer.is_none_or(|pointer| self.bitmaps.contains(&pointer.bitmap)), "{pointer:?}");
            }
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
        if self.attached && self.linked && self.apart && !self.told {
            assert!(!self.pointer_out, "a movement of the pointer was kept");
        }
        assert!(self.out.len() <= MAX_FRAMES_OUT);
        let due = self.session.poll_timeout(self.now_ns);
        assert!(due != Some(Duration::ZERO), "something is due and was not done");
    }
}

proptest! {
    // Sabotage: leave out any of the conditions in `poll_picture`, or return a buffer before it was read.
    #[test]
    fn a_session_keeps_its_contract(apart: bool, ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new(apart);
        world.drain();
        for op in &ops {
            world.apply(op);
            world.verify_invariants();
        }
    }
}

//! A model beside the machine: what every buffer holds, what the reader sees, what it was told.

use super::*;
use lumen_ipc::Rect;
use proptest::prelude::*;

const WIDTH: u32 = 32;

#[derive(Debug, Clone)]
enum Op {
    Take,
    Fill { nth: usize, column: u32 },
    Miss { nth: usize },
    Attach,
    Detach,
    Poll,
    Return { nth: usize },
    ReturnWrong { pool: u32, buffer: u32 },
    Renew,
    RenewLent,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Take),
        6 => (0usize..4, 0..WIDTH).prop_map(|(nth, column)| Op::Fill { nth, column }),
        1 => (0usize..4).prop_map(|nth| Op::Miss { nth }),
        1 => Just(Op::Attach),
        1 => Just(Op::Detach),
        5 => Just(Op::Poll),
        4 => (0usize..2).prop_map(|nth| Op::Return { nth }),
        1 => (0u32..4, 0u32..9).prop_map(|(pool, buffer)| Op::ReturnWrong { pool, buffer }),
        1 => Just(Op::Renew),
        1 => Just(Op::RenewLent),
    ]
}

/// Each picture is a row of numbers: the picture at which that column last changed.
type Row = [u64; WIDTH as usize];

struct Model {
    newest: Newest,
    filling: Vec<u32>,
    held: Vec<BufferId>,
    screen: Row,
    pictures: u64,
    /// What the attached reader has, updated only where damage says so.
    seen: Option<Row>,
    last_number: u64,
}

impl Model {
    fn new() -> Self {
        let newest = Newest::new(1, 5, WIDTH, 1);
        let (screen, seen) = ([0; WIDTH as usize], None);
        Self { newest, filling: vec![], held: vec![], screen, pictures: 0, seen, last_number: 0 }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Take => self.filling.extend(self.newest.take_free()),
            Op::Fill { nth, column } if nth < self.filling.len() => self.fill(nth, column),
            Op::Miss { nth } if nth < self.filling.len() => {
                let buffer = self.filling.remove(nth);
                self.newest.missed(buffer).unwrap();
            }
            Op::Attach => {
                self.newest.attach();
                self.held.clear();
                self.seen = Some([u64::MAX; WIDTH as usize]);
            }
            Op::Detach => {
                self.newest.detach();
                self.held.clear();
                self.seen = None;
            }
            Op::Poll => self.poll(),
            Op::Return { nth } if nth < self.held.len() => {
                let id = self.held.remove(nth);
                self.newest.returned(id).unwrap();
            }
            Op::ReturnWrong { pool, buffer } => {
                let id = BufferId { pool, buffer };
                if !self.held.contains(&id) {
                    assert!(self.newest.returned(id).is_err(), "{id:?} was accepted");
                }
            }
            Op::Renew => self.renew(),
            Op::RenewLent => self.renew_lent(),
            _ => {}
        }
    }

    fn fill(&mut self, nth: usize, column: u32) {
        let buffer = self.filling.remove(nth);
        self.pictures += 1;
        self.screen[column as usize] = self.pictures;
        let mut damage = Damage::default();
        damage.add(Rect { x: column, y: 0, width: 1, height: 1 });
        self.newest.filled(buffer, &Picture { damage, dequeued_ns: self.pictures, spot: None }).unwrap();
    }

    fn poll(&mut self) {
        let Some(frame) = self.newest.poll_frame() else {
            return;
        };
        let seen = self.seen.as_mut().expect("a Frame goes to a reader only");
        assert!(!self.held.contains(&frame.buffer), "{:?} is out twice", frame.buffer);
        for rect in frame.damage.rects() {
            let columns = rect.x as usize..(rect.x + rect.width) as usize;
            seen[columns.clone()].copy_from_slice(&self.screen[columns]);
        }
        assert_eq!(frame.number, self.pictures, "an older picture was sent");
        assert_eq!(frame.timeline.dequeued_ns, self.pictures);
        assert_eq!(seen, &self.screen, "damage was lost");
        self.last_number = frame.number;
        self.held.push(frame.buffer);
    }

    fn renew(&mut self) {
        let number = self.newest.pool() + 1;
        let old = std::mem::replace(&mut self.newest, Newest::new(0, 5, WIDTH, 1));
        self.newest = old.renewed(number, 5, WIDTH, 1);
        self.filling.clear();
    }

    /// The source comes with six buffers of its own, all of which it has.
    fn renew_lent(&mut self) {
        let number = self.newest.pool() + 1;
        let old = std::mem::replace(&mut self.newest, Newest::new(0, 5, WIDTH, 1));
        self.newest = old.renewed(number, 6, WIDTH, 1).lent();
        self.filling = (0..6).collect();
    }

    fn verify_invariants(&self) {
        assert_eq!(self.newest.out(), self.held.len());
        assert!(self.held.len() <= MAX_FRAMES_OUT, "{} Frames are out", self.held.len());
        for held in &self.held {
            let written = held.pool == self.newest.pool() && self.filling.contains(&held.buffer);
            assert!(!written, "{held:?} is read and written at once");
        }
        let kept = self.newest.buffers_in(&[Slot::Kept, Slot::LeasedKept]).count();
        assert!(kept <= 1, "{kept} newest pictures");
        assert_eq!(kept, usize::from(self.newest.newest.is_some()), "the newest picture was given away");
        let filling = self.newest.buffers_in(&[Slot::Filling]).count();
        assert_eq!(filling, self.filling.len());
    }
}

proptest! {
    // Sabotage, each turns it red: free the newest buffer when it is returned; replace instead of unite in
    // add_damage; let poll_frame forget MAX_FRAMES_OUT; free a leased buffer when a newer picture comes.
    #[test]
    fn no_buffer_is_read_and_written_and_no_damage_is_lost(ops in prop::collection::vec(op(), 1..200)) {
        let mut model = Model::new();
        for op in &ops {
            model.apply(op);
            model.verify_invariants();
        }
    }

    // Sabotage: let `returned` keep a superseded buffer; five buffers then run dry.
    #[test]
    fn source_always_finds_a_buffer_among_five(ops in prop::collection::vec(op(), 1..200)) {
        let mut model = Model::new();
        for op in ops.iter().filter(|op| !matches!(op, Op::Take)) {
            while model.filling.len() < 2 {
                let buffer = model.newest.take_free();
                prop_assert!(buffer.is_some(), "no free buffer with {} out", model.held.len());
                model.filling.extend(buffer);
            }
            model.apply(op);
        }
    }
}

fn take_and_fill(newest: &mut Newest, ns: u64) -> u32 {
    let buffer = newest.take_free().unwrap();
    let damage = Damage::full(1, 1);
    newest.filled(buffer, &Picture { damage, dequeued_ns: ns, spot: None }).unwrap();
    buffer
}

#[test]
fn still_screen_gives_each_new_reader_the_kept_picture_whole() {
    let mut newest = Newest::new(1, 5, WIDTH, 1);
    newest.attach();
    let buffer = take_and_fill(&mut newest, 7);
    assert_eq!(newest.poll_frame().unwrap().buffer, BufferId { pool: 1, buffer });
    newest.returned(BufferId { pool: 1, buffer }).unwrap();
    assert_eq!(newest.poll_frame(), None);
    newest.attach();
    let frame = newest.poll_frame().unwrap();
    assert_eq!((frame.buffer.buffer, frame.number), (buffer, 1));
    assert_eq!(frame.damage, Damage::full(WIDTH, 1));
}

#[test]
fn slow_reader_gets_the_newest_and_is_told_what_it_was_spared() {
    let mut newest = Newest::new(1, 5, WIDTH, 1);
    newest.attach();
    for ns in 1..=2 {
        take_and_fill(&mut newest, ns);
        assert!(newest.poll_frame().is_some());
    }
    for ns in 3..=6 {
        take_and_fill(&mut newest, ns);
        assert_eq!(newest.poll_frame(), None);
    }
    newest.returned(BufferId { pool: 1, buffer: 0 }).unwrap();
    let frame = newest.poll_frame().unwrap();
    assert_eq!((frame.number, frame.skipped, frame.timeline.dequeued_ns), (6, 3, 6));
    assert_eq!(newest.counters(), Counters { taken: 6, sent: 3, skipped: 3, united: 3, missed: 0 });
}

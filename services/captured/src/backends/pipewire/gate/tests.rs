//! The gate over timelines that are plain numbers.

use super::*;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};
use std::{cell::RefCell, rc::Rc};

const SECOND: u64 = 1_000_000_000;

/// A timeline that somebody else draws.
#[derive(Debug, Clone, Default)]
struct Fake(Rc<RefCell<Told>>);

#[derive(Debug, Default)]
struct Told {
    at: u64,
    /// All that was ever signalled.
    signalled: Vec<u64>,
    rings: Vec<u64>,
    is_mute: bool,
}

impl Points for Fake {
    fn has_reached(&self, point: u64) -> Result<bool, Errno> {
        Ok(self.0.borrow().at >= point)
    }

    fn ring(&self, point: u64, _: BorrowedFd<'_>) -> Result<(), Errno> {
        self.0.borrow_mut().rings.push(point);
        if self.0.borrow().is_mute { Err(Errno::NOTTY) } else { Ok(()) }
    }

    fn signal(&self, point: u64) -> Result<(), Errno> {
        self.0.borrow_mut().signalled.push(point);
        Ok(())
    }
}

/// A gate with `count` buffers, and their timelines.
fn gate(count: u32) -> (Gate<u32, Fake>, Vec<[Fake; 2]>) {
    let mut gate = Gate::new().unwrap();
    let fakes: Vec<[Fake; 2]> = (0..count).map(|_| Default::default()).collect();
    for (buffer, [acquire, release]) in (0..).zip(&fakes) {
        gate.add(buffer, acquire.clone(), release.clone());
    }
    (gate, fakes)
}

fn draw(fakes: &[[Fake; 2]], buffer: usize, point: u64) {
    fakes[buffer][0].0.borrow_mut().at = point;
}

fn signalled(fakes: &[[Fake; 2]], buffer: usize) -> Vec<u64> {
    fakes[buffer][1].0.borrow().signalled.clone()
}

fn ticket(acquire: u64) -> Ticket {
    Ticket { acquire, release: acquire + 1 }
}

// Sabotage: hand a picture on when it comes.
#[test]
fn a_picture_is_ready_when_its_point_is_reached_and_not_before() {
    let (mut gate, fakes) = gate(2);
    assert_eq!(gate.came(0, ticket(1), 0), Ok(false));
    assert_eq!((gate.next(1), fakes[0][0].0.borrow().rings.clone()), (Ok(None), vec![1]));
    draw(&fakes, 0, 1);
    assert_eq!(gate.next(2), Ok(Some((0, Passage::Ready))));
    assert_eq!(gate.next(2), Ok(None));
    draw(&fakes, 1, 5);
    assert_eq!(gate.came(1, ticket(5), 3), Ok(true), "drawn already");
    assert_eq!(gate.came(1, Ticket { acquire: 0, release: 0 }, 3), Ok(true), "without points");
    assert_eq!(gate.came(9, ticket(7), 3), Ok(true), "a buffer without timelines");
}

// Sabotage: wait for the oldest although a newer one is there, or let the newer one pass before it.
#[test]
fn what_a_later_picture_overtook_goes_first() {
    let (mut gate, fakes) = gate(3);
    assert_eq!(gate.came(0, ticket(1), 0), Ok(false));
    draw(&fakes, 1, 1);
    assert_eq!(gate.came(1, ticket(1), 1), Ok(false), "the one before it is not out yet");
    assert_eq!(gate.came(2, ticket(1), 2), Ok(false));
    assert_eq!(gate.next(3), Ok(Some((0, Passage::Overtaken))));
    assert_eq!(gate.next(3), Ok(Some((1, Passage::Ready))));
    assert_eq!(gate.next(3), Ok(None));
}

// Sabotage: wait for ever, or give up at the first picture that is late.
#[test]
fn a_timeline_that_is_never_reached_costs_a_second_and_three_of_them_all_hope() {
    let (mut gate, _fakes) = gate(4);
    for (round, buffer) in (1u64..).zip([0, 1, 2]) {
        let now = round * 10 * SECOND;
        assert_eq!(gate.came(buffer, ticket(1), now), Ok(false));
        assert_eq!(gate.next(now + SECOND - 1), Ok(None));
        assert!(!gate.is_hopeless());
        assert_eq!(gate.next(now + SECOND), Ok(Some((buffer, Passage::Late))));
        assert_eq!(gate.release(buffer), Ok(true));
        assert_eq!(gate.is_hopeless(), round == 3);
    }
    gate.clear();
    assert!(!gate.is_hopeless());
}

// Sabotage: release nothing that never came, or at once what is still on its way, or what we have.
#[test]
fn a_buffer_that_was_given_and_never_came_is_released_after_a_second() {
    let (mut gate, fakes) = gate(3);
    draw(&fakes, 1, 5);
    gate.came(1, ticket(5), 0).unwrap();
    let says = |points: [u64; 2]| move |buffer: u32| points.get(buffer as usize).map(|&point| ticket(point));
    assert_eq!(gate.release_lost(says([1, 5]), 10), Ok(0));
    assert_eq!(gate.release_lost(says([1, 5]), 9 + SECOND), Ok(0), "it may be on its way");
    assert_eq!(gate.release_lost(says([3, 5]), 10 + SECOND), Ok(0), "it was given anew");
    let mut fds = gate.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    assert_eq!(
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 500_000_000 })),
        Ok(1),
        "nothing wakes us"
    );
    assert_eq!(gate.release_lost(says([3, 5]), 10 + 2 * SECOND), Ok(1));
    assert_eq!((signalled(&fakes, 0), signalled(&fakes, 1), signalled(&fakes, 2)), (vec![4], vec![], vec![]));
    assert_eq!(gate.release_lost(says([3, 5]), 10 + 4 * SECOND), Ok(0), "once");
}

// Sabotage: set no timer, or only the patience's where the kernel cannot ring.
#[test]
fn time_that_is_up_makes_a_descriptor_readable() {
    for (is_mute, name) in [(true, "no eventfds"), (false, "long ago")] {
        let (mut gate, fakes) = gate(1);
        fakes[0][0].0.borrow_mut().is_mute = is_mute;
        let now = if is_mute { lumen_stage::clock::now_ns() } else { 1 };
        assert_eq!(gate.came(0, ticket(1), now), Ok(false));
        assert_eq!(gate.release_lost(|_| None, now), Ok(0));
        let mut fds = gate.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let limit = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
        assert_eq!(poll(&mut fds, Some(&limit)), Ok(1), "{name}");
        assert_eq!(gate.next(now + LOOK_NS), Ok(None));
    }
}

// Sabotage: signal on each return, or the points that a buffer without a picture still has.
#[test]
fn each_release_is_signalled_once() {
    let (mut gate, fakes) = gate(2);
    draw(&fakes, 0, 9);
    gate.came(0, ticket(1), 0).unwrap();
    assert_eq!((gate.release(0), gate.release(0)), (Ok(true), Ok(false)));
    gate.came(0, ticket(1), 0).unwrap();
    assert_eq!(gate.release(0), Ok(false), "the same points again");
    gate.came(0, ticket(3), 0).unwrap();
    assert_eq!(gate.release(0), Ok(true));
    assert_eq!(signalled(&fakes, 0), [2, 4]);
    gate.came(0, ticket(5), 0).unwrap();
    gate.came(1, ticket(1), 0).unwrap();
    gate.remove(0).unwrap();
    assert_eq!((signalled(&fakes, 0), gate.knows(0), gate.knows(1)), (vec![2, 4, 6], false, true));
    drop(gate);
    assert_eq!(signalled(&fakes, 1), [2], "what still waited when all ended");
}

#[derive(Debug, Clone)]
enum Op {
    Give(u32, bool),
    Draw(u32),
    Release(u32),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0u32..4, any::<bool>()).prop_map(|(buffer, anew)| Op::Give(buffer, anew)),
        (0u32..4).prop_map(Op::Draw),
        (0u32..4).prop_map(Op::Release),
        (0u64..SECOND).prop_map(Op::Pass),
    ]
}

proptest! {
    // Sabotage: any of the above.
    #[test]
    fn nothing_passes_undrawn_and_no_release_is_lost_or_doubled(ops in prop::collection::vec(op(), 0..200)) {
        let (mut gate, fakes) = gate(4);
        let (mut points, mut at_producer, mut now) = ([0u64; 4], [true; 4], 1);
        for op in ops {
            match op {
                Op::Give(buffer, anew) if at_producer[buffer as usize] => {
                    points[buffer as usize] += if anew { 2 } else { 0 };
                    let point = points[buffer as usize];
                    at_producer[buffer as usize] = false;
                    if gate.came(buffer, Ticket { acquire: point, release: point + 1 }, now).unwrap() {
                        prop_assert!(fakes[buffer as usize][0].0.borrow().at >= point);
                    }
                }
                Op::Draw(buffer) => draw(&fakes, buffer as usize, points[buffer as usize]),
                Op::Release(buffer) if !at_producer[buffer as usize] => {
                    gate.release(buffer).unwrap();
                    at_producer[buffer as usize] = true;
                }
                Op::Pass(ns) => now += ns,
                Op::Give(..) | Op::Release(_) => {}
            }
            while let Some((buffer, passage)) = gate.next(now).unwrap() {
                if passage == Passage::Ready {
                    prop_assert!(fakes[buffer as usize][0].0.borrow().at >= points[buffer as usize]);
                } else {
                    gate.release(buffer).unwrap();
                    at_producer[buffer as usize] = true;
                }
            }
            for buffer in 0..4 {
                let told = signalled(&fakes, buffer);
                prop_assert!(told.is_sorted_by(|a, b| a < b), "twice: {:?}", told);
                let due = if at_producer[buffer] { points[buffer] + 1 } else { 0 };
                prop_assert!(due <= 1 || told.last() == Some(&due), "{:?} lacks {}", told, due);
            }
        }
    }
}

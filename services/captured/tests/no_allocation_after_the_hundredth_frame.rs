//! The session's thread, wayland-client included, works without the allocator once it has warmed up.

mod bench;
mod producer;

use bench::{Captured, Direct, SESSION, Sway, spec};
use lumen_captured::{
    backends::Source,
    display::{Display, Patterns},
};
use lumen_ipc::{Failure, SessionId, bus::OutputSpec};
use lumen_stage::pulse::Pulse;
use producer::{Daemon, Manner, Node, Producer};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const LEASE: Duration = Duration::from_secs(1);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count() {
    if COUNTED.with(Cell::get) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Marks the thread on which the session asks for its source.
struct Marking(Arc<dyn Display>);

impl Display for Marking {
    fn acquire(&self, id: SessionId, spec: &OutputSpec, pulse: &Pulse) -> Result<Box<dyn Source>, Failure> {
        COUNTED.with(|counted| counted.set(true));
        self.0.acquire(id, spec, pulse)
    }

    fn release(&self, id: SessionId, pulse: &Pulse) {
        self.0.release(id, pulse);
    }
}

/// Allocations of the session's thread during `frames` Frames after the hundredth, each of which `draw` asks for.
fn allocations(display: Arc<dyn Display>, frames: u64, draw: impl Fn(&Captured, u64)) -> u64 {
    let captured = Captured::new(Arc::new(Marking(display)), LEASE);
    let mut reader = captured.open(spec(1280, 720));
    let mut take = |count| {
        for number in 0..count {
            draw(&captured, number);
            let frame = reader.frame();
            reader.give_back(&frame);
        }
        ALLOCATIONS.load(Relaxed)
    };
    let warm = take(100);
    assert!(warm > 0, "nothing was counted at all");
    let allocations = take(frames) - warm;
    captured
        .board
        .write(SESSION, |line| println!("{}: {allocations} allocations in {frames} Frames", line.backend));
    // The session's thread lives on for its lease, and would be counted with the next one's.
    drop(reader);
    std::thread::sleep(LEASE + Duration::from_millis(500));
    allocations
}

// Sabotage: put a `Box` into Event::Filled, or use wayland-client's event queue for frame objects, or
// collect PipeWire's metadata into a vector.
#[test]
fn no_allocation_after_the_hundredth_frame() {
    assert_eq!(allocations(Arc::new(Patterns), 200, |_, _| {}), 0);
    let mut sway = Sway::start();
    sway.program("foot", &["sh", "-c", "while :; do date +%N; sleep 0.01; done"]);
    assert_eq!(allocations(Direct::new(&sway, "HEADLESS-1"), 200, |_, _| {}), 0);
    let daemon = Daemon::start();
    for manner in [Manner::default(), Manner { sealed: false, ..Manner::default() }] {
        let producer = Producer::start(&daemon, manner);
        let waited = Cell::new(false);
        let draw = |captured: &Captured, number| {
            if !waited.replace(true) {
                producer.wait_for(&captured.board);
            }
            producer.give_whole(number as u8);
        };
        assert_eq!(allocations(Node::new(&daemon, producer.node()), 200, draw), 0);
    }
}

//! After its hundredth Frame a session's thread allocates nothing: receive, convert, compare, plan, encode, ring, send, return.
//!
//! Counted are allocations by Rust code on that thread. openh264 is C and allocates by itself, which is not counted.

mod neighbours;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use lumen_ipc::bus::StreamSpec;
use neighbours::{Street, spec};

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if WATCHED.get() {
            COUNT.fetch_add(1, SeqCst);
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if WATCHED.get() {
            COUNT.fetch_add(1, SeqCst);
        }
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// Sabotage: collect the chunks of an AccessUnit into a new `Vec`.
#[test]
fn no_allocation_after_the_hundredth_frame() {
    let street = Street::new(Duration::from_secs(10), || WATCHED.set(true));
    let mut reader = street.reader(StreamSpec { references: Some(true), ..spec(640, 360) });
    let mut captured = street.captured(640, 360);
    let mut go = |frames: u64| {
        for _ in 0..frames {
            captured.frame();
            let (unit, _) = reader.unit();
            captured.returned();
            reader.sent(unit.number);
        }
    };
    go(100);
    let before = COUNT.load(SeqCst);
    assert!(before > 0, "the session's thread is watched");
    go(200);
    assert_eq!(COUNT.load(SeqCst) - before, 0, "allocations in 200 frames");
}

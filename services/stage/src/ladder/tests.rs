use super::*;
use std::os::fd::{AsFd, OwnedFd};

const RUNGS: [&str; 3] = ["best", "good", "plain"];
const MODE: &str = "h264 1280x720@60";
const ABORT: u64 = 6;

/// A record that several incarnations take over.
struct Store(OwnedFd);

impl Store {
    fn new() -> Self {
        let memory = SharedMemory::new("test", BYTES).unwrap();
        Self(memory.as_fd().try_clone_to_owned().unwrap())
    }

    fn incarnation(&self) -> Ladder {
        self.incarnation_with(QUIET)
    }

    fn incarnation_with(&self, quiet: Duration) -> Ladder {
        let memory = SharedMemory::adopt(self.0.try_clone().unwrap(), BYTES).unwrap();
        Ladder::over(memory, quiet).unwrap()
    }
}

/// What a process leaves that ends inside a call after `made` pictures, of `blow` if of its own.
fn die(ladder: &Ladder, purpose: &str, made: u64, blow: Option<u64>) -> &'static str {
    let (_, rung) = ladder.choose(&RUNGS, purpose).unwrap();
    (0..made).for_each(|_| rung.made());
    let inside = rung.begin();
    blow.into_iter().for_each(|blow| rung.slot.unwrap().blow(blow));
    die_inside(inside);
    rung.name()
}

/// The slot is left as by a process that died; the place among this process' calls is given back.
fn die_inside(mut inside: Inside) {
    drop(inside.call.take());
    std::mem::forget(inside);
}

fn strike_three_times(store: &Store) {
    for _ in 0..3 {
        die(&store.incarnation(), MODE, 0, Some(ABORT));
    }
}

/// Sabotage: count no strikes, count four, or count one incarnation's pictures for the next.
#[test]
fn the_third_crash_in_a_row_is_the_last_on_this_rung() {
    let store = Store::new();
    let rungs: Vec<_> = (0..8).map(|_| die(&store.incarnation(), MODE, 59, Some(ABORT))).collect();
    assert_eq!(rungs, ["best", "best", "best", "good", "good", "good", "plain", "plain"]);
    let ladder = store.incarnation();
    assert_eq!(die(&ladder, "h264 640x480@60", 0, None), "best", "another mode is another matter");
    let told = ladder.descents().join("\n");
    assert!(told.contains("best is set aside for h264 1280x720@60") && told.contains("SIGABRT"), "{told}");
    let ladder = store.incarnation();
    die(&ladder, MODE, 0, Some(ABORT));
    assert_eq!(store.incarnation().choose(&RUNGS, MODE).unwrap().1.name(), "plain", "the last never falls");
    assert_eq!(store.incarnation().descents().len(), 2);
}

/// Sabotage: believe every death inside a call.
#[test]
fn whoever_kills_a_stage_judges_no_backend() {
    let store = Store::new();
    for _ in 0..1000 {
        assert_eq!(die(&store.incarnation(), MODE, 0, None), "best");
    }
}

/// Sabotage: keep strikes although pictures come.
#[test]
fn a_backend_that_works_has_its_strikes_forgiven() {
    let store = Store::new();
    for made in [0, 0, 60, 0, 0] {
        assert_eq!(die(&store.incarnation(), MODE, made, Some(ABORT)), "best");
    }
    assert_eq!(store.incarnation().choose(&RUNGS, MODE).unwrap().0, 0);
}

/// Sabotage: count a crash while nobody is inside.
#[test]
fn a_crash_elsewhere_is_not_the_backends() {
    let store = Store::new();
    for _ in 0..5 {
        let (_, rung) = store.incarnation().choose(&RUNGS, MODE).unwrap();
        drop(rung.begin());
        rung.slot.unwrap().blow(ABORT);
        assert_eq!(rung.name(), "best");
    }
}

/// Sabotage: leave the mark of the watchdog although the call returned after all.
#[test]
fn a_call_that_never_returns_counts_and_one_that_is_late_does_not() {
    let store = Store::new();
    for _ in 0..3 {
        let (_, rung) = store.incarnation().choose(&RUNGS, MODE).unwrap();
        let late = rung.begin();
        rung.slot.unwrap().blow(HUNG);
        drop(late);
        die_inside(rung.begin());
    }
    for _ in 0..3 {
        assert_eq!(die(&store.incarnation(), MODE, 0, Some(HUNG)), "best");
    }
    assert!(store.incarnation().descents().concat().contains("did not return"));
}

/// Sabotage: blame every backend that is in a call.
#[test]
fn only_the_call_that_is_under_way_for_long_is_to_blame() {
    let store = Store::new();
    let ladder = store.incarnation();
    let (_, slow) = ladder.choose(&RUNGS, MODE).unwrap();
    let (_, other) = ladder.choose(&RUNGS, "another mode").unwrap();
    let (call, began) = (slow.begin(), now_ns());
    std::thread::sleep(Duration::from_millis(20));
    let just_now = other.begin();
    let slots = || [slow.slot.unwrap(), other.slot.unwrap()].into_iter();
    let second = Duration::from_secs(1);
    // As if it were half a second after the one began: then neither, and once a second has passed the one alone.
    calls::blame(slots(), HUNG, second, began + 500_000_000);
    calls::blame(slots(), HUNG, second, began + 1_005_000_000);
    [call, just_now].into_iter().for_each(die_inside);
    let next = store.incarnation();
    let strikes = |mode| next.slots.find(&name_of("best", mode)).unwrap().cause();
    assert_eq!((strikes(MODE), strikes("another mode")), (HUNG, 0));
}

/// Sabotage: count errors that are not in a row, or let the last rung fall.
#[tokio::test]
async fn three_errors_in_a_row_end_the_process() {
    let ladder = Store::new().incarnation();
    let (_, rung) = ladder.choose(&RUNGS, MODE).unwrap();
    for _ in 0..3 {
        rung.erred();
        rung.erred();
        rung.made();
    }
    assert!(!ladder.is_falling());
    (0..3).for_each(|_| rung.erred());
    assert!(ladder.is_falling());
    let Exit::Restart(text) = ladder.fallen().await else { panic!("a restart helps") };
    assert!(text.contains("best is set aside") && text.contains("returned an error"), "{text}");
    assert_eq!(ladder.choose(&RUNGS, MODE).unwrap().0, 1);
    let last = Store::new().incarnation();
    let (_, rung) = last.choose(&["plain"], MODE).unwrap();
    (0..9).for_each(|_| rung.erred());
    assert!(!last.is_falling() && last.descents().is_empty());
}

/// Sabotage: forgive at once, or never.
#[test]
fn what_fell_is_forgiven_when_it_was_quiet_for_long_enough() {
    let store = Store::new();
    strike_three_times(&store);
    let patient = store.incarnation();
    assert!(patient.has_fallen("best", MODE));
    let quick = store.incarnation_with(Duration::ZERO);
    assert!(!quick.has_fallen("best", MODE) && quick.descents().is_empty());
    assert_eq!(die(&patient, MODE, 0, Some(ABORT)), "best");
    assert!(!store.incarnation().has_fallen("best", MODE), "its strikes are forgiven too");
}

/// Sabotage: give the place of a rung in use, or of one that fell, to another.
#[test]
fn hundred_modes_leave_no_rung_without_a_place() {
    let store = Store::new();
    strike_three_times(&store);
    let ladder = store.incarnation();
    let (_, used) = ladder.choose(&RUNGS, "h264 2x2@1").unwrap();
    for n in 0..100 {
        assert!(ladder.choose(&RUNGS, &format!("h264 {n}x4@60")).unwrap().1.slot.is_some());
    }
    assert_eq!(used.slot.unwrap().name(), "best h264 2x2@1");
    assert!(ladder.has_fallen("best", MODE));
    let long = "x".repeat(400);
    assert!(ladder.choose(&RUNGS, &long).unwrap().1.slot.is_some());
}

/// Sabotage: believe memory of another layout.
#[test]
fn memory_of_another_layout_is_begun_anew() {
    let mut memory = SharedMemory::new("test", BYTES).unwrap();
    memory.bytes_mut().fill(7);
    let ladder = Ladder::over(memory, QUIET).unwrap();
    assert_eq!(ladder.choose(&RUNGS, MODE).unwrap().0, 0);
    let small = SharedMemory::new("test", 64).unwrap();
    assert!(Ladder::over(small, QUIET).is_err());
}

//! The brain without a kernel: what happens is told, what it wants is read.

use super::*;
use crate::newest::Picture;
use lumen_ipc::{Damage, pool::PixelFormat};

const S: u64 = 1_000_000_000;
const LAYOUT: Layout = Layout { width: 64, height: 64, stride: 256, format: PixelFormat::Bgrx };
const MODE: Mode = Mode { width: 64, height: 64, refresh_mhz: 0 };

fn spec(width: u32) -> OutputSpec {
    OutputSpec {
        width,
        height: 64,
        refresh_mhz: 60_000,
        app: None,
        cursor: None,
        memory: None,
        channels: None,
        microphone: None,
    }
}

fn session() -> Session {
    let mut session = Session::new(spec(64), Duration::from_secs(10), 0);
    session.handle_attach(spec(64), 0);
    session
}

fn outputs(session: &mut Session, now_ns: u64) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output(false, now_ns)).take(20).collect()
}

fn failed(session: &mut Session, class: FailureClass, now_ns: u64) -> Vec<Output> {
    session.handle_failure(Failure::new(class, "it broke", "mend it"), now_ns);
    outputs(session, now_ns)
}

/// Acquires, makes the pool, and fills one picture.
fn start(session: &mut Session, pool: u32, now_ns: u64) {
    assert!(matches!(outputs(session, now_ns)[..], [Output::Acquire(_)]));
    session.handle_acquired();
    session.handle_event(Event::Mode(MODE)).unwrap();
    session.handle_event(Event::Layout(LAYOUT)).unwrap();
    let made = outputs(session, now_ns).contains(&Output::MakePool { layout: LAYOUT, buffers: MIN_BUFFERS });
    assert!(made);
    session.handle_pool(pool, LAYOUT);
}

fn fill(session: &mut Session, now_ns: u64) {
    let buffer = loop {
        match session.poll_output(true, now_ns) {
            Some(Output::Fill(buffer)) => break buffer,
            Some(_) => {}
            None => panic!("no buffer to fill"),
        }
    };
    let picture = Picture { damage: Damage::full(64, 64), dequeued_ns: now_ns, spot: None };
    session.handle_event(Event::Filled { buffer, picture, upside_down: false }).unwrap();
}

// Sabotage: announce the pool before the mode, or a Frame before its pool.
#[test]
fn each_reader_hears_mode_pool_and_newest_picture_in_this_order() {
    let mut session = session();
    start(&mut session, 1, 0);
    fill(&mut session, 0);
    for reader in 0..3 {
        session.handle_attach(spec(64), reader);
        let heard = outputs(&mut session, reader);
        let [Output::Tell(FromCapture::Ready { mode }), Output::Announce, Output::Send(frame)] = &heard[..]
        else {
            panic!("{heard:?}");
        };
        assert_eq!(
            mode.refresh_mhz, 60_000,
            "a compositor that does not know its rate has the one asked for"
        );
        assert_eq!((frame.number, &frame.damage), (1, &Damage::full(64, 64)));
    }
}

// Sabotage: give buffers whether or not somebody reads.
#[test]
fn nothing_is_captured_while_nobody_reads() {
    let mut session = session();
    start(&mut session, 1, 0);
    fill(&mut session, 0);
    session.handle_hangup(S);
    assert_eq!(session.poll_output(true, S), Some(Output::Watch(false)));
    assert_eq!(session.poll_output(true, S), None);
    session.handle_attach(spec(64), 2 * S);
    fill(&mut session, 2 * S);
}

// Sabotage: let the lease run while a reader is there, or never.
#[test]
fn session_ends_when_its_lease_is_over_and_not_before() {
    let mut session = session();
    start(&mut session, 1, 0);
    assert_eq!(session.poll_timeout(5 * S), None);
    session.handle_hangup(20 * S);
    assert_eq!(session.poll_timeout(20 * S), Some(Duration::from_secs(10)));
    assert_eq!(outputs(&mut session, 30 * S - 1), [Output::Watch(false)]);
    session.handle_attach(spec(64), 30 * S - 1);
    assert!(!outputs(&mut session, 40 * S).contains(&Output::End { release: true }));
    session.handle_hangup(40 * S);
    assert_eq!(session.poll_output(false, 50 * S), Some(Output::End { release: true }));
}

// Sabotage: take a Close for a hang-up.
#[test]
fn session_that_is_over_releases_at_once() {
    let mut session = session();
    start(&mut session, 1, 0);
    assert_eq!(session.handle_message(ToCapture::Close), Ok(()));
    assert_eq!(session.poll_output(true, S), Some(Output::End { release: true }));
}

#[test]
fn stopped_stage_leaves_the_output_to_its_successor() {
    let mut session = session();
    session.handle_close();
    assert_eq!(session.poll_output(false, 0), Some(Output::End { release: false }));
}

// Sabotage: tell of the first failure at once, or of none.
#[test]
fn passing_failure_is_told_when_it_does_not_pass() {
    let mut session = session();
    assert!(matches!(outputs(&mut session, 0)[..], [Output::Acquire(_)]));
    assert!(matches!(failed(&mut session, FailureClass::Temporary, 0)[..], [Output::Acquire(_)]));
    assert_eq!(failed(&mut session, FailureClass::Temporary, 0), []);
    assert_eq!(session.poll_timeout(0), Some(Duration::from_millis(50)));
    assert!(matches!(outputs(&mut session, 50_000_000)[..], [Output::Acquire(_)]));
    let told = failed(&mut session, FailureClass::Temporary, S);
    assert!(matches!(&told[..], [Output::Tell(FromCapture::Failed(failure))] if failure.advice == "mend it"));
    start(&mut session, 1, 2 * S);
    fill(&mut session, 2 * S);
    let heard = outputs(&mut session, 2 * S);
    assert!(matches!(
        heard[..],
        [Output::Tell(FromCapture::Ready { .. }), Output::Announce, Output::Send(_)]
    ));
}

// Sabotage: retry whatever failed, or forget that another request may work.
#[test]
fn impossible_request_is_told_once_and_waits_for_another() {
    let mut session = session();
    assert!(matches!(outputs(&mut session, 0)[..], [Output::Acquire(_)]));
    assert!(matches!(
        failed(&mut session, FailureClass::Request, 0)[..],
        [Output::Tell(FromCapture::Failed(_))]
    ));
    assert_eq!(outputs(&mut session, 100 * S), []);
    session.handle_attach(spec(128), 100 * S);
    assert_eq!(outputs(&mut session, 100 * S), [Output::Acquire(spec(128))]);
}

// Sabotage: ignore the new request, or ask again for the same one.
#[test]
fn other_request_asks_for_another_output_and_the_same_does_not() {
    let mut session = session();
    start(&mut session, 1, 0);
    fill(&mut session, 0);
    session.handle_attach(spec(64), 0);
    assert!(!outputs(&mut session, 0).iter().any(|output| matches!(output, Output::Acquire(_))));
    session.handle_attach(spec(128), 0);
    assert_eq!(outputs(&mut session, 0).first(), Some(&Output::Acquire(spec(128))));
}

#[test]
fn reader_that_returns_what_it_never_had_is_refused() {
    let mut session = session();
    assert!(session.handle_message(ToCapture::Return { pool: 1, buffer: 0 }).is_err());
    start(&mut session, 1, 0);
    assert!(session.handle_message(ToCapture::Return { pool: 1, buffer: 0 }).is_err());
    assert!(session.handle_message(ToCapture::Return { pool: 1, buffer: u32::MAX }).is_err());
}

/// A source that came with six buffers of its own and filled the first.
fn lend(session: &mut Session, pool: u32) {
    session.handle_lent(pool, LAYOUT, 6);
    let picture = Picture { damage: Damage::full(64, 64), dequeued_ns: 0, spot: None };
    session.handle_event(Event::Filled { buffer: 0, picture, upside_down: false }).unwrap();
}

fn given(outputs: &[Output]) -> Vec<u32> {
    outputs
        .iter()
        .filter_map(|output| if let Output::Fill(buffer) = output { Some(*buffer) } else { None })
        .collect()
}

fn wanting(session: &mut Session, now_ns: u64) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output(true, now_ns)).take(20).collect()
}

// Sabotage: treat lent buffers like ours and fill them all at once, keep what is free, or give back a buffer of an
// earlier pool by its number in this one.
#[test]
fn lent_buffers_go_back_when_nobody_needs_them_and_never_to_another_pool() {
    let mut session = session();
    assert!(matches!(outputs(&mut session, 0)[..], [Output::Acquire(_)]));
    session.handle_acquired();
    session.handle_event(Event::Mode(MODE)).unwrap();
    lend(&mut session, 1);
    assert_eq!(given(&wanting(&mut session, 0)), [] as [u32; 0], "the source has the others");
    let picture = Picture { damage: Damage::full(64, 64), dequeued_ns: 1, spot: None };
    session.handle_event(Event::Filled { buffer: 3, picture, upside_down: false }).unwrap();
    assert_eq!(given(&wanting(&mut session, 0)), [] as [u32; 0], "the reader holds the first");
    session.handle_message(ToCapture::Return { pool: 1, buffer: 0 }).unwrap();
    assert_eq!(given(&wanting(&mut session, 0)), [0]);
    lend(&mut session, 2);
    wanting(&mut session, 0);
    session.handle_message(ToCapture::Return { pool: 1, buffer: 3 }).unwrap();
    assert_eq!(given(&wanting(&mut session, 0)), [] as [u32; 0], "a late return of the pool before");
}

// Sabotage: say it at every poll, or for a pool that is gone.
#[test]
fn source_is_told_whether_somebody_looks_and_what_cannot_be_read() {
    let mut session = session();
    start(&mut session, 1, 0);
    fill(&mut session, 0);
    outputs(&mut session, 0);
    session.handle_hangup(S);
    assert_eq!(outputs(&mut session, S), [Output::Watch(false)]);
    session.handle_attach(spec(64), 2 * S);
    let heard = outputs(&mut session, 2 * S);
    assert_eq!(heard.iter().filter(|output| matches!(output, Output::Watch(true))).count(), 1);
    session.handle_message(ToCapture::Unreadable { pool: 7 }).unwrap();
    assert_eq!(outputs(&mut session, 2 * S), []);
    session.handle_message(ToCapture::Unreadable { pool: 1 }).unwrap();
    assert_eq!(outputs(&mut session, 2 * S), [Output::RefuseMemory]);
}

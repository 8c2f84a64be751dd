use super::*;
use lumen_ipc::{
    Damage, Rect,
    encode::Control,
    pointer::Pointer,
    pool::{Layout, PixelFormat},
};

mod losses;

const MS: u64 = 1_000_000;

fn spec() -> StreamSpec {
    StreamSpec {
        width: 1280,
        height: 720,
        refresh_mhz: 50_000,
        app: None,
        cursor: None,
        repeat_mhz: None,
        references: None,
        channels: None,
        microphone: None,
        codec: "h264".into(),
        bitrate_bps: 10_000_000,
    }
}

fn layout() -> Layout {
    Layout { width: 1280, height: 720, stride: 5120, format: PixelFormat::Bgrx }
}

fn frame(number: u64, y: u32) -> Frame {
    let mut damage = Damage::default();
    damage.add(Rect { x: 0, y, width: 10, height: 10 });
    Frame {
        number,
        buffer: BufferId { pool: 1, buffer: number as u32 },
        damage,
        skipped: 0,
        pointer: None,
        timeline: Timeline { dequeued_ns: 7, ..Timeline::default() },
    }
}

/// All that is to be done at `now`, in order.
fn drain(session: &mut Session, now: u64) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output(now)).take(20).collect()
}

fn give(session: &mut Session, frame: Frame, now: u64) {
    session.handle_capture(FromCapture::Frame(frame), now).unwrap();
}

/// A session with a reader and a pool that has nothing more to do at time 0.
fn linked() -> Session {
    let mut session = Session::new(spec(), Duration::from_secs(10), 0);
    session.handle_attach(spec(), 0);
    assert_eq!(drain(&mut session, 0), [Output::Open(spec().output()), Output::SetBitrate(10_000_000)]);
    session.handle_linked();
    session.handle_capture(FromCapture::Ready { mode: spec().mode().unwrap() }, 0).unwrap();
    assert!(session.handle_pool(&layout()));
    assert_eq!(drain(&mut session, 0), [Output::Announce(spec().mode().unwrap())]);
    session
}

/// A session whose first picture was sent at time 0.
fn running() -> Session {
    let mut session = linked();
    give(&mut session, frame(1, 0), 0);
    drain(&mut session, 0);
    session.handle_encoded(1, UnitKind::Idr, false, 0);
    assert_eq!(session.handle_reader(ToEncode::Sent { number: 1 }), Ok(Some(1)));
    session
}

#[test]
fn the_first_frame_is_taken_whole_returned_and_an_idr() {
    let mut session = linked();
    give(&mut session, frame(1, 600), 5);
    let outputs = drain(&mut session, 6);
    let timeline = Timeline { dequeued_ns: 7, received_ns: 5, ..Timeline::default() };
    let whole = Frame { damage: Damage::full(1280, 720), timeline, ..frame(1, 0) };
    let expected = [
        Output::Take(whole),
        Output::Return(BufferId { pool: 1, buffer: 1 }),
        Output::Encode { kind: UnitKind::Idr, frame: 1, timeline },
    ];
    assert_eq!(outputs, expected);
}

// Sabotage: leave the check of `unsent` out of `poll_picture`.
#[test]
fn no_picture_is_started_while_one_is_unsent_and_the_newest_comes_next() {
    let mut session = running();
    give(&mut session, frame(2, 0), MS);
    drain(&mut session, MS);
    session.handle_encoded(2, UnitKind::Delta, false, MS);
    give(&mut session, frame(3, 100), 2 * MS);
    assert_eq!(drain(&mut session, 2 * MS), []);
    give(&mut session, frame(4, 200), 3 * MS);
    assert_eq!(drain(&mut session, 3 * MS), [Output::Return(BufferId { pool: 1, buffer: 3 })]);
    session.handle_reader(ToEncode::Sent { number: 2 }).unwrap();
    let outputs = drain(&mut session, 4 * MS);
    let Some(Output::Take(taken)) = outputs.first() else { panic!("{outputs:?}") };
    assert_eq!((taken.number, taken.damage.rects().len()), (4, 2), "the damage of both");
    assert!(matches!(outputs.last(), Some(Output::Encode { kind: UnitKind::Delta, frame: 4, .. })));
    assert_eq!(session.counters().superseded, 1);
}

#[test]
fn a_confirmation_of_what_was_not_sent_is_a_fault() {
    let mut session = running();
    assert_eq!(session.handle_reader(ToEncode::Sent { number: 1 }), Err(Fault::NotUnsent { number: 1 }));
}

#[test]
fn a_third_frame_out_is_a_fault() {
    let mut session = running();
    session.handle_hangup(0);
    give(&mut session, frame(2, 0), 0);
    give(&mut session, frame(3, 0), 0);
    assert_eq!(session.handle_capture(FromCapture::Frame(frame(4, 0)), 0), Err(Fault::TooManyFrames));
}

// Sabotage: let `still_due` ignore the time of the last AccessUnit.
#[test]
fn a_still_screen_is_refined_then_repeated_once_a_second() {
    let mut session = linked();
    give(&mut session, frame(1, 0), 0);
    drain(&mut session, 0);
    let mut now = MS;
    session.handle_encoded(1, UnitKind::Idr, true, now);
    let mut times = Vec::new();
    for number in 2..7 {
        session.handle_reader(ToEncode::Sent { number: number - 1 }).unwrap();
        now += session.poll_timeout(now).unwrap().as_nanos() as u64;
        let outputs = drain(&mut session, now);
        assert!(
            matches!(outputs[..], [Output::Encode { kind: UnitKind::Repeat, frame: 1, .. }]),
            "{outputs:?}"
        );
        assert_eq!(drain(&mut session, now), [], "each only once");
        times.push(now / MS);
        session.handle_encoded(number, UnitKind::Repeat, number < 4, now);
    }
    assert_eq!(times, [50, 70, 90, 1090, 2090], "intervals of 20 ms");
    assert_eq!(session.counters().repeats, 5);
}

// Sabotage: repeat once a second whatever the reader asks, or faster than the Output is shown.
#[test]
fn a_still_screen_is_repeated_as_often_as_the_reader_asks() {
    for (asked, interval) in [(25_000, 40), (400_000, 20), (1, 1000)] {
        let mut session = linked();
        session.handle_attach(StreamSpec { repeat_mhz: Some(asked), ..spec() }, 0);
        give(&mut session, frame(1, 0), 0);
        drain(&mut session, 0);
        session.handle_encoded(1, UnitKind::Idr, false, 0);
        session.handle_reader(ToEncode::Sent { number: 1 }).unwrap();
        assert_eq!(session.poll_timeout(0), Some(Duration::from_millis(interval)), "{asked} mHz");
    }
}

// Sabotage: treat the first count on a link as a request, or no count at all.
#[test]
fn a_higher_count_asks_for_an_idr() {
    let control = |idr_wanted| ToEncode::Control(Control { idr_wanted, ..losses::CONTROL });
    let mut session = running();
    session.handle_reader(control(3)).unwrap();
    assert_eq!(drain(&mut session, MS), [Output::SetBitrate(5_000_000)]);
    session.handle_reader(control(4)).unwrap();
    let outputs = drain(&mut session, MS);
    assert!(
        matches!(outputs.last(), Some(Output::Encode { kind: UnitKind::Idr, frame: 1, .. })),
        "{outputs:?}"
    );
}

#[test]
fn a_reader_that_comes_back_gets_an_idr_of_the_newest_picture_at_once() {
    let mut session = running();
    session.handle_hangup(MS);
    give(&mut session, frame(2, 0), 2 * MS);
    give(&mut session, frame(3, 50), 3 * MS);
    assert_eq!(drain(&mut session, 4 * MS), [], "paused: the leases are kept, which stops captured");
    session.handle_attach(spec(), 5 * MS);
    let outputs = drain(&mut session, 5 * MS);
    let kinds: Vec<_> = outputs.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 6, "{outputs:?}");
    assert!(matches!(outputs[1], Output::Announce(_)));
    assert!(matches!(&outputs[2], Output::Take(frame) if frame.number == 3));
    assert!(matches!(outputs[5], Output::Encode { kind: UnitKind::Idr, frame: 3, .. }));
}

// Sabotage: end when the reader hangs up, or never.
#[test]
fn the_session_outlives_its_reader_by_the_lease() {
    let mut session = running();
    session.handle_hangup(MS);
    assert_eq!(drain(&mut session, 10_000 * MS), []);
    assert_eq!(session.poll_timeout(9_001 * MS), Some(Duration::from_secs(1)));
    assert_eq!(session.poll_output(10_001 * MS), Some(Output::End { over: true }));
}

// Sabotage: take a Close for a hang-up.
#[test]
fn a_session_that_is_over_ends_at_once() {
    let mut session = running();
    assert_eq!(session.handle_reader(ToEncode::Close), Ok(None));
    assert_eq!(session.poll_output(MS), Some(Output::End { over: true }));
}

#[test]
fn a_lost_upstream_is_opened_again_and_its_next_frame_is_taken_whole() {
    let mut session = running();
    give(&mut session, frame(2, 0), MS);
    session.handle_upstream_lost(MS);
    assert_eq!(drain(&mut session, MS), [Output::Open(spec().output())]);
    session.handle_linked();
    assert!(!session.handle_pool(&layout()), "the same size needs no other encoder");
    give(&mut session, frame(1, 700), 2 * MS);
    let outputs = drain(&mut session, 2 * MS);
    assert!(
        matches!(&outputs[0], Output::Take(frame) if frame.damage == Damage::full(1280, 720)),
        "{outputs:?}"
    );
    assert!(
        matches!(outputs[2], Output::Encode { kind: UnitKind::Delta, .. }),
        "the encoder lives: {outputs:?}"
    );
}

// Sabotage: open again at once whatever happened.
#[test]
fn a_link_that_ends_before_it_served_is_not_opened_again_at_once() {
    let mut session = running();
    session.handle_upstream_lost(0);
    for pause in [0, 50, 200] {
        assert_eq!(session.poll_timeout(0), Some(Duration::from_millis(pause)));
        assert_eq!(session.poll_output(pause * MS), Some(Output::Open(spec().output())));
        session.handle_linked();
        session.handle_upstream_lost(0);
    }
}

#[test]
fn another_size_is_announced_once_the_old_ring_is_read() {
    let mut session = running();
    give(&mut session, frame(2, 0), MS);
    drain(&mut session, MS);
    session.handle_encoded(2, UnitKind::Delta, false, MS);
    assert!(session.handle_pool(&Layout { width: 801, height: 601, stride: 3204, ..layout() }));
    give(&mut session, frame(3, 0), 2 * MS);
    assert_eq!(drain(&mut session, 2 * MS), []);
    session.handle_reader(ToEncode::Sent { number: 2 }).unwrap();
    let outputs = drain(&mut session, 3 * MS);
    let mode = Mode { width: 800, height: 600, refresh_mhz: 50_000 };
    assert_eq!(outputs[0], Output::Announce(mode), "an odd column and row are cut off");
    assert!(matches!(outputs[3], Output::Encode { kind: UnitKind::Idr, frame: 3, .. }), "{outputs:?}");
}

#[test]
fn failures_are_told_and_attempts_become_rarer() {
    let mut session = Session::new(spec(), Duration::from_secs(10), 0);
    session.handle_attach(spec(), 0);
    let failure = Failure::new(FailureClass::Environment, "no sway", "install sway");
    let mut now = 0;
    for pause in [50, 200, 1000, 1000] {
        assert_eq!(session.poll_output(now), Some(Output::Open(spec().output())));
        session.handle_failure(failure.clone(), now);
        let told = drain(&mut session, now).contains(&Output::Tell(failure.clone()));
        assert_eq!(told, pause == 50, "told once");
        assert_eq!(session.poll_timeout(now), Some(Duration::from_millis(pause)));
        now += pause * MS;
    }
    session.handle_failure(Failure { class: FailureClass::Request, ..failure }, now);
    assert_eq!(session.poll_timeout(now), None, "a request that can never work is not made again");
    session.handle_attach(spec(), now);
    assert_eq!(session.poll_output(now), Some(Output::Open(spec().output())), "unless asked again");
}

fn at(x: i32) -> Option<Pointer> {
    Some(Pointer { x, y: 5, bitmap: 1 })
}

fn moved(x: i32, dequeued_ns: u64) -> FromCapture {
    FromCapture::Pointer { pointer: at(x), timeline: Timeline { dequeued_ns, ..Timeline::default() } }
}

// Sabotage: encode a pointer at once however short ago the last picture was, or leave it unanswered.
#[test]
fn a_pointer_that_moves_alone_is_encoded_at_the_outputs_pace() {
    let mut session = running();
    session.handle_capture(moved(9, MS), 2 * MS).unwrap();
    assert_eq!(drain(&mut session, 2 * MS), []);
    assert_eq!(
        session.poll_timeout(2 * MS),
        Some(Duration::from_micros(15_500)),
        "7/8 of 20 ms after the last"
    );
    let now = 2 * MS + 15_500_000;
    let timeline = Timeline { dequeued_ns: MS, received_ns: 2 * MS, ..Timeline::default() };
    let expected = [
        Output::Point(at(9)),
        Output::AnswerPointer,
        Output::Encode { kind: UnitKind::Delta, frame: 1, timeline },
    ];
    assert_eq!(drain(&mut session, now), expected);
    assert_eq!(session.counters().pointers, 1);
}

#[test]
fn a_second_pointer_before_the_first_was_taken_is_a_fault() {
    let mut session = running();
    session.handle_capture(moved(1, 0), 0).unwrap();
    assert_eq!(session.handle_capture(moved(2, 0), 0), Err(Fault::TooManyPointers));
}

// Sabotage: draw the pointer that moved before the Frame, or lose the one that moved after it.
#[test]
fn the_newest_word_about_the_pointer_counts() {
    let mut session = running();
    session.handle_capture(moved(1, 0), 0).unwrap();
    give(&mut session, Frame { pointer: at(2), ..frame(2, 0) }, MS);
    let outputs = drain(&mut session, MS);
    assert_eq!(outputs[0], Output::AnswerPointer);
    assert!(matches!(&outputs[1], Output::Take(frame) if frame.pointer == at(2)), "{outputs:?}");
    // While that one is unsent, a Frame waits and the pointer moves on.
    session.handle_encoded(2, UnitKind::Delta, false, MS);
    give(&mut session, Frame { pointer: at(3), ..frame(3, 0) }, 2 * MS);
    session.handle_capture(moved(4, 0), 3 * MS).unwrap();
    assert_eq!(drain(&mut session, 3 * MS), [Output::AnswerPointer]);
    session.handle_reader(ToEncode::Sent { number: 2 }).unwrap();
    let outputs = drain(&mut session, 4 * MS);
    assert!(matches!(&outputs[0], Output::Take(frame) if frame.pointer == at(4)), "{outputs:?}");
}

// Sabotage: draw it as well, tell it before the reader took the last, or tell a new reader no bitmap.
#[test]
fn a_pointer_that_is_wanted_apart_is_told_and_not_drawn() {
    let apart = || StreamSpec { cursor: Some("separate".into()), ..spec() };
    let mut session = running();
    session.handle_attach(apart(), 0);
    let opened = drain(&mut session, 0);
    assert!(opened.contains(&Output::Open(apart().output())), "{opened:?}");
    session.handle_encoded(2, UnitKind::Idr, false, 0);
    session.handle_reader(ToEncode::Sent { number: 2 }).unwrap();
    session.handle_linked();
    give(&mut session, Frame { pointer: at(7), ..frame(1, 0) }, MS);
    let told = [Output::TellBitmap(1), Output::TellPointer(at(7))];
    let outputs = drain(&mut session, MS);
    assert_eq!(outputs[..2], told);
    assert!(matches!(&outputs[2], Output::Take(frame) if frame.pointer.is_none()), "{outputs:?}");
    session.handle_encoded(3, UnitKind::Delta, false, MS);
    session.handle_capture(moved(8, 0), 2 * MS).unwrap();
    assert_eq!(drain(&mut session, 2 * MS), [], "the reader has not read the last one");
    session.handle_reader(ToEncode::PointerTaken).unwrap();
    assert_eq!(drain(&mut session, 2 * MS), [Output::AnswerPointer, Output::TellPointer(at(8))]);
    session.handle_attach(apart(), 3 * MS);
    let outputs = drain(&mut session, 3 * MS);
    let again = [Output::TellBitmap(1), Output::TellPointer(at(8))];
    assert!(outputs.windows(2).any(|two| two == again), "{outputs:?}");
}

// Sabotage: announce the new refresh rate with the old size, or keep the old spec for the next link.
#[test]
fn another_mode_is_opened_at_once_and_announced_when_its_pictures_come() {
    let mut session = running();
    let wide = StreamSpec { width: 1920, height: 1080, refresh_mhz: 144_000, ..spec() };
    session.handle_attach(wide.clone(), MS);
    let outputs = drain(&mut session, MS);
    assert_eq!(outputs[..2], [Output::Open(wide.output()), Output::SetBitrate(10_000_000)]);
    assert_eq!(outputs[2], Output::Announce(spec().mode().unwrap()), "until then the old picture is shown");
    session.handle_encoded(2, UnitKind::Idr, false, MS);
    session.handle_reader(ToEncode::Sent { number: 2 }).unwrap();
    session.handle_linked();
    session.handle_capture(FromCapture::Ready { mode: wide.mode().unwrap() }, 2 * MS).unwrap();
    assert_eq!(drain(&mut session, 2 * MS), []);
    assert!(session.handle_pool(&Layout { width: 1920, height: 1080, stride: 7680, ..layout() }));
    give(&mut session, frame(1, 0), 3 * MS);
    let outputs = drain(&mut session, 3 * MS);
    assert_eq!(outputs[0], Output::Announce(wide.mode().unwrap()));
    assert!(matches!(outputs.last(), Some(Output::Encode { kind: UnitKind::Idr, .. })), "{outputs:?}");
}

// Sabotage: wait for a new pool.
#[test]
fn another_refresh_rate_of_the_same_size_is_announced_at_once() {
    let mut session = running();
    let fast = Mode { refresh_mhz: 240_000, ..spec().mode().unwrap() };
    session.handle_capture(FromCapture::Ready { mode: fast }, MS).unwrap();
    assert_eq!(drain(&mut session, MS), [Output::Announce(fast)]);
}

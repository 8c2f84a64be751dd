use super::*;
use crate::launch::{check, tests::launch};
use lumen_core::control::RefusalClass;
use lumen_stage::LinkError;

const MODE: Mode = Mode { width: 1280, height: 720, refresh_mhz: 59_940 };

fn request() -> Request {
    check(&launch((1280, 720, 59_940))).unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_ns(ms * 1_000_000)
}

fn failed(class: FailureClass) -> Report {
    Report::Failed(Failure::new(class, "No sway.", "Install sway."))
}

fn hung_up(is_closing: bool) -> Report {
    Report::HungUp { error: LinkError::Closed, is_closing }
}

fn ready(mode: Mode) -> Report {
    Report::Ready { mode, codec: Codec::H264, next_frame: 7 }
}

fn opening() -> Brain {
    let mut brain = Brain::launching(at(0));
    assert_eq!(brain.poll_output(), Some(Output::Open));
    brain
}

fn streaming() -> Brain {
    let mut brain = opening();
    let ready = ready(MODE);
    brain.handle_report(ready, &request(), at(1));
    assert_eq!(brain.poll_output(), Some(Output::Launched(MODE)));
    brain
}

#[test]
fn a_failure_of_the_machine_refuses_the_launch() {
    let mut brain = opening();
    brain.handle_report(failed(FailureClass::Environment), &request(), at(1));
    let Some(Output::Refuse(refused)) = brain.poll_output() else {
        panic!("{brain:?}");
    };
    assert_eq!(refused.class, RefusalClass::Backend);
    assert_eq!((refused.text.as_str(), refused.advice.as_str()), ("No sway.", "Install sway."));
}

/// Sabotage: refuse at the first temporary failure, or never.
#[test]
fn what_may_pass_is_waited_for_and_then_told() {
    let mut brain = opening();
    brain.handle_report(failed(FailureClass::Temporary), &request(), at(1));
    assert!(matches!(brain.poll_output(), Some(Output::Tell(notice)) if notice.kind == NoticeKind::Waiting));
    assert_eq!(brain.poll_output(), None);
    assert_eq!(brain.poll_timeout(), Some(at(25_000)));
    brain.handle_timeout(&request(), at(24_999));
    assert_eq!(brain.poll_output(), None);
    brain.handle_timeout(&request(), at(25_000));
    assert!(matches!(brain.poll_output(), Some(Output::Refuse(r)) if r.text == "No sway."));
}

/// Sabotage: tell the client of a link that hung up.
#[test]
fn the_death_of_encoded_asks_nothing_of_the_client() {
    let mut brain = streaming();
    brain.handle_report(hung_up(false), &request(), at(10));
    assert_eq!(brain.poll_output(), Some(Output::Open));
    let ready = ready(MODE);
    brain.handle_report(ready, &request(), at(20));
    assert_eq!(brain.poll_output(), None);
}

/// Sabotage: open again at once each time, or forget after each `Ready` that links die young.
#[test]
fn links_that_die_young_are_opened_later_and_later() {
    let mut brain = streaming();
    let mut pauses = Vec::new();
    let mut now = 0;
    for life in [1, 1, 1, 1, 1, 1000, 1] {
        now += life;
        brain.handle_report(hung_up(false), &request(), at(now));
        pauses.push(brain.poll_timeout().map_or(0, |due| due.as_ns() / 1_000_000 - now));
        now += 1000;
        brain.handle_timeout(&request(), at(now));
        assert_eq!(brain.poll_output(), Some(Output::Open));
        let ready = ready(MODE);
        brain.handle_report(ready, &request(), at(now));
        assert_eq!(brain.poll_output(), None);
    }
    assert_eq!(pauses, [0, 50, 100, 200, 200, 0, 50]);
}

#[test]
fn a_stage_that_ends_in_an_orderly_way_is_given_a_moment() {
    let mut brain = streaming();
    brain.handle_report(hung_up(true), &request(), at(0));
    assert_eq!(brain.poll_timeout(), Some(at(50)));
}

#[test]
fn a_fault_of_lumen_ends_a_stream_with_its_reason() {
    let mut brain = streaming();
    brain.handle_report(failed(FailureClass::Internal), &request(), at(2));
    assert!(matches!(brain.poll_output(), Some(Output::Bye(reason)) if reason.contains("No sway.")));
    brain.handle_report(hung_up(false), &request(), at(3));
    assert_eq!((brain.poll_output(), brain.poll_timeout()), (None, None));
}

/// Sabotage: end the stream, tell nothing, or tell it with each failure.
#[test]
fn what_passes_is_told_once_and_so_is_its_end() {
    for (class, kind) in [
        (FailureClass::Temporary, NoticeKind::Waiting),
        (FailureClass::Environment, NoticeKind::Waiting),
        (FailureClass::Locked, NoticeKind::Locked),
    ] {
        let mut brain = streaming();
        for _ in 0..3 {
            brain.handle_report(failed(class), &request(), at(1));
        }
        assert!(
            matches!(brain.poll_output(), Some(Output::Tell(notice)) if notice.kind == kind && notice.text == "No sway.")
        );
        assert_eq!(brain.poll_output(), None);
        assert!(brain.trouble().is_some());
        brain.handle_report(Report::Pictures, &request(), at(2));
        brain.handle_report(Report::Pictures, &request(), at(3));
        assert!(
            matches!(brain.poll_output(), Some(Output::Tell(notice)) if notice.kind == NoticeKind::Running)
        );
        assert_eq!((brain.poll_output(), brain.trouble()), (None, None));
    }
}

fn asked(mode: Mode) -> Request {
    check(&launch((mode.width, mode.height, mode.refresh_mhz))).unwrap()
}

const TALL: Mode = Mode { width: 1080, height: 1920, refresh_mhz: 60_000 };

/// Sabotage: take the first Ready of the new link, which is still of the old picture, for the answer.
#[test]
fn a_change_of_mode_is_answered_when_the_encoder_has_it() {
    let mut brain = streaming();
    brain.handle_change();
    assert_eq!(brain.poll_output(), Some(Output::Open));
    brain.handle_report(ready(Mode { refresh_mhz: 60_000, ..MODE }), &asked(TALL), at(2));
    assert_eq!(brain.poll_output(), None);
    brain.handle_report(ready(TALL), &asked(TALL), at(3));
    assert_eq!(brain.poll_output(), Some(Output::ModeChanged { mode: TALL, next_frame: 7 }));
    brain.handle_report(ready(TALL), &asked(TALL), at(4));
    assert_eq!(brain.poll_output(), None);
}

/// Sabotage: leave a client without an answer whose compositor has no such rate.
#[test]
fn a_mode_that_changes_nothing_is_answered_as_well() {
    let mut brain = streaming();
    brain.handle_change();
    brain.poll_output();
    brain.handle_report(ready(MODE), &asked(Mode { refresh_mhz: 240_000, ..MODE }), at(2));
    assert_eq!(brain.poll_output(), Some(Output::ModeChanged { mode: MODE, next_frame: 7 }));
}

/// Sabotage: end the session for a mode that the compositor cannot show.
#[test]
fn a_mode_that_can_never_be_is_taken_back() {
    let mut brain = streaming();
    brain.handle_change();
    brain.poll_output();
    brain.handle_report(failed(FailureClass::Request), &asked(TALL), at(2));
    assert!(matches!(brain.poll_output(), Some(Output::Revert(failure)) if failure.text == "No sway."));
    brain.handle_change();
    assert_eq!(brain.poll_output(), Some(Output::Open));
    brain.handle_report(ready(MODE), &request(), at(3));
    assert_eq!(brain.poll_output(), Some(Output::ModeChanged { mode: MODE, next_frame: 7 }));
}

/// Sabotage: tell a person of each stage that restarts, or of none that stays away.
#[test]
fn a_stage_that_stays_away_is_told_and_one_that_restarts_is_not() {
    let mut brain = streaming();
    brain.handle_report(hung_up(true), &request(), at(10));
    let stopping = || Failure::new(FailureClass::Temporary, "It is stopping.", "Wait.");
    brain.handle_open_failed(stopping(), &request(), at(20));
    assert_eq!(brain.poll_output(), None);
    brain.handle_open_failed(stopping(), &request(), at(1010));
    assert!(matches!(brain.poll_output(), Some(Output::Tell(notice)) if notice.text == "It is stopping."));
}

/// Sabotage: give up a stream whose encoder cannot be asked for now.
#[test]
fn a_stream_waits_for_a_link_that_cannot_be_opened_now() {
    let mut brain = streaming();
    let failure = Failure::new(FailureClass::Environment, "No sway.", "Install sway.");
    brain.handle_open_failed(failure, &request(), at(1));
    assert!(matches!(brain.poll_output(), Some(Output::Tell(_))));
    assert_eq!(brain.poll_timeout(), Some(at(51)));
}

/// Sabotage: take a wake for the end of whatever else is missing, or tell a wake that nobody slept before.
#[test]
fn a_host_that_sleeps_says_so_and_a_wake_ends_nothing_else() {
    let mut brain = streaming();
    let told = |brain: &mut Brain| match brain.poll_output() {
        Some(Output::Tell(notice)) => Some(notice.kind),
        None => None,
        other => panic!("{other:?}"),
    };
    brain.handle_sleep(false);
    assert_eq!(told(&mut brain), None);
    brain.handle_sleep(true);
    assert_eq!(told(&mut brain), Some(NoticeKind::Waiting));
    brain.handle_sleep(false);
    assert_eq!(told(&mut brain), Some(NoticeKind::Running));
    // It was locked before, and still is.
    brain.handle_report(failed(FailureClass::Locked), &request(), at(1));
    assert_eq!(told(&mut brain), Some(NoticeKind::Locked));
    brain.handle_sleep(true);
    assert_eq!(told(&mut brain), Some(NoticeKind::Waiting));
    brain.handle_sleep(false);
    assert_eq!(told(&mut brain), Some(NoticeKind::Locked));
    brain.handle_report(Report::Pictures, &request(), at(1));
    assert_eq!(told(&mut brain), Some(NoticeKind::Running));
    // It locks as it falls asleep, and is still locked when it wakes.
    brain.handle_sleep(true);
    assert_eq!(told(&mut brain), Some(NoticeKind::Waiting));
    brain.handle_report(failed(FailureClass::Locked), &request(), at(2));
    assert_eq!(told(&mut brain), Some(NoticeKind::Locked));
    brain.handle_sleep(false);
    assert_eq!(told(&mut brain), None);
    assert_eq!(brain.trouble().map(|trouble| trouble.kind), Some(NoticeKind::Locked));
}

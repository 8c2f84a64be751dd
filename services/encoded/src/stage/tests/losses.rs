//! What follows from a client's losses.

use super::*;

pub(super) const CONTROL: Control =
    Control { bitrate_bps: 5_000_000, idr_wanted: 0, losses: 0, lost_from: 0 };

// Sabotage: treat the first count on a link as a loss, tell the encoder of the last loss alone, or recover again and again.
#[test]
fn a_higher_count_asks_for_a_picture_that_refers_to_nothing_lost() {
    let control = |losses, lost_from| ToEncode::Control(Control { losses, lost_from, ..CONTROL });
    let mut session = running();
    session.handle_reader(control(7, 1)).unwrap();
    assert_eq!(drain(&mut session, MS), [Output::SetBitrate(5_000_000)]);
    session.handle_reader(control(8, 5)).unwrap();
    session.handle_reader(control(9, 7)).unwrap();
    let outputs = drain(&mut session, MS);
    assert_eq!(outputs[1], Output::Lose(5));
    assert!(matches!(outputs[2], Output::Encode { kind: UnitKind::Recovered, frame: 1, .. }), "{outputs:?}");
    session.handle_encoded(9, UnitKind::Recovered, false, MS);
    session.handle_reader(ToEncode::Sent { number: 9 }).unwrap();
    session.handle_reader(control(9, 7)).unwrap();
    assert_eq!(drain(&mut session, MS), [Output::SetBitrate(5_000_000)]);
    assert_eq!(session.counters().recovered, 1);
}

#[test]
fn an_idr_is_an_answer_to_a_loss() {
    let mut session = running();
    session.handle_reader(ToEncode::Control(CONTROL)).unwrap();
    let both = Control { idr_wanted: 1, losses: 1, lost_from: 1, ..CONTROL };
    session.handle_reader(ToEncode::Control(both)).unwrap();
    let outputs = drain(&mut session, MS);
    assert!(matches!(outputs[2], Output::Encode { kind: UnitKind::Idr, .. }), "{outputs:?}");
    session.handle_encoded(9, UnitKind::Idr, false, MS);
    session.handle_reader(ToEncode::Sent { number: 9 }).unwrap();
    assert_eq!(drain(&mut session, MS), []);
}

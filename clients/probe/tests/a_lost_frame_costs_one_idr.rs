//! A frame that no parity can mend is counted, and the picture is good again after the IDR that was asked for.

use crate::{
    host::{Host, Script},
    probe::summary,
};

// Sabotage: do not pass NeedIdr on, or decode what refers to the lost frame.
#[test]
fn a_lost_frame_costs_one_idr() {
    let host = Host::start(Script { loses_frame: Some(120), ..Script::default() });
    let home = tempfile::tempdir().unwrap();
    let summary = summary(home.path(), &host.address, &["--frames", "60", "--parity", "0"]);
    assert_eq!(summary["network"]["lost"], 1, "{summary:#}");
    assert_eq!(summary["idrs"], 2);
    assert_eq!(summary["decode_errors"], 0);
    assert_eq!(summary["stamp"]["strictly_rising"], true);
    // The lost one, and those that came until the IDR did.
    let skipped = summary["stamp"]["skipped"].as_u64().unwrap();
    assert_eq!(skipped, 1 + summary["undecodable"].as_u64().unwrap());
    assert!(summary["stamp"]["text_psnr_min_db"].as_f64().unwrap() >= 35.0, "{summary:#}");
}

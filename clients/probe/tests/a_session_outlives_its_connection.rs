//! The control connection dies; the session, its keys and its pictures go on.

use crate::{
    host::{Host, Script},
    probe::summary,
};

// Sabotage: end the session when the connection is lost; or start a new one in place of Resume.
#[test]
fn a_session_outlives_its_connection() {
    let host = Host::start(Script { closes_after: Some(120), ..Script::default() });
    let home = tempfile::tempdir().unwrap();
    let summary = summary(home.path(), &host.address, &["--frames", "80"]);
    assert!(summary["frames"].as_u64().unwrap() >= 80, "{summary:#}");
    assert_eq!(summary["connections"], 2, "{summary:#}");
    assert_eq!(summary["idrs"], 1);
    assert_eq!(summary["stamp"]["skipped"], 0);
    assert_eq!(summary["stamp"]["strictly_rising"], true);
    assert_eq!(summary["session"], "07".repeat(16));
}

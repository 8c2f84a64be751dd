//! Wishes in mid-stream reach the host, and what it says to them reaches the person and the summary.

use crate::{
    host::{Host, Script},
    probe::{run, summary},
};

// Sabotage: ask at once and not at the given time, ask for one change alone, or keep the host's words to itself.
#[test]
fn wishes_are_said_at_their_time_and_answers_are_kept() {
    let host = Host::start(Script::default());
    let home = tempfile::tempdir().unwrap();
    let changes = ["--change", "1.0:mode=640x360@30", "--change", "0.4:bitrate=2M", "--frames", "100"];
    let summary = summary(home.path(), &host.address, &changes);
    let notices = summary["notices"].as_array().unwrap();
    let texts: Vec<_> = notices.iter().map(|notice| notice["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["asked for 2000000 bit/s", "asked for 640x360 at 30000 mHz"], "{summary:#}");
    let [first, second] = [0, 1].map(|n: usize| notices[n]["at_s"].as_f64().unwrap());
    assert!(first >= 0.4 && second >= 1.0 && second > first, "{notices:#?}");
    assert_eq!((&notices[0]["kind"], &notices[1]["kind"]), (&"app-ended".into(), &"running".into()));
    let intervals = summary["intervals"].as_array().unwrap();
    let begun: Vec<_> = intervals.iter().map(|interval| interval["change"].as_str().unwrap()).collect();
    assert_eq!(begun, ["", "bitrate=2000000", "mode=640x360@30"]);
    let counted: u64 = intervals.iter().map(|interval| interval["frames"].as_u64().unwrap()).sum();
    assert_eq!(Some(counted), summary["frames"].as_u64());
    assert_eq!(summary["modes"].as_array().unwrap().len(), 1, "one size came: {summary:#}");
}

// Sabotage: wait for the idle timeout of QUIC although the host's video port is closed.
#[test]
fn a_host_that_has_stopped_is_not_waited_for() {
    let host = Host::start(Script { stops_after: Some(130), ..Script::default() });
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &["--host", &host.address, "--mode", "320x180@60", "--seconds", "60"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("the host has stopped"), "{said}");
}

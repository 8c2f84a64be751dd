use super::place::{Place, said};

/// Sabotage: take RestartPreventExitStatus out of lumen-encoded.service, or the log drop-in out of layout.rs.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_stage_that_cannot_start_is_named_and_not_tried_again() {
    let place = Place::new();
    let script = "systemctl --user show --property=NRestarts,ExecMainStatus,ActiveState lumen-encoded";
    let output = place.run(&["--setenv", "TOY_FAILS=1", "--", "sh", "-c", script]).output().unwrap();
    let words = said(&output);
    assert!(words.contains("lumen-encoded.service is not up: toy: the configuration is wrong"), "{words}");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(shown, "NRestarts=0\nExecMainStatus=78\nActiveState=failed\n", "{words}");
    assert_eq!(place.left(), Vec::<String>::new());
}

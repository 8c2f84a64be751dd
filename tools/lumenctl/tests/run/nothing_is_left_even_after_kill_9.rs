use std::process::Command;

use super::place::{Place, said, signal, wait};

/// Sabotage: in Inner::become_it leave out end_with_parent.
#[test]
#[ignore = "needs root: make test runs it"]
fn the_stages_end_when_lumenctl_is_killed() {
    let place = Place::new();
    let mut run = place.start();
    signal("-KILL", run.id());
    run.wait().unwrap();
    wait("the manager and the stages to end", || place.processes(".").is_empty());
    sweep(&place);
}

/// Sabotage: in hold_the_place leave out the first sweep.
#[test]
#[ignore = "needs root: make test runs it"]
fn the_next_run_sweeps_what_a_killed_manager_left() {
    let place = Place::new();
    let mut run = place.start();
    let manager = place.processes("systemd --user");
    assert_eq!(manager.len(), 1, "one manager");
    // First asleep, so that it cannot stop its stages on the way.
    signal("-STOP", manager[0]);
    signal("-KILL", run.id());
    signal("-KILL", manager[0]);
    run.wait().unwrap();
    assert_eq!(place.processes("/usr/lib/lumen/lumen-").len(), 5, "orphans");
    sweep(&place);
}

/// Sabotage: in manager::live leave `status = manager.wait()` out of the select.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_killed_manager_is_noticed_and_swept() {
    let place = Place::new();
    let mut run = place.start();
    signal("-KILL", place.processes("systemd --user")[0]);
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert_eq!(place.left(), Vec::<String>::new());
}

/// A next run says that it sweeps, works, and leaves nothing.
fn sweep(place: &Place) {
    assert!(!place.left().is_empty(), "a killed run leaves its directories");
    let next = place.run(&["--", "true"]).output().unwrap();
    assert!(next.status.success(), "{}", said(&next));
    assert!(said(&next).contains("sweeping what a killed"), "{}", said(&next));
    assert_eq!(place.left(), Vec::<String>::new());
}

/// Sabotage: in mod.rs let sweep remove a runtime directory whatever is mounted there.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_log_in_since_a_killed_run_keeps_its_runtime_directory() {
    let place = Place::new();
    let mut run = place.start();
    signal("-KILL", run.id());
    run.wait().unwrap();
    wait("the manager to end", || place.processes(".").is_empty());
    // What logind does at a log-in.
    let directory = format!("/run/user/{}", place.uid);
    let mount =
        |words: &[&str]| assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success());
    mount(&["mount", "-t", "tmpfs", "login", &directory]);
    std::fs::write(format!("{directory}/precious"), "").unwrap();
    let next = place.run(&["--", "true"]).output().unwrap();
    let kept = std::path::Path::new(&directory).join("precious").exists();
    mount(&["umount", &directory]);
    assert!(next.status.success(), "{}", said(&next));
    assert!(kept, "the sweep has taken a file of the log-in");
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(place.left(), Vec::<String>::new());
}

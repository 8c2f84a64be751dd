use std::path::Path;
use std::process::Command;

use super::place::{Place, USER, as_user, said};

/// Sabotage: let `run` go on as an ordinary user, or exit with 1.
#[test]
#[ignore = "needs root: make test runs it"]
fn an_ordinary_user_is_told_what_to_do() {
    let place = Place::new();
    let output = as_user(place.uid, &["run"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let booted = Path::new("/run/systemd/system").is_dir();
    let advice =
        if booted { format!("loginctl enable-linger {USER}") } else { "sudo lumenctl run".to_owned() };
    assert!(said(&output).contains(&advice), "{}", said(&output));
}

/// Sabotage: take root for the user, or the first one of /etc/passwd.
#[test]
#[ignore = "needs root: make test runs it"]
fn root_has_to_name_an_ordinary_user() {
    let lumenctl = || Command::new(env!("CARGO_BIN_EXE_lumenctl"));
    let nobody = lumenctl().arg("run").env_remove("SUDO_USER").output().unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    assert!(said(&nobody).contains("lumenctl run --user NAME"), "{}", said(&nobody));
    let root = lumenctl().args(["run", "--user", "root"]).output().unwrap();
    assert_eq!(root.status.code(), Some(2));
    assert!(said(&root).contains("never runs as root"), "{}", said(&root));
}

/// Sabotage: let status exit with 0 whatever it finds.
#[test]
#[ignore = "needs root: make test runs it"]
fn status_says_that_nothing_runs() {
    let place = Place::new();
    let status = as_user(place.uid, &["status"]);
    assert_eq!(status.status.code(), Some(3));
    let words = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(words.contains("lumen does not run for lumenctl-test"), "{words}");
    let allow = as_user(place.uid, &["allow", "00"]);
    assert_eq!(allow.status.code(), Some(1));
    assert!(said(&allow).contains("lumen does not run"), "{}", said(&allow));
}

use super::place::{Place, USER, as_user, said, signal};

/// Sabotage: in Hold::take leave out flock.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_second_run_is_refused_with_the_holder_named() {
    let place = Place::new();
    let mut first = place.start();
    let stages = place.processes("/usr/lib/lumen/lumen-");

    let second = place.run(&["--", "true"]).output().unwrap();
    let words = said(&second);
    assert_eq!(second.status.code(), Some(2), "{words}");
    for advice in
        [format!("pid {}", first.id()), format!("kill {}", first.id()), format!("--user {USER} status")]
    {
        assert!(words.contains(&advice), "no {advice:?} in {words}");
    }
    assert_eq!(place.processes("/usr/lib/lumen/lumen-"), stages, "the first one has not noticed");

    signal("-TERM", first.id());
    assert!(first.wait().unwrap().success());
    assert_eq!(place.left(), Vec::<String>::new());
}

/// Sabotage: let manager_is_live look for the socket's file only, or of_ordinary_user not call it.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_user_with_a_manager_is_sent_to_it() {
    let place = Place::new();
    let mut first = place.start();
    let own = as_user(place.uid, &["run"]);
    assert_eq!(own.status.code(), Some(2));
    assert!(said(&own).contains("systemctl --user start lumen.target"), "{}", said(&own));
    signal("-TERM", first.id());
    first.wait().unwrap();
}

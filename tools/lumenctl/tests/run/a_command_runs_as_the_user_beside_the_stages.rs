use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::place::{Place, said, signal};

/// Sabotage: in Inner::become_it leave out `assume`, `enter` or the environment; in manager::live answer 0.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_command_runs_as_the_user_beside_the_stages() {
    let place = Place::new();
    let script = "id -u; echo $HOME $XDG_RUNTIME_DIR $COLOUR; grep -c lumen-run /proc/self/cgroup; \
                  command -v lumen-captured; grep -E 'NoNewPrivs|CapInh|CapEff' /proc/self/status; \
                  systemctl --user is-active lumen.target lumen-bus lumen-vdisplayd lumen-captured lumen-encoded \
                  lumen-transportd lumen-inputd | sort | uniq -c; exit 7";
    let output = place.run(&["--setenv", "COLOUR=green", "--", "sh", "-c", script]).output().unwrap();
    let uid = place.uid;
    let expected = format!(
        "{uid}\n/home/lumenctl-test /run/user/{uid} green\n1\n/usr/lib/lumen/lumen-captured\n\
         CapInh:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n      7 active\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", said(&output));
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(place.left(), Vec::<String>::new());
}

/// Sabotage: in manager.rs let exit_code answer only what status.code() says.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_killed_command_is_told_apart_from_one_that_ended() {
    let place = Place::new();
    let output = place.run(&["--", "sh", "-c", "kill -9 $$"]).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 9), "{}", said(&output));
}

/// Sabotage: in manager::live leave out ask_to_end, or let the command be killed when its future is dropped.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_signal_to_lumenctl_gives_the_command_time_to_end() {
    let place = Place::new();
    let script = "trap 'echo tidied up; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = place.run(&["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    signal("-TERM", run.id());
    assert_eq!(lines.next().unwrap().unwrap(), "tidied up");
    assert_eq!(run.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(place.left(), Vec::<String>::new());
}

//! Each thing that can be wrong has its own words and its own exit status.

use std::{net::UdpSocket, time::Duration};

use lumen_core::control::{RefusalClass, Refused};

use crate::{
    host::{Host, Papers, Script},
    probe::{failure, run, summary},
};

// Sabotage: accept any certificate.
#[test]
fn another_host_than_the_pinned_one() {
    let host = Host::start(Script::default());
    let home = tempfile::tempdir().unwrap();
    let (wrong, right) = ("ab".repeat(32), host.fingerprint.to_string());
    let (code, said) = failure(home.path(), &["--host", &host.address, "--pin", &wrong]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(&wrong) && said.contains(&right), "{said}");
    summary(home.path(), &host.address, &["--pin", &right, "--frames", "5"]);
}

// Sabotage: skip the check of CertificateVerify.
#[test]
fn the_pinned_certificate_without_its_key() {
    let Papers(certificate, _) = Papers::new();
    let Papers(_, another_key) = Papers::new();
    let host = Host::impostor(certificate, &another_key);
    let home = tempfile::tempdir().unwrap();
    let pin = host.fingerprint.to_string();
    let (code, said) = failure(home.path(), &["--host", &host.address, "--pin", &pin]);
    assert_eq!(code, 4, "{said}");
}

// Sabotage: remember a new fingerprint for a known address.
#[test]
fn another_host_than_at_first_use() {
    let home = tempfile::tempdir().unwrap();
    let first = Host::start(Script::default());
    summary(home.path(), &first.address, &["--frames", "5"]);
    summary(home.path(), &first.address, &["--frames", "5"]);
    let other = Host::start(Script::default());
    let known = home.path().join("known_hosts");
    let line = std::fs::read_to_string(&known).unwrap().replace(&first.address, &other.address);
    std::fs::write(&known, line).unwrap();
    let (code, said) = failure(home.path(), &["--host", &other.address]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("known_hosts"), "{said}");
}

// Sabotage: look at the pin only after the dial.
#[test]
fn a_malformed_pin_reaches_no_network() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    nobody.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let home = tempfile::tempdir().unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    let (code, said) = failure(home.path(), &["--host", &address, "--pin", "not-a-fingerprint"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("hexadecimal"), "{said}");
    assert!(nobody.recv(&mut [0; 2048]).is_err());
}

// Sabotage: let a client that is not listed stream.
#[test]
fn a_client_that_is_not_listed() {
    let host = Host::start(Script { refuses_clients: true, ..Script::default() });
    let home = tempfile::tempdir().unwrap();
    let me = String::from_utf8(run(home.path(), &["fingerprint"]).stdout).unwrap();
    assert_eq!(me.trim().len(), 64, "{me}");
    let (code, said) = failure(home.path(), &["--host", &host.address]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains(&format!("lumenctl allow {}", me.trim())), "{said}");
}

// Sabotage: report a refusal as a broken session.
#[test]
fn a_launch_that_the_host_refuses() {
    let refused = Refused {
        class: RefusalClass::App,
        text: "There is no app \"quake\".".into(),
        advice: "Add it to vdisplayd.toml.".into(),
    };
    let host = Host::start(Script { refuses_launch: Some(refused), ..Script::default() });
    let home = tempfile::tempdir().unwrap();
    let (code, said) = failure(home.path(), &["--host", &host.address, "--app", "quake"]);
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("no app \"quake\"") && said.contains("vdisplayd.toml"), "{said}");
}

// Sabotage: exit with 0 when nothing came.
#[test]
fn a_host_that_sends_no_picture() {
    let host = Host::start(Script { sends_nothing: true, ..Script::default() });
    let home = tempfile::tempdir().unwrap();
    let (code, said) = failure(home.path(), &["--host", &host.address, "--patience", "0.5"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no picture"), "{said}");
}

// Sabotage: wait for ever.
#[test]
fn nobody_at_the_address() {
    let home = tempfile::tempdir().unwrap();
    // Held, because another test's host could be given a port that was let go.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (code, said) = failure(home.path(), &["--host", &address]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&address), "{said}");
}

// Sabotage: open the files at the end of the stream.
#[test]
fn a_file_that_cannot_be_written() {
    let home = tempfile::tempdir().unwrap();
    let (code, said) = failure(home.path(), &["--mp4", "/nowhere/a.mp4"]);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("/nowhere/a.mp4"), "{said}");
}

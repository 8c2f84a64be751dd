//! Pairing over the wire: what a person types decides, and nothing is kept before the end.

use std::net::IpAddr;

use lumen_gamestream::pairing::{Ended, PairingError};
use lumen_transportd::{clients::Clients, vault::Vault};

use crate::scene::{Cipher, Host, Moon, get};

fn stored(host: &Host) -> usize {
    Clients::load(&Vault::at(host.state.path())).unwrap().list().len()
}

/// Sabotage: answer `getservercert` at once, or store the client under another fingerprint.
#[test]
fn the_right_pin_pairs_and_the_next_incarnation_knows_it() {
    let (host, moon) = (Host::start(), Moon::new(0));
    assert_eq!(moon.get(&host, "/applist").unwrap().status().0, "401", "not yet");
    moon.pair(&host, "1234", "1234").unwrap();
    assert_eq!(moon.get(&host, "/applist").unwrap().status().0, "200");
    let next = Clients::load(&Vault::at(host.state.path())).unwrap();
    assert!(next.paired(&moon.fingerprint()).is_some());
    let again = Moon::new(1);
    again.pair(&host, "0000", "0000").unwrap();
    assert_eq!(stored(&host), 2);
}

/// Sabotage: leave out the comparison of the hashes in core/gamestream/src/pairing/phases.rs.
#[test]
fn a_wrong_pin_is_said_to_both_and_keeps_nothing() {
    let (host, moon) = (Host::start(), Moon::new(0));
    let told = moon.pair(&host, "1234", "4321").unwrap_err();
    assert!(told.contains("not the one this client shows"), "{told}");
    assert_eq!(stored(&host), 0);
    assert_eq!(moon.get(&host, "/applist").unwrap().status().0, "401");
}

/// Clients see a wrong PIN in phase 3, say `/unpair` and go. Sabotage: leave the attempt to its minute.
#[test]
fn a_client_that_saw_a_wrong_pin_frees_the_person_at_once() {
    let (host, moon) = (Host::start(), Moon::new(0));
    let held = moon.begin(&host, &[7; 16]);
    let waiting = host.attempt_of(moon.from.into());
    let ended = host.type_pin(waiting.attempt.id, "4321");
    held.join().unwrap();
    assert_eq!(get(host.http, "/unpair").status().0, "404", "nobody is unpaired by asking");
    assert_eq!(ended.blocking_recv().unwrap(), Ended::Failed(PairingError::GaveUp));
    assert!(host.reception.waiting().is_empty());
}

/// Sabotage: let `Phase::advance` keep the phase on an error.
#[test]
fn phases_out_of_order_end_the_attempt() {
    let (host, moon) = (Host::start(), Moon::new(0));
    let cipher = Cipher::new(&[7; 16], "1234");
    let last = [&[6; 16][..], &moon.sign(&[6; 16])].concat();
    for (name, bytes) in [
        ("clientchallenge", cipher.encrypt(&[5; 16])),
        ("serverchallengeresp", vec![0; 32]),
        ("clientpairingsecret", last.clone()),
    ] {
        assert_eq!(moon.phase(&host, name, &bytes).status().0, "400", "{name} before phase 1");
    }
    // While the PIN is awaited, and after it: the last phase at once.
    let held = moon.begin(&host, &[7; 16]);
    host.attempt_of(moon.from.into());
    let early = moon.phase(&host, "clientpairingsecret", &last);
    assert!(early.status().1.contains("the PIN was due"), "{:?}", early.status());
    assert_eq!(held.join().unwrap().status().0, "400");
    let held = moon.begin(&host, &[7; 16]);
    let waiting = host.attempt_of(moon.from.into());
    host.type_pin(waiting.attempt.id, "1234");
    held.join().unwrap();
    let skipped = moon.phase(&host, "clientpairingsecret", &last);
    assert!(skipped.status().1.contains("clientchallenge was due"), "{:?}", skipped.status());
    assert!(moon.exchange(&host, &cipher).unwrap_err().contains("no pairing"), "it was dropped");
    assert_eq!(moon.get(&host, "/pair?phrase=pairchallenge").unwrap().status().0, "401");
    assert_eq!(stored(&host), 0);
}

/// Sabotage: find an attempt by anything but its number and its address.
#[test]
fn two_clients_pair_at_once_each_with_its_own_pin() {
    let host = Host::start();
    let (one, other) = (Moon::new(0), Moon::new(1));
    let (held_one, held_other) = (one.begin(&host, &[1; 16]), other.begin(&host, &[2; 16]));
    let of = |moon: &Moon| host.attempt_of(IpAddr::from(moon.from)).attempt;
    let (attempt_one, attempt_other) = (of(&one), of(&other));
    assert_eq!(attempt_one.fingerprint, *one.fingerprint().as_bytes(), "the person sees whom the PIN is for");
    host.type_pin(attempt_other.id, "2222");
    held_other.join().unwrap();
    assert!(!held_one.is_finished(), "a PIN is for the attempt it names");
    host.type_pin(attempt_one.id, "1111");
    held_one.join().unwrap();
    one.exchange(&host, &Cipher::new(&[1; 16], "1111")).unwrap();
    other.exchange(&host, &Cipher::new(&[2; 16], "2222")).unwrap();
    assert_eq!(stored(&host), 2);
}

/// Sabotage: tell `paired` before the store has the client.
#[test]
fn a_store_that_cannot_be_written_is_told_and_pairs_nobody() {
    let (host, moon) = (Host::start(), Moon::new(0));
    std::fs::remove_dir_all(host.state.path()).unwrap();
    let told = moon.pair(&host, "1234", "1234").unwrap_err();
    assert!(told.contains("cannot store this client") && told.contains("allowed.toml"), "{told}");
    assert_eq!(moon.get(&host, "/applist").unwrap().status().0, "401");
    std::fs::create_dir_all(host.state.path()).unwrap();
}

/// Sabotage: begin an attempt before its certificate was looked at.
#[test]
fn certificates_that_cannot_pair_are_refused_in_words() {
    let (host, moon) = (Host::start(), Moon::new(0));
    let refused = |pem: &str| {
        let reply = Moon { pem: pem.to_owned(), ..moon.clone() }.begin(&host, &[7; 16]).join().unwrap();
        assert_eq!(reply.value("paired").as_deref(), Some("0"));
        reply.status().1
    };
    assert!(refused("no PEM at all").contains("no PEM text"));
    assert!(refused(&"A".repeat(9000)).contains("at most 8192"));
    let key = rcgen::KeyPair::generate().unwrap();
    let curve = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    assert!(refused(&curve).contains("RSA key of 2048 to 4096 bits"));
    let huge = Moon { pem: "A".repeat(1 << 20), ..moon.clone() }.begin(&host, &[7; 16]).join().unwrap();
    assert_eq!(huge.http, 431, "a MiB is not even read to its end");
    assert!(host.reception.waiting().is_empty());
}

/// Sabotage: keep the attempt of a client that is gone.
#[test]
fn a_client_that_hangs_up_makes_room() {
    use std::io::Write;
    let (host, moon) = (Host::start(), Moon::new(0));
    let pem = lumen_gamestream::hex::encode(moon.pem.as_bytes());
    let mut stream = crate::scene::connect(moon.from, host.http);
    let target =
        format!("/pair?phrase=getservercert&salt={}&clientcert={pem}&devicename=sofa", "00".repeat(16));
    stream.write_all(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(host.attempt_of(moon.from.into()).name, "sofa");
    drop(stream);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !host.reception.waiting().is_empty() {
        assert!(std::time::Instant::now() < deadline, "it waits for a client that is gone");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

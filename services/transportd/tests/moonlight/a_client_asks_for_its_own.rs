//! What Clients get: apps, sessions of their own, and words when it cannot be.

use lumen_transportd::gamestream::streams::Refused;

use crate::scene::{Host, Moon, Reply, get};

const KEY: &str = "rikey=000102030405060708090a0b0c0d0e0f&rikeyid=-5";

fn launch(moon: &Moon, host: &Host, app: i32, more: &str) -> Reply {
    let target = format!("/launch?appid={app}&mode=1280x720x60&localAudioPlayMode=0&{KEY}&{more}");
    moon.get(host, &target).unwrap()
}

fn known(which: usize, host: &Host) -> Moon {
    let moon = Moon::new(which);
    host.know(&moon);
    moon
}

/// Sabotage: number the apps by their place, or list none but the desktop.
#[test]
fn apps_are_listed_shown_and_launched_by_their_number() {
    let host = Host::start();
    let moon = known(0, &host);
    let list = moon.get(&host, "/applist").unwrap().text();
    assert!(list.contains("<AppTitle>Desktop</AppTitle><ID>1</ID>"), "{list}");
    assert!(list.contains("<AppTitle>steam</AppTitle><ID>529503394</ID>"), "{list}");
    let picture = moon.get(&host, "/appasset?appid=1&AssetType=2&AssetIdx=0").unwrap();
    assert!(picture.body.starts_with(b"\x89PNG\r\n"));
    assert_eq!(moon.get(&host, "/appasset?appid=9").unwrap().status().0, "404");
    let started = launch(&moon, &host, 529_503_394, "corever=1");
    assert_eq!(started.value("sessionUrl0").as_deref(), Some("rtspenc://127.0.0.1:4711"));
    let running = host.streams.running.lock().unwrap().clone();
    assert_eq!(running, [(moon.fingerprint(), 529_503_394, Some("steam".to_owned()))]);
    let gone = launch(&moon, &host, 9, "corever=1");
    assert!(gone.status().1.contains("no such app"), "{:?}", gone.status());
}

/// Sabotage: read the picture from a folder, by what was asked.
#[test]
fn no_request_names_a_file() {
    let host = Host::start();
    let moon = known(0, &host);
    let picture = moon.get(&host, "/appasset?appid=1").unwrap().body;
    assert!(picture.starts_with(b"\x89PNG\r\n"));
    for wrong in [
        "/appasset?appid=../../../../etc/passwd",
        "/appasset?appid=..%2f..%2fetc%2fpasswd",
        "/appasset/../../etc/passwd",
        "/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/etc/passwd",
    ] {
        let reply = moon.get(&host, wrong).unwrap();
        let status = reply.status().0;
        assert!(status == "400" || status == "404", "{wrong}: {status}");
    }
    for ignored in ["AssetType=../../../etc/passwd&AssetIdx=0", "AssetType=2&AssetIdx=/etc/passwd"] {
        let reply = moon.get(&host, &format!("/appasset?appid=1&{ignored}")).unwrap();
        assert_eq!(reply.body, picture, "{ignored}");
    }
}

/// Sabotage: ask `streams` for anybody's session instead of the asking client's.
#[test]
fn each_client_sees_resumes_and_ends_its_own_session_alone() {
    let host = Host::start();
    let (one, other) = (known(0, &host), known(1, &host));
    launch(&one, &host, 1, "corever=1");
    let info = |moon: &Moon| moon.get(&host, "/serverinfo").unwrap();
    assert_eq!(info(&one).value("currentgame").as_deref(), Some("1"));
    assert!(info(&one).value("state").unwrap().ends_with("_SERVER_BUSY"));
    assert!(!info(&other).value("state").unwrap().ends_with("_SERVER_BUSY"));
    assert_eq!(info(&other).value("PairStatus").as_deref(), Some("1"));
    let nothing = other.get(&host, &format!("/resume?{KEY}&corever=1")).unwrap();
    assert_eq!(nothing.status().0, "503");
    assert_eq!(other.get(&host, "/cancel").unwrap().value("cancel").as_deref(), Some("1"));
    let resumed = one.get(&host, &format!("/resume?{KEY}&corever=1")).unwrap();
    assert_eq!(resumed.value("resume").as_deref(), Some("1"));
    one.get(&host, "/cancel").unwrap();
    assert_eq!(info(&one).value("currentgame").as_deref(), Some("0"));
}

/// Sabotage: take a launch without `corever`, whose RTSP strangers could take; or answer a failure with 200.
#[test]
fn what_cannot_be_launched_is_refused_in_words_that_the_client_shows() {
    let host = Host::start();
    let moon = known(0, &host);
    let old = launch(&moon, &host, 1, "");
    assert!(old.status().1.contains("RTSP is sealed"), "{:?}", old.status());
    let refused = Refused::Failed { text: "The desktop is locked.".into(), advice: "Unlock it.".into() };
    *host.streams.refusal.lock().unwrap() = Some(refused);
    let locked = launch(&moon, &host, 1, "corever=1");
    assert_eq!(locked.status(), ("503".to_owned(), "The desktop is locked. Unlock it.".to_owned()));
    assert!(host.streams.running.lock().unwrap().is_empty());
}

/// Sabotage: ask the list of clients at the handshake alone, or keep what an unpaired client has running.
#[test]
fn who_is_revoked_or_unpairs_itself_is_a_stranger_from_the_next_request_on() {
    let host = Host::start();
    let (one, other) = (known(0, &host), known(1, &host));
    launch(&one, &host, 1, "corever=1");
    assert_eq!(one.get(&host, "/unpair").unwrap().status().0, "200");
    assert!(host.streams.running.lock().unwrap().is_empty());
    assert_eq!(one.get(&host, "/serverinfo").unwrap().status().0, "401");
    host.clients.revoke(&other.fingerprint()).unwrap();
    assert_eq!(other.get(&host, "/serverinfo").unwrap().status().0, "401");
    assert_eq!(
        get(host.http, "/serverinfo").value("PairStatus").as_deref(),
        Some("0"),
        "they fall back to this"
    );
}

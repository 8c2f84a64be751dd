//! Whoever is no Client: every route, both doors, and certificates that are almost a Client's.

use lumen_gamestream::http::Route;
use rustls::{crypto::aws_lc_rs as provider, pki_types::PrivateKeyDer, sign::CertifiedKey};

use crate::scene::{Host, Moon, get};

/// Sabotage: give another route `Access::Anyone`, let a stranger in TLS pass, or repeat what it asked in full.
#[test]
fn a_stranger_reaches_serverinfo_and_pair_alone_and_hears_512_bytes_at_most() {
    let (host, moon) = (Host::start(), Moon::new(0));
    let unknown = ["/", "/admin", "/launch/../serverinfo"].map(str::to_owned);
    let long = [format!("/{}", "&".repeat(9000)), format!("/serverinfo/{}", "<".repeat(9000))];
    for path in Route::ALL.map(|route| route.path().to_owned()).into_iter().chain(unknown).chain(long) {
        let plain = get(host.http, &path);
        let expected = match path.as_str() {
            "/serverinfo" => "200",
            "/pair" => "400",
            _ => "404",
        };
        assert_eq!(plain.status().0, expected, "{path}");
        let bare = moon.get_showing(&host, &path, None).unwrap();
        let shown = moon.get(&host, &path).unwrap();
        for reply in [&bare, &shown] {
            assert_eq!((reply.http, reply.status().0.as_str()), (200, "401"), "{path} in TLS");
        }
        for reply in [plain, bare, shown] {
            assert!(reply.body.len() <= 512, "{path}: {} bytes", reply.body.len());
        }
    }
    let info = get(host.http, "/serverinfo");
    assert_eq!(info.value("hostname").as_deref(), Some("a <test> host"));
    assert_eq!(info.value("HttpsPort"), Some(host.https.port().to_string()));
    assert_eq!(info.value("mac").as_deref(), Some("00:00:00:00:00:00"));
    let [paired, game] = ["PairStatus", "currentgame"].map(|element| info.value(element));
    assert_eq!((paired.as_deref(), game.as_deref()), (Some("0"), Some("0")));
}

/// Sabotage: compare names, keys or signers instead of the whole certificate.
#[test]
fn of_two_hundred_certificates_like_a_clients_none_is_taken() {
    let (host, moon) = (Host::start(), Moon::new(0));
    host.know(&moon);
    let taken = (0..200).filter(|n| Moon::impostor(*n).get(&host, "/applist").unwrap().status().0 != "401");
    assert_eq!(taken.count(), 0);
    assert_eq!(moon.get(&host, "/applist").unwrap().status().0, "200", "the real one is");
}

/// Sabotage: do not verify the signature of the handshake in gamestream/tls.rs.
#[test]
fn a_clients_certificate_without_its_key_is_refused_by_tls() {
    let (host, moon, thief) = (Host::start(), Moon::new(0), Moon::new(1));
    host.know(&moon);
    let key = PrivateKeyDer::try_from(thief.pkcs8.clone()).unwrap();
    let signer = provider::sign::any_supported_type(&key).unwrap();
    let stolen = CertifiedKey::new(vec![moon.certificate.clone()], signer);
    let refused = thief.get_showing(&host, "/applist", Some(stolen)).unwrap_err();
    assert!(refused.to_string().contains("alert"), "{refused}");
}

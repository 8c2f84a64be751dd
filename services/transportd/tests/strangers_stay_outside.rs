//! Who may not stream, does not; and disturbs nobody who may.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use std::{net::UdpSocket, time::Instant};

use lumen_core::{CloseReason, trust::Fingerprint};
use lumen_transportd::{identity::Identity, peers::lobby::PLACES};
use quinn::{ConnectionError, VarInt};
use scene::{
    Host,
    client::{Client, dial, launch},
    identity, until,
};

/// Why the connection of `me` ended, whether in its handshake or right after.
async fn refusal(host: &Host, me: &Identity) -> String {
    match dial(host.address, me, host.fingerprint).await {
        Err(error) => error.to_string(),
        Ok(connection) => connection.closed().await.to_string(),
    }
}

/// Sabotage: accept every certificate.
#[tokio::test]
async fn an_unlisted_client_is_told_what_to_run_on_the_host() {
    let host = Host::start();
    let me = identity();
    let reason = refusal(&host, &me).await;
    assert!(reason.contains(&format!("lumenctl allow {}", me.fingerprint)), "{reason}");
    assert_eq!(host.clients.refused_count(), 1);
    assert_eq!(host.peers.count(), 0);
}

/// Sabotage: do not verify the signature of the handshake.
#[tokio::test]
async fn a_listed_certificate_without_its_key_is_refused() {
    let host = Host::start();
    let (listed, mut thief) = (identity(), identity());
    host.clients.allow(listed.fingerprint, "listed").unwrap();
    // rustls itself refuses to pair a key with another's certificate, so the thief shows it through a resolver.
    thief.certificate = listed.certificate.clone();
    let reason = scene::client::dial_mismatched(host.address, &thief, host.fingerprint).await;
    assert!(reason.contains("BadSignature"), "{reason}");
    until("nobody inside", || host.peers.count() == 0).await;
}

/// Sabotage: let the client accept any host.
#[tokio::test]
async fn a_host_that_is_not_the_pinned_one_is_not_spoken_to() {
    let host = Host::start();
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let other = Fingerprint::from_bytes([1; 32]);
    let error = dial(host.address, &me, other).await.unwrap_err().to_string();
    assert!(error.contains(&host.fingerprint.to_string()), "{error}");
}

/// Sabotage: no limit of half-open connections, or one that refuses newcomers.
#[tokio::test]
async fn two_hundred_silent_connections_hold_nobody_up() {
    let host = Host::start();
    let (me, silent) = (identity(), identity());
    host.clients.allow(me.fingerprint, "me").unwrap();
    host.clients.allow(silent.fingerprint, "silent").unwrap();
    let mut dials = tokio::task::JoinSet::new();
    let silent = std::sync::Arc::new(silent);
    for _ in 0..200 {
        let (address, pin, silent) = (host.address, host.fingerprint, silent.clone());
        dials.spawn(async move { dial(address, &silent, pin).await });
    }
    let connections: Vec<_> = dials.join_all().await.into_iter().flatten().collect();
    assert!(connections.len() > PLACES, "{} of 200 got a handshake", connections.len());
    let before = Instant::now();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut client = Client::start(connection, launch()).await;
    let launched = client.launched().await.unwrap();
    client.video(&launched, &host).await.frames(10).await;
    assert!(before.elapsed().as_secs() < 2, "{:?}", before.elapsed());
    let open = connections.iter().filter(|connection| connection.close_reason().is_none());
    assert!(open.count() <= PLACES);
}

/// Sabotage: answer datagrams before they are opened.
#[tokio::test]
async fn the_video_port_answers_nobody() {
    let host = Host::start();
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut client = Client::start(connection, launch()).await;
    let launched = client.launched().await.unwrap();
    let mut video = client.video(&launched, &host).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = (host.address.ip(), launched.video_port);
    let mut guess = [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].repeat(3);
    guess[4..8].copy_from_slice(&launched.channel.0.to_le_bytes());
    for len in 0..guess.len() {
        stranger.send_to(&guess[..len], port).unwrap();
    }
    video.frames(20).await;
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut [0; 9]).is_err());
    let live = host.peers.sessions().remove(0);
    assert!(live.path.counters().forged > 0);
}

/// Sabotage: look at the list at launch only.
#[tokio::test]
async fn a_revoked_client_is_out_at_once_and_does_not_come_back() {
    let host = Host::start();
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut client = Client::start(connection, launch()).await;
    client.launched().await.unwrap();
    let before = Instant::now();
    host.clients.revoke(&me.fingerprint).unwrap();
    host.peers.expel(&me.fingerprint, "This host does not know this client any more.");
    let Err(CloseReason::PeerLeft { reason }) = client.event().await else {
        panic!("not told");
    };
    assert!(reason.contains("does not know"), "{reason}");
    assert!(before.elapsed().as_secs() < 1);
    assert!(refusal(&host, &me).await.contains("lumenctl allow"));
}

/// Sabotage: keep a session whose client's connection is closed.
#[tokio::test]
async fn nonsense_on_the_control_stream_ends_that_connection_alone() {
    let host = Host::start();
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let quiet = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut quiet = Client::start(quiet, launch()).await;
    let launched = quiet.launched().await.unwrap();
    let mut video = quiet.video(&launched, &host).await;
    let loud = dial(host.address, &me, host.fingerprint).await.unwrap();
    let (mut send, _receive) = loud.open_bi().await.unwrap();
    send.write_all(&[0xff; 64]).await.unwrap();
    let closed = loud.closed().await;
    assert!(
        matches!(&closed, ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(0)),
        "{closed}"
    );
    assert_eq!(video.frames(20).await.len(), 20);
}

//! A stock Moonlight client while transportd dies under it: it sees pictures come late, and nothing else.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use lumen_ipc::input::ToInput;
use lumen_transportd::gamestream::streams::Streams;
use scene::{
    Doomed, Host,
    moonlight::{Choice, Moonlight, app, caller},
    until,
};

/// More than a session may be adopted in a row without its client.
const DEATHS: usize = 5;

const SEALED: Choice = Choice { packet_size: 1024, is_sealed: true };

/// The next incarnation over what this one leaves.
async fn killed(doomed: Doomed, host: Host) -> (Doomed, Host) {
    let (stored, state, fakes) = (host.stored(), host.state.clone(), host.fakes.clone());
    let pulses = host.pulses.clone();
    doomed.die();
    until("the death", || !pulses.busy()).await;
    drop(host);
    Doomed::start_with(state, fakes, stored)
}

/// Sabotage: keep ENet's state, the replay window, a counter or the held keys in the process; acknowledge before the record is
/// written; let go of what a client of GameStream holds when it is heard again; or forgive a session that kills its host only when RTSP comes.
#[tokio::test]
async fn enet_makes_no_new_connect_and_no_frame_number_comes_twice() {
    let (mut doomed, mut host) = Doomed::start();
    let mut client = Moonlight::launch(&host, &caller(1), &app(7, None), [9; 16]).await.unwrap();
    client.negotiate(SEALED).await;
    let mut control = client.connect();
    let mut video = client.video(SEALED, host.fakes.clone()).await;
    let mut last = video.frames(20).await.last().unwrap().number;
    control.key(b'Q', true);
    let held = |codes: &[u16]| ToInput::Held(codes.iter().copied().collect());
    until("the key", || host.fakes.inputs().contains(&held(&[16]))).await;
    for death in 0..DEATHS {
        let before = host.fakes.inputs().len();
        (doomed, host) = killed(doomed, host).await;
        assert!(host.lost.is_empty(), "death {death}: {:?}", host.lost);
        let frames = video.frames(30).await;
        // Some were still on their way when it died; after a gap comes an IDR.
        assert!(frames.iter().any(|frame| frame.is_idr));
        for frame in &frames {
            assert!(
                frame.number == last + 1 || frame.is_idr && frame.number > last,
                "{} after {last}",
                frame.number
            );
            last = frame.number;
        }
        until("the held key", || host.fakes.inputs()[before..].contains(&held(&[16]))).await;
        let said = host.fakes.inputs().len();
        control.input(7, &[0, 1, 0, 0]);
        until("the mouse", || host.fakes.inputs()[said..].contains(&ToInput::Motion { dx: 256, dy: 0 }))
            .await;
        assert!(!host.fakes.inputs()[before..].contains(&held(&[])), "the client still holds its key");
        assert_eq!(host.launches.current(&caller(1).fingerprint), Some(7));
    }
    control.key(b'Q', false);
    until("the key's way up", || host.fakes.inputs().last() == Some(&held(&[]))).await;
    let mut nonces = video.nonces.clone();
    nonces.sort_unstable();
    assert!(nonces.windows(2).all(|pair| pair[0] != pair[1]), "a nonce came twice");
    let heard = control.heard();
    assert_eq!((heard.connects, heard.disconnects), (1, 0));
    assert_eq!(heard.messages.len(), 1, "the host said one thing, once");
    // The client can still be told that it is over.
    host.launches.cancel(&caller(1).fingerprint, "The client quit.");
    until("the last word", || control.heard().messages.len() == 2).await;
    until("the end", || host.peers.sessions().is_empty()).await;
    doomed.die();
}

/// Sabotage: adopt a session whose client does not know yet whether it has one.
#[tokio::test]
async fn a_session_that_was_not_played_ends_with_its_incarnation() {
    let (doomed, host) = Doomed::start();
    let mut client = Moonlight::launch(&host, &caller(1), &app(1, None), [9; 16]).await.unwrap();
    assert!(client.announce(SEALED).await.unwrap().starts_with("RTSP/1.0 200"));
    assert_eq!(host.peers.sessions().len(), 1);
    let (doomed, host) = killed(doomed, host).await;
    assert_eq!(host.lost.len(), 1);
    assert!(host.lost[0].contains("RTSP"), "{:?}", host.lost);
    assert!(host.peers.sessions().is_empty());
    assert_eq!(client.ask("PLAY", "/", "").await, None);
    doomed.die();
}

//! Lost connections and dead incarnations of transportd: the session goes on, and its numbers with it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use lumen_core::{
    CloseReason,
    control::{Input, Launched},
};
use lumen_ipc::input::ToInput;
use lumen_transportd::{identity::Identity, peers::session::Mail};
use scene::{
    Doomed, Host, KEEP, PATIENCE,
    client::{Client, Video, dial, launch},
    fakes::Fakes,
    identity, until,
};
use std::{sync::Arc, time::Instant};

async fn streaming(host: &Host) -> (Identity, Client, Launched, Video) {
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut client = Client::start(connection, launch()).await;
    let launched = client.launched().await.unwrap();
    let video = client.video(&launched, host).await;
    (me, client, launched, video)
}

/// Sabotage: start a new session, or start its numbers anew.
#[tokio::test]
async fn a_client_that_comes_back_goes_on_where_it_was() {
    let host = Host::start();
    let (me, mut client, launched, mut video) = streaming(&host).await;
    let last = video.frames(10).await.last().unwrap().number;
    let old = client.connection.clone();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let resumed = client.resume(connection).await.unwrap();
    assert_eq!((resumed.session, resumed.channel), (launched.session, launched.channel));
    for (frame, number) in video.frames(20).await.into_iter().zip(last + 1..) {
        assert_eq!(frame.number, number);
    }
    until("the end of the old one", || old.close_reason().is_some()).await;
    assert_eq!(host.peers.sessions().len(), 1);
    assert_eq!(host.fakes.links(), (1, 0));
    client.session.stop();
    client.flush().await;
    until("the end", || host.peers.sessions().is_empty()).await;
}

/// Sabotage: hand a session to whoever knows its id.
#[tokio::test]
async fn a_session_is_not_given_to_another_client() {
    let host = Host::start();
    let (_me, mut client, _, mut video) = streaming(&host).await;
    video.frames(5).await;
    let thief = identity();
    host.clients.allow(thief.fingerprint, "thief").unwrap();
    let connection = dial(host.address, &thief, host.fingerprint).await.unwrap();
    let Err(CloseReason::Refused(refused)) = client.resume(connection).await else {
        panic!("not refused");
    };
    assert!(refused.text.contains("another client"), "{refused:?}");
    assert_eq!(video.frames(5).await.len(), 5);
}

/// Sabotage: wait for ever, or not at all.
#[tokio::test]
async fn a_session_whose_client_stays_away_is_over() {
    let host = Host::start();
    let (me, client, _, mut video) = streaming(&host).await;
    video.frames(5).await;
    let session = host.peers.sessions()[0].session;
    let mail = host.peers.mailbox(session, &me.fingerprint).unwrap();
    let before = Instant::now();
    mail.send(Mail::Detach { birth: 0 }).unwrap();
    video.frames(20).await;
    until("the end", || host.peers.sessions().is_empty() && !host.pulses.busy()).await;
    assert!(before.elapsed() >= KEEP, "{:?}", before.elapsed());
    drop(client);
}

/// Sabotage: keep sequence or frame numbers in the process, wait for the client before video goes on, or forget
/// where it goes to.
#[tokio::test]
async fn the_next_incarnation_streams_on_and_the_client_comes_back() {
    let (doomed, host) = Doomed::start();
    let (me, mut client, launched, mut video) = streaming(&host).await;
    let last = video.frames(30).await.last().unwrap().number;
    client.session.input(Input::Key { code: 30, pressed: true });
    client.flush().await;
    let held = |codes: &[u16]| ToInput::Held(codes.iter().copied().collect());
    until("the key", || host.fakes.inputs().ends_with(&[held(&[30])])).await;
    let said = host.fakes.inputs().len();
    let (stored, state, fakes): (_, _, Fakes) = (host.stored(), Arc::clone(&host.state), host.fakes.clone());
    let pulses = host.pulses.clone();
    doomed.die();
    until("the death", || !pulses.busy()).await;
    video.tolerates_loss = true;
    let next = Host::start_with(state, fakes, stored);
    assert_eq!(next.address, host.address);
    let frames = video.frames(30).await;
    assert!(frames[0].number > last, "{} after {last}", frames[0].number);
    assert!(frames.windows(2).all(|pair| pair[0].number < pair[1].number));
    assert!(frames.iter().any(|frame| frame.idr));
    assert_eq!(video.replayed(), 0, "no sequence number came twice");
    let connection = dial(next.address, &me, next.fingerprint).await.unwrap();
    let resumed = client.resume(connection).await.unwrap();
    assert_eq!((resumed.session, resumed.channel), (launched.session, launched.channel));
    assert!(resumed.next_frame > last);
    tokio::time::sleep(PATIENCE).await;
    video.frames(30).await;
    let told = next.fakes.inputs().split_off(said);
    assert!(!told.is_empty() && !told.contains(&held(&[])), "its key stays down: {told:?}");
    client.session.input(Input::Key { code: 30, pressed: false });
    client.flush().await;
    until("the key's way up", || next.fakes.inputs().ends_with(&[held(&[])])).await;
    client.session.stop();
    client.flush().await;
    until("the end", || next.peers.sessions().is_empty()).await;
}

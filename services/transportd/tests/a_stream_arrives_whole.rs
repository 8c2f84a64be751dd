//! From encoded's ring to the client's reassembler, over loopback, with the real QUIC, FEC, sealing and GSO.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use lumen_core::{CloseReason, control::Input};
use lumen_ipc::{Failure, FailureClass, input::ToInput};
use scene::{
    Host,
    client::{Client, Video, dial, launch},
    fakes::picture,
    identity, until,
};

async fn streaming(host: &Host) -> (Client, Video) {
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut client = Client::start(connection, launch()).await;
    let launched = client.launched().await.unwrap();
    let video = client.video(&launched, host).await;
    (client, video)
}

/// Sabotage: send `Sent` before the batch is empty, number frames by AccessUnit, or leave out a shard.
#[tokio::test]
async fn every_picture_arrives_as_it_was_encoded_and_in_order() {
    let host = Host::start();
    let (_client, mut video) = streaming(&host).await;
    for (frame, number) in video.frames(100).await.into_iter().zip(0..) {
        assert_eq!((frame.number, frame.idr), (number, number == 0));
        assert!(frame.bytes == picture(number), "frame {number} differs");
    }
    let live = host.peers.sessions().remove(0);
    let (_, added) = live.figures.latency()[7];
    assert!(added.frames >= 99 && added.p50_ns > 0, "{added:?}");
}

/// Sabotage: tell the client of encoded's death, start numbers anew, or do not open another link.
#[tokio::test]
async fn the_death_of_encoded_is_a_late_picture_and_nothing_else() {
    let host = Host::start();
    let (_client, mut video) = streaming(&host).await;
    let mut next = video.frames(10).await.last().unwrap().number + 1;
    for _ in 0..5 {
        host.fakes.kill_encoders();
        let (mut seen_idr, frames) = (false, video.frames(60).await);
        for frame in frames {
            assert_eq!(frame.number, next);
            seen_idr |= frame.idr && frame.bytes == picture(0);
            next += 1;
        }
        assert!(seen_idr, "the next incarnation starts with an IDR");
    }
    assert_eq!(host.fakes.links().0, 6);
    assert_eq!(host.peers.sessions().len(), 1);
}

/// Sabotage: count a forged datagram as opened, or keep its shard.
#[tokio::test]
async fn a_flipped_bit_is_a_forged_datagram_and_parity_makes_up_for_it() {
    let host = Host::start();
    let (_client, mut video) = streaming(&host).await;
    video.forges = 20;
    for frame in video.frames(50).await {
        assert!(frame.bytes == picture(frame.number), "frame {} differs", frame.number);
    }
    assert!(video.forged() > 10, "{}", video.forged());
}

#[tokio::test]
async fn what_the_client_wants_reaches_encoded_and_inputd() {
    let host = Host::start();
    let (mut client, mut video) = streaming(&host).await;
    let last = video.frames(10).await.last().unwrap().number;
    client.session.set_bitrate(3_000_000);
    client.session.request_idr(last + 5);
    let key = Input::Key { code: 30, pressed: true };
    client.session.input(key);
    client.flush().await;
    let frames = video.frames(60).await;
    assert_eq!(frames.iter().filter(|frame| frame.idr).count(), 1);
    assert_eq!(host.fakes.idrs_asked(), 1);
    assert_eq!(host.fakes.bitrates().last(), Some(&3_000_000));
    let held = ToInput::Held([30].into_iter().collect());
    until("the key", || host.fakes.inputs().contains(&held)).await;
}

/// Sabotage: leave the link open, or the thread running, on one of the ways a session ends.
#[tokio::test]
async fn nothing_is_left_of_a_session_however_it_ends() {
    let host = Host::start();
    for way in 0..3 {
        let (mut client, mut video) = streaming(&host).await;
        video.frames(5).await;
        let live = host.peers.sessions().remove(0);
        match way {
            0 => {
                client.session.stop();
                client.flush().await;
                client.event().await.ok();
            }
            1 => assert!(host.peers.end(live.session, "enough")),
            _ => assert!(host.peers.expel(&live.fingerprint, "enough") > 0),
        }
        until("the end", || host.peers.count() == 0 && host.peers.sessions().is_empty()).await;
        until("the hang-up", || host.fakes.links() == (way + 1, way + 1)).await;
        until("the thread's end", || !host.pulses.busy()).await;
        drop(live);
    }
}

/// Sabotage: close before the refusal was read.
#[tokio::test]
async fn a_failure_reaches_the_client_with_its_advice() {
    let host = Host::start();
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let failure = Failure::new(FailureClass::Environment, "No sway.", "Install sway.");
    host.fakes.refuse_next(failure.clone());
    for _ in 0..2 {
        let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
        let mut client = Client::start(connection, launch()).await;
        let Err(CloseReason::Refused(refused)) = client.launched().await else {
            panic!("not refused");
        };
        assert_eq!((refused.text.as_str(), refused.advice.as_str()), ("No sway.", "Install sway."));
        host.fakes.fail_next_open(failure.clone());
    }
    until("the end", || host.peers.count() == 0 && !host.pulses.busy()).await;
}

/// Sabotage: a limit of nine, or none.
#[tokio::test]
async fn eight_stream_at_once_and_the_ninth_is_told() {
    let host = Host::start();
    let mut all = Vec::new();
    let mut watchers = tokio::task::JoinSet::new();
    host.fakes.run_free();
    for _ in 0..8 {
        let (client, mut video) = streaming(&host).await;
        all.push(client);
        video.tolerates_loss = true;
        // At once, because what nobody reads overflows the client's socket.
        watchers.spawn(async move { video.frames(100).await.len() >= 100 });
    }
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut ninth = Client::start(connection, launch()).await;
    let Err(CloseReason::Refused(refused)) = ninth.launched().await else {
        panic!("not refused");
    };
    assert!(refused.text.contains("8 sessions"), "{refused:?}");
    assert_eq!(watchers.join_all().await, [true; 8]);
    drop(all.pop());
    until("a free place", || host.peers.sessions().len() == 7).await;
    let (_client, mut video) = streaming(&host).await;
    video.tolerates_loss = true;
    video.frames(20).await;
}

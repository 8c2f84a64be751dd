//! A client that draws the pointer itself is told what it looks like and where it is, over each of its connections.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use lumen_core::{
    ClientEvent,
    control::{Launch, PointerShape},
};
use lumen_transportd::identity::Identity;
use scene::{
    Host,
    client::{Client, Video, dial, launch},
    fakes::SHAPE,
    identity, until,
};

async fn drawing(host: &Host) -> (Identity, Client, Video) {
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut client = Client::start(connection, Launch { is_pointer_separate: true, ..launch() }).await;
    let launched = client.launched().await.unwrap();
    let video = client.video(&launched, host).await;
    (me, client, video)
}

/// The shape that was told before the first place, if any, and where the pointer was until it came to `last`.
async fn told(client: &mut Client, last: i32) -> (Vec<PointerShape>, Vec<i32>) {
    let (mut shapes, mut places) = (Vec::new(), Vec::new());
    let wait = async {
        while places.last() != Some(&last) {
            match client.event().await.unwrap() {
                ClientEvent::PointerShape(shape) if places.is_empty() => shapes.push(shape),
                ClientEvent::PointerMoved(moved) => places.push(moved.spot.unwrap().x),
                ClientEvent::Notice(_) | ClientEvent::Resumed(_) | ClientEvent::HostNamed(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), wait)
        .await
        .expect("the pointer within five seconds");
    (shapes, places)
}

/// Sabotage: ask encoded for a pointer in the picture, answer a place before it is written, or lose the bitmap.
#[tokio::test]
async fn each_place_comes_in_order_and_is_answered_when_it_is_written() {
    let host = Host::start();
    let (_me, mut client, _video) = drawing(&host).await;
    assert_eq!(host.fakes.cursors(), [Some("separate".to_owned())]);
    host.fakes.point(0..50);
    let (shapes, places) = told(&mut client, 49).await;
    assert_eq!(places, (0..50).collect::<Vec<_>>());
    let [shape] = &shapes[..] else { panic!("{} shapes", shapes.len()) };
    assert_eq!(
        (shape.id, u32::from(shape.width), u32::from(shape.height)),
        (SHAPE.id, SHAPE.width, SHAPE.height)
    );
    assert_eq!(shape.pixels, vec![200; 100 * 90 * 4]);
    until("the last answer", || host.fakes.places_taken() == 50).await;
}

/// Sabotage: leave a place unanswered that nobody is there to hear, or tell a new connection nothing.
#[tokio::test]
async fn a_client_that_comes_back_hears_the_shape_and_the_newest_place() {
    let host = Host::start();
    let (me, mut client, _video) = drawing(&host).await;
    host.fakes.point([1]);
    told(&mut client, 1).await;
    let live = host.peers.sessions().remove(0);
    client.connection.close(0u32.into(), b"an accident");
    until("the loss", || live.is_alone.load(std::sync::atomic::Ordering::Relaxed)).await;
    host.fakes.point(2..=9);
    until("all places to be taken", || host.fakes.places_taken() == 9).await;
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    client.resume(connection).await.unwrap();
    let (shapes, places) = told(&mut client, 9).await;
    assert_eq!((shapes.len(), places), (1, vec![9]));
    assert!(live.record.is_pointer_separate(), "the next incarnation asks for the same");
}

//! What a client says that no person does: counted, without effect, and neither its own session nor another one's hears of it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use std::sync::atomic::Ordering::Relaxed;

use lumen_ipc::input::{Finger, ToInput};
use scene::{
    Host,
    moonlight::{Control, Moonlight, PLAIN, Video, app, caller},
    until,
};

async fn streaming(host: &Host, n: u8) -> (Moonlight, Control, Video) {
    let mut client = Moonlight::launch(host, &caller(n), &app(1, None), [n; 16]).await.unwrap();
    client.negotiate(PLAIN).await;
    let control = client.connect();
    let video = client.video(PLAIN, host.fakes.clone()).await;
    (client, control, video)
}

/// A finger that comes down at these numbers: x, y, pressure, and the axes of what touches.
fn finger(numbers: [f32; 5]) -> Vec<u8> {
    let head = [&[1, 0, 0xff, 0xff][..], &7_u32.to_le_bytes()].concat();
    [head, numbers.map(f32::to_le_bytes).concat()].concat()
}

/// Kind and body of each packet that is no input.
fn nonsense() -> Vec<(u32, Vec<u8>)> {
    let numbers = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let mut packets: Vec<_> = numbers.map(|bad| (0x5500_0002, finger([bad, 0.5, 1.0, 0.0, 0.0]))).into();
    packets.extend([
        // A place on a picture of one pixel, and of less.
        (5, vec![0, 1, 0, 1, 0, 0, 0, 0, 2, 0xcf]),
        (5, vec![0, 1, 0, 1, 0, 0, 0x80, 0, 2, 0xcf]),
        // Keys 0 and 0xffff.
        (3, vec![0, 0, 0x80, 0, 0, 0]),
        (3, vec![0, 0xff, 0xff, 0, 0, 0]),
        // Text with NUL, half a pair of UTF-16, half a character, and none.
        (0x17, b"a\0b".to_vec()),
        (0x17, vec![0xed, 0xa0, 0x80]),
        (0x17, vec![0xf0, 0x9f]),
        (0x17, vec![]),
        (0x99, vec![0; 8]),
    ]);
    packets
}

/// Sabotage: let NaN through, divide by the width less one, take every code for a key, or end the session of who says so.
#[tokio::test]
async fn bad_input_is_counted_and_disturbs_nobody() {
    let host = Host::start();
    host.fakes.run_free();
    let (_one, mut one, mut one_video) = streaming(&host, 1).await;
    let (_other, mut other, mut other_video) = streaming(&host, 2).await;
    other.key(b'A', true);
    let held = |codes: &[u16]| ToInput::Held(codes.iter().copied().collect());
    until("the other one's key", || host.fakes.inputs().ends_with(&[held(&[30])])).await;
    let said = host.fakes.inputs().len();
    let nonsense = nonsense();
    nonsense.iter().for_each(|(magic, body)| one.input(*magic, body));
    let unreadable =
        || host.peers.sessions().iter().map(|live| live.figures.unreadable.load(Relaxed)).sum::<u64>();
    until("the count", || unreadable() == nonsense.len() as u64).await;
    // What is far out, but an input.
    one.input(0x5500_0002, &finger([1e30, -1e30, 1e30, 1e30, 1e30]));
    one.input(0x0a, &[0x80, 0, 0x80, 0, 0, 0]);
    one.input(0x5500_0001, &[0x80, 0]);
    one.key(b'B', true);
    let corner = Finger { id: 7, x: u16::MAX, y: 0, pressure: u16::MAX };
    let expected = [
        ToInput::Fingers { down: [corner].into_iter().collect(), cancels: false, again: false },
        ToInput::Scroll { dx: -32_768, dy: 32_768 },
        held(&[48]),
    ];
    let heard = || host.fakes.inputs()[said..].to_vec();
    until("what follows", || heard().len() >= expected.len()).await;
    assert_eq!(heard(), expected);
    one_video.frames(10).await;
    other_video.frames(10).await;
    assert_eq!(host.peers.sessions().len(), 2);
}

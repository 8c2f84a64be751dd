//! What stock Moonlight clients get, from their launch to their last word.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use lumen_ipc::{
    Failure, FailureClass,
    input::{BY_MEANING, Finger, ToInput},
};
use lumen_transportd::gamestream::streams::{Refused, Streams};
use scene::{
    Host, KEEP,
    fakes::picture,
    moonlight::{Choice, Control, Got, Moonlight, PLAIN, Video, app, caller, exchange},
    until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KEY: [u8; 16] = [7; 16];

async fn streaming(host: &Host, n: u8, choice: Choice) -> (Moonlight, Control, Video) {
    let launched = Moonlight::launch(host, &caller(n), &app(1, None), [n; 16]).await;
    let mut client = launched.unwrap();
    client.negotiate(choice).await;
    let control = client.connect();
    let video = client.video(choice, host.fakes.clone()).await;
    (client, control, video)
}

/// All frames of `frames` are the encoder's pictures from `first` on, numbered from `number` on.
fn check(frames: &[Got], number: u32, first: u64) {
    for (frame, n) in frames.iter().zip(0..) {
        assert_eq!(frame.number, number + n);
        let unit = picture(first + u64::from(n));
        assert_eq!(frame.bytes[..unit.len()], unit, "frame {}", frame.number);
        assert!(frame.bytes[unit.len()..].iter().all(|byte| *byte == 0));
    }
}

/// Sabotage: number frames from 0, count the packets of the key from anything but 0, or seal nothing.
#[tokio::test]
async fn every_picture_arrives_whole_sealed_or_not_in_packets_of_any_size() {
    for (packet_size, is_sealed) in [(1024, false), (512, true), (1392, true)] {
        let host = Host::start();
        let choice = Choice { packet_size, is_sealed };
        let (_client, _control, mut video) = streaming(&host, 1, choice).await;
        let frames = video.frames(60).await;
        check(&frames, 1, 0);
        assert!(frames[0].is_idr && frames[1..].iter().all(|frame| !frame.is_idr));
        let bitrate = *host.fakes.bitrates().last().unwrap();
        assert!(
            (9_000_000..10_700_000).contains(&bitrate),
            "{bitrate}: parity and heads come out of 12 Mbit/s"
        );
        if is_sealed {
            assert!(video.nonces.iter().copied().eq(0..video.nonces.len() as u64));
        }
    }
}

/// Sabotage: do not answer RequestIdr, or pass the wheel and keys on as they come.
#[tokio::test]
async fn control_asks_for_idrs_and_moves_the_seat() {
    let host = Host::start();
    let (_client, mut control, mut video) = streaming(&host, 1, PLAIN).await;
    video.frames(10).await;
    control.say(1, 0x0302, &[0, 0]);
    let mut seen = Vec::new();
    until("the request", || host.fakes.idrs_asked() > 0).await;
    seen.extend(video.frames(10).await);
    assert!(seen.iter().any(|frame| frame.is_idr));
    control.key(b'A', true);
    control.input(7, &[0, 3, 0xff, 0xff]);
    control.input(0x0a, &[0, 120, 0, 120, 0, 0]);
    control.key(b'A', false);
    let moved = ToInput::Motion { dx: 3 * 256, dy: -256 };
    let held = |codes: &[u16]| ToInput::Held(codes.iter().copied().collect());
    let expected = [held(&[30]), moved, ToInput::Scroll { dx: 0, dy: -120 }, held(&[])];
    until("the inputs", || host.fakes.inputs().ends_with(&expected)).await;
    // What an on-screen keyboard sends for "B", and a key that it does not know the place of.
    let said = host.fakes.inputs().len();
    control.input(3, &[0, b'B', 0x80, 1, 0, 0]);
    control.input(4, &[0, b'B', 0x80, 1, 0, 0]);
    control.input(3, &[1, b'Z', 0x80, 0, 0, 0]);
    let meant = 44 | BY_MEANING;
    let expected = [held(&[42]), held(&[42, 48]), held(&[48]), held(&[]), held(&[meant])];
    until("the keys", || host.fakes.inputs()[said..] == expected).await;
    assert_eq!(control.heard().messages[0], (0x010e, [0; 27].to_vec()), "no HDR");
    // What no seat can be told: counted, and the session goes on.
    control.input(0x0d, &[1, 0]);
    let live = host.peers.sessions()[0].clone();
    until("the count", || live.figures.unsaid.load(std::sync::atomic::Ordering::Relaxed) == 1).await;
    video.frames(5).await;
}

/// What client `n` is offered after its launch.
async fn offer(host: &Host, n: u8) -> String {
    let launched = Moonlight::launch(host, &caller(n), &app(1, None), [n; 16]).await;
    launched.unwrap().ask("DESCRIBE", "rtspenc://h", "").await.unwrap()
}

/// Sabotage: offer touch on every desktop, or tell of the newest finger alone.
#[tokio::test]
async fn touch_is_offered_where_the_desktop_takes_it_and_arrives() {
    let host = Host::start();
    let without = offer(&host, 2).await;
    assert!(without.contains("a=x-ss-general.featureFlags:0\n"), "{without}");
    host.fakes.take_touch();
    let with = offer(&host, 3).await;
    assert!(with.contains("a=x-ss-general.featureFlags:1\n"), "{with}");
    let (_client, mut control, mut video) = streaming(&host, 1, PLAIN).await;
    video.frames(5).await;
    let mut touch = |phase: u8, id: u32, x: f32| {
        let places = [x, 0.5, 1.0, 0.0, 0.0].map(f32::to_le_bytes).concat();
        control.input(0x5500_0002, &[&[phase, 0, 0xff, 0xff][..], &id.to_le_bytes(), &places].concat());
    };
    let fingers = |down: &[(u32, u16)], cancels: bool| {
        let finger = |&(id, x): &(u32, u16)| Finger { id, x, y: 32_768, pressure: u16::MAX };
        ToInput::Fingers { down: down.iter().map(finger).collect(), cancels, again: false }
    };
    touch(1, 7, 0.0);
    touch(1, 8, 1.0);
    touch(2, 7, 0.0);
    let told =
        [fingers(&[(7, 0)], false), fingers(&[(7, 0), (8, 65_535)], false), fingers(&[(8, 65_535)], false)];
    until("the fingers", || host.fakes.inputs().ends_with(&told)).await;
}

/// Sabotage: answer each loss with an IDR, name the frame to encoded instead of its AccessUnit, or call the answer an ordinary picture.
#[tokio::test]
async fn a_lost_frame_is_answered_with_one_that_does_not_refer_to_it() {
    let host = Host::start();
    let (_client, mut control, mut video) = streaming(&host, 1, PLAIN).await;
    let before = video.frames(10).await;
    assert!(before[1..].iter().all(|frame| frame.kind == 1), "{:?}", before[1].kind);
    let lost = before[8].number;
    // Waiting for the answer, a client says so again with each frame that comes.
    for last in [lost, lost + 1] {
        let range = [lost, 0, last, 0, 0, 0].map(u32::to_le_bytes).concat();
        control.say(1, 0x0301, &range);
    }
    until("the request", || !host.fakes.lost().is_empty()).await;
    let after = video.frames(12).await;
    let kinds: Vec<u8> = after.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == 5).count(), 1, "{kinds:?}");
    assert!(kinds.iter().all(|kind| matches!(kind, 1 | 5)), "{kinds:?}");
    // The fake's first AccessUnit is number 0 and became frame 1.
    assert_eq!((host.fakes.lost(), host.fakes.idrs_asked()), (vec![u64::from(lost) - 1], 0));
    let live = host.peers.sessions()[0].clone();
    assert_eq!(live.figures.recovered.load(std::sync::atomic::Ordering::Relaxed), 1);
    // Of a frame that was lost whole there is no other report.
    let raised = || live.figures.parity_percent.load(std::sync::atomic::Ordering::Relaxed) > 10;
    until("more parity", raised).await;
}

/// What 0x5502 says of a block of 99 shards of which nine did not come.
const LOSSES: [u8; 21] = [0, 0, 0, 9, 0, 98, 0, 5, 0, 9, 0, 90, 0, 9, 0, 81, 0, 9, 10, 0, 1];

/// Sabotage: drop the reports, change the parity alone, or the bitrate alone.
#[tokio::test]
async fn reported_losses_raise_parity_within_the_users_bitrate() {
    let host = Host::start();
    let (_client, mut control, mut video) = streaming(&host, 1, PLAIN).await;
    // Of the pictures that need 90 shards: smaller ones have at least two of parity.
    let percents = |frames: &[Got]| -> Vec<u8> {
        frames.iter().filter(|frame| frame.bytes.len() > 80_000).map(|frame| frame.percent).collect()
    };
    let before = percents(&video.frames(40).await);
    assert!(!before.is_empty() && before.iter().all(|percent| *percent == 10), "{before:?}");
    let bitrate = *host.fakes.bitrates().last().unwrap();
    let begun = Instant::now();
    while !percents(&video.frames(40).await).iter().any(|percent| *percent >= 25) {
        assert!(begun.elapsed() < Duration::from_secs(2), "no more parity after two seconds of losses");
        (0..40).for_each(|_| control.say(0, 0x5502, &LOSSES));
    }
    until("the bitrate", || *host.fakes.bitrates().last().unwrap() < bitrate * 19 / 20).await;
    assert_eq!(host.fakes.idrs_asked(), 0, "nothing was lost for good");
}

/// Sabotage: match RTSP by the address, /cancel by nothing, or give both clients one token.
#[tokio::test]
async fn two_clients_of_one_address_stream_apart_and_one_cancels_for_itself() {
    let host = Host::start();
    host.fakes.run_free();
    let mut first = Moonlight::launch(&host, &caller(1), &app(1, None), [1; 16]).await.unwrap();
    let mut second = Moonlight::launch(&host, &caller(2), &app(2, None), [2; 16]).await.unwrap();
    second.negotiate(PLAIN).await;
    first.negotiate(PLAIN).await;
    let (first_control, second_control) = (first.connect(), second.connect());
    let mut first_video = first.video(PLAIN, host.fakes.clone()).await;
    let mut second_video = second.video(PLAIN, host.fakes.clone()).await;
    first_video.frames(10).await;
    second_video.frames(10).await;
    let current = |n: u8| host.launches.current(&caller(n).fingerprint);
    assert_eq!((current(1), current(2), current(3)), (Some(1), Some(2), None));
    let again = Moonlight::launch(&host, &caller(1), &app(1, None), [3; 16]).await;
    assert_eq!(again.err(), Some(Refused::Running));
    assert!(host.launches.cancel(&caller(1).fingerprint, "The client quit."));
    until("its end", || host.peers.sessions().len() == 1).await;
    until("the last word", || {
        first_control.heard().messages.contains(&(0x0109, 0x8003_0023u32.to_be_bytes().to_vec()))
    })
    .await;
    second_video.frames(20).await;
    assert_eq!((current(1), current(2)), (None, Some(2)));
    assert_eq!(second_control.heard().disconnects, 0);
    assert!(!host.launches.cancel(&caller(1).fingerprint, "The client quit."));
}

/// Sabotage: go on with the key of before, count its packets on, or let the session of before live.
#[tokio::test]
async fn a_resume_goes_on_with_a_fresh_key() {
    let host = Host::start();
    let sealed = Choice { packet_size: 1024, is_sealed: true };
    let (client, control, mut video) = streaming(&host, 1, sealed).await;
    video.frames(10).await;
    let session = host.peers.sessions()[0].session;
    // It vanishes without a word, and comes back at once.
    let nobody = Moonlight::resume(&host, &caller(2), KEY).await;
    assert_eq!(nobody.err(), Some(Refused::Nothing));
    let mut back = Moonlight::resume(&host, &caller(1), KEY).await.unwrap();
    back.negotiate(sealed).await;
    let back_control = back.connect();
    let mut back_video = back.video(sealed, host.fakes.clone()).await;
    let frames = back_video.frames(10).await;
    assert!(frames[0].is_idr && frames[0].number == 1);
    assert_eq!(back_video.nonces[0], 0);
    let sessions = host.peers.sessions();
    assert_eq!((sessions.len(), sessions[0].session), (1, session), "its desktop is the same");
    until("the connection", || back_control.heard().connects == 1).await;
    drop((client, control));
}

/// Sabotage: end the session with the client's connection, or keep it for ever.
#[tokio::test]
async fn a_client_that_quits_finds_its_session_for_a_while() {
    let host = Host::start();
    let (_client, control, mut video) = streaming(&host, 1, PLAIN).await;
    video.frames(10).await;
    until("the connection", || control.heard().connects == 1).await;
    drop(control);
    until("its leave", || host.peers.sessions()[0].is_deserted()).await;
    assert_eq!(host.launches.current(&caller(1).fingerprint), Some(1));
    let session = host.peers.sessions()[0].session;
    let mut back = Moonlight::launch(&host, &caller(1), &app(1, None), KEY).await.unwrap();
    back.negotiate(PLAIN).await;
    let control = back.connect();
    back.video(PLAIN, host.fakes.clone()).await.frames(5).await;
    assert_eq!(host.peers.sessions()[0].session, session);
    drop(control);
    tokio::time::sleep(KEEP).await;
    until("the end", || host.peers.sessions().is_empty() && !host.pulses.busy()).await;
}

/// Sabotage: answer the launch before encoded has answered.
#[tokio::test]
async fn what_cannot_start_is_told_at_the_launch() {
    let host = Host::start();
    host.fakes.refuse_next(Failure::new(FailureClass::Request, "There is no app \"game\".", "Mend it."));
    let refused = Moonlight::launch(&host, &caller(1), &app(1, Some("game")), KEY).await.err().unwrap();
    assert_eq!(refused.to_string(), "There is no app \"game\". Mend it.");
    assert!(host.peers.sessions().is_empty());
}

/// Sabotage: in `gamestream/rtsp.rs`, count the time since the last byte, or read whatever length is said.
#[tokio::test]
async fn a_byte_a_second_and_a_mebibyte_are_no_rtsp() {
    let host = Host::start();
    let mut client = Moonlight::launch(&host, &caller(1), &app(1, None), KEY).await.unwrap();
    let mut slow = TcpStream::connect(client.rtsp()).await.unwrap();
    let begun = Instant::now();
    let slowly = tokio::spawn(async move {
        // A message of 16,000 bytes.
        for byte in [0x80, 0, 0x3e, 0x80].into_iter().chain([0; 60]) {
            let is_open = slow.write_all(&[byte]).await.is_ok();
            let heard = tokio::time::timeout(Duration::from_millis(500), slow.read(&mut [0; 1])).await;
            if !is_open || heard.is_ok() {
                return begun.elapsed();
            }
        }
        panic!("it is still heard after {:?}", begun.elapsed());
    });
    let mut huge = TcpStream::connect(client.rtsp()).await.unwrap();
    huge.write_all(&0x8010_0000_u32.to_be_bytes()).await.unwrap();
    // Closed long before the time for a message is over, although it is said to go on.
    assert_eq!(huge.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(4), "a MiB was waited for");
    client.negotiate(PLAIN).await;
    let lasted = slowly.await.unwrap();
    assert!(lasted > Duration::from_secs(3), "{lasted:?}: a client in a slow network is to have some time");
}

/// Sabotage: answer plain RTSP, a message that came again, or a connect with another number.
#[tokio::test]
async fn who_has_no_key_hears_nothing() {
    let host = Host::start();
    let mut client = Moonlight::launch(&host, &caller(1), &app(1, None), KEY).await.unwrap();
    let rtsp = client.rtsp();
    let strangers: [&[u8]; 4] = [
        b"OPTIONS rtsp://h RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"\x80\0\0\x04\0\0\0\x01________________abcd",
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.0\r\n\r\n",
    ];
    for bytes in strangers {
        assert_eq!(exchange(rtsp, bytes).await, None);
    }
    client.negotiate(PLAIN).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let connect = "8fff123482ff00010002ffff000003840001000000000030000000000000000000001388000000020000000\
                   2deadbeef01020304";
    let connect: Vec<u8> =
        (0..connect.len() / 2).map(|n| u8::from_str_radix(&connect[2 * n..2 * n + 2], 16).unwrap()).collect();
    let (video, control) = client.ports();
    for (port, datagram) in [(control, &connect[..]), (control, b"\0"), (video, b"PING"), (video, &[0; 20])] {
        socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
    }
    tokio::task::spawn_blocking(move || assert!(socket.recv(&mut [0; 64]).is_err())).await.unwrap();
}

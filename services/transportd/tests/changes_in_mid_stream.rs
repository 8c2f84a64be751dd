//! What changes while a session streams: its mode, its client's absence, what keeps the pictures away.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use lumen_core::{
    ClientEvent, CloseReason,
    control::{Input, Launched, Mode, NoticeKind},
};
use lumen_ipc::{Failure, FailureClass, input::ToInput};
use lumen_transportd::{
    identity::Identity,
    peers::mail::{Mail, News},
};
use scene::{
    Host, PATIENCE,
    client::{Client, Video, dial, launch},
    identity, until,
};
use tokio::sync::mpsc::unbounded_channel;

const TALL: Mode = Mode { width: 1080, height: 1920, refresh_mhz: 59_940 };

fn ours(mode: Mode) -> lumen_ipc::Mode {
    lumen_ipc::Mode { width: mode.width, height: mode.height, refresh_mhz: mode.refresh_mhz }
}

async fn streaming(host: &Host) -> (Identity, Client, Launched, Video) {
    let me = identity();
    host.clients.allow(me.fingerprint, "me").unwrap();
    let (client, launched, video) = launching(host, &me).await;
    (me, client, launched, video)
}

async fn launching(host: &Host, me: &Identity) -> (Client, Launched, Video) {
    let connection = dial(host.address, me, host.fingerprint).await.unwrap();
    let mut client = Client::start(connection, launch()).await;
    let launched = client.launched().await.unwrap();
    let video = client.video(&launched, host).await;
    (client, launched, video)
}

/// What the host says next about the stream, within five seconds.
async fn told(client: &mut Client) -> ClientEvent {
    let wait = async {
        loop {
            let event = client.event().await.unwrap();
            if matches!(event, ClientEvent::Notice(_) | ClientEvent::ModeChanged(_)) {
                return event;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), wait).await.expect("news within five seconds")
}

fn notice(event: &ClientEvent) -> (NoticeKind, &str) {
    match event {
        ClientEvent::Notice(notice) => (notice.kind, &notice.text),
        other => panic!("{other:?}"),
    }
}

/// Sabotage: begin a new session or new numbers for a new mode, leave the seat at the old size, or tell of it before
/// the encoder has it.
#[tokio::test]
async fn a_new_mode_goes_on_in_the_same_session_with_the_next_number() {
    let host = Host::start();
    let (_me, mut client, launched, mut video) = streaming(&host).await;
    let last = video.frames(10).await.last().unwrap().number;
    client.session.set_mode(TALL);
    client.flush().await;
    let ClientEvent::ModeChanged(changed) = told(&mut client).await else { panic!("no new mode") };
    assert_eq!(changed.mode, TALL);
    let frames = video.frames(30).await;
    for (frame, number) in frames.iter().zip(last + 1..) {
        assert_eq!(frame.number, number);
        assert_eq!(frame.idr, number == changed.next_frame, "frame {number}");
    }
    let session = lumen_ipc::SessionId(launched.session.0);
    assert_eq!(host.fakes.modes().last(), Some(&(session, ours(TALL))));
    let live = host.peers.sessions().remove(0);
    assert_eq!(live.record.mode(), ours(TALL), "the next incarnation asks for it");
    until("the seat", || host.fakes.seats() == [(1280, 720), (1080, 1920)]).await;
    assert!(host.fakes.closed().is_empty());
}

/// Sabotage: open another link for the hang-up of a link that was replaced: each replaces the one before, for ever.
#[tokio::test]
async fn a_change_costs_one_link_however_fast_they_come() {
    let host = Host::start();
    let (_me, mut client, _, mut video) = streaming(&host).await;
    video.frames(5).await;
    let changes = async {
        for width in [640, 704, 768, 832, 896] {
            client.session.set_mode(Mode { width, ..TALL });
            client.flush().await;
            assert!(matches!(told(&mut client).await, ClientEvent::ModeChanged(_)));
        }
        // At once: the last one counts, and those before it may cost nothing.
        for width in (960..=1344).step_by(64) {
            client.session.set_mode(Mode { width, ..TALL });
        }
        client.flush().await;
        let live = host.peers.sessions().remove(0);
        until("the last one", || live.record.mode().width == 1344).await;
    };
    // Together, because what nobody reads overflows the client's socket.
    tokio::join!(changes, video.frames(60));
    let links = host.fakes.links().0;
    assert!((7..=13).contains(&links), "{links} links for 12 changes");
    video.frames(100).await;
    assert_eq!(host.fakes.links().0, links, "none is opened any more");
}

/// Sabotage: end the session, leave the request unanswered, or go on asking for the impossible mode.
#[tokio::test]
async fn a_mode_that_cannot_be_is_explained_and_the_stream_goes_on() {
    let host = Host::start();
    let (_me, mut client, _, mut video) = streaming(&host).await;
    video.frames(5).await;
    client.session.set_mode(Mode { width: 0, height: 0, refresh_mhz: 60_000 });
    client.flush().await;
    let event = told(&mut client).await;
    assert!(notice(&event).1.contains("0×0") && notice(&event).1.contains("goes on"), "{event:?}");
    host.fakes.cannot(ours(TALL));
    client.session.set_mode(TALL);
    client.flush().await;
    let event = told(&mut client).await;
    assert_eq!(notice(&event), (NoticeKind::Running, "No such mode. The stream goes on as it was."));
    let ClientEvent::ModeChanged(changed) = told(&mut client).await else { panic!("not taken back") };
    assert_eq!(changed.mode, launch().mode);
    video.frames(30).await;
    assert_eq!(host.peers.sessions()[0].record.mode(), ours(launch().mode));
}

/// Sabotage: end the stream for a locked desktop or a compositor that is away, or tell it again with each failure.
#[tokio::test]
async fn what_keeps_the_pictures_away_is_told_and_so_is_their_return() {
    let host = Host::start();
    let (_me, mut client, _, mut video) = streaming(&host).await;
    video.frames(5).await;
    for (class, kind) in
        [(FailureClass::Locked, NoticeKind::Locked), (FailureClass::Environment, NoticeKind::Waiting)]
    {
        host.fakes.ail(Failure::new(class, "It is away.", "Bring it back."));
        let event = told(&mut client).await;
        assert_eq!(notice(&event), (kind, "It is away."));
        let live = host.peers.sessions().remove(0);
        until("the state", || live.state.lock().unwrap().ends_with(": It is away.")).await;
        host.fakes.heal();
        let event = told(&mut client).await;
        assert_eq!(notice(&event).0, NoticeKind::Running);
        video.frames(20).await;
        until("the state", || live.state.lock().unwrap().as_str() == "streams").await;
    }
}

/// Sabotage: pass the signal on to nobody, or forget it when the client comes back.
#[tokio::test]
async fn an_app_that_ends_is_told_also_to_a_client_that_comes_back() {
    let host = Host::start();
    let (me, mut client, launched, _video) = streaming(&host).await;
    let session = lumen_ipc::SessionId(launched.session.0);
    let mail = Mail::AppEnded { text: "The app ended.".into(), advice: "See its log.".into() };
    host.peers.announce(session, mail);
    assert_eq!(notice(&told(&mut client).await), (NoticeKind::AppEnded, "The app ended."));
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    client.resume(connection).await.unwrap();
    assert_eq!(notice(&told(&mut client).await), (NoticeKind::AppEnded, "The app ended."));
}

/// Sabotage: end a session whose client closes its connection, go on encoding for nobody, make a second Output for the
/// client that launches anew, keep the keys of the connection before, or number the texts from 0.
#[tokio::test]
async fn a_client_that_launches_anew_gets_what_was_kept_for_it_with_new_keys() {
    let host = Host::start();
    let (me, mut client, first, mut video) = streaming(&host).await;
    video.frames(5).await;
    client.session.input(Input::Text("a".into()));
    client.flush().await;
    until("the text", || host.fakes.inputs().contains(&ToInput::Text { number: 1, text: "a".into() })).await;
    drop(client);
    let live = host.peers.sessions().remove(0);
    until("the loss", || live.is_alone.load(std::sync::atomic::Ordering::Relaxed)).await;
    tokio::time::sleep(PATIENCE * 5 / 4).await;
    assert!(live.state.lock().unwrap().starts_with("kept"));
    let sent = || live.figures.frames.load(std::sync::atomic::Ordering::Relaxed);
    let before = sent();
    tokio::time::sleep(PATIENCE / 4).await;
    assert_eq!(sent(), before, "frames are held back");
    host.fakes.kill_encoders();
    let (mut client, second, mut video) = launching(&host, &me).await;
    assert_eq!(second.session, first.session);
    assert_ne!(second.channel, first.channel);
    assert_eq!(video.frames(10).await[0].number, second.next_frame);
    assert_eq!(host.peers.sessions().len(), 1);
    assert!(host.fakes.closed().is_empty(), "what is upstream was never released");
    client.session.input(Input::Text("b".into()));
    client.flush().await;
    until("the text", || host.fakes.inputs().contains(&ToInput::Text { number: 2, text: "b".into() })).await;
    client.session.stop();
    client.flush().await;
    until("the end", || host.peers.sessions().is_empty()).await;
}

/// Sabotage: take a session over whose client is there, or one that runs another app.
#[tokio::test]
async fn a_second_stream_of_one_client_is_a_session_of_its_own() {
    let host = Host::start();
    host.fakes.run_free();
    let (me, _client, first, _video) = streaming(&host).await;
    let (second_client, second, _other) = launching(&host, &me).await;
    assert_ne!(second.session, first.session);
    drop(second_client);
    until("the loss", || host.peers.kept(&me.fingerprint).is_some()).await;
    let connection = dial(host.address, &me, host.fingerprint).await.unwrap();
    let mut request = launch();
    request.app = Some("other".into());
    let third = Client::start(connection, request).await.launched().await.unwrap();
    assert!(third.session != first.session && third.session != second.session);
    let session = lumen_ipc::SessionId(second.session.0);
    until("the end of the kept one", || host.fakes.closed().contains(&session)).await;
}

/// Sabotage: wait for QUIC to find out that a client has crashed before its desktop is given to the one that comes back.
#[tokio::test]
async fn a_session_whose_client_says_no_hello_any_more_is_taken_over_at_once() {
    let host = Host::start();
    host.fakes.run_free();
    let (me, mut client, first, _video) = streaming(&host).await;
    let live = host.peers.sessions().remove(0);
    until("the silence", || live.path.is_silent()).await;
    let (_second_client, second, _other) = launching(&host, &me).await;
    assert_eq!(second.session, first.session);
    assert_ne!(second.channel, first.channel);
    assert!(host.fakes.closed().is_empty());
    let over = loop {
        match client.event().await {
            Ok(_) => {}
            Err(over) => break over,
        }
    };
    assert!(
        matches!(&over, CloseReason::PeerLeft { reason } if reason.contains("launched anew")),
        "{over:?}"
    );
}

/// Sabotage: say Close to encoded, take the record out of the store, or say goodbye to the client.
#[tokio::test]
async fn an_incarnation_that_is_asked_to_end_leaves_its_sessions_to_the_next() {
    let host = Host::start();
    let (_me, mut client, _, mut video) = streaming(&host).await;
    video.frames(5).await;
    host.peers.part();
    let event = told(&mut client).await;
    assert_eq!(notice(&event).0, NoticeKind::Waiting);
    until("the end", || host.peers.sessions().is_empty() && !host.pulses.busy()).await;
    until("the hang-up", || host.fakes.links() == (1, 1)).await;
    assert!(host.fakes.closed().is_empty());
    assert_eq!(client.connection.close_reason(), None);
}

/// Sabotage: leave a client unanswered whose session ends as it comes back.
#[tokio::test]
async fn a_client_that_comes_back_to_a_session_that_just_ends_is_answered() {
    let host = Host::start();
    let (me, _client, launched, _video) = streaming(&host).await;
    let mail = host.peers.mailbox(lumen_ipc::SessionId(launched.session.0), &me.fingerprint).unwrap();
    let (news, mut told) = unbounded_channel();
    // Both wait in its mailbox before it looks again.
    mail.send(Mail::End("enough".into())).unwrap();
    mail.send(Mail::Attach { birth: 99, news }).unwrap();
    let answer = told.recv().await;
    assert!(
        matches!(&answer, Some(News::Refused(refused)) if refused.text.contains("no session")),
        "{answer:?}"
    );
}

use crate::pair::ms;
use lumen_core::clock::{ClockEstimator, Sample};
use lumen_core::control::{
    Codec, Finger, Input, Launch, Launched, Message, Mode, ModeChanged, Notice, NoticeKind, PointerMoved,
    PointerShape, PointerSpot, RefusalClass, Refused, SessionId,
};
use lumen_core::session::Output;
use lumen_core::{
    ChannelId, ClientConfig, ClientEvent, ClientSession, CloseReason, HostEvent, HostSession, Timestamp,
};
use std::time::Duration;

fn config() -> ClientConfig {
    let mode = Mode { width: 1280, height: 720, refresh_mhz: 59_940 };
    let launch = Launch {
        mode,
        bitrate_bps: 10_000_000,
        parity_percent: 20,
        datagram_len: 1400,
        app: Some("stamp".into()),
        codecs: vec![Codec::Hevc, Codec::H264],
        is_pointer_separate: true,
        channels: 0,
        has_microphone: false,
    };
    ClientConfig { name: "couch".into(), launch }
}

fn launched() -> Launched {
    Launched {
        session: SessionId([9; 16]),
        channel: ChannelId(77),
        video_port: 48_010,
        mode: config().launch.mode,
        codec: Codec::H264,
        next_frame: 0,
        microphone: lumen_core::control::Microphone::None,
    }
}

/// Carries bytes both ways until both are silent; the host's clock runs `ahead` of the client's.
struct World {
    client: ClientSession,
    host: HostSession,
    now: Timestamp,
    ahead: Duration,
    client_events: Vec<ClientEvent>,
    host_events: Vec<HostEvent>,
    client_closed: Option<CloseReason>,
    host_closed: Option<CloseReason>,
}

impl World {
    fn new() -> Self {
        let ahead = Duration::from_secs(5);
        Self {
            client: ClientSession::new(config(), ms(0)),
            host: HostSession::new("den", ms(0) + ahead),
            now: ms(0),
            ahead,
            client_events: Vec::new(),
            host_events: Vec::new(),
            client_closed: None,
            host_closed: None,
        }
    }

    fn streaming() -> Self {
        let mut world = Self::new();
        world.run();
        world.host.launched(launched());
        world.run();
        world.client_events.clear();
        world.host_events.clear();
        world
    }

    /// Each flight takes a millisecond.
    fn run(&mut self) {
        loop {
            let (mut to_host, mut to_client) = (Vec::new(), Vec::new());
            while let Some(output) = self.client.poll_output() {
                match output {
                    Output::Send(bytes) => to_host.extend(bytes),
                    Output::Event(event) => self.client_events.push(event),
                    Output::Close(reason) => self.client_closed = Some(reason),
                }
            }
            while let Some(output) = self.host.poll_output() {
                match output {
                    Output::Send(bytes) => to_client.extend(bytes),
                    Output::Event(event) => self.host_events.push(event),
                    Output::Close(reason) => self.host_closed = Some(reason),
                }
            }
            if to_host.is_empty() && to_client.is_empty() {
                return;
            }
            self.now = self.now + Duration::from_millis(1);
            self.host.handle_bytes(&to_host, self.now + self.ahead);
            self.client.handle_bytes(&to_client, self.now);
        }
    }
}

#[test]
fn a_launch_is_one_round_trip_and_the_host_sees_what_was_asked() {
    let mut world = World::new();
    world.run();
    assert_eq!(
        world.host_events,
        [HostEvent::ClientNamed("couch".into()), HostEvent::Launch(config().launch)]
    );
    world.host.launched(launched());
    world.run();
    assert_eq!(
        world.client_events,
        [ClientEvent::HostNamed("den".into()), ClientEvent::Launched(launched())]
    );
    assert_eq!((world.client.poll_timeout(), world.host.poll_timeout()), (None, None));
}

#[test]
fn what_a_client_says_while_streaming_arrives() {
    let mut world = World::streaming();
    world.client.request_idr(41);
    world.client.set_bitrate(5_000_000);
    world.client.input(Input::Text("tüp".into()));
    world.run();
    let expected = [
        HostEvent::RequestIdr { after_frame: 41 },
        HostEvent::SetBitrate { bps: 5_000_000 },
        HostEvent::Input(Input::Text("tüp".into())),
    ];
    assert_eq!(world.host_events, expected);
    assert!(!format!("{expected:?}").contains("tüp"), "typed text must not reach a log");
}

fn full_hd() -> Mode {
    Mode { width: 1920, height: 1080, refresh_mhz: 60_000 }
}

// Sabotage: keep the mode of the launch in the client, so that it asks again for one that it has.
#[test]
fn a_mode_is_asked_for_and_answered_while_the_stream_goes_on() {
    let mut world = World::streaming();
    world.client.set_mode(full_hd());
    world.run();
    assert_eq!(world.host_events, [HostEvent::SetMode(full_hd())]);
    let changed = ModeChanged { mode: full_hd(), next_frame: 90 };
    world.host.mode_changed(changed);
    world.run();
    assert_eq!(world.client_events, [ClientEvent::ModeChanged(changed)]);
    assert_eq!((&world.client_closed, &world.host_closed), (&None, &None));
}

// Sabotage: send a shape as one message, which its length does not allow, or tell the spot before its shape.
#[test]
fn a_pointer_that_is_told_apart_arrives_shape_first() {
    let mut world = World::streaming();
    let pixels = vec![9; 256 * 200 * 4];
    let shape = PointerShape { id: 1, width: 256, height: 200, hotspot_x: 3, hotspot_y: 4, pixels };
    let moved = PointerMoved { spot: Some(PointerSpot { x: -5, y: 6, shape: 1 }) };
    world.host.pointer_shape(&shape);
    world.host.pointer_moved(moved);
    world.run();
    let told = [ClientEvent::PointerShape(shape), ClientEvent::PointerMoved(moved)];
    assert_eq!(world.client_events, told);
    assert_eq!((&world.client_closed, &world.host_closed), (&None, &None));
}

// Sabotage: tell a person nothing before the stream runs, when a locked desktop is what keeps it from running.
#[test]
fn a_notice_reaches_a_client_that_waits_for_its_stream_and_ends_nothing() {
    let mut world = World::new();
    world.run();
    let notice = Notice { kind: NoticeKind::Locked, text: "locked".into(), advice: "unlock it".into() };
    world.host.notice(notice.clone());
    world.host.launched(launched());
    world.host.notice(notice.clone());
    world.run();
    let told = ClientEvent::Notice(notice);
    let expected =
        [ClientEvent::HostNamed("den".into()), told.clone(), ClientEvent::Launched(launched()), told];
    assert_eq!(world.client_events, expected);
}

// Sabotage: forget on a new connection what was asked for on the one that was lost.
#[test]
fn what_was_asked_for_is_said_again_on_a_new_connection() {
    let mut world = World::streaming();
    world.client.set_bitrate(3_000_000);
    world.client.set_mode(full_hd());
    world.client.connection_lost(world.now);
    world.host = HostSession::new("den", world.now + world.ahead);
    while world.client.poll_output().is_some() {}
    world.client.connected(world.now);
    world.run();
    world.host.launched(launched());
    world.run();
    let (bitrate, mode) = (HostEvent::SetBitrate { bps: 3_000_000 }, HostEvent::SetMode(full_hd()));
    let said = [bitrate, mode, HostEvent::Input(Input::Held(Vec::new()))];
    assert!(world.host_events.ends_with(&said), "{:?}", world.host_events);
}

// Sabotage: swap received and answered of a pong, or use the local clock for one of them.
#[test]
fn pings_measure_a_clock_that_is_five_seconds_ahead() {
    let mut world = World::streaming();
    let mut clock = ClockEstimator::new();
    world.client.ping(world.now);
    world.run();
    let [ClientEvent::Pong(sample)] = world.client_events[..] else { panic!("{:?}", world.client_events) };
    clock.add(sample);
    assert_eq!(clock.estimate().unwrap().offset_ns, 5_000_000_000);
    assert_eq!(clock.estimate().unwrap().rtt, Duration::from_millis(2));
    assert_eq!(clock.to_local(ms(6000)), Some(ms(1000)));
    // A sample that waited 80 ms on one way only would shift the clock by 40 ms: it is not believed.
    let late = Sample { received: sample.received + Duration::from_millis(80), ..sample };
    clock.add(late);
    assert_eq!(clock.to_local(ms(6000)), Some(ms(1000)));
}

#[test]
fn a_refusal_closes_both_sides_with_its_reason() {
    let mut world = World::new();
    world.run();
    let refused = Refused {
        class: RefusalClass::Mode,
        text: "0×0 is no mode.".into(),
        advice: "Ask for another.".into(),
    };
    world.host.refuse(refused.clone());
    world.run();
    assert_eq!(world.client_closed, Some(CloseReason::Refused(refused.clone())));
    assert_eq!(world.host_closed, Some(CloseReason::Refused(refused)));
}

// Sabotage: drop the deadline of a state.
#[test]
fn silence_before_the_request_ends_after_ten_seconds() {
    let mut host = HostSession::new("den", ms(0));
    assert_eq!(host.poll_timeout(), Some(ms(10_000)));
    host.handle_bytes(&Message::Hello(lumen_core::control::Hello::new("x")).to_bytes(), ms(9000));
    assert_eq!(host.poll_timeout(), Some(ms(10_000)), "a hello must not buy more time");
    host.handle_timeout(ms(9999));
    while let Some(output) = host.poll_output() {
        assert!(!matches!(output, Output::Close(_)));
    }
    host.handle_timeout(ms(10_000));
    let last = std::iter::from_fn(|| host.poll_output()).last();
    let after = Duration::from_secs(10);
    assert_eq!(last, Some(Output::Close(CloseReason::Deadline { waiting_for: "Launch", after })));
    let mut client = ClientSession::new(config(), ms(0));
    client.handle_timeout(ms(10_000));
    let last = std::iter::from_fn(|| client.poll_output()).last();
    assert_eq!(last, Some(Output::Close(CloseReason::Deadline { waiting_for: "Hello", after })));
}

#[test]
fn a_session_outlives_its_connection() {
    let mut world = World::streaming();
    world.client.connection_lost(world.now);
    world.run();
    assert_eq!(world.client_events, [ClientEvent::Dial]);
    world.client_events.clear();
    world.host = HostSession::new("den", world.now + world.ahead);
    world.client.connected(world.now);
    world.run();
    assert_eq!(world.host_events[1..], [HostEvent::Resume(SessionId([9; 16]))]);
    let resumed = Launched { next_frame: 500, ..launched() };
    world.host.launched(resumed.clone());
    world.run();
    assert_eq!(world.client_events[1..], [ClientEvent::Resumed(resumed)]);
    world.client.request_idr(1);
    world.run();
    assert_eq!(world.host_events.last(), Some(&HostEvent::RequestIdr { after_frame: 1 }));
}

// Sabotage: forget what is down, or what went up while the connection was lost.
#[test]
fn what_is_held_is_said_again_on_a_new_connection() {
    let mut world = World::streaming();
    let key = |code, pressed| Input::Key { code, pressed };
    for input in [key(30, true), key(31, true), Input::Button { code: 272, pressed: true }, key(31, false)] {
        world.client.input(input);
    }
    world.run();
    let fingers = |cancels| Input::Fingers { down: vec![Finger { id: 7, x: 1, y: 2, pressure: 3 }], cancels };
    world.client.connection_lost(world.now);
    world.client.input(Input::Button { code: 272, pressed: false });
    world.client.input(key(42, true));
    world.client.input(fingers(false));
    world.run();
    world.host = HostSession::new("den", world.now + world.ahead);
    world.client.connected(world.now);
    world.run();
    world.host_events.clear();
    world.host.launched(Launched { next_frame: 500, ..launched() });
    world.run();
    let said = [HostEvent::Input(Input::Held(vec![30, 42])), HostEvent::Input(fingers(true))];
    assert_eq!(world.host_events, said);
}

#[test]
fn a_host_that_stays_away_for_ten_seconds_is_given_up() {
    let mut world = World::streaming();
    let lost_at = world.now;
    world.client.connection_lost(lost_at);
    // A dial that fails again does not buy more time.
    world.client.connected(lost_at + Duration::from_secs(4));
    world.client.connection_lost(lost_at + Duration::from_secs(5));
    assert_eq!(world.client.poll_timeout(), Some(lost_at + Duration::from_secs(10)));
    world.client.handle_timeout(lost_at + Duration::from_secs(10));
    world.run();
    assert!(matches!(world.client_closed, Some(CloseReason::Deadline { .. })), "{:?}", world.client_closed);
}

// Sabotage: give up with the connection, or let each new connection buy more time.
#[test]
fn a_launch_whose_connection_is_lost_is_said_again() {
    let mut world = World::new();
    let greeted = |world: &World| world.host_events.contains(&HostEvent::Launch(config().launch));
    for _ in 0..2 {
        world.run();
        assert!(greeted(&world), "{:?}", world.host_events);
        world.host_events.clear();
        world.client.connection_lost(world.now);
        world.run();
        assert_eq!(world.client_events.pop(), Some(ClientEvent::Dial));
        world.host = HostSession::new("den", world.now + world.ahead);
        world.client.connected(world.now);
    }
    assert!(world.client.poll_timeout() < Some(ms(10_100)), "{:?}", world.client.poll_timeout());
    world.run();
    // As long as the first one was given: its hello took 2 ms.
    assert_eq!(world.client.poll_timeout(), Some(ms(30_002)));
    world.host.launched(launched());
    world.run();
    assert_eq!(world.client_events.pop(), Some(ClientEvent::Launched(launched())));
    assert_eq!(world.client_closed, None);
}

#[test]
fn a_resume_answered_with_another_session_is_refused() {
    let mut world = World::streaming();
    world.client.connection_lost(world.now);
    world.host = HostSession::new("den", world.now + world.ahead);
    world.client.connected(world.now);
    world.run();
    world.host.launched(Launched { session: SessionId([1; 16]), ..launched() });
    world.run();
    assert_eq!(world.client_closed, Some(CloseReason::WrongSession));
}

#[test]
fn stop_tells_the_host_to_tear_down() {
    let mut world = World::streaming();
    world.client.stop();
    world.run();
    assert_eq!(world.host_events, [HostEvent::Stop]);
    assert_eq!(
        (world.client_closed, world.host_closed),
        (Some(CloseReason::Stopped), Some(CloseReason::Stopped))
    );
}

#[test]
fn what_only_a_host_says_ends_a_clients_connection() {
    let mut host = HostSession::new("den", ms(0));
    host.handle_bytes(&Message::Launched(launched()).to_bytes(), ms(0));
    let outputs: Vec<_> = std::iter::from_fn(|| host.poll_output()).collect();
    let state = "waiting for its hello";
    let reason = CloseReason::Unexpected { message: "Launched", state };
    assert_eq!(outputs.last(), Some(&Output::Close(reason)));
    host.launched(launched());
    assert_eq!(host.poll_output(), None, "a closed session says nothing more");
}

#[test]
fn a_message_of_a_later_version_is_skipped() {
    let mut world = World::streaming();
    world.host.handle_bytes(&[0xff, 0x7f, 3, 0, 1, 2, 3], world.now);
    world.client.ping(world.now);
    world.run();
    assert_eq!(world.client_events.len(), 1);
    assert_eq!(world.host_closed, None);
}

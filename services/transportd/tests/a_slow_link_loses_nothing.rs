//! A stream of 50 Mbit/s over Fast Ethernet behind a switch with a short queue: in virtual time, through a real socket.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{cell::Cell, net::UdpSocket, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use lumen_core::Timestamp;
use lumen_gamestream::{
    http::answers::Codecs,
    keys::SessionKey,
    rtsp::{Offer, Sdp, StreamConfig},
};
use lumen_ipc::{
    SessionId, Timeline,
    encode::{AccessUnit, UnitKind},
};
use lumen_netem::{Netem, NetemConfig};
use lumen_transportd::{
    record::{Fixed, Record, Terms},
    video::{
        Figures, Outlet,
        cutter::{Cut, GameStream},
        flight::{Flight, Progress},
        outlet::Destination,
        pacing::Pacing,
    },
};

const KBPS: u32 = 50_000;
const FRAME: Duration = Duration::from_nanos(16_666_667);
/// Of a picture that uses all that 20 % of parity leave of the bitrate.
const DELTA: usize = 86_800;
const IDR: usize = 5 * DELTA;
/// Ethernet, IPv4 and UDP.
const WIRE_BYTES: usize = 66;
const DATAGRAM: usize = 1392 + 16;

fn config() -> StreamConfig {
    let sdp = format!(
        "a=x-nv-video[0].clientViewportWd:1920\na=x-nv-video[0].clientViewportHt:1080\na=x-nv-video[0].maxFPS:60\n\
         a=x-nv-video[0].packetSize:1392\na=x-ml-video.configuredBitrateKbps:{KBPS}\n\
         a=x-nv-vqos[0].bitStreamFormat:0\na=x-nv-general.useReliableUdp:13\na=x-ss-general.encryptionEnabled:1\n"
    );
    let offer = Offer {
        codecs: Codecs::H264,
        invalidates_references: false,
        touch: false,
        pad_sensors: false,
        seal_video: false,
    };
    StreamConfig::choose(&Sdp::parse(&sdp).unwrap(), &offer, false).unwrap()
}

fn record(config: StreamConfig) -> Arc<Record> {
    let fixed = Fixed {
        session: SessionId([1; 16]),
        fingerprint: [1; 32],
        client: String::new(),
        channel: 5,
        secret: [3; 32],
        mode: (1920, 1080, 60_000),
        app: None,
        parity_percent: 20,
        datagram_len: 0,
    };
    let terms = Terms { key: [3; 16], app: 1, video: [1; 16], control: 7, config };
    Arc::new(Record::make_gamestream(&fixed, &terms, 40_000_000).unwrap())
}

/// From the flight to the other end of the link.
struct Scene {
    flight: Flight,
    outlet: Outlet,
    client: UdpSocket,
    figures: Figures,
    link: Netem,
    now: Cell<u64>,
    /// When each datagram left.
    left: Vec<Duration>,
}

impl Scene {
    fn new(pacing: Pacing) -> Self {
        let config = config();
        let cutter = GameStream::new(&config, &SessionKey::from_bytes([3; 16]), record(config)).unwrap();
        assert_eq!(cutter.datagram_len(), DATAGRAM);
        let outlet = Outlet::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let fast_ethernet = NetemConfig {
            rate_bps: 100_000_000,
            queue_bytes: 32 * (DATAGRAM + WIRE_BYTES),
            ..NetemConfig::default()
        };
        let now = Timestamp::from_ns(0);
        Self {
            flight: Flight::new(Box::new(cutter), 40_000_000, pacing, outlet.max_segments(), now),
            outlet,
            client,
            figures: Figures::default(),
            link: Netem::new(fast_ethernet, 1),
            now: Cell::new(0),
            left: Vec::new(),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.now.get())
    }

    /// One picture, sent as the session's thread does it; how long that took.
    fn send(&mut self, number: u64, bytes: &[u8]) -> Duration {
        let kind = if number == 1 { UnitKind::Idr } else { UnitKind::Delta };
        let len = bytes.len() as u32;
        let unit = AccessUnit { number, kind, offset: 0, len, frame: number, timeline: Timeline::default() };
        let received_ns = self.now.get();
        self.flight.load(&Cut { unit, bytes, number, received_ns }, || self.now.get()).unwrap();
        let to = Destination { to: self.client.local_addr().unwrap(), from: None };
        loop {
            let progress = self.flight.advance(&self.outlet, to, &self.figures, || self.now.get()).unwrap();
            self.carry();
            match progress {
                Progress::Wait { until, .. } => self.now.set(until.as_ns()),
                Progress::Landed(_) => return self.now() - Duration::from_nanos(received_ns),
                Progress::Idle => panic!("there is a frame"),
            }
        }
    }

    /// What left goes over the link.
    fn carry(&mut self) {
        let (mut buffer, now) = ([0; 2048], self.now());
        while (self.left.len() as u64) < self.figures.datagrams.load(Relaxed) {
            let len = self.client.recv(&mut buffer).unwrap();
            self.link.push(now, &buffer[..len + WIRE_BYTES]);
            self.left.push(now);
        }
    }

    /// Three seconds, with an IDR each; how long the slowest picture that is none took.
    fn stream(&mut self) -> Duration {
        let bytes: Vec<u8> = (0..IDR).map(|n| (n * 31 % 251) as u8).collect();
        let mut slowest = Duration::ZERO;
        for n in 0..180 {
            // encoded begins no picture before the one before has left.
            self.now.set((FRAME * n).max(self.now()).as_nanos() as u64);
            if n % 60 == 0 {
                self.send(u64::from(n) + 1, &bytes);
            } else {
                slowest = slowest.max(self.send(u64::from(n) + 1, &bytes[..DELTA]));
            }
        }
        slowest
    }
}

/// Sabotage: give the bucket no gap, 48 datagrams, or twice the rate; the second half of the test is what happens without it.
#[test]
fn fifty_megabits_with_idrs_pass_fast_ethernet_and_a_queue_of_32() {
    let mut paced = Scene::new(Pacing::Asked { kbps: KBPS, datagram_len: DATAGRAM });
    let slowest = paced.stream();
    let counters = paced.link.counters();
    assert_eq!((counters.lost, counters.overflowed), (0, 0), "{counters:?}");
    assert!(counters.pushed > 180 * 70, "{counters:?}");
    assert!(paced.left.windows(9).all(|nine| nine[8] - nine[0] >= Duration::from_micros(250)));
    assert!(paced.figures.largest_burst.load(Relaxed) <= 8);
    assert!(slowest < FRAME * 3 / 5, "{slowest:?}: the next picture would wait");
    // As lumen/1 paces, for clients that say what their link bears.
    let mut hasty = Scene::new(Pacing::Bitrate { parity_percent: 20 });
    hasty.stream();
    assert!(hasty.link.counters().overflowed > 100, "{:?}", hasty.link.counters());
}

/// Sabotage: pace whoever asks 100 Mbit/s as if Fast Ethernet bore it.
#[test]
fn whoever_asks_more_than_fast_ethernet_bears_waits_for_nothing() {
    let mut fast = Scene::new(Pacing::Asked { kbps: 100_000, datagram_len: DATAGRAM });
    let slowest = fast.stream();
    assert!(slowest < Duration::from_millis(1), "{slowest:?}");
}

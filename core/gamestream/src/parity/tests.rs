use super::*;
use crate::http::answers::Codecs;
use crate::rtsp::{Offer, Sdp};
use lumen_netem::Rng;
use proptest::prelude::*;

fn config(kbps: u32, packet_size: u16, fps: u32, seal_video: bool) -> StreamConfig {
    let sdp = format!(
        "a=x-nv-video[0].clientViewportWd:1280\na=x-nv-video[0].clientViewportHt:720\na=x-nv-video[0].maxFPS:{fps}\n\
         a=x-nv-video[0].packetSize:{packet_size}\na=x-ml-video.configuredBitrateKbps:{kbps}\n\
         a=x-nv-vqos[0].bitStreamFormat:0\na=x-nv-vqos[0].fec.minRequiredFecPackets:2\n\
         a=x-nv-general.useReliableUdp:13\na=x-ss-general.encryptionEnabled:{}\n",
        if seal_video { 3 } else { 1 },
    );
    let offer = Offer {
        codecs: Codecs::H264,
        invalidates_references: false,
        touch: false,
        pad_sensors: false,
        seal_video,
    };
    StreamConfig::choose(&Sdp::parse(&sdp).unwrap(), &offer, false).unwrap()
}

/// A host and a stock client: 60 frames a second of `DATA` shards, reports with the client's ping, every 100 ms.
struct Scene {
    parity: Parity,
    rng: Rng,
    frame: u32,
    sent: u64,
    reports: Vec<FecStatus>,
    /// Of the frames of [`Scene::run`].
    lost: u32,
}

const DATA: u16 = 30;

impl Scene {
    fn new() -> Self {
        let parity = Parity::new(0, 0, Timestamp::from_ns(0));
        Self { parity, rng: Rng::new(7), frame: 0, sent: 0, reports: Vec::new(), lost: 0 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ns(u64::from(self.frame) * 1_000_000_000 / 60)
    }

    fn frame(&mut self, loss: f64) {
        let parity = parity(DATA.into(), self.parity.percent(), 2) as u16;
        let (mut received_data, mut received_parity, mut missing, mut data_missing) = (0, 0, 0, 0);
        for shard in 0..DATA + parity {
            // A client that has enough looks at no more.
            let enough = received_data + received_parity == DATA;
            match (self.rng.chance(loss), enough) {
                (_, true) => {}
                (true, false) => {
                    missing += 1;
                    data_missing += u16::from(shard < DATA);
                }
                (false, false) if shard < DATA => received_data += 1,
                (false, false) => received_parity += 1,
            }
        }
        self.sent += u64::from(DATA + parity);
        self.lost += u32::from(received_data + received_parity < DATA);
        if data_missing > 0 {
            self.reports.push(FecStatus {
                frame: self.frame,
                highest: 0,
                next_contiguous: 0,
                missing_before_highest: missing,
                data: DATA,
                parity,
                received_data,
                received_parity,
                percent: self.parity.percent(),
                block: 0,
                blocks: 1,
            });
        }
        self.frame += 1;
        if self.frame.is_multiple_of(6) {
            let reports = std::mem::take(&mut self.reports);
            reports.iter().for_each(|report| self.parity.handle_report(report));
        }
        if self.frame.is_multiple_of(15) {
            let (before, now) = (self.parity.percent(), self.now());
            let changed = self.parity.handle_tick(self.frame.into(), self.sent, now);
            assert_eq!(changed, before != self.parity.percent());
        }
    }

    /// Percent after each of so many seconds.
    fn run(&mut self, seconds: u32, loss: f64) -> Vec<u8> {
        self.lost = 0;
        let mut percents = Vec::new();
        for _ in 0..seconds {
            (0..60).for_each(|_| self.frame(loss));
            percents.push(self.parity.percent());
        }
        percents
    }
}

/// Sabotage: judge a tick by itself, hold for ever, fall at once, or leave the spread of losses out.
#[test]
fn parity_rises_within_two_seconds_of_loss_and_falls_within_thirty() {
    let mut scene = Scene::new();
    assert!(scene.run(10, 0.0).iter().all(|percent| *percent == LEAST));
    let risen = scene.run(2, 0.05);
    assert!(risen[1] >= 25, "{risen:?}");
    let held = scene.run(60, 0.05);
    assert!(held.iter().all(|percent| *percent >= 25), "{held:?}");
    assert!(scene.lost <= 10, "{} of 3,600 frames were lost", scene.lost);
    let fallen = scene.run(30, 0.0);
    assert!(fallen[3] >= 25, "a pause of the losses is no end: {fallen:?}");
    assert!(fallen.windows(2).all(|pair| pair[1] <= pair[0]), "{fallen:?}");
    assert_eq!(fallen[29], LEAST, "{fallen:?}");
}

#[test]
fn more_loss_is_more_parity_up_to_the_most() {
    let percents = [0.01, 0.05, 0.2].map(|loss| {
        let mut scene = Scene::new();
        scene.run(20, loss)[19]
    });
    assert!(percents[0] > LEAST && percents[0] < percents[1] && percents[1] < percents[2], "{percents:?}");
    assert_eq!(percents[2], MOST);
}

/// Sabotage: believe the lengths that a report says.
#[test]
fn reports_without_sense_do_no_harm() {
    let mut parity = Parity::new(0, 0, Timestamp::from_ns(0));
    let report = FecStatus {
        frame: u32::MAX,
        highest: u16::MAX,
        next_contiguous: 0,
        missing_before_highest: u16::MAX,
        data: 0,
        parity: u16::MAX,
        received_data: u16::MAX,
        received_parity: u16::MAX,
        percent: u8::MAX,
        block: 9,
        blocks: 0,
    };
    (0..1000).for_each(|_| parity.handle_report(&report));
    parity.handle_tick(0, 0, Timestamp::from_ns(1));
    assert_eq!(parity.percent(), MOST);
    parity.handle_report(&FecStatus {
        missing_before_highest: 0,
        received_data: 0,
        received_parity: 0,
        ..report
    });
    parity.handle_tick(0, u64::MAX, Timestamp::from_ns(2));
    assert_eq!(parity.percent(), MOST);
}

/// Sabotage: count each growing report of a client that waits, or believe that an outage of a minute could be mended.
#[test]
fn frames_that_were_lost_whole_raise_parity() {
    let at = |ms: u64| Timestamp::from_ns(ms * 1_000_000);
    let percent = |reports: &[(u64, u64)]| {
        let mut parity = Parity::new(0, 0, at(0));
        parity.handle_tick(60, 720, at(250));
        reports.iter().for_each(|(first, last)| parity.handle_lost(*first, *last));
        parity.handle_tick(75, 900, at(500));
        parity.percent()
    };
    assert_eq!(percent(&[]), LEAST);
    let one = percent(&[(61, 61)]);
    assert!(one > LEAST && one < MOST, "{one}");
    assert_eq!(percent(&[(61, 61), (61, 62), (61, 65)]), one, "it waits");
    assert!(percent(&[(61, 61), (66, 66)]) > one);
    assert_eq!(percent(&[(61, 64)]), percent(&[(61, u64::MAX)]), "an outage");
    let mut kept = Parity::new(35, 0, at(0));
    assert_eq!(kept.percent(), 35, "of the incarnation before");
    kept.handle_tick(15, 180, at(4_900));
    assert_eq!(kept.percent(), 35);
    kept.handle_tick(30, 360, at(5_000));
    assert_eq!(kept.percent(), 30);
}

#[test]
fn what_parity_takes_pictures_have_not() {
    let config = config(12_000, 1024, 60, false);
    // 24 datagrams of 1,040 bytes a frame: 24, 21, 20 and 16 of them are data.
    let shares = [0, LEAST, UNREPORTED, MOST].map(|percent| share(&config, percent));
    assert_eq!(shares.map(|bps| bps / 100_000), [116, 101, 96, 77]);
}

proptest! {
    // Sabotage: leave out the heads, the least parity of a frame, or round its parity down.
    #[test]
    fn pictures_and_parity_stay_within_what_the_user_asked(
        kbps in 500u32..2_000_000, packet_size in 480u16..1500, fps in 10u32..=240, seals: bool, percent in 0u8..=MOST,
    ) {
        let config = config(kbps, packet_size, fps, seals);
        let bytes = u64::from(share(&config, percent)) / 8 / u64::from(fps);
        let datagram = u64::from(packet_size) + 16 + if seals { 32 } else { 0 };
        let data = (bytes + 8).div_ceil(u64::from(packet_size) - 16);
        let sent = (data + parity(data, percent, 2)) * datagram * 8 * u64::from(fps);
        // A frame is a datagram and its parity at least, however little was asked.
        let least = (1 + parity(1, percent, 2)) * datagram * 8 * u64::from(fps);
        prop_assert!(sent <= (u64::from(kbps) * 1000).max(least), "{sent}");
        prop_assert!(sent * 2 >= u64::from(kbps) * 1000 || data <= 4, "{sent} of {kbps}");
    }
}

use super::*;
use crate::http::Surround;
use crate::http::answers::Codecs;
use crate::keys::{SessionKey, Side};
use lumen_core::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

const KEY: SessionKey = SessionKey::from_bytes([7; 16]);
const PORTS: Ports = Ports { audio: 48000, video: 47998, control: 47999 };
const TOKENS: Tokens = Tokens { audio: [1; 8], video: [0xab; 8], control: 4_000_000_000 };

fn offer() -> Offer {
    Offer {
        codecs: Codecs::H264,
        invalidates_references: true,
        touch: true,
        pad_sensors: false,
        seal_video: false,
    }
}

fn start() -> Timestamp {
    Timestamp::from_ns(0)
}

/// What a client announces, in its form: a space before each line's end.
fn announcement(changes: &[(&str, &str)]) -> String {
    let mut attributes = vec![
        ("x-ml-general.featureFlags", "3"),
        ("x-ss-general.encryptionEnabled", "1"),
        ("x-ss-video[0].chromaSamplingType", "0"),
        ("x-nv-video[0].clientViewportWd", "1280"),
        ("x-nv-video[0].clientViewportHt", "720"),
        ("x-nv-video[0].maxFPS", "60"),
        ("x-nv-video[0].clientRefreshRateX100", "5994"),
        ("x-nv-video[0].packetSize", "1392"),
        ("x-nv-video[0].encoderCscMode", "3"),
        ("x-nv-video[0].maxNumReferenceFrames", "0"),
        ("x-nv-video[0].videoEncoderSlicesPerFrame", "4"),
        ("x-nv-vqos[0].bw.maximumBitrateKbps", "8000"),
        ("x-ml-video.configuredBitrateKbps", "10000"),
        ("x-nv-vqos[0].bitStreamFormat", "0"),
        ("x-nv-video[0].dynamicRangeMode", "0"),
        ("x-nv-vqos[0].fec.minRequiredFecPackets", "2"),
        ("x-nv-general.useReliableUdp", "13"),
        ("x-nv-general.featureFlags", "135"),
        ("x-nv-audio.surround.numChannels", "2"),
        ("x-nv-aqos.packetDuration", "5"),
        ("x-nv-vqos[0].qosTrafficType", "5"),
        ("x-nv-aqos.qosTrafficType", "0"),
    ];
    for &(name, value) in changes {
        attributes.retain(|(field, _)| *field != name);
        if !value.is_empty() {
            attributes.push((name, value));
        }
    }
    let lines: String = attributes.iter().map(|(name, value)| format!("a={name}:{value} \r\n")).collect();
    format!(
        "v=0\r\no=android 0 14 IN IPv4 192.0.2.1\r\ns=NVIDIA Streaming Client\r\n{lines}t=0 0\r\nm=video 47998 \r\n"
    )
}

fn choose(changes: &[(&str, &str)]) -> Result<StreamConfig, SdpError> {
    let text = announcement(changes);
    StreamConfig::choose(&Sdp::parse(&text).unwrap(), &offer(), false)
}

fn request(method: &str, target: &str, cseq: u32, body: &str) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-length: {}\r\n", body.len()) };
    format!("{method} {target} RTSP/1.0\r\nCSeq: {cseq}\r\nX-GS-ClientVersion: 14\r\nHost: 192.0.2.1\r\n{length}\r\n{body}")
        .into_bytes()
}

/// A client with the session's key.
struct Client {
    host: Negotiation,
    number: u32,
    answers: u32,
    events: Vec<Event>,
}

impl Client {
    fn new() -> Self {
        let host = Negotiation::new(offer(), PORTS, TOKENS, Some(KEY), start());
        Self { host, number: 0, answers: 0, events: Vec::new() }
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> String {
        self.number += 1;
        let text = request(method, target, self.number, body);
        self.host.handle_message(&seal::seal(&KEY, Side::Client, self.number, &text)).unwrap();
        let mut answered = None;
        while let Some(output) = self.host.poll_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Answer(bytes) => {
                    let (number, text) = seal::open(&KEY, Side::Host, &bytes).unwrap();
                    self.answers += 1;
                    assert_eq!(number, self.answers, "answers are numbered from 1 without gaps");
                    answered = Some(String::from_utf8(text).unwrap());
                }
            }
        }
        let text = answered.expect("no answer");
        assert!(text.contains(&format!("\r\nCSeq: {}\r\n", self.number)), "{text}");
        text
    }

    fn set_up(&mut self) {
        for target in ["streamid=audio/0/0", "streamid=video/0/0", "streamid=control/13/0"] {
            assert!(self.ask("SETUP", target, "").starts_with("RTSP/1.0 200 OK\r\n"));
        }
    }
}

#[test]
fn a_client_negotiates_sealed_and_plays() {
    let mut client = Client::new();
    assert!(client.ask("OPTIONS", "rtspenc://192.0.2.1:48010", "").starts_with("RTSP/1.0 200"));
    let offered = client.ask("DESCRIBE", "rtspenc://192.0.2.1:48010", "");
    assert!(offered.contains("\r\n\r\na=x-ss-general.featureFlags:1\n"), "{offered}");
    let audio = client.ask("SETUP", "streamid=audio/0/0", "");
    assert!(audio.contains("Transport: server_port=48000\r\n"), "{audio}");
    assert!(audio.contains("X-SS-Ping-Payload: 0101010101010101\r\n"), "{audio}");
    assert!(audio.contains("Session: 1;"), "{audio}");
    let video = client.ask("SETUP", "streamid=video/0/0", "");
    assert!(video.contains("X-SS-Ping-Payload: abababababababab\r\n"), "{video}");
    let control = client.ask("SETUP", "streamid=control/13/0", "");
    assert!(control.contains("X-SS-Connect-Data: 4000000000\r\n"), "{control}");
    assert!(client.ask("ANNOUNCE", "streamid=control/13/0", &announcement(&[])).starts_with("RTSP/1.0 200"));
    assert!(client.ask("PLAY", "/", "").starts_with("RTSP/1.0 200"));
    assert!(matches!(client.events[..], [Event::Configured(_), Event::Play]), "{:?}", client.events);
    assert_eq!(client.host.poll_timeout(), None);
}

// Sabotage: let ANNOUNCE or PLAY through in any state.
#[test]
fn nothing_plays_before_it_was_set_up_and_announced() {
    let mut client = Client::new();
    assert!(client.ask("PLAY", "/", "").starts_with("RTSP/1.0 455"));
    assert!(client.ask("ANNOUNCE", "streamid=control/13/0", &announcement(&[])).starts_with("RTSP/1.0 455"));
    assert!(client.ask("SETUP", "streamid=screen/0/0", "").starts_with("RTSP/1.0 404"));
    client.set_up();
    let bad = announcement(&[("x-nv-video[0].packetSize", "65535")]);
    let refused = client.ask("ANNOUNCE", "streamid=control/13/0", &bad);
    assert!(refused.starts_with("RTSP/1.0 400 x-nv-video[0].packetSize is 65535"), "{refused}");
    assert!(client.ask("PLAY", "/", "").starts_with("RTSP/1.0 455"));
    assert!(client.events.is_empty());
    client.host.handle_timeout(start() + (NEGOTIATION_DEADLINE - Duration::from_nanos(1)));
    assert_eq!(client.host.poll_output(), None);
    client.host.handle_timeout(start() + NEGOTIATION_DEADLINE);
    assert_eq!(client.host.poll_output(), Some(Output::Event(Event::TimedOut)));
    assert!(client.ask("OPTIONS", "/", "").starts_with("RTSP/1.0 454"));
}

// Sabotage: open with another key, take a number twice, or answer plain text.
#[test]
fn only_the_holder_of_the_key_is_answered() {
    let mut host = Negotiation::new(offer(), PORTS, TOKENS, Some(KEY), start());
    let text = request("OPTIONS", "/", 1, "");
    let sealed = seal::seal(&KEY, Side::Client, 1, &text);
    let other = SessionKey::from_bytes([8; 16]);
    assert_eq!(host.handle_message(&text), Err(Refused::NotMine), "plain");
    assert_eq!(host.handle_message(&seal::seal(&other, Side::Client, 1, &text)), Err(Refused::NotMine));
    assert_eq!(
        host.handle_message(&seal::seal(&KEY, Side::Host, 1, &text)),
        Err(Refused::NotMine),
        "reflected"
    );
    for changed in 0..sealed.len() {
        let mut forged = sealed.clone();
        forged[changed] ^= 1;
        assert_eq!(host.handle_message(&forged), Err(Refused::NotMine), "byte {changed}");
    }
    assert_eq!(host.poll_output(), None);
    assert_eq!(host.handle_message(&sealed), Ok(()));
    assert!(host.poll_output().is_some());
    assert_eq!(host.handle_message(&sealed), Err(Refused::Replayed { number: 1 }));
    assert_eq!(host.poll_output(), None);
}

#[test]
fn a_client_without_sealing_is_answered_in_plain() {
    let mut host = Negotiation::new(offer(), PORTS, TOKENS, None, start());
    host.handle_message(&request("OPTIONS", "rtsp://192.0.2.1:48010", 5, "")).unwrap();
    let Some(Output::Answer(bytes)) = host.poll_output() else { panic!("no answer") };
    assert!(bytes.starts_with(b"RTSP/1.0 200 OK\r\nCSeq: 5\r\n"));
    assert_eq!(host.handle_message(&seal::seal(&KEY, Side::Client, 1, b"")), Err(Refused::NotMine));
}

#[test]
fn a_choice_is_read() {
    let config = choose(&[]).unwrap();
    assert_eq!((config.width, config.height, config.centi_hz), (1280, 720, 5994));
    assert_eq!((config.packet_size, config.bitrate_kbps, config.codec), (1392, 10_000, Codec::H264));
    assert_eq!((config.color_space, config.full_range), (ColorSpace::Rec709, true));
    assert_eq!((config.slices, config.single_reference, config.min_parity), (4, false, 2));
    assert_eq!(config.encryption, Encryption { video: false, audio: false });
    assert_eq!((config.session_ids, config.reports_fec), (true, true));
    assert_eq!((config.dscp, config.audio.dscp), (true, false));
    assert_eq!((config.audio.surround, config.audio.quality), (Surround::Stereo, AudioQuality::High));
    let rate = choose(&[("x-nv-video[0].maxFPS", "120"), ("x-nv-video[0].clientRefreshRateX100", "5994")]);
    assert_eq!(rate.unwrap().centi_hz, 12_000, "more than a hundredth off");
    let old = choose(&[("x-ml-video.configuredBitrateKbps", "")]).unwrap();
    assert_eq!(old.bitrate_kbps, 8000);
    let sealed =
        choose(&[("x-ss-general.encryptionEnabled", "3"), ("x-nv-general.featureFlags", "167")]).unwrap();
    assert_eq!(sealed.encryption, Encryption { video: true, audio: true });
}

// Sabotage: drop any of the bounds.
#[test]
fn choices_out_of_bounds_are_refused() {
    let cases = [
        ("x-nv-video[0].packetSize", "0"),
        ("x-nv-video[0].packetSize", "15"),
        ("x-nv-video[0].packetSize", "65535"),
        ("x-nv-video[0].packetSize", "99999999999999999999"),
        ("x-nv-video[0].clientViewportWd", "0"),
        ("x-nv-video[0].clientViewportHt", "9999"),
        ("x-nv-video[0].maxFPS", "1000"),
        ("x-ml-video.configuredBitrateKbps", "1"),
        ("x-ml-video.configuredBitrateKbps", "4294967296"),
        ("x-nv-vqos[0].bitStreamFormat", "1"),
        ("x-nv-vqos[0].bitStreamFormat", "7"),
        ("x-nv-video[0].dynamicRangeMode", "1"),
        ("x-ss-video[0].chromaSamplingType", "1"),
        ("x-nv-video[0].encoderCscMode", "6"),
        ("x-nv-vqos[0].fec.minRequiredFecPackets", "3"),
        ("x-nv-vqos[0].fec.minRequiredFecPackets", "255"),
        ("x-nv-audio.surround.numChannels", "7"),
        ("x-nv-aqos.packetDuration", "7"),
        ("x-nv-video[0].packetSize", ""),
        ("x-nv-video[0].maxFPS", "sixty"),
    ];
    for (name, bad) in cases {
        assert!(choose(&[(name, bad)]).is_err(), "{name}:{bad}");
    }
}

// Sabotage: let `seal_video` change what is offered and nothing else.
#[test]
fn a_host_that_seals_video_streams_none_in_the_clear() {
    let sealing = Offer { seal_video: true, ..offer() };
    let choose = |changes: &[(&'static str, &'static str)]| {
        let text = announcement(changes);
        StreamConfig::choose(&Sdp::parse(&text).unwrap(), &sealing, false)
    };
    assert!(choose(&[("x-ss-general.encryptionEnabled", "3")]).is_ok());
    let refused = choose(&[("x-ss-general.encryptionEnabled", "1")]);
    assert!(matches!(refused, Err(SdpError::NotOffered { .. })), "{refused:?}");
}

// Sabotage: take what the client says without looking at bit 0.
#[test]
fn control_messages_that_would_repeat_nonces_are_refused() {
    for old in [("x-ss-general.encryptionEnabled", "6"), ("x-nv-general.useReliableUdp", "1")] {
        assert_eq!(choose(&[old]), Err(SdpError::LegacyControl));
    }
}

#[test]
fn a_slow_client_gets_less_stereo() {
    let text = announcement(&[]);
    let slow = StreamConfig::choose(&Sdp::parse(&text).unwrap(), &offer(), true).unwrap();
    assert_eq!(slow.audio.quality, AudioQuality::Normal);
}

#[test]
fn what_is_no_message_is_told_apart() {
    let error = |text: &str| Request::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error("OPTIONS / RTSP/1.0\r\nHost: a\r\n\r\n"), RtspError::CSeq);
    assert_eq!(error("OPTIONS / RTSP/1.0\r\nCSeq: one\r\n\r\n"), RtspError::CSeq);
    assert_eq!(error("TEARDOWN / RTSP/1.0\r\nCSeq: 1\r\n\r\n"), RtspError::Method);
    assert_eq!(error("OPTIONS /\r\nCSeq: 1\r\n\r\n"), RtspError::RequestLine);
    assert_eq!(error("OPTIONS / RTSP/1.0\r\nCSeq 1\r\n\r\n"), RtspError::Header);
    assert_eq!(error(&"a".repeat(1 << 20)), RtspError::TooLong);
    assert_eq!(
        error("ANNOUNCE / RTSP/1.0\r\nCSeq: 1\r\nContent-length: 1048576\r\n\r\n"),
        RtspError::TooLong
    );
    let partial = "ANNOUNCE / RTSP/1.0\r\nCSeq: 1\r\nContent-length: 5\r\n\r\nabcd";
    assert_eq!(Request::parse(partial.as_bytes()), Ok(Parsed::Partial));
    assert_eq!(seal::Framing::of(&[0x80, 0x10, 0, 0, 1]), Err(RtspError::TooLong));
    assert_eq!(seal::Framing::of(&[0x80, 0, 0, 2]), Ok(seal::Framing::Sealed(26)));
    assert_eq!(seal::Framing::of(b"OPTI"), Ok(seal::Framing::Plain));
    assert_eq!(seal::Framing::of(&[0x80, 0]), Ok(seal::Framing::Unknown));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), lines in "(a=x-nv-video\\[0\\]\\.[a-zA-Z]{0,12}:[-0-9]{0,12} \r\n|[ -~]{0,20}\n){0,20}") {
        let _ = Request::parse(&bytes);
        let _ = seal::Framing::of(&bytes);
        let mut plain = Negotiation::new(offer(), PORTS, TOKENS, None, start());
        let _ = plain.handle_message(&bytes);
        let mut client = Client::new();
        client.set_up();
        client.ask("ANNOUNCE", "streamid=control/13/0", &lines);
        prop_assert_eq!(seal::open(&KEY, Side::Client, &bytes), Err(crate::keys::Forged));
    }
}

//! The announcement.

use lumen_gamestream::http::Surround;
use lumen_gamestream::http::answers::Codecs;
use lumen_gamestream::rtsp::{
    AudioQuality, Codec, ColorSpace, MAX_PACKET_SIZE, MIN_PACKET_SIZE, Offer, Sdp, StreamConfig,
};

use super::rtsp::OFFER;
use crate::Script;

/// A client's choice of a small or a rich offer.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let flags = script.u8();
    let all = [Codecs::HEVC, Codecs::HEVC_MAIN10, Codecs::AV1, Codecs::AV1_MAIN10];
    let rich = all.into_iter().fold(Codecs::H264, Codecs::and);
    let offer = Offer {
        codecs: if flags & 1 == 0 { Codecs::H264 } else { rich },
        seal_video: flags & 2 != 0,
        ..OFFER
    };
    let Ok(text) = std::str::from_utf8(script.rest()) else {
        return;
    };
    let Ok(sdp) = Sdp::parse(text) else {
        return;
    };
    if let Ok(config) = StreamConfig::choose(&sdp, &offer, flags & 4 != 0) {
        check(&config);
        assert!(flags & 1 != 0 || config.codec == Codec::H264, "what was not offered");
        assert!(!offer.seal_video || config.encryption.video);
        let again = announcement(&config);
        let low_audio = config.audio.quality == AudioQuality::Normal;
        let read = Sdp::parse(&again).and_then(|sdp| StreamConfig::choose(&sdp, &offer, low_audio));
        assert_eq!(read, Ok(config), "{again}");
    }
}

/// All is within bounds: nothing behind this looks again.
pub(super) fn check(config: &StreamConfig) {
    assert!((128..=8192).contains(&config.width) && (128..=8192).contains(&config.height));
    assert!((990..=48_480).contains(&config.centi_hz));
    assert!((MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&config.packet_size));
    assert!((100..=2_000_000).contains(&config.bitrate_kbps));
    assert!((1..=32).contains(&config.slices) && config.min_parity <= 2);
    assert!(matches!(config.audio.packet_ms, 5 | 10) && !config.chroma444);
    assert!(!(config.hdr && config.codec == Codec::H264));
}

fn announcement(config: &StreamConfig) -> String {
    let codec = match config.codec {
        Codec::H264 => 0,
        Codec::Hevc => 1,
        Codec::Av1 => 2,
    };
    let space = match config.color_space {
        ColorSpace::Rec601 => 0,
        ColorSpace::Rec709 => 2,
        ColorSpace::Rec2020 => 4,
    };
    let fps = ((config.centi_hz + 50) / 100).clamp(10, 480);
    let quality = config.audio.surround != Surround::Stereo && config.audio.quality == AudioQuality::High;
    let sealed = 1 + 2 * u32::from(config.encryption.video) + 4 * u32::from(config.encryption.audio);
    let attributes = [
        ("x-ml-general.featureFlags", u32::from(config.reports_fec) + 2 * u32::from(config.session_ids)),
        ("x-ss-general.encryptionEnabled", sealed),
        ("x-nv-video[0].clientViewportWd", config.width),
        ("x-nv-video[0].clientViewportHt", config.height),
        ("x-nv-video[0].maxFPS", fps),
        ("x-nv-video[0].clientRefreshRateX100", config.centi_hz),
        ("x-nv-video[0].packetSize", config.packet_size.into()),
        ("x-nv-video[0].encoderCscMode", space + u32::from(config.full_range)),
        ("x-nv-video[0].maxNumReferenceFrames", u32::from(config.single_reference)),
        ("x-nv-video[0].videoEncoderSlicesPerFrame", config.slices.into()),
        ("x-ml-video.configuredBitrateKbps", config.bitrate_kbps),
        ("x-nv-vqos[0].bitStreamFormat", codec),
        ("x-nv-video[0].dynamicRangeMode", config.hdr.into()),
        ("x-nv-vqos[0].fec.minRequiredFecPackets", config.min_parity.into()),
        ("x-nv-general.useReliableUdp", 13),
        ("x-nv-audio.surround.numChannels", config.audio.surround.channels().into()),
        ("x-nv-audio.surround.AudioQuality", quality.into()),
        ("x-nv-aqos.packetDuration", config.audio.packet_ms.into()),
        ("x-nv-vqos[0].qosTrafficType", config.dscp.into()),
        ("x-nv-aqos.qosTrafficType", config.audio.dscp.into()),
    ];
    attributes.iter().map(|(name, value)| format!("a={name}:{value} \r\n")).collect()
}

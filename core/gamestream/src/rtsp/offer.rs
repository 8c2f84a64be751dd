//! What a host says it can do: the answer to DESCRIBE.

use crate::http::Surround;
use crate::http::answers::Codecs;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Of Opus, as the client's settings choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioQuality {
    /// Fewer streams, several channels in one.
    Normal,
    /// A stream for each channel.
    High,
}

/// What this host can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The encoders that are really there.
    pub codecs: Codecs,
    /// Whether the encoder can do without a lost reference.
    pub invalidates_references: bool,
    /// Whether touch and pen go anywhere.
    pub touch: bool,
    /// Whether touch pads and motion sensors of Pads go anywhere.
    pub pad_sensors: bool,
    /// Whether video shall be sealed even if the client does not ask.
    pub seal_video: bool,
}

impl Offer {
    /// SDP. Clients search it for substrings, so the order is of no matter.
    pub(super) fn sdp(&self) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a String takes all");
        let features = u32::from(self.touch) | u32::from(self.pad_sensors) << 1;
        line(format_args!("a=x-ss-general.featureFlags:{features}"));
        line(format_args!("a=x-ss-general.encryptionSupported:7"));
        line(format_args!("a=x-ss-general.encryptionRequested:{}", 1 + 2 * u32::from(self.seal_video)));
        if self.invalidates_references {
            line(format_args!("a=x-nv-video[0].refPicInvalidation:1"));
        }
        if self.codecs.has(Codecs::HEVC) {
            line(format_args!("sprop-parameter-sets=AAAAAU"));
        }
        if self.codecs.has(Codecs::AV1) {
            line(format_args!("a=rtpmap:98 AV1/90000"));
        }
        for surround in [Surround::Stereo, Surround::FiveOne, Surround::SevenOne] {
            // The first of a channel count is taken for normal quality, the second for high.
            for quality in [AudioQuality::Normal, AudioQuality::High] {
                line(format_args!("a=fmtp:97 surround-params={}", advertised(surround, quality)));
            }
        }
        text
    }
}

/// How Opus carries the channels: (streams, coupled streams, bits per second), the channels in the order
/// FL FR C LFE BL BR SL SR.
pub fn opus_layout(surround: Surround, quality: AudioQuality) -> (u8, u8, u32) {
    match (surround, quality) {
        (Surround::Stereo, AudioQuality::Normal) => (1, 1, 96_000),
        (Surround::Stereo, AudioQuality::High) => (1, 1, 512_000),
        (Surround::FiveOne, AudioQuality::Normal) => (4, 2, 256_000),
        (Surround::FiveOne, AudioQuality::High) => (6, 0, 1_536_000),
        (Surround::SevenOne, AudioQuality::Normal) => (5, 3, 450_000),
        (Surround::SevenOne, AudioQuality::High) => (8, 0, 2_048_000),
    }
}

/// Channels, streams, coupled streams and the mapping, one digit each.
fn advertised(surround: Surround, quality: AudioQuality) -> String {
    let (streams, coupled, _) = opus_layout(surround, quality);
    let channels = surround.channels();
    let mut mapping: Vec<u8> = (0..channels).collect();
    // Clients move the last entry to the fourth place where streams are coupled, so that it must stand last here.
    if coupled > 0 && channels > 3 {
        mapping.get_mut(3..).unwrap_or_default().rotate_left(1);
    }
    let mapping: String = mapping.iter().map(u8::to_string).collect();
    format!("{channels}{streams}{coupled}{mapping}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Source: the table of gamestream.md 4.9, which says where a common host has it wrong.
    #[test]
    fn surround_is_advertised_as_clients_undo_it() {
        let of = |surround| {
            [AudioQuality::Normal, AudioQuality::High].map(|quality| advertised(surround, quality))
        };
        assert_eq!(of(Surround::Stereo), ["21101", "21101"]);
        assert_eq!(of(Surround::FiveOne), ["642012453", "660012345"]);
        assert_eq!(of(Surround::SevenOne), ["85301245673", "88001234567"]);
    }

    // Sabotage: offer HEVC always.
    #[test]
    fn only_what_is_there_is_offered() {
        let mut offer = Offer {
            codecs: Codecs::H264,
            invalidates_references: false,
            touch: false,
            pad_sensors: false,
            seal_video: false,
        };
        let plain = offer.sdp();
        for absent in ["sprop-parameter-sets=AAAAAU", "AV1/90000", "refPicInvalidation"] {
            assert!(!plain.contains(absent), "{absent}");
        }
        assert!(plain.contains("encryptionSupported:7") && plain.contains("encryptionRequested:1\n"));
        offer.codecs = Codecs::H264.and(Codecs::HEVC).and(Codecs::AV1);
        offer.seal_video = true;
        let full = offer.sdp();
        assert!(full.contains("sprop-parameter-sets=AAAAAU") && full.contains("AV1/90000"));
        assert!(full.contains("encryptionRequested:3\n"));
    }
}

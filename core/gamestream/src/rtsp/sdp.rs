//! What a client chose: SDP of an ANNOUNCE, read to a [`StreamConfig`] whose numbers are all within bounds.

use super::offer::{AudioQuality, Offer};
use crate::http::Surround;
use crate::http::answers::Codecs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Because clients go down to 512, and 32 less when video is sealed.
pub const MIN_PACKET_SIZE: u16 = 480;
/// Because a jumbo frame could carry it, and no client asks for more than 1,392 of its own.
pub const MAX_PACKET_SIZE: u16 = 8_192;
/// Because clients announce about 60.
const MAX_ATTRIBUTES: usize = 256;

/// Why a choice cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// More lines than any client sends.
    #[error("the announcement has more than {MAX_ATTRIBUTES} lines")]
    TooLong,
    /// An attribute without which there is no stream.
    #[error("{name} is not announced")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// No number.
    #[error("{name} is no number")]
    Malformed {
        /// Its name.
        name: &'static str,
    },
    /// A number beyond what this host takes.
    #[error("{name} is {got}; this host takes {least} to {most}")]
    OutOfRange {
        /// Its name.
        name: &'static str,
        /// What it is.
        got: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// The client chose what was not offered.
    #[error("{what} was not offered")]
    NotOffered {
        /// What it chose.
        what: &'static str,
    },
    /// The client would seal control messages with nonces that repeat.
    #[error(
        "this client can seal its control messages only in the old way, whose nonces repeat. Update the client"
    )]
    LegacyControl,
}

/// The attributes of an announcement.
#[derive(Clone, Debug, Default)]
pub struct Sdp<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Sdp<'a> {
    /// Reads `a=name:value` lines; others are ignored, of doubles the last counts.
    ///
    /// # Errors
    /// [`SdpError::TooLong`].
    pub fn parse(text: &'a str) -> Result<Self, SdpError> {
        let mut attributes = BTreeMap::new();
        for (line, count) in text.lines().zip(1..) {
            if count > MAX_ATTRIBUTES {
                return Err(SdpError::TooLong);
            }
            if let Some((name, value)) = line.strip_prefix("a=").and_then(|line| line.split_once(':')) {
                attributes.insert(name.trim(), value.trim());
            }
        }
        Ok(Self(attributes))
    }

    fn get<N: FromStr>(&self, name: &'static str) -> Result<Option<N>, SdpError> {
        let value = self.0.get(name).map(|value| value.parse().map_err(|_| SdpError::Malformed { name }));
        value.transpose()
    }

    fn or<N: FromStr>(&self, name: &'static str, default: N) -> Result<N, SdpError> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    fn need<N: FromStr>(&self, name: &'static str) -> Result<N, SdpError> {
        self.get(name)?.ok_or(SdpError::Missing { name })
    }

    fn within(&self, name: &'static str, least: u32, most: u32) -> Result<u32, SdpError> {
        bounded(name, self.need(name)?, least, most)
    }
}

fn bounded(name: &'static str, got: u64, least: u32, most: u32) -> Result<u32, SdpError> {
    let refused = SdpError::OutOfRange { name, got, least: least.into(), most: most.into() };
    match u32::try_from(got) {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(refused),
    }
}

/// What pictures are encoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// H.264.
    H264,
    /// HEVC.
    Hevc,
    /// AV1.
    Av1,
}

/// Which red is red.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColorSpace {
    /// BT.601.
    Rec601,
    /// BT.709.
    Rec709,
    /// BT.2020.
    Rec2020,
}

/// What is sealed beside control, which always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Each video datagram.
    pub video: bool,
    /// Each audio datagram.
    pub audio: bool,
}

/// Sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioConfig {
    /// The loudspeakers.
    pub surround: Surround,
    /// How Opus carries them.
    pub quality: AudioQuality,
    /// Of one datagram: 5 or 10.
    pub packet_ms: u8,
    /// Whether it shall be marked as urgent.
    pub dscp: bool,
}

/// What a session streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamConfig {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Pictures in 100 s: 5994 is 59.94 Hz.
    pub centi_hz: u32,
    /// Bytes of a video packet after its first 16.
    pub packet_size: u16,
    /// What the user allows for everything, parity included, in 1,000 bits a second.
    pub bitrate_kbps: u32,
    /// What pictures are encoded as.
    pub codec: Codec,
    /// 10 bits and HDR.
    pub hdr: bool,
    /// Full chroma.
    pub chroma444: bool,
    /// Of the encoded picture.
    pub color_space: ColorSpace,
    /// Whether luma uses all values.
    pub full_range: bool,
    /// Slices a picture shall have at least.
    pub slices: u8,
    /// Whether every picture may refer to the one before only.
    pub single_reference: bool,
    /// Parity shards of any block that has parity.
    pub min_parity: u8,
    /// What is sealed.
    pub encryption: Encryption,
    /// The client says the ping payload and the connect data that SETUP gave it.
    pub session_ids: bool,
    /// The client reports what each frame lost.
    pub reports_fec: bool,
    /// Whether video shall be marked as urgent.
    pub dscp: bool,
    /// Sound.
    pub audio: AudioConfig,
}

impl StreamConfig {
    /// What `sdp` chooses of `offer`. `low_audio` is the client's wish for stereo of less bandwidth.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn choose(sdp: &Sdp<'_>, offer: &Offer, low_audio: bool) -> Result<Self, SdpError> {
        let (width, height) = (
            sdp.within("x-nv-video[0].clientViewportWd", 128, 8192)?,
            sdp.within("x-nv-video[0].clientViewportHt", 128, 8192)?,
        );
        let features: u32 = sdp.or("x-ml-general.featureFlags", 0)?;
        let csc: u32 = sdp.or("x-nv-video[0].encoderCscMode", 0)?;
        let dynamic: u32 = sdp.or("x-nv-video[0].dynamicRangeMode", 0)?;
        let references: u32 = sdp.or("x-nv-video[0].maxNumReferenceFrames", 1)?;
        let (packet_size, min_parity) = (packet_size(sdp)?, parity(sdp)?);
        let config = Self {
            width,
            height,
            centi_hz: centi_hz(sdp)?,
            packet_size,
            bitrate_kbps: bitrate(sdp)?,
            codec: codec(sdp)?,
            hdr: dynamic != 0,
            chroma444: sdp.or("x-ss-video[0].chromaSamplingType", 0u32)? == 1,
            color_space: color_space(csc)?,
            full_range: csc & 1 == 1,
            slices: bounded(
                "x-nv-video[0].videoEncoderSlicesPerFrame",
                sdp.or("x-nv-video[0].videoEncoderSlicesPerFrame", 1)?,
                0,
                32,
            )?
            .max(1) as u8,
            single_reference: references == 1,
            min_parity,
            encryption: encryption(sdp)?,
            session_ids: features & 2 != 0,
            reports_fec: features & 1 != 0,
            dscp: sdp.or("x-nv-vqos[0].qosTrafficType", 0u32)? != 0,
            audio: audio(sdp, low_audio)?,
        };
        config.check_offer(offer)?;
        Ok(config)
    }

    fn check_offer(&self, offer: &Offer) -> Result<(), SdpError> {
        let (needed, what) = match (self.codec, self.hdr) {
            (Codec::H264, false) => (Codecs::H264, "H.264"),
            (Codec::H264, true) => return Err(SdpError::NotOffered { what: "HDR in H.264" }),
            (Codec::Hevc, false) => (Codecs::HEVC, "HEVC"),
            (Codec::Hevc, true) => (Codecs::HEVC_MAIN10, "HDR in HEVC"),
            (Codec::Av1, false) => (Codecs::AV1, "AV1"),
            (Codec::Av1, true) => (Codecs::AV1_MAIN10, "HDR in AV1"),
        };
        if !offer.codecs.has(needed) {
            return Err(SdpError::NotOffered { what });
        }
        if offer.seal_video && !self.encryption.video {
            return Err(SdpError::NotOffered { what: "video that is not encrypted" });
        }
        if self.chroma444 { Err(SdpError::NotOffered { what: "4:4:4" }) } else { Ok(()) }
    }
}

fn packet_size(sdp: &Sdp<'_>) -> Result<u16, SdpError> {
    let name = "x-nv-video[0].packetSize";
    sdp.within(name, MIN_PACKET_SIZE.into(), MAX_PACKET_SIZE.into()).map(|size| size as u16)
}

fn parity(sdp: &Sdp<'_>) -> Result<u8, SdpError> {
    let name = "x-nv-vqos[0].fec.minRequiredFecPackets";
    // Clients ask for two. The percentage that a block names is whole, and more than this many it cannot always say.
    bounded(name, sdp.or(name, 0)?, 0, 2).map(|count| count as u8)
}

/// The exact rate, if it is the rounded one's within a hundredth.
fn centi_hz(sdp: &Sdp<'_>) -> Result<u32, SdpError> {
    let fps = sdp.within("x-nv-video[0].maxFPS", 10, 480)?;
    let exact: u32 = sdp.or("x-nv-video[0].clientRefreshRateX100", 0)?;
    let rounded = fps * 100;
    Ok(if exact.abs_diff(rounded) <= rounded / 100 { exact } else { rounded })
}

/// What the user set; older attributes are cut to 80 % and to 100 Mbit/s by the client.
fn bitrate(sdp: &Sdp<'_>) -> Result<u32, SdpError> {
    let (least, most) = (100, 2_000_000);
    let configured = "x-ml-video.configuredBitrateKbps";
    match sdp.get(configured)? {
        Some(kbps) => bounded(configured, kbps, least, most),
        None => sdp.within("x-nv-vqos[0].bw.maximumBitrateKbps", least, most),
    }
}

fn codec(sdp: &Sdp<'_>) -> Result<Codec, SdpError> {
    match sdp.need("x-nv-vqos[0].bitStreamFormat")? {
        0u32 => Ok(Codec::H264),
        1 => Ok(Codec::Hevc),
        2 => Ok(Codec::Av1),
        _ => Err(SdpError::NotOffered { what: "the codec" }),
    }
}

fn color_space(csc: u32) -> Result<ColorSpace, SdpError> {
    match csc >> 1 {
        0 => Ok(ColorSpace::Rec601),
        1 => Ok(ColorSpace::Rec709),
        2 => Ok(ColorSpace::Rec2020),
        _ => Err(SdpError::NotOffered { what: "the colour space" }),
    }
}

fn encryption(sdp: &Sdp<'_>) -> Result<Encryption, SdpError> {
    let bits: u32 = sdp.or("x-ss-general.encryptionEnabled", 0)?;
    let features: u32 = sdp.or("x-nv-general.featureFlags", 0)?;
    // Without both, the client seals with nonces of one byte, which come again after 256 messages.
    if sdp.or("x-nv-general.useReliableUdp", 0u32)? != 13 || bits & 1 == 0 {
        return Err(SdpError::LegacyControl);
    }
    Ok(Encryption { video: bits & 2 != 0, audio: bits & 4 != 0 || features & 0x20 != 0 })
}

fn audio(sdp: &Sdp<'_>, low_audio: bool) -> Result<AudioConfig, SdpError> {
    let channels: u32 = sdp.or("x-nv-audio.surround.numChannels", 2)?;
    let surround = Surround::of_channels(channels)
        .ok_or(SdpError::NotOffered { what: "the number of audio channels" })?;
    let high = match surround {
        Surround::Stereo => !low_audio,
        _ => sdp.or("x-nv-audio.surround.AudioQuality", 0u32)? == 1,
    };
    let packet_ms = match sdp.or("x-nv-aqos.packetDuration", 5u64)? {
        ms @ (5 | 10) => ms as u8,
        got => {
            return Err(SdpError::OutOfRange { name: "x-nv-aqos.packetDuration", got, least: 5, most: 10 });
        }
    };
    Ok(AudioConfig {
        surround,
        quality: if high { AudioQuality::High } else { AudioQuality::Normal },
        packet_ms,
        dscp: sdp.or("x-nv-aqos.qosTrafficType", 0u32)? != 0,
    })
}

//! libopus, of the sources in opusic-sys or the system's: several channels in several streams of one packet, at a hard constant
//! bitrate. And what a client's microphone sent, decoded.
#![allow(unsafe_code, reason = "libopus is C")]

use std::{
    ffi::c_int,
    ptr::{self, NonNull},
};

use lumen_ipc::sound::{MAX_CHANNELS, MAX_PACKET, RATE, SPOKEN_FRAMES};
use opusic_sys as sys;

// The crate's sources link themselves.
#[cfg(not(feature = "bundled"))]
#[link(name = "opus")]
unsafe extern "C" {}

/// How channels lie in streams: each in one, in their own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Channels: 1 to [`MAX_CHANNELS`].
    pub channels: usize,
    /// Streams.
    pub streams: usize,
    /// Streams that carry two channels, which come first.
    pub coupled: usize,
}

/// Why libopus does not encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    /// The channels do not fill the streams.
    #[error("{} channels do not fill {} streams of which {} carry two", .0.channels, .0.streams, .0.coupled)]
    Layout(Layout),
    /// Not as many samples as a packet has.
    #[error("{got} samples of {channels} channels make no packet")]
    Samples {
        /// All samples.
        got: usize,
        /// Channels.
        channels: usize,
    },
    /// libopus refuses.
    #[error("libopus refuses {what} ({code})")]
    Refused {
        /// What it was asked.
        what: &'static str,
        /// Its number.
        code: i32,
    },
}

/// An encoder.
#[derive(Debug)]
pub struct Opus {
    state: NonNull<sys::OpusMSEncoder>,
    channels: usize,
}

// SAFETY: the state is this value's alone, and libopus keeps nothing by thread.
unsafe impl Send for Opus {}

impl Opus {
    /// Packets of `bitrate_bps` bits a second.
    ///
    /// # Errors
    /// [`OpusError`].
    pub fn new(layout: Layout, bitrate_bps: u32) -> Result<Self, OpusError> {
        let Layout { channels, streams, coupled } = layout;
        if !(1..=MAX_CHANNELS).contains(&channels) || coupled > streams || streams + coupled != channels {
            return Err(OpusError::Layout(layout));
        }
        let mapping: [u8; MAX_CHANNELS] = std::array::from_fn(|channel| channel as u8);
        let (mut code, narrow) = (0, |number: usize| number as c_int);
        // SAFETY: the mapping has an entry for each of at most MAX_CHANNELS channels, each below streams + coupled.
        let state = unsafe {
            sys::opus_multistream_encoder_create(
                RATE as i32,
                narrow(channels),
                narrow(streams),
                narrow(coupled),
                mapping.as_ptr(),
                sys::OPUS_APPLICATION_RESTRICTED_LOWDELAY,
                &raw mut code,
            )
        };
        let state = NonNull::new(state).ok_or(OpusError::Refused { what: "to begin", code })?;
        let opus = Self { state, channels };
        // Packets of one length, because parity is made of four at a time.
        opus.set(sys::OPUS_SET_VBR_REQUEST, 0, "a constant bitrate")?;
        opus.set(sys::OPUS_SET_BITRATE_REQUEST, bitrate_bps as c_int, "the bitrate")?;
        Ok(opus)
    }

    fn set(&self, request: c_int, value: c_int, what: &'static str) -> Result<(), OpusError> {
        // SAFETY: the state lives, and both requests take one int.
        match unsafe { sys::opus_multistream_encoder_ctl(self.state.as_ptr(), request, value) } {
            sys::OPUS_OK => Ok(()),
            code => Err(OpusError::Refused { what, code }),
        }
    }

    /// Encodes interleaved samples of 5 or 10 ms; the packet's length.
    ///
    /// # Errors
    /// [`OpusError`].
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8; MAX_PACKET]) -> Result<usize, OpusError> {
        let frames = samples.len() / self.channels;
        if frames * self.channels != samples.len() || !matches!(frames, 240 | 480) {
            return Err(OpusError::Samples { got: samples.len(), channels: self.channels });
        }
        // SAFETY: the state lives; `samples` has `frames` of each channel and `packet` its whole length.
        let len = unsafe {
            sys::opus_multistream_encode(
                self.state.as_ptr(),
                samples.as_ptr(),
                frames as c_int,
                packet.as_mut_ptr(),
                MAX_PACKET as i32,
            )
        };
        usize::try_from(len).map_err(|_| OpusError::Refused { what: "these samples", code: len })
    }
}

impl Drop for Opus {
    fn drop(&mut self) {
        // SAFETY: the state was made by libopus and is used by nobody any more.
        unsafe { sys::opus_multistream_encoder_destroy(self.state.as_ptr()) };
    }
}

/// A decoder of one channel, to which those of a stereo packet are mixed.
#[derive(Debug)]
pub struct Decoder(NonNull<sys::OpusDecoder>);

// SAFETY: as of `Opus`.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Before its first packet.
    ///
    /// # Errors
    /// [`OpusError`].
    pub fn new() -> Result<Self, OpusError> {
        let mut code = 0;
        // SAFETY: the rate and one channel are among those that libopus takes.
        let state = unsafe { sys::opus_decoder_create(RATE as i32, 1, &raw mut code) };
        NonNull::new(state).map(Self).ok_or(OpusError::Refused { what: "to begin decoding", code })
    }

    /// Decodes a packet of 10 or 20 ms; how many samples it has.
    ///
    /// # Errors
    /// [`OpusError`]: it is none.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16; SPOKEN_FRAMES]) -> Result<usize, OpusError> {
        let len = i32::try_from(packet.len()).unwrap_or_default();
        // SAFETY: `packet` has `len` bytes.
        let frames = unsafe { sys::opus_packet_get_nb_samples(packet.as_ptr(), len, RATE as i32) };
        if !matches!(frames, 480 | 960) {
            return Err(OpusError::Refused { what: "a packet of this duration", code: frames });
        }
        self.decode_into(Some(packet), samples.get_mut(..frames as usize).unwrap_or_default())
    }

    /// Makes up for a packet that is missing: as many samples as there is room for, of 10 or 20 ms.
    ///
    /// # Errors
    /// [`OpusError`].
    pub fn make_up(&mut self, samples: &mut [i16]) -> Result<usize, OpusError> {
        self.decode_into(None, samples)
    }

    fn decode_into(&mut self, packet: Option<&[u8]>, samples: &mut [i16]) -> Result<usize, OpusError> {
        let (bytes, len) = packet.map_or((ptr::null(), 0), |packet| (packet.as_ptr(), packet.len()));
        // SAFETY: the state lives; `bytes` are `len`, or null for a missing packet, and `samples` has room for those of one channel.
        let frames = unsafe {
            sys::opus_decode(
                self.0.as_ptr(),
                bytes,
                len as i32,
                samples.as_mut_ptr(),
                samples.len() as c_int,
                0,
            )
        };
        usize::try_from(frames).map_err(|_| OpusError::Refused { what: "this packet", code: frames })
    }

    /// What comes next does not follow what came.
    pub fn begin_anew(&mut self) {
        // SAFETY: the state lives, and this request takes nothing. It has no way to fail.
        unsafe { sys::opus_decoder_ctl(self.0.as_ptr(), sys::OPUS_RESET_STATE) };
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the state was made by libopus and is used by nobody any more.
        unsafe { sys::opus_decoder_destroy(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each channel has a tone of its own.
    fn tones(channels: usize, frames: usize, at: usize) -> Vec<i16> {
        let sample = |frame: usize, channel: usize| {
            let phase = (at + frame) as f64 * f64::from(220 * (channel as u32 + 2)) / f64::from(RATE);
            (8000.0 * (phase * std::f64::consts::TAU).sin()) as i16
        };
        (0..frames).flat_map(|frame| (0..channels).map(move |channel| sample(frame, channel))).collect()
    }

    /// Sabotage: let the bitrate vary, or map a channel into another's stream.
    #[test]
    fn packets_have_one_length_whatever_is_heard() {
        let layouts = [
            (2, 1, 1, 96_000),
            (2, 1, 1, 512_000),
            (6, 4, 2, 256_000),
            (8, 5, 3, 450_000),
            (8, 8, 0, 2_048_000),
        ];
        for (channels, streams, coupled, bitrate) in layouts {
            for frames in [240, 480] {
                let mut opus = Opus::new(Layout { channels, streams, coupled }, bitrate).unwrap();
                let mut packet = [0; MAX_PACKET];
                let mut lengths = std::collections::BTreeSet::new();
                for n in 0..100 {
                    let silence = vec![0; channels * frames];
                    let samples = if n % 20 < 5 { silence } else { tones(channels, frames, n * frames) };
                    lengths.insert(opus.encode(&samples, &mut packet).unwrap());
                }
                assert_eq!(lengths.len(), 1, "{channels} channels at {bitrate}: {lengths:?}");
                let asked = bitrate as usize * frames / RATE as usize / 8;
                let len = *lengths.first().unwrap();
                assert!(len.abs_diff(asked.min(MAX_PACKET)) * 20 <= asked, "{len} bytes, not {asked}");
            }
        }
    }

    #[test]
    fn what_makes_no_packet_is_refused() {
        let wrong = Layout { channels: 6, streams: 4, coupled: 3 };
        assert_eq!(Opus::new(wrong, 1).unwrap_err(), OpusError::Layout(wrong));
        let mut opus = Opus::new(Layout { channels: 2, streams: 1, coupled: 1 }, 96_000).unwrap();
        for count in [0, 479, 482, 2000] {
            assert!(opus.encode(&vec![0; count], &mut [0; MAX_PACKET]).is_err(), "{count}");
        }
    }
}

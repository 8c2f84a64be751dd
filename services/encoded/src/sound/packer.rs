//! Pieces of 5 ms made into packets of 5 or 10.

use arrayvec::ArrayVec;
use lumen_ipc::{
    bus::SoundSpec,
    sound::{MAX_CHANNELS, MAX_PACKET, PCM_FRAMES, Packet, Pcm, RATE},
};

use crate::backends::opus::{Layout, Opus, OpusError};

/// Pieces in the longest packet.
const MAX_PIECES: usize = 2;

/// Makes packets.
#[derive(Debug)]
pub struct Packer {
    opus: Opus,
    channels: usize,
    /// Samples that a packet has.
    full: usize,
    begun: ArrayVec<i16, { MAX_PIECES * PCM_FRAMES * MAX_CHANNELS }>,
    pts_ns: u64,
}

impl Packer {
    /// As `spec` says.
    ///
    /// # Errors
    /// [`OpusError`] if that cannot be.
    pub fn new(spec: &SoundSpec) -> Result<Self, OpusError> {
        let channels = spec.channels as usize;
        let layout = Layout { channels, streams: spec.streams as usize, coupled: spec.coupled as usize };
        let pieces = if spec.packet_ms > 5 { MAX_PIECES } else { 1 };
        // More than a packet takes would be taken from the last streams alone, until nothing is heard of them.
        let most = (MAX_PACKET * 8 * RATE as usize / (pieces * PCM_FRAMES)) as u32;
        Ok(Self {
            opus: Opus::new(layout, spec.bitrate_bps.min(most))?,
            channels,
            full: pieces * PCM_FRAMES * channels,
            begun: ArrayVec::new(),
            pts_ns: 0,
        })
    }

    /// A packet as `spec` says, of silence.
    ///
    /// # Errors
    /// [`OpusError`] if that cannot be.
    pub fn silence(spec: &SoundSpec) -> Result<ArrayVec<u8, MAX_PACKET>, OpusError> {
        let mut packer = Self::new(spec)?;
        let samples = std::iter::repeat_n(0, PCM_FRAMES * packer.channels).collect();
        let piece = Pcm { pts_ns: 0, samples };
        loop {
            if let Some(packet) = packer.take(&piece)? {
                return Ok(packet.bytes);
            }
        }
    }

    /// What was begun is not ended: what comes next does not follow it.
    pub fn begin_anew(&mut self) {
        self.begun.clear();
    }

    /// Takes a piece; the packet that it ends.
    ///
    /// # Errors
    /// [`OpusError`], also for a piece of other channels.
    pub fn take(&mut self, pcm: &Pcm) -> Result<Option<Packet>, OpusError> {
        if pcm.samples.len() != PCM_FRAMES * self.channels {
            return Err(OpusError::Samples { got: pcm.samples.len(), channels: self.channels });
        }
        if self.begun.is_empty() {
            self.pts_ns = pcm.pts_ns;
        }
        self.begun.extend(pcm.samples.iter().copied());
        if self.begun.len() < self.full {
            return Ok(None);
        }
        let mut bytes = [0; MAX_PACKET];
        let len = self.opus.encode(&self.begun, &mut bytes);
        self.begun.clear();
        let mut bytes = ArrayVec::from(bytes);
        bytes.truncate(len?);
        Ok(Some(Packet { pts_ns: self.pts_ns, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(packet_ms: u32) -> SoundSpec {
        SoundSpec { channels: 2, streams: 1, coupled: 1, packet_ms, bitrate_bps: 96_000, microphone: None }
    }

    fn piece(number: u64) -> Pcm {
        Pcm { pts_ns: number * 5_000_000, samples: std::iter::repeat_n(7, 480).collect() }
    }

    /// Sabotage: stamp a packet with its last piece, or keep half a packet over a gap.
    #[test]
    fn a_packet_has_the_time_of_its_first_piece_and_none_lies_over_a_gap() {
        let mut packer = Packer::new(&spec(10)).unwrap();
        assert_eq!(packer.take(&piece(1)).unwrap(), None);
        let first = packer.take(&piece(2)).unwrap().unwrap();
        assert_eq!((first.pts_ns, first.bytes.len()), (5_000_000, 120));
        assert_eq!(packer.take(&piece(3)).unwrap(), None);
        packer.begin_anew();
        assert_eq!(packer.take(&piece(9)).unwrap(), None);
        assert_eq!(packer.take(&piece(10)).unwrap().unwrap().pts_ns, 45_000_000);
        let mut packer = Packer::new(&spec(5)).unwrap();
        assert_eq!(packer.take(&piece(4)).unwrap().unwrap().pts_ns, 20_000_000);
    }

    /// Sabotage: let silence be as short as it can be.
    #[test]
    fn silence_is_as_long_as_any_other_packet() {
        for (ms, bytes) in [(5, 60), (10, 120)] {
            assert_eq!(Packer::silence(&spec(ms)).unwrap().len(), bytes);
        }
    }

    #[test]
    fn a_piece_of_other_channels_is_refused() {
        let mut packer = Packer::new(&spec(5)).unwrap();
        let mono = Pcm { pts_ns: 0, samples: std::iter::repeat_n(0, 240).collect() };
        assert!(packer.take(&mono).is_err());
        assert!(packer.take(&piece(1)).unwrap().is_some());
    }
}

//! What a client's microphone heard, made samples again. The client's bytes come to libopus here and go no further.

use arrayvec::ArrayVec;
use lumen_ipc::sound::{SPOKEN_FRAMES, Spoken};

use super::order::{Next, Order};
use crate::backends::opus::{Decoder, OpusError};

/// Samples of one channel, of a packet or of one that is missing.
pub type Heard = ArrayVec<i16, SPOKEN_FRAMES>;

/// What happened to packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Decoded.
    pub decoded: u64,
    /// Made up for.
    pub missing: u64,
    /// Left out, because they came late or again.
    pub late: u64,
    /// Left out, because they are no Opus of 10 or 20 ms.
    pub malformed: u64,
}

/// A session's microphone.
#[derive(Debug)]
pub struct Microphone {
    decoder: Decoder,
    order: Order,
    /// Samples that the packet before had.
    frames: usize,
    counts: Counts,
}

impl Microphone {
    /// Before its first packet.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn new() -> Result<Self, OpusError> {
        Ok(Self { decoder: Decoder::new()?, order: Order::default(), frames: 0, counts: Counts::default() })
    }

    /// What comes next does not follow what came, and is numbered anew.
    pub fn begin_anew(&mut self) {
        self.order = Order::default();
        self.decoder.begin_anew();
        self.frames = 0;
    }

    /// Takes a packet; [`Self::pop`] then has what it sounds like.
    pub fn take(&mut self, spoken: Spoken) {
        if !self.order.take(spoken) {
            self.counts.late += 1;
        }
    }

    /// The next samples.
    pub fn pop(&mut self) -> Option<Heard> {
        loop {
            let heard = match self.order.pop()? {
                Next::Packet(bytes) => self.decode(&bytes),
                Next::Missing => self.make_up(),
                Next::Anew => {
                    self.decoder.begin_anew();
                    self.frames = 0;
                    None
                }
            };
            if heard.is_some() {
                return heard;
            }
        }
    }

    /// What happened until now.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn decode(&mut self, packet: &[u8]) -> Option<Heard> {
        let mut samples = [0; SPOKEN_FRAMES];
        match self.decoder.decode(packet, &mut samples) {
            Ok(frames) => {
                (self.counts.decoded, self.frames) = (self.counts.decoded + 1, frames);
                samples.get(..frames)?.try_into().ok()
            }
            Err(_) => {
                self.counts.malformed += 1;
                self.make_up()
            }
        }
    }

    /// What may have been in a packet that is missing.
    fn make_up(&mut self) -> Option<Heard> {
        let mut samples = [0; SPOKEN_FRAMES];
        let room = samples.get_mut(..self.frames).filter(|room| !room.is_empty())?;
        self.decoder.make_up(room).ok()?;
        self.counts.missing += 1;
        samples.get(..self.frames)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stamp::tones;
    use proptest::prelude::*;

    const TONE: f64 = 500.0;

    /// Packets of a tone, of so many samples each, as a client encodes them.
    fn spoken(channels: opus::Channels, frames: usize, count: usize) -> Vec<Spoken> {
        let width = if channels == opus::Channels::Mono { 1 } else { 2 };
        let mut encoder = opus::Encoder::new(48_000, channels, opus::Application::Voip).unwrap();
        let sample =
            |place: usize| (8000.0 * (place as f64 * TONE * std::f64::consts::TAU / 48_000.0).sin()) as i16;
        let packet = |number: usize| {
            let samples =
                (number * frames..(number + 1) * frames).flat_map(|place| vec![sample(place); width]);
            let bytes = encoder.encode_vec(&samples.collect::<Vec<_>>(), 640).unwrap();
            Spoken { number: number as u32, bytes: bytes[..].try_into().unwrap() }
        };
        (0..count).map(packet).collect()
    }

    fn heard(packets: impl IntoIterator<Item = Spoken>) -> (Vec<i16>, Counts) {
        let (mut microphone, mut heard) = (Microphone::new().unwrap(), Vec::new());
        for packet in packets {
            microphone.take(packet);
            heard.extend(std::iter::from_fn(|| microphone.pop()).flatten());
        }
        (heard, microphone.counts())
    }

    /// Sabotage: decode one length alone, or take a stereo packet for one channel after the other.
    #[test]
    fn a_tone_stays_a_tone_mono_or_stereo_of_10_or_20_ms() {
        for channels in [opus::Channels::Mono, opus::Channels::Stereo] {
            for frames in [480, 960] {
                let (heard, counts) = heard(spoken(channels, frames, 50));
                assert_eq!((heard.len(), counts.decoded), (50 * frames, 50));
                let last = &heard[heard.len() - 9600..];
                assert!(tones::loudness(last, TONE) > tones::loudness(last, 1370.0) + 30.0);
            }
        }
    }

    /// Sabotage: leave out what is missing, or play it as silence.
    #[test]
    fn one_packet_in_ten_may_be_missing() {
        let mut packets = spoken(opus::Channels::Mono, 480, 200);
        packets.retain(|packet| packet.number % 10 != 5);
        let (heard, counts) = heard(packets);
        assert_eq!((heard.len(), counts.missing), (200 * 480, 20));
        let quietest =
            heard.chunks_exact(480).skip(20).map(|piece| tones::loudness(piece, TONE)).fold(0.0, f64::min);
        assert!(quietest > -30.0, "{quietest} dB");
    }

    /// Sabotage: let through what is longer than it says, or stop at the first packet that is no Opus.
    #[test]
    fn what_is_no_opus_is_counted_and_the_next_one_heard() {
        let mut packets = spoken(opus::Channels::Mono, 480, 20);
        packets[10].bytes = ArrayVec::from_iter([0xff, 0xff, 0xff]);
        // 60 ms in one packet.
        packets[12].bytes.truncate(1);
        packets[12].bytes[0] = 0x18;
        let (heard, counts) = heard(packets);
        assert_eq!((counts.decoded, counts.malformed, heard.len()), (18, 2, 20 * 480));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..640), 0..40)) {
            let packet = |(number, bytes): (usize, Vec<u8>)| Spoken { number: number as u32, bytes: bytes[..].try_into().unwrap() };
            let count = packets.len() as u64;
            let (_, counts) = heard(packets.into_iter().enumerate().map(packet));
            prop_assert_eq!(counts.decoded + counts.malformed, count);
        }
    }
}

//! The microphone: a tone or a file, encoded and sent as a person's voice would be.

use std::{convert::Infallible, fs, iter, path::PathBuf, str::FromStr, time::Duration};

use lumen_core::{Timestamp, control::Microphone, microphone};
use opus::{Application, Channels, Encoder};
use serde::Serialize;

use crate::{failure::Failure, link::Link};

const RATE: u32 = 48_000;
/// Of one packet.
const PACKET: Duration = Duration::from_millis(20);
/// Samples of one packet.
const FRAMES: usize = 960;
/// Loudness of a tone, of 1.
const LOUDNESS: f64 = 0.3;

/// What is spoken.
#[derive(Clone, Debug, PartialEq)]
pub enum Voice {
    /// A tone of so many hertz, without an end.
    Tone(f64),
    /// A WAV file.
    File(PathBuf),
}

impl FromStr for Voice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let hertz = text.strip_prefix("tone:").and_then(|hertz| hertz.parse().ok());
        Ok(hertz.map_or_else(|| Self::File(text.into()), Self::Tone))
    }
}

/// Why a file cannot be spoken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "it is no WAV file of 16 bits a sample at 48000 Hz, mono or stereo; make one with `ffmpeg -i FILE -ar 48000 -ac 1 -c:a pcm_s16le OUT.wav`"
)]
pub struct NoVoice;

/// What was spoken.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MouthSummary {
    /// Whether the host takes it, in words.
    pub answer: String,
    /// Packets that were sent.
    pub packets: u64,
    /// Packets that could not be sent.
    pub unsent: u64,
}

/// Speaks.
pub struct Mouth {
    samples: Box<dyn Iterator<Item = i16>>,
    encoder: Encoder,
    sender: microphone::Sender,
    /// When the next packet is complete; `None` while nobody listens, or when all was said.
    next: Option<Timestamp>,
    summary: MouthSummary,
}

impl Mouth {
    /// Of what is to be spoken.
    ///
    /// # Errors
    /// [`Failure::Voice`], or libopus has no memory.
    pub fn new(voice: &Voice) -> Result<Self, Failure> {
        let samples: Box<dyn Iterator<Item = i16>> = match voice {
            Voice::Tone(hertz) => Box::new(tone(*hertz)),
            Voice::File(path) => {
                let failed = |why: String| Failure::Voice { path: path.clone(), why };
                let file = fs::read(path).map_err(|error| failed(error.to_string()))?;
                Box::new(wav(&file).map_err(|error| failed(error.to_string()))?.into_iter())
            }
        };
        let encoder = Encoder::new(RATE, Channels::Mono, Application::Voip);
        let encoder = encoder.map_err(|error| Failure::BrokenOff { why: format!("libopus: {error}") })?;
        let (sender, summary) = (microphone::Sender::new(), MouthSummary::default());
        Ok(Self { samples, encoder, sender, next: None, summary })
    }

    /// The host answered.
    pub fn start(&mut self, answer: Microphone, now: Timestamp) {
        self.summary.answer = answer.to_string();
        self.next = (answer == Microphone::Taken).then_some(now + PACKET);
    }

    /// When there is something to be said.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Says what is due; without a connection into the air.
    pub fn speak(&mut self, link: Option<&Link>, now: Timestamp) {
        while let Some(datagram) = self.due(now) {
            let is_sent = link.is_some_and(|link| link.send_datagram(datagram));
            *(if is_sent { &mut self.summary.packets } else { &mut self.summary.unsent }) += 1;
        }
    }

    /// The datagram that is due; ask again until there is none.
    fn due(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        let at = self.next.filter(|at| *at <= now)?;
        let samples: Vec<i16> = self.samples.by_ref().take(FRAMES).collect();
        let packet =
            (samples.len() == FRAMES).then(|| self.encoder.encode_vec(&samples, microphone::MAX_OPUS));
        self.next = packet.is_some().then(|| at + PACKET);
        let recorded = Timestamp::from_ns(at.as_ns().saturating_sub(PACKET.as_nanos() as u64));
        self.sender.packet(&packet?.ok()?, recorded)
    }

    /// What was spoken until now.
    pub fn summary(&self) -> MouthSummary {
        self.summary.clone()
    }
}

fn tone(hertz: f64) -> impl Iterator<Item = i16> {
    let sample = move |n: u64| {
        let turns = (n as f64 * hertz / f64::from(RATE)).fract();
        (LOUDNESS * (turns * std::f64::consts::TAU).sin() * f64::from(i16::MAX)) as i16
    };
    (0..).map(sample)
}

/// The samples of a file, of two channels their mean.
fn wav(file: &[u8]) -> Result<Vec<i16>, NoVoice> {
    let body =
        file.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..)?.strip_prefix(b"WAVE")).ok_or(NoVoice)?;
    let chunk =
        |name: &[u8]| chunks(body).find(|(found, _)| *found == name).map(|(_, bytes)| bytes).ok_or(NoVoice);
    let (format, samples) = (chunk(b"fmt ")?, chunk(b"data")?);
    let word = |at: usize| format.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let channels = match (word(0), word(2), word(4), word(6), word(14)) {
        (Some(1 | 0xfffe), Some(channels @ 1..=2), Some(48_000), Some(0), Some(16)) => channels,
        _ => return Err(NoVoice),
    };
    let samples = samples.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect::<Vec<_>>();
    let mean =
        |frame: &[i16]| (frame.iter().copied().map(i32::from).sum::<i32>() / i32::from(channels)) as i16;
    Ok(samples.chunks_exact(channels.into()).map(mean).collect())
}

fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    iter::from_fn(move || {
        let (head, after) = rest.split_at_checked(8)?;
        let (name, len) = head.split_at(4);
        let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
        // One that was cut off has what there is.
        let (bytes, next) = after.split_at(len.min(after.len()));
        rest = next.get(len % 2..).unwrap_or_default();
        Some((name, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stamp::tones;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    /// Sabotage: take one channel for the file, or a rate for another.
    #[test]
    fn a_file_is_spoken_once_and_what_is_none_is_told() {
        let file = tones::wav(&[500.0, 500.0], 1).unwrap();
        let samples = wav(&file).unwrap();
        assert_eq!(samples.len(), 48_000);
        assert!(tones::loudness(&samples, 500.0) > -11.0);
        let mut slow = file.clone();
        slow[24..28].copy_from_slice(&44_100u32.to_le_bytes());
        for wrong in [&slow[..], b"", b"RIFF", b"RIFF0000WAVEfmt "] {
            assert_eq!(wav(wrong), Err(NoVoice));
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("voice.wav");
        std::fs::write(&path, file).unwrap();
        let mut mouth = Mouth::new(&path.to_string_lossy().parse().unwrap()).unwrap();
        mouth.start(Microphone::Taken, at(0));
        assert_eq!(iter::from_fn(|| mouth.due(at(60_000))).count(), 50);
        assert_eq!(mouth.next(), None);
    }

    /// Sabotage: speak to a host that does not listen, or all at once.
    #[test]
    fn a_tone_is_spoken_in_time_and_only_where_it_is_taken() {
        let mut mouth = Mouth::new(&"tone:500".parse().unwrap()).unwrap();
        mouth.start(Microphone::NotAllowed, at(0));
        assert_eq!((mouth.due(at(1000)), mouth.next()), (None, None));
        mouth.start(Microphone::Taken, at(0));
        assert_eq!(iter::from_fn(|| mouth.due(at(100))).count(), 5);
        assert_eq!(mouth.next(), Some(at(120)));
    }
}

//! Sound: one thread a session takes packets off its own link to encoded and sends them.
//!
//! ```text
//!  encoded ──Packet──► speaker.rs ─► voice.rs: number of the record ─► RTP, 4 + 2 parity, AES-CBC ─► UDP
//!                         ▲                                        └► a datagram of the client's QUIC connection
//!          ◄─Spoken──     ▲ links       mouth.rs ◄── datagrams of the client's microphone, at most so many
//!                      this file: opens another one whenever one is lost
//! ```
//! It never waits for the pictures, nor they for it; without sound they go on.

mod mouth;
mod speaker;
pub mod tally;
mod voice;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use lumen_core::control::Microphone;
use lumen_gamestream::{
    audio::AudioPacketiser,
    http::Surround,
    rtsp::{AudioQuality, opus_layout},
};
use lumen_ipc::{bus::SoundSpec, sound::Spoken};
use lumen_stage::failpoint;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    peers::{Live, pipeline::Grounds},
    record::{Record, Road, SoundTerms, Terms},
    recover,
    upstream::Upstream,
    video::{
        paths::{Bell, Listed, Path},
        proof::Proof,
    },
};
pub use mouth::Mouth;
use speaker::{Speaker, SpeakerParts};
pub use voice::Ear;
use voice::{Rtp, Voice};

/// Between two tries to open a link, of which each waits for an encoded that restarts.
const RETRY: Duration = Duration::from_millis(20);
/// The same after encoded refused.
const REFUSED: Duration = Duration::from_secs(1);
/// Of lumen/1.
const PACKET_MS: u8 = 5;

/// What the owner tells the thread.
#[derive(Debug)]
enum Letter {
    Link(OwnedFd),
    Spoken(Box<Spoken>),
    Stop,
    Leave,
}

/// A session's sound; dropping it ends it, and tells encoded that the session is over.
#[derive(Debug)]
pub struct Sound {
    letters: mpsc::Sender<Letter>,
    bell: Arc<Bell>,
    opener: JoinHandle<()>,
    _listed: Option<Listed>,
}

impl Sound {
    /// Of the session `live`; `None` for one that gets no sound.
    ///
    /// # Errors
    /// The kernel gives no thread or descriptor.
    pub fn start<U: Upstream>(grounds: &Grounds<U>, live: &Arc<Live>) -> io::Result<Option<Self>> {
        let bell = Arc::new(Bell::new()?);
        let Some((voice, spec, listed)) = way(grounds, live, &bell) else { return Ok(None) };
        failpoint::at(recover::SOUND_LISTENING);
        let (letters, mail) = mpsc::channel();
        let (lost_to, lost) = unbounded_channel();
        let speaker = Speaker::new(
            SpeakerParts {
                generation: grounds.generation,
                live: live.clone(),
                voice,
                bell: bell.clone(),
                pulse: grounds.pulses.register(),
                lost: lost_to,
            },
            mail,
        );
        let id = live.session.to_string();
        let name = format!("sound-{}", id.get(..7).unwrap_or_default());
        thread::Builder::new().name(name).spawn(move || speaker.run())?;
        live.mouth.open(letters.clone(), bell.clone());
        let links = Links { letters: letters.clone(), bell: bell.clone(), live: live.clone(), lost };
        let opener = tokio::spawn(links.open(grounds.upstream.clone(), spec));
        Ok(Some(Self { letters, bell, opener, _listed: listed }))
    }

    /// Ends it as a crash does: encoded keeps what it has for the next link of this session.
    pub fn leave(&self) {
        self.opener.abort();
        self.post(Letter::Leave);
    }

    fn post(&self, letter: Letter) {
        // A thread that has ended needs no letters.
        let _ = self.letters.send(letter);
        self.bell.ring();
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        self.opener.abort();
        self.post(Letter::Stop);
    }
}

/// Opens links, one after the other.
struct Links {
    letters: mpsc::Sender<Letter>,
    bell: Arc<Bell>,
    live: Arc<Live>,
    lost: UnboundedReceiver<()>,
}

impl Links {
    async fn open<U: Upstream>(mut self, upstream: U, spec: SoundSpec) {
        loop {
            match upstream.open_sound(self.live.session, &spec).await {
                Ok(link) => {
                    // A thread that has ended needs no links; this task ends with it.
                    let _ = self.letters.send(Letter::Link(link));
                    self.bell.ring();
                    if self.lost.recv().await.is_none() {
                        return;
                    }
                    sleep(RETRY).await;
                }
                Err(failure) => {
                    self.live.sound.say(format!("no sound: {failure}"));
                    sleep(REFUSED).await;
                }
            }
        }
    }
}

/// How the sound of a session reaches its client, what encoded is asked for, and the place among those that ping.
fn way<U: Upstream>(
    grounds: &Grounds<U>,
    live: &Arc<Live>,
    bell: &Arc<Bell>,
) -> Option<(Voice, SoundSpec, Option<Listed>)> {
    let Some(terms) = live.record.terms() else {
        let channels = u8::try_from(live.record.channels()).ok()?;
        let surround = Surround::of_channels(channels.into())?;
        // Of 7.1 more would not fit a datagram.
        let quality = if surround == Surround::Stereo { AudioQuality::High } else { AudioQuality::Normal };
        let microphone = live.mouth.is_taken().then_some(true);
        let spec = SoundSpec { microphone, ..spec(surround, quality, PACKET_MS) };
        return Some((Voice::Lumen1, spec, None));
    };
    let (sound, gate) = (live.record.sound()?, grounds.gates.sound.clone()?);
    let path = Path::on(Road::Sound, Proof::Token(sound.token), bell.clone(), live.record.clone());
    let path = Arc::new(path);
    let listed = gate.paths.list(path.clone())?;
    let audio = &terms.config.audio;
    let rtp = Rtp {
        path,
        class: gate.class(audio.dscp),
        outlet: gate.outlet,
        packetiser: packetiser(&terms, &sound),
    };
    let spec = spec(audio.surround, audio.quality, audio.packet_ms);
    Some((Voice::GameStream(Box::new(rtp)), spec, Some(listed)))
}

/// How many channels the sink of a session is to have; `None`: nobody hears it.
pub fn channels(record: &Record) -> Option<u32> {
    let terms = record.terms().map(|terms| terms.config.audio.surround.channels().into());
    terms.or_else(|| Some(record.channels()).filter(|channels| *channels > 0))
}

/// What a client is told of its microphone, where the host's administrator allows them or does not.
pub fn microphone(record: &Record, is_allowed: bool) -> Microphone {
    match (record.has_microphone(), is_allowed, record.channels()) {
        (false, ..) => Microphone::None,
        (true, false, _) => Microphone::NotAllowed,
        (true, true, 0) => Microphone::NoSound,
        (true, true, _) => Microphone::Taken,
    }
}

fn packetiser(terms: &Terms, sound: &SoundTerms) -> AudioPacketiser {
    let (config, key) = (&terms.config, terms.key());
    let seal = config.encryption.audio.then_some((&key, sound.key_id));
    AudioPacketiser::new(config.audio.packet_ms, seal)
}

/// What encoded is asked for.
fn spec(surround: Surround, quality: AudioQuality, packet_ms: u8) -> SoundSpec {
    let (streams, coupled, bitrate_bps) = opus_layout(surround, quality);
    SoundSpec {
        channels: surround.channels().into(),
        streams: streams.into(),
        coupled: coupled.into(),
        packet_ms: packet_ms.into(),
        bitrate_bps,
        microphone: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::fixed;

    /// Sabotage: take it unasked, or without leave.
    #[test]
    fn a_microphone_is_taken_where_it_is_asked_for_and_allowed() {
        let record = Record::make(&fixed(1), 5).unwrap();
        record.set_channels(2);
        assert_eq!(microphone(&record, true), Microphone::None);
        record.set_microphone(true);
        assert_eq!(microphone(&record, false), Microphone::NotAllowed);
        assert_eq!(microphone(&record, true), Microphone::Taken);
        record.set_channels(0);
        assert_eq!(microphone(&record, true), Microphone::NoSound);
    }
}

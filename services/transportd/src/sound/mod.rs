//! Sound, to clients of GameStream: one thread a session takes packets off its own link to encoded and sends them.
//!
//! ```text
//!  encoded ──Packet──► speaker.rs: number of the record ─► RTP, 4 + 2 parity, AES-CBC ─► UDP
//!                         ▲ links
//!                      this file: opens another one whenever one is lost
//! ```
//! It never waits for the pictures, nor they for it; without sound they go on.

mod speaker;
pub mod tally;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use lumen_gamestream::{audio::AudioPacketiser, rtsp::opus_layout};
use lumen_ipc::bus::SoundSpec;
use lumen_stage::failpoint;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    peers::{Live, pipeline::Grounds},
    record::{Road, SoundTerms, Terms},
    recover,
    upstream::Upstream,
    video::{
        paths::{Bell, Listed, Path},
        proof::Proof,
    },
};
use speaker::{Speaker, SpeakerParts};

/// Between two tries to open a link, of which each waits for an encoded that restarts.
const RETRY: Duration = Duration::from_millis(20);
/// The same after encoded refused.
const REFUSED: Duration = Duration::from_secs(1);

/// What the owner tells the thread.
#[derive(Debug)]
enum Letter {
    Link(OwnedFd),
    Stop,
    Leave,
}

/// A session's sound; dropping it ends it, and tells encoded that the session is over.
#[derive(Debug)]
pub struct Sound {
    letters: mpsc::Sender<Letter>,
    bell: Arc<Bell>,
    opener: JoinHandle<()>,
    _listed: Listed,
}

impl Sound {
    /// Of the session `live`; `None` for one that gets no sound.
    ///
    /// # Errors
    /// The kernel gives no thread or descriptor.
    pub fn start<U: Upstream>(grounds: &Grounds<U>, live: &Arc<Live>) -> io::Result<Option<Self>> {
        let (Some(terms), Some(sound), Some(gate)) =
            (live.record.terms(), live.record.sound(), grounds.gates.sound.clone())
        else {
            return Ok(None);
        };
        let bell = Arc::new(Bell::new()?);
        let path = Path::on(Road::Sound, Proof::Token(sound.token), bell.clone(), live.record.clone());
        let path = Arc::new(path);
        let Some(listed) = gate.paths.list(path.clone()) else { return Ok(None) };
        failpoint::at(recover::SOUND_LISTENING);
        let (letters, mail) = mpsc::channel();
        let (lost_to, lost) = unbounded_channel();
        let speaker = Speaker::new(
            SpeakerParts {
                generation: grounds.generation,
                live: live.clone(),
                path,
                bell: bell.clone(),
                class: gate.class(terms.config.audio.dscp),
                outlet: gate.outlet,
                packetiser: packetiser(&terms, &sound),
                pulse: grounds.pulses.register(),
                lost: lost_to,
            },
            mail,
        );
        let id = live.session.to_string();
        let name = format!("sound-{}", id.get(..7).unwrap_or_default());
        thread::Builder::new().name(name).spawn(move || speaker.run())?;
        let links = Links { letters: letters.clone(), bell: bell.clone(), live: live.clone(), lost };
        let opener = tokio::spawn(links.open(grounds.upstream.clone(), spec(&terms)));
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

fn packetiser(terms: &Terms, sound: &SoundTerms) -> AudioPacketiser {
    let (config, key) = (&terms.config, terms.key());
    let seal = config.encryption.audio.then_some((&key, sound.key_id));
    AudioPacketiser::new(config.audio.packet_ms, seal)
}

/// What encoded is asked for.
fn spec(terms: &Terms) -> SoundSpec {
    let audio = &terms.config.audio;
    let (streams, coupled, bitrate_bps) = opus_layout(audio.surround, audio.quality);
    SoundSpec {
        channels: audio.surround.channels().into(),
        streams: streams.into(),
        coupled: coupled.into(),
        packet_ms: audio.packet_ms.into(),
        bitrate_bps,
    }
}

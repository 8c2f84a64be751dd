//! Sessions between their launch and their first picture, and what HTTPS asks of those that stream.
//!
//! ```text
//!  launch, resume ─► Pending: RTSP with the launch's key ─ ANNOUNCE ─► a session ─ PLAY ─► nothing is pending
//!                       │ 15 s without PLAY                                │
//!                       ▼                                                  ▼ what the client had kept goes on in it
//!                     over, with its session
//! ```

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use lumen_core::{Timestamp, trust::Fingerprint};
use lumen_gamestream::{
    http::{LaunchQuery, ResumeQuery, answers::Codecs},
    keys::SessionKey,
    rtsp::{self, Negotiation, Offer, Ports, StreamConfig, Tokens},
};
use lumen_ipc::SessionId;
use lumen_stage::{clock::now_ns, sessions::MAX_SESSIONS};
use tokio::sync::Notify;

use super::{
    beginning::{self, Beginning},
    conversation::at,
    streams::{Answer, App, Caller, Refused, Started, Streams},
    switchboard::Switchboard,
};
use crate::{
    identity::{IdentityError, random},
    peers::{Live, Peers, birth::Born, mail::Mail, pipeline::Grounds, protocol::Protocol},
    upstream::Upstream,
};

/// Launches that may wait for RTSP at once. Because each costs a key to try, and no more sessions could start.
const MAX_PENDING: usize = 2 * MAX_SESSIONS;

/// What this host can do on any desktop.
const OFFER: Offer = Offer {
    codecs: Codecs::H264,
    invalidates_references: true,
    touch: false,
    pad_sensors: false,
    seal_video: false,
};

/// A launch that RTSP has not finished.
#[derive(Debug)]
struct Pending {
    number: u64,
    negotiation: Negotiation,
    beginning: Beginning,
    born: Option<Born>,
}

#[derive(Debug, Default)]
struct Table {
    numbers: u64,
    pending: Vec<Pending>,
}

/// All launches of the stage.
pub struct Launches<U> {
    grounds: Grounds<U>,
    peers: Arc<Peers>,
    board: Arc<Switchboard>,
    ports: Ports,
    /// TCP port of RTSP.
    rtsp: u16,
    table: Mutex<Table>,
    launched: Notify,
}

impl<U> fmt::Debug for Launches<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launches")
            .field("ports", &self.ports)
            .field("rtsp", &self.rtsp)
            .finish_non_exhaustive()
    }
}

impl<U: Upstream> Launches<U> {
    /// None yet.
    pub fn new(
        grounds: Grounds<U>,
        peers: Arc<Peers>,
        board: Arc<Switchboard>,
        ports: Ports,
        rtsp: u16,
    ) -> Self {
        Self { grounds, peers, board, ports, rtsp, table: Mutex::default(), launched: Notify::new() }
    }

    /// The answer to a message of RTSP; `None` if it is no session's.
    pub async fn handle_rtsp(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (number, outputs) = self.negotiate(message)?;
        let mut answer = None;
        for output in outputs {
            match output {
                rtsp::Output::Answer(bytes) => answer = Some(bytes),
                rtsp::Output::Event(rtsp::Event::Configured(config)) => {
                    self.begin(number, &config).await?;
                }
                rtsp::Output::Event(rtsp::Event::Play) => self.play(number)?,
                rtsp::Output::Event(rtsp::Event::TimedOut) => drop(self.take(number)),
            }
        }
        answer
    }

    /// Ends what nobody plays, for ever.
    pub async fn watch(&self) {
        loop {
            let due = self.lock().pending.iter().filter_map(|one| one.negotiation.poll_timeout()).min();
            tokio::select! {
                () = at(due) => self.expire(),
                () = self.launched.notified() => {}
            }
        }
    }

    fn expire(&self) {
        let now = now();
        let is_due = |one: &mut Pending| one.negotiation.poll_timeout().is_none_or(|due| due <= now);
        let over: Vec<_> = self.lock().pending.extract_if(.., is_due).collect();
        for pending in over {
            pending.give_up("the client did not finish RTSP");
        }
    }

    /// Offers a message to each launch until it is one's own.
    fn negotiate(&self, message: &[u8]) -> Option<(u64, Vec<rtsp::Output>)> {
        let mut table = self.lock();
        table.pending.iter_mut().find_map(|one| match one.negotiation.handle_message(message) {
            Err(rtsp::Refused::NotMine) => None,
            // What is its own and of no use is answered with nothing.
            _ => Some((one.number, std::iter::from_fn(|| one.negotiation.poll_output()).collect())),
        })
    }

    /// The client chose: its session starts. `None` if it cannot, which is logged.
    async fn begin(&self, number: u64, config: &StreamConfig) -> Option<()> {
        let beginning = self.lock().pending.iter().find(|one| one.number == number)?.beginning.clone();
        match beginning::begin(&self.grounds, &self.peers, &self.board, beginning, config).await {
            Ok(born) => {
                let mut table = self.lock();
                match table.pending.iter_mut().find(|one| one.number == number) {
                    Some(pending) => pending.born = Some(born),
                    // It was cancelled meanwhile.
                    None => give_up(&born, "it was cancelled"),
                }
                Some(())
            }
            Err(error) => {
                tracing::warn!(STAGE = "transportd", "a GameStream session cannot start: {error}");
                drop(self.take(number));
                None
            }
        }
    }

    fn play(&self, number: u64) -> Option<()> {
        self.take(number)?.born?.live.record.set_playing();
        Some(())
    }

    fn take(&self, number: u64) -> Option<Pending> {
        let mut table = self.lock();
        let place = table.pending.iter().position(|one| one.number == number)?;
        Some(table.pending.remove(place))
    }

    fn take_of(&self, client: &Fingerprint) -> Option<Pending> {
        let mut table = self.lock();
        let place = table.pending.iter().position(|one| one.beginning.fingerprint == *client)?;
        Some(table.pending.remove(place))
    }

    /// From now on RTSP with this key is the client's.
    fn wait_for_rtsp(&self, key: SessionKey, touch: bool, beginning: Beginning) -> Result<Started, Refused> {
        if let Some(older) = self.take_of(&beginning.fingerprint) {
            older.give_up("its client launched anew");
        }
        let tokens = beginning.tokens;
        let offer = Offer { touch, ..OFFER };
        let negotiation = Negotiation::new(offer, self.ports, tokens, Some(key), now());
        let mut table = self.lock();
        if table.pending.len() >= MAX_PENDING {
            return Err(Refused::Full { limit: MAX_SESSIONS });
        }
        table.numbers += 1;
        let number = table.numbers;
        table.pending.push(Pending { number, negotiation, beginning, born: None });
        self.launched.notify_one();
        Ok(Started { rtsp: self.rtsp })
    }

    /// What `client` has here by this protocol, the newest last.
    fn sessions(&self, client: &Fingerprint) -> Vec<(Arc<Live>, i32)> {
        let of_client = |live: Arc<Live>| match live.protocol {
            Protocol::GameStream { app } if live.fingerprint == *client => Some((live, app)),
            _ => None,
        };
        self.peers.sessions().into_iter().filter_map(of_client).collect()
    }

    async fn launch_now(&self, client: &Caller, app: &App, launch: &LaunchQuery) -> Result<Started, Refused> {
        let theirs = self.sessions(&client.fingerprint);
        if theirs.iter().any(|(live, _)| !live.is_deserted()) {
            return Err(Refused::Running);
        }
        // What is kept for the client goes on, or ends, when its session starts.
        if self.peers.sessions().len() >= MAX_SESSIONS + theirs.len() {
            return Err(Refused::Full { limit: MAX_SESSIONS });
        }
        let kept = theirs.iter().rev().find(|(live, _)| live.app == app.name);
        let (session, touch) = match kept {
            Some((live, _)) => (live.session, live.takes_touch.load(Relaxed)),
            None => {
                let session = SessionId(random().map_err(no_random)?);
                (session, beginning::warm(&self.grounds, session, app, launch).await?)
            }
        };
        let beginning = Beginning {
            session,
            fingerprint: client.fingerprint,
            client: client.name.clone(),
            app: launch.app,
            app_name: app.name.clone(),
            tokens: tokens()?,
            key: launch.resume.key,
            key_id: launch.resume.key_id,
        };
        self.wait_for_rtsp(launch.resume.key, touch, beginning)
    }

    fn resume_now(&self, client: &Caller, resume: &ResumeQuery) -> Result<Started, Refused> {
        let (live, app) = self.sessions(&client.fingerprint).pop().ok_or(Refused::Nothing)?;
        let beginning = Beginning {
            session: live.session,
            fingerprint: client.fingerprint,
            client: client.name.clone(),
            app,
            app_name: live.app.clone(),
            tokens: tokens()?,
            key: resume.key,
            key_id: resume.key_id,
        };
        self.wait_for_rtsp(resume.key, live.takes_touch.load(Relaxed), beginning)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<U: Upstream> Streams for Launches<U> {
    fn launch<'a>(&'a self, client: &'a Caller, app: &'a App, launch: &'a LaunchQuery) -> Answer<'a> {
        Box::pin(self.launch_now(client, app, launch))
    }

    fn resume<'a>(&'a self, client: &'a Caller, resume: &'a ResumeQuery) -> Answer<'a> {
        Box::pin(std::future::ready(self.resume_now(client, resume)))
    }

    fn cancel(&self, client: &Fingerprint, reason: &str) -> bool {
        let pending = self.take_of(client);
        let had_pending = pending.is_some();
        if let Some(pending) = pending {
            pending.give_up(reason);
        }
        let ended =
            self.sessions(client).into_iter().filter(|(live, _)| self.peers.end(live.session, reason));
        ended.count() > 0 || had_pending
    }

    fn current(&self, client: &Fingerprint) -> Option<i32> {
        self.sessions(client).pop().map(|(_, app)| app)
    }

    fn codecs(&self) -> Codecs {
        OFFER.codecs
    }
}

impl Pending {
    fn give_up(self, reason: &str) {
        if let Some(born) = self.born {
            give_up(&born, reason);
        }
    }
}

fn give_up(born: &Born, reason: &str) {
    // A session that is over has said so.
    let _ = born.mail.send(Mail::End(reason.to_owned()));
}

fn tokens() -> Result<Tokens, Refused> {
    let control = random().map(u32::from_le_bytes);
    let tokens = random().and_then(|audio| Ok(Tokens { audio, video: random()?, control: control? }));
    tokens.map_err(no_random)
}

fn no_random(error: IdentityError) -> Refused {
    let advice = "See `journalctl --user -u lumen-transportd` on the host.".to_owned();
    Refused::Failed { text: format!("The host cannot start a session: {error}."), advice }
}

fn now() -> Timestamp {
    Timestamp::from_ns(now_ns())
}

//! Who is connected now, and which sessions run: what the bus asks about and acts upon.

pub mod birth;
pub mod connection;
mod fingers;
pub mod hands;
pub mod lobby;
pub mod mail;
mod merging;
pub mod pipeline;
mod pointing;
pub mod protocol;
pub mod seat;
pub mod session;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use lumen_core::trust::Fingerprint;
use lumen_ipc::SessionId;
use lumen_stage::sessions::MAX_SESSIONS;
use tokio::sync::mpsc::UnboundedSender;

use self::{protocol::Protocol, session::Mail};
use crate::{
    record::Record,
    sound::{Ear, Mouth, tally::Tally},
    video::{Figures, Path},
};

/// What a connection is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Say goodbye with this reason.
    End(String),
}

/// A session that runs, as the bus sees it.
#[derive(Debug)]
pub struct Live {
    /// Its id.
    pub session: SessionId,
    /// Whose it is.
    pub fingerprint: Fingerprint,
    /// What the client is called: by the administrator, else by itself.
    pub client: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// As launched.
    pub app: Option<String>,
    /// What is measured.
    pub figures: Arc<Figures>,
    /// Where it goes.
    pub path: Arc<Path>,
    /// What survives this incarnation.
    pub record: Arc<Record>,
    /// CLOCK_MONOTONIC ns of its launch.
    pub started_ns: u64,
    /// What becomes of its sound.
    pub sound: Tally,
    /// Where its sound goes, of a lumen/1 session.
    pub ear: Ear,
    /// Where its microphone comes in, likewise.
    pub mouth: Mouth,
    /// What inputd says: a sentence.
    pub input: Mutex<String>,
    /// inputd's Seat takes fingers.
    pub takes_touch: AtomicBool,
    /// What becomes of it now: a sentence.
    pub state: Mutex<String>,
    /// No connection of its client serves it.
    pub is_alone: AtomicBool,
}

#[derive(Debug)]
struct Peer {
    fingerprint: Fingerprint,
    orders: UnboundedSender<Order>,
}

#[derive(Debug)]
struct Entry {
    live: Arc<Live>,
    mail: UnboundedSender<Mail>,
}

#[derive(Debug, Default)]
struct Table {
    births: u64,
    peers: BTreeMap<u64, Peer>,
    sessions: BTreeMap<SessionId, Entry>,
}

/// All connections whose client has proved who it is, and all sessions.
#[derive(Debug, Default)]
pub struct Peers(Mutex<Table>);

/// A connection's place; dropping it forgets the connection.
#[derive(Debug)]
pub struct Admitted {
    peers: Arc<Peers>,
    birth: u64,
}

/// A session's place; dropping it forgets the session.
#[derive(Debug)]
pub struct Enrolled {
    peers: Arc<Peers>,
    session: SessionId,
}

/// No room for another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_SESSIONS} sessions run already")]
pub struct Full;

/// Why a client does not get a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotYours {
    /// It is over, or never was.
    #[error("There is no session {0} here any more.")]
    Gone(SessionId),
    /// It was launched by somebody else.
    #[error("Session {0} belongs to another client, and an Output has one reader.")]
    Foreign(SessionId),
}

impl Peers {
    /// A client's connection is up; `orders` reaches it.
    pub fn admit(self: &Arc<Self>, fingerprint: Fingerprint, orders: UnboundedSender<Order>) -> Admitted {
        let mut table = self.lock();
        let birth = table.births;
        table.births += 1;
        table.peers.insert(birth, Peer { fingerprint, orders });
        Admitted { peers: self.clone(), birth }
    }

    /// A session starts; `mail` reaches it.
    ///
    /// # Errors
    /// [`Full`] if too many run already.
    pub fn enroll(self: &Arc<Self>, live: Arc<Live>, mail: UnboundedSender<Mail>) -> Result<Enrolled, Full> {
        let mut table = self.lock();
        if table.sessions.len() >= MAX_SESSIONS {
            return Err(Full);
        }
        let session = live.session;
        table.sessions.insert(session, Entry { live, mail });
        Ok(Enrolled { peers: self.clone(), session })
    }

    /// The sessions that run, the oldest first.
    pub fn sessions(&self) -> Vec<Arc<Live>> {
        let table = self.lock();
        let mut sessions: Vec<_> = table.sessions.values().map(|entry| entry.live.clone()).collect();
        sessions.sort_by_key(|live| live.started_ns);
        sessions
    }

    /// The session `id`, if it runs.
    pub fn session(&self, id: SessionId) -> Option<Arc<Live>> {
        self.lock().sessions.get(&id).map(|entry| entry.live.clone())
    }

    /// The mailbox of session `id`, if it is `client`'s.
    ///
    /// # Errors
    /// [`NotYours`]
    pub fn mailbox(&self, id: SessionId, client: &Fingerprint) -> Result<UnboundedSender<Mail>, NotYours> {
        let table = self.lock();
        let entry = table.sessions.get(&id).ok_or(NotYours::Gone(id))?;
        if entry.live.fingerprint == *client { Ok(entry.mail.clone()) } else { Err(NotYours::Foreign(id)) }
    }

    /// The newest session of `client` that it watches no more.
    pub fn kept(&self, client: &Fingerprint) -> Option<(Arc<Live>, UnboundedSender<Mail>)> {
        let table = self.lock();
        let is_kept = |live: &Live| live.fingerprint == *client && live.is_deserted();
        let kept = table.sessions.values().filter(|entry| is_kept(&entry.live));
        kept.max_by_key(|entry| entry.live.started_ns).map(|entry| (entry.live.clone(), entry.mail.clone()))
    }

    /// vdisplayd says something of session `id`, if it runs.
    pub fn announce(&self, id: SessionId, mail: Mail) {
        if let Some(entry) = self.lock().sessions.get(&id) {
            // A session that ends this very moment needs no mail.
            let _ = entry.mail.send(mail);
        }
    }

    /// The machine goes to sleep, or it woke: told to all sessions.
    pub fn tell_sleep(&self, sleeps: bool) {
        for entry in self.lock().sessions.values() {
            // A session that ends this very moment needs no mail.
            let _ = entry.mail.send(Mail::Sleeps(sleeps));
        }
    }

    /// Leaves all sessions to the next incarnation.
    pub fn part(&self) {
        for entry in self.lock().sessions.values() {
            // A session that ends this very moment needs no mail.
            let _ = entry.mail.send(Mail::Part);
        }
    }

    /// Ends the session `id`; whether there was one.
    pub fn end(&self, id: SessionId, reason: &str) -> bool {
        self.end_sessions(reason, |live| live.session == id) > 0
    }

    /// Ends all that `client` does here; returns how many sessions and connections that were.
    pub fn expel(&self, client: &Fingerprint, reason: &str) -> usize {
        self.end_sessions(reason, |live| live.fingerprint == *client)
            + self.order(reason, |peer| peer.fingerprint == *client)
    }

    /// Connections now.
    pub fn count(&self) -> usize {
        self.lock().peers.len()
    }

    fn end_sessions(&self, reason: &str, which: impl Fn(&Live) -> bool) -> usize {
        let table = self.lock();
        let chosen = table.sessions.values().filter(|entry| which(&entry.live));
        let told = chosen.map(|entry| {
            // A session that ends this very moment needs no mail.
            let _ = entry.mail.send(Mail::End(reason.to_owned()));
        });
        told.count()
    }

    fn order(&self, reason: &str, which: impl Fn(&Peer) -> bool) -> usize {
        let table = self.lock();
        let chosen = table.peers.values().filter(|peer| which(peer));
        let told = chosen.map(|peer| {
            // A connection that ends this very moment needs no order.
            let _ = peer.orders.send(Order::End(reason.to_owned()));
        });
        told.count()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// The connection's number.
    pub fn birth(&self) -> u64 {
        self.birth
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.peers.lock().peers.remove(&self.birth);
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.peers.lock().sessions.remove(&self.session);
    }
}

impl Live {
    /// Whether its client is gone: its connection has ended, or has not ended yet although nothing comes from the client.
    pub fn is_deserted(&self) -> bool {
        self.is_alone.load(Relaxed) || self.path.is_silent()
    }

    /// One line for the journal when it ends.
    pub fn summary(&self) -> String {
        let figures = &self.figures;
        format!(
            "{} frames ({} repeats, {} IDRs, {} recovered), {} datagrams, {} unsent, {} forged, {} links to encoded",
            figures.frames.load(Relaxed),
            figures.repeats.load(Relaxed),
            figures.idrs.load(Relaxed),
            figures.recovered.load(Relaxed),
            figures.datagrams.load(Relaxed),
            figures.unsent.load(Relaxed),
            self.path.counters().forged,
            figures.links.load(Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::tests::fixed,
        video::{paths::Bell, proof::Proof},
    };
    use lumen_core::{
        seal::{ChannelSecret, Direction, Opener},
        wire::ChannelId,
    };
    use tokio::sync::mpsc::unbounded_channel;

    fn live(n: u8) -> Arc<Live> {
        let channel = ChannelId(n.into());
        let secret = ChannelSecret::from_bytes([n; 32]);
        let opener = Opener::new(&secret, channel, Direction::ClientToHost);
        let proof = Proof::Hello(channel, Box::new(opener));
        let record = Arc::new(Record::make(&fixed(n), 1).unwrap());
        let bell = Arc::new(Bell::new().unwrap());
        Arc::new(Live {
            session: SessionId([n; 16]),
            fingerprint: Fingerprint::from_bytes([n; 32]),
            client: String::new(),
            protocol: Protocol::Lumen1,
            app: None,
            figures: Arc::default(),
            path: Arc::new(Path::new(proof, bell, record.clone())),
            record,
            started_ns: n.into(),
            sound: Tally::default(),
            ear: Ear::default(),
            mouth: Mouth::default(),
            input: Mutex::default(),
            takes_touch: AtomicBool::default(),
            state: Mutex::default(),
            is_alone: AtomicBool::new(false),
        })
    }

    /// Sabotage: no limit, or one of nine.
    #[test]
    fn the_ninth_session_is_refused_until_one_ends() {
        let peers = Arc::new(Peers::default());
        let (mail, _mailbox) = unbounded_channel();
        let mut enrolled: Vec<_> = (0..9).map(|n| peers.enroll(live(n), mail.clone())).collect();
        assert_eq!(enrolled.iter().filter(|place| place.is_ok()).count(), MAX_SESSIONS);
        assert!(enrolled[8].is_err());
        drop(enrolled.remove(0));
        assert!(peers.enroll(live(9), mail).is_ok());
    }

    #[test]
    fn an_order_reaches_whom_it_is_meant_for() {
        let peers = Arc::new(Peers::default());
        let (orders, mut inbox) = unbounded_channel();
        let (mail, mut mailbox) = unbounded_channel();
        let _connection = peers.admit(Fingerprint::from_bytes([2; 32]), orders);
        let _session = peers.enroll(live(1), mail).unwrap();
        assert!(peers.end(SessionId([1; 16]), "a"));
        assert!(!peers.end(SessionId([2; 16]), "a"), "there is no such session");
        assert_eq!(peers.expel(&Fingerprint::from_bytes([2; 32]), "b"), 1);
        assert!(matches!(mailbox.try_recv(), Ok(Mail::End(reason)) if reason == "a"));
        assert_eq!(inbox.try_recv(), Ok(Order::End("b".into())));
    }

    /// Sabotage: hand a session to whoever names it.
    #[test]
    fn a_session_is_its_clients_alone() {
        let peers = Arc::new(Peers::default());
        let (mail, _mailbox) = unbounded_channel();
        let _session = peers.enroll(live(1), mail).unwrap();
        let id = SessionId([1; 16]);
        assert!(peers.mailbox(id, &Fingerprint::from_bytes([1; 32])).is_ok());
        let refused = peers.mailbox(id, &Fingerprint::from_bytes([2; 32])).unwrap_err();
        assert_eq!(refused, NotYours::Foreign(id));
        let gone = SessionId([2; 16]);
        assert_eq!(peers.mailbox(gone, &Fingerprint::from_bytes([1; 32])).unwrap_err(), NotYours::Gone(gone));
    }

    /// Sabotage: hand out a session that is being watched, or another client's.
    #[test]
    fn only_a_session_without_a_connection_can_be_taken_over_by_its_client() {
        let peers = Arc::new(Peers::default());
        let (mail, _mailbox) = unbounded_channel();
        let sessions: Vec<_> = (1..4).map(live).collect();
        let _places: Vec<_> =
            sessions.iter().map(|live| peers.enroll(live.clone(), mail.clone()).unwrap()).collect();
        let kept = |n: u8| peers.kept(&Fingerprint::from_bytes([n; 32])).map(|(live, _)| live.session);
        assert_eq!(kept(1), None);
        sessions[0].is_alone.store(true, Relaxed);
        assert_eq!((kept(1), kept(2)), (Some(SessionId([1; 16])), None));
    }
}

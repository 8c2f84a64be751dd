//! Who is connected now, and which sessions run: what the bus asks about and acts upon.

pub mod birth;
pub mod connection;
pub mod lobby;
pub mod pipeline;
pub mod seat;
pub mod session;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use lumen_core::trust::Fingerprint;
use lumen_ipc::{Mode, SessionId};
use lumen_stage::sessions::MAX_SESSIONS;
use tokio::sync::mpsc::UnboundedSender;

use self::session::Mail;
use crate::{
    record::Record,
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
    /// Asked for.
    pub mode: Mode,
    /// What is measured.
    pub figures: Arc<Figures>,
    /// Where it goes.
    pub path: Arc<Path>,
    /// What survives this incarnation.
    pub record: Arc<Record>,
    /// CLOCK_MONOTONIC ns of its launch.
    pub started_ns: u64,
    /// What inputd says: a sentence.
    pub input: Mutex<String>,
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
    pub fn mailbox(&self, id: SessionId, client: &Fingerprint) -> Option<UnboundedSender<Mail>> {
        let table = self.lock();
        let entry = table.sessions.get(&id)?;
        (entry.live.fingerprint == *client).then(|| entry.mail.clone())
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

    /// Ends everything.
    pub fn end_all(&self, reason: &str) {
        self.end_sessions(reason, |_| true);
        self.order(reason, |_| true);
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
    /// One line for the journal when it ends.
    pub fn summary(&self) -> String {
        let figures = &self.figures;
        format!(
            "{} frames ({} repeats, {} IDRs), {} datagrams, {} unsent, {} forged, {} links to encoded",
            figures.frames.load(Relaxed),
            figures.repeats.load(Relaxed),
            figures.idrs.load(Relaxed),
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
    use crate::{record::tests::fixed, video::paths::Bell};
    use lumen_core::{
        seal::{ChannelSecret, Direction, Opener},
        wire::ChannelId,
    };
    use tokio::sync::mpsc::unbounded_channel;

    fn live(n: u8) -> Arc<Live> {
        let channel = ChannelId(n.into());
        let secret = ChannelSecret::from_bytes([n; 32]);
        let opener = Opener::new(&secret, channel, Direction::ClientToHost);
        let record = Arc::new(Record::make(&fixed(n), 1).unwrap());
        let bell = Arc::new(Bell::new().unwrap());
        Arc::new(Live {
            session: SessionId([n; 16]),
            fingerprint: Fingerprint::from_bytes([n; 32]),
            client: String::new(),
            mode: Mode { width: 64, height: 64, refresh_mhz: 60_000 },
            figures: Arc::default(),
            path: Arc::new(Path::new(channel, opener, bell, record.clone())),
            record,
            started_ns: n.into(),
            input: Mutex::default(),
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
        assert!(peers.mailbox(id, &Fingerprint::from_bytes([1; 32])).is_some());
        assert!(peers.mailbox(id, &Fingerprint::from_bytes([2; 32])).is_none());
    }
}

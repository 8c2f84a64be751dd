//! `org.lumen.Transport1`: who may stream, and what runs.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use lumen_core::trust::Fingerprint;
use lumen_gamestream::pairing::{AttemptId, Ended, PairingError, Pin, PinError};
use lumen_stage::{
    bus::{CallError, Decider, require_decider, require_person, session_id},
    clock::now_ns,
    status::Report,
};
use tokio::time::timeout;
use zbus::{Connection, OwnedVariant, interface, message::Header};

use crate::{
    clients::{Clients, Known, Protocol},
    gamestream::{
        reception::{Reception, Waiting},
        streams::Streams,
    },
    peers::{Live, Peers},
    vault::VaultError,
    video::figures::Quantiles,
};

type Dict = HashMap<String, OwnedVariant>;

/// How long a client may take from its PIN to the end of its pairing: three requests.
const PAIRING: Duration = Duration::from_secs(10);

/// What a session is told whose client may not stream any more.
const REVOKED: &str = "This host does not know this client any more.";

/// The interface, as `lumenctl` uses it. Everything but reading is for the administrator's tools alone.
#[derive(Clone)]
pub struct Transport1 {
    /// Who may stream.
    pub clients: Arc<Clients>,
    /// Who is connected.
    pub peers: Arc<Peers>,
    /// What clients pin.
    pub fingerprint: Fingerprint,
    /// Who wants to be paired, or why nobody can be.
    pub reception: Result<Arc<Reception>, Arc<str>>,
    /// GameStream's sessions, once they are there.
    pub streams: Arc<OnceLock<Arc<dyn Streams>>>,
}

impl Transport1 {
    fn reception(&self) -> Result<&Arc<Reception>, CallError> {
        self.reception.as_ref().map_err(|off| CallError::Environment(off.to_string()))
    }
}

fn fingerprint(text: &str) -> Result<Fingerprint, CallError> {
    text.parse().map_err(|error: lumen_core::trust::FingerprintError| {
        CallError::Request(format!(
            "{text:?} is not a fingerprint: {error}\nThe client shows its own; copy it whole."
        ))
    })
}

/// Changes the list on a thread of its own: a disk may take a second to have it, and the event loop must not.
async fn write<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, CallError> {
    let written = tokio::task::spawn_blocking(change).await;
    let written = written.map_err(|error| CallError::Internal(error.to_string()))?;
    written.map_err(|error| CallError::Environment(error.to_string()))
}

fn unknown(session: &str) -> CallError {
    CallError::Request(format!("there is no session {session}\n`lumenctl status` lists the running ones"))
}

#[interface(name = "org.lumen.Transport1")]
impl Transport1 {
    /// Lets the client with this fingerprint (64 hexadecimal digits) stream, under a name for people (may be empty).
    async fn allow(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        client: &str,
        name: &str,
    ) -> Result<(), CallError> {
        require_person(bus, &header).await?;
        let (clients, client, name) = (self.clients.clone(), fingerprint(client)?, name.to_owned());
        write(move || clients.allow(client, &name)).await
    }

    /// Ends that, and the client's sessions at once. Whether it was allowed.
    async fn revoke(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        client: &str,
    ) -> Result<bool, CallError> {
        require_person(bus, &header).await?;
        let client = fingerprint(client)?;
        let clients = self.clients.clone();
        let revoked = write(move || clients.revoke(&client)).await;
        self.peers.expel(&client, REVOKED);
        if let Some(streams) = self.streams.get() {
            streams.cancel(&client, REVOKED);
        }
        revoked
    }

    /// Calls a client something else. Whether it is known.
    async fn rename(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        client: &str,
        name: &str,
    ) -> Result<bool, CallError> {
        require_person(bus, &header).await?;
        let (clients, client, name) = (self.clients.clone(), fingerprint(client)?, name.to_owned());
        write(move || clients.rename(&client, &name)).await
    }

    /// All who may stream: `fingerprint` (s), `name` (s), `protocols` (as: `lumen/1`, `gamestream`).
    fn allowed(&self) -> Vec<Dict> {
        let describe = |(client, Known { name, protocols }): (Fingerprint, Known)| {
            let protocols: Vec<&str> = protocols.into_iter().map(Protocol::name).collect();
            let mut report = Report::default();
            report.set("fingerprint", client.to_string()).set("name", name).set("protocols", protocols);
            report.into_dict()
        };
        self.clients.list().into_iter().map(describe).collect()
    }

    /// Moonlight clients that are pairing now: `attempt` (u), `name` (s: what the client calls itself; most say nothing),
    /// `address` (s), `fingerprint` (s: of what would be paired), `age_ns` (t), `wants_pin` (b).
    fn pairings(&self) -> Result<Vec<Dict>, CallError> {
        Ok(self.reception()?.waiting().iter().map(describe_waiting).collect())
    }

    /// The PIN that the client of `attempt` shows; `name` is what to call it (may be empty). Answers when the client is
    /// paired and written down, and fails with the reason when it is not.
    async fn pair(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        attempt: u32,
        pin: &str,
        name: &str,
    ) -> Result<(), CallError> {
        require_person(bus, &header).await?;
        let reception = self.reception()?;
        let pin: Pin = pin.parse().map_err(|error: PinError| CallError::Request(error.to_string()))?;
        let taken = reception.pin(AttemptId(attempt), pin, name);
        let ended = taken.map_err(|error| not_paired(attempt, &error))?;
        match timeout(PAIRING, ended).await {
            Ok(Ok(Ended::Paired)) => Ok(()),
            Ok(Ok(Ended::Failed(error))) => Err(not_paired(attempt, &error)),
            Ok(Ok(Ended::HungUp) | Err(_)) | Err(_) => Err(CallError::Temporary(format!(
                "the client has not finished within {} s of its PIN\nlook at what it shows, then pair again",
                PAIRING.as_secs()
            ))),
        }
    }

    /// Says no to an attempt at pairing.
    async fn refuse_pairing(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        attempt: u32,
    ) -> Result<(), CallError> {
        require_person(bus, &header).await?;
        self.reception()?.refuse(AttemptId(attempt)).map_err(|error| not_paired(attempt, &error))
    }

    /// The fingerprint that clients pin.
    fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }

    /// The running sessions: `session` (s), `client` (s), `protocol` (s), `fingerprint` (s), `width`, `height`, `refresh_mhz` (u),
    /// `bitrate_bps` (t: asked of encoded), `age_ns` (t), `state` (s: what becomes of it now: it streams, waits, is kept
    /// for its client, or what keeps the pictures away), `input` (s: what inputd says), `sound` (s: whether there is any, or why not), and counted
    /// since the launch (t): `frames`, of them `repeats`, `idrs` and `recovered` (after a loss, from an older picture), `bytes`, `datagrams`, `sends` (calls of the kernel), `unsent`,
    /// `forged`, `replayed`, `headless`, `unusable`, `bad_shapes` (of a pointer), `unreadable` and
    /// `unsaid` (messages of a Moonlight client that are none, inputs that no seat can be told), `dropped_inputs` (motion and
    /// texts that inputd was not told in time), `parity_percent` (of a Moonlight client's frames now), `links` (to encoded),
    /// `largest_burst` (datagrams in one send); of sound: `sound_packets`, `sound_homeless` (before its client said where it is),
    /// `sound_unsent`, `sound_unusable`, `sound_links`.
    fn sessions(&self) -> Vec<Dict> {
        self.peers.sessions().iter().map(|live| describe(live)).collect()
    }

    /// Ends a session; the client is told that the administrator did.
    async fn end(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        session: &str,
    ) -> Result<(), CallError> {
        let reason = match require_decider(bus, &header).await? {
            Decider::Administrator => "The administrator ended the session.",
            Decider::Desktop => "Whoever is at the desktop ended the session.",
        };
        match self.peers.end(session_id(session)?, reason) {
            true => Ok(()),
            false => Err(unknown(session)),
        }
    }

    /// How long each step of a session's pictures took: `frames` (t: measured), and for each of `captured`, `convert`,
    /// `encode`, `hand_over`, `packetise`, `first_sent`, `last_sent`, `added` an array of four (ad): p50, p95, p99 and
    /// maximum in µs. `added` is promise P1: dequeued → first datagram sent, less the encode call.
    fn latency(&self, session: &str) -> Result<Dict, CallError> {
        let live = self.peers.session(session_id(session)?).ok_or_else(|| unknown(session))?;
        let mut report = Report::default();
        let mut frames = 0;
        for (step, quantiles) in live.figures.latency() {
            frames = frames.max(quantiles.frames);
            report.set(step.key(), microseconds(&quantiles));
        }
        report.set("frames", frames);
        Ok(report.into_dict())
    }
}

fn microseconds(quantiles: &Quantiles) -> Vec<f64> {
    [quantiles.p50_ns, quantiles.p95_ns, quantiles.p99_ns, quantiles.max_ns]
        .map(|ns| ns as f64 / 1000.0)
        .to_vec()
}

fn not_paired(attempt: u32, error: &PairingError) -> CallError {
    CallError::Request(match error {
        PairingError::Unknown => {
            format!("no attempt {attempt} waits for a PIN\n`lumenctl pair` lists those that do")
        }
        error => format!("not paired: {error}"),
    })
}

fn describe_waiting(waiting: &Waiting) -> Dict {
    let attempt = &waiting.attempt;
    let mut report = Report::default();
    report
        .set("attempt", attempt.id.0)
        .set("name", waiting.name.as_str())
        .set("address", attempt.from.to_string())
        .set("fingerprint", Fingerprint::from_bytes(attempt.fingerprint).to_string())
        .set("age_ns", u64::try_from(waiting.age.as_nanos()).unwrap_or(u64::MAX))
        .set("wants_pin", attempt.wants_pin);
    report.into_dict()
}

fn describe(live: &Live) -> Dict {
    let (figures, opened) = (&live.figures, live.path.counters());
    let input = live.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let state = live.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mode = live.record.mode();
    let mut report = Report::default();
    report
        .set("session", live.session.to_string())
        .set("client", live.client.as_str())
        .set("protocol", live.protocol.name())
        .set("fingerprint", live.fingerprint.to_string())
        .set("width", mode.width)
        .set("height", mode.height)
        .set("refresh_mhz", mode.refresh_mhz)
        .set("state", state)
        .set("bitrate_bps", u64::from(live.record.bitrate()))
        .set("age_ns", now_ns().saturating_sub(live.started_ns))
        .set("input", input)
        .set("sound", live.sound.said())
        .set("microphone", live.mouth.said())
        .set("microphone_asked", live.record.has_microphone())
        .set("forged", opened.forged)
        .set("replayed", opened.replayed);
    let counters = [
        ("frames", &figures.frames),
        ("repeats", &figures.repeats),
        ("idrs", &figures.idrs),
        ("recovered", &figures.recovered),
        ("bytes", &figures.bytes),
        ("datagrams", &figures.datagrams),
        ("sends", &figures.sends),
        ("unsent", &figures.unsent),
        ("headless", &figures.headless),
        ("unusable", &figures.unusable),
        ("bad_shapes", &figures.bad_shapes),
        ("unreadable", &figures.unreadable),
        ("unsaid", &figures.unsaid),
        ("dropped_inputs", &figures.dropped_inputs),
        ("parity_percent", &figures.parity_percent),
        ("links", &figures.links),
        ("largest_burst", &figures.largest_burst),
        ("sound_packets", &live.sound.packets),
        ("sound_homeless", &live.sound.homeless),
        ("sound_unsent", &live.sound.unsent),
        ("sound_unusable", &live.sound.unusable),
        ("sound_links", &live.sound.links),
        ("spoken", &live.mouth.spoken),
        ("spoken_unheard", &live.mouth.unheard),
        ("spoken_malformed", &live.mouth.malformed),
        ("spoken_too_many", &live.mouth.too_many),
        ("spoken_uncalled", &live.mouth.uncalled),
    ];
    for (key, counter) in counters {
        report.set(key, counter.load(Relaxed));
    }
    report.into_dict()
}

//! `org.lumen.Transport1`: who may stream, and what runs.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
};

use lumen_core::trust::Fingerprint;
use lumen_stage::{
    bus::{CallError, require_person, session_id},
    clock::now_ns,
    status::Report,
};
use zbus::{Connection, OwnedVariant, interface, message::Header};

use crate::{
    clients::Clients,
    peers::{Live, Peers},
    vault::VaultError,
    video::figures::Quantiles,
};

type Dict = HashMap<String, OwnedVariant>;

/// The interface, as `lumenctl` uses it. Everything but reading is for the administrator's tools alone.
#[derive(Clone)]
pub struct Transport1 {
    /// Who may stream.
    pub clients: Arc<Clients>,
    /// Who is connected.
    pub peers: Arc<Peers>,
    /// What clients pin.
    pub fingerprint: Fingerprint,
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
        self.peers.expel(&client, "This host does not know this client any more.");
        revoked
    }

    /// All who may stream: `fingerprint` (s), `name` (s).
    fn allowed(&self) -> Vec<Dict> {
        let describe = |(client, name): (Fingerprint, String)| {
            let mut report = Report::default();
            report.set("fingerprint", client.to_string()).set("name", name);
            report.into_dict()
        };
        self.clients.list().into_iter().map(describe).collect()
    }

    /// The fingerprint that clients pin.
    fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }

    /// The running sessions: `session` (s), `client` (s), `fingerprint` (s), `width`, `height`, `refresh_mhz` (u),
    /// `bitrate_bps` (t: asked of encoded), `age_ns` (t), `state` (s: what becomes of it now: it streams, waits, is kept
    /// for its client, or what keeps the pictures away), `input` (s: what inputd says), and counted since the launch
    /// (t): `frames`, of them `repeats` and `idrs`, `bytes`, `datagrams`, `sends` (calls of the kernel), `unsent`,
    /// `forged`, `replayed`, `headless`, `unusable`, `bad_shapes` (of a pointer), `links` (to encoded), `largest_burst` (datagrams in one send).
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
        require_person(bus, &header).await?;
        match self.peers.end(session_id(session)?, "The administrator ended the session.") {
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

fn describe(live: &Live) -> Dict {
    let (figures, opened) = (&live.figures, live.path.counters());
    let input = live.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let state = live.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mode = live.record.mode();
    let mut report = Report::default();
    report
        .set("session", live.session.to_string())
        .set("client", live.client.as_str())
        .set("fingerprint", live.fingerprint.to_string())
        .set("width", mode.width)
        .set("height", mode.height)
        .set("refresh_mhz", mode.refresh_mhz)
        .set("state", state)
        .set("bitrate_bps", u64::from(live.record.bitrate()))
        .set("age_ns", now_ns().saturating_sub(live.started_ns))
        .set("input", input)
        .set("forged", opened.forged)
        .set("replayed", opened.replayed);
    let counters = [
        ("frames", &figures.frames),
        ("repeats", &figures.repeats),
        ("idrs", &figures.idrs),
        ("bytes", &figures.bytes),
        ("datagrams", &figures.datagrams),
        ("sends", &figures.sends),
        ("unsent", &figures.unsent),
        ("headless", &figures.headless),
        ("unusable", &figures.unusable),
        ("bad_shapes", &figures.bad_shapes),
        ("links", &figures.links),
        ("largest_burst", &figures.largest_burst),
    ];
    for (key, counter) in counters {
        report.set(key, counter.load(Relaxed));
    }
    report.into_dict()
}

//! A host without stages, and Moonlight.

mod moon;
mod tls;

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use lumen_core::trust::Fingerprint;
use lumen_gamestream::{
    http::{LaunchQuery, ResumeQuery, answers::Codecs},
    pairing::{AttemptId, Ended},
};
use lumen_transportd::{
    clients::Clients,
    gamestream::{
        front::{Front, Parts},
        identity::Identity,
        reception::{Reception, Waiting},
        shelf::{Names, Picture, Source},
        streams::{Answer, App, Caller, Refused, Started, Streams},
    },
    vault::Vault,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::sync::oneshot;

pub use moon::{Cipher, Moon, Reply, connect, get};

/// How long anything may take that is not held back on purpose.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sessions that are only counted.
#[derive(Debug, Default)]
pub struct Fake {
    /// Whose app runs.
    pub running: Mutex<Vec<(Fingerprint, i32, Option<String>)>>,
    /// What the next launch is refused with.
    pub refusal: Mutex<Option<Refused>>,
}

impl Streams for Fake {
    fn launch<'a>(&'a self, client: &'a Caller, app: &'a App, _launch: &'a LaunchQuery) -> Answer<'a> {
        let refused = self.refusal.lock().unwrap().take();
        if refused.is_none() {
            self.running.lock().unwrap().push((client.fingerprint, app.listed.id, app.name.clone()));
        }
        Box::pin(std::future::ready(refused.map_or(Ok(Started { rtsp: 4711 }), Err)))
    }

    fn resume<'a>(&'a self, client: &'a Caller, _resume: &'a ResumeQuery) -> Answer<'a> {
        let is_there = self.current(&client.fingerprint).is_some();
        Box::pin(std::future::ready(if is_there {
            Ok(Started { rtsp: 4711 })
        } else {
            Err(Refused::Nothing)
        }))
    }

    fn cancel(&self, client: &Fingerprint, _reason: &str) -> bool {
        let mut running = self.running.lock().unwrap();
        let before = running.len();
        running.retain(|(whose, ..)| whose != client);
        running.len() < before
    }

    fn current(&self, client: &Fingerprint) -> Option<i32> {
        self.running.lock().unwrap().iter().find(|(whose, ..)| whose == client).map(|(_, app, _)| *app)
    }

    fn codecs(&self) -> Codecs {
        Codecs::H264
    }
}

#[derive(Debug)]
struct Apps;

impl Source for Apps {
    fn names(&self) -> Names<'_> {
        Box::pin(std::future::ready(Ok(vec!["steam".to_owned()])))
    }

    fn picture<'a>(&'a self, name: &'a str) -> Picture<'a> {
        let advice = "name one";
        let none =
            lumen_ipc::Failure::new(lumen_ipc::FailureClass::Request, format!("{name} has none"), advice);
        Box::pin(std::future::ready(Err(none)))
    }
}

/// A running host.
pub struct Host {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub clients: Arc<Clients>,
    pub reception: Arc<Reception>,
    pub streams: Arc<Fake>,
    pub certificate: CertificateDer<'static>,
    pub state: TempDir,
    _end: oneshot::Sender<()>,
}

/// One for all tests, since an RSA key takes long to make.
fn kept_identity() -> &'static [u8] {
    static KEPT: OnceLock<Vec<u8>> = OnceLock::new();
    KEPT.get_or_init(|| {
        let state = tempfile::tempdir().unwrap();
        let vault = Vault::at(state.path());
        Identity::load(&vault).unwrap();
        vault.read("gamestream.pem").unwrap().unwrap()
    })
}

impl Host {
    pub fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let vault = Vault::at(state.path());
        vault.write("gamestream.pem", kept_identity()).unwrap();
        let identity = Identity::load(&vault).unwrap();
        let certificate = identity.certificate.clone();
        let clients = Arc::new(Clients::load(&vault).unwrap());
        let reception = Arc::new(Reception::new(&identity, clients.clone()));
        let streams = Arc::new(Fake::default());
        // Clients of two addresses come to the whole of 127/8.
        let bind = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let (http, https) = (bind(), bind());
        let (http_at, https_at) = (http.local_addr().unwrap(), https.local_addr().unwrap());
        let parts = Parts {
            identity,
            name: "a <test> host".to_owned(),
            http,
            https,
            clients: clients.clone(),
            reception: reception.clone(),
            apps: Apps,
            streams: streams.clone(),
            announce: false,
        };
        let (end, ended) = oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let front = Front::new(parts).unwrap();
                tokio::select! {
                    () = front.serve() => {}
                    _ = ended => {}
                }
            });
        });
        Self { http: http_at, https: https_at, clients, reception, streams, certificate, state, _end: end }
    }

    /// The one attempt that waits, as soon as it does.
    pub fn attempt_of(&self, from: IpAddr) -> Waiting {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let waiting = self.reception.waiting();
            if let Some(found) = waiting.into_iter().find(|waiting| waiting.attempt.from == from) {
                return found;
            }
            assert!(Instant::now() < deadline, "nobody at {from} began to pair");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A person types a PIN; what becomes of it comes later.
    pub fn type_pin(&self, id: AttemptId, pin: &str) -> oneshot::Receiver<Ended> {
        self.reception.pin(id, pin.parse().unwrap(), "").unwrap()
    }

    /// Writes a client down without pairing it.
    pub fn know(&self, moon: &Moon) {
        self.clients.pair(moon.fingerprint(), "known").unwrap();
    }
}

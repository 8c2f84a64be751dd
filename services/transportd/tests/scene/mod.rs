//! A stage: a whole transportd but for its bus, with a fake encoded and a fake inputd behind it and lumen-core's own
//! client before it. Each test uses a part of it.
#![allow(dead_code)]

mod answer;
pub mod client;
pub mod enet;
pub mod fakes;
pub mod moonlight;

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use lumen_core::trust::{AllowList as _, Fingerprint};
use lumen_ipc::Generation;
use lumen_stage::{inherited::Stored, pulse::Pulses};
use lumen_transportd::{
    clients::Clients,
    config::Config,
    control,
    gamestream::{config::Settings, ground::Ground, launches::Launches},
    identity::Identity,
    peers::{
        Peers,
        birth::adopt,
        connection::House,
        lobby::Lobby,
        pipeline::Grounds,
        protocol::{Gate, Gates, Protocol},
    },
    recover::recover,
    vault::Vault,
    video::{Outlet, Paths, datagrams::TrafficClass, proof::Claim},
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use fakes::Fakes;

/// A running host.
pub struct Host {
    pub address: SocketAddr,
    pub fingerprint: Fingerprint,
    pub clients: Arc<Clients>,
    pub peers: Arc<Peers>,
    pub lobby: Arc<Lobby>,
    pub pulses: Pulses,
    pub fakes: Fakes,
    pub state: Arc<TempDir>,
    kept: Vec<Stored>,
    pub video: u16,
    /// What HTTPS would ask.
    pub launches: Arc<Launches<Fakes>>,
    /// Why sessions of the incarnation before did not go on.
    pub lost: Vec<String>,
    pub task: tokio::task::JoinHandle<()>,
}

/// How long video goes on for a client that is gone.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How long all else is kept for it.
pub const KEEP: Duration = Duration::from_secs(3);

impl Host {
    pub fn start() -> Self {
        Self::start_with(Arc::new(tempfile::tempdir().unwrap()), Fakes::default(), Vec::new())
    }

    /// The next incarnation over the same state, with what systemd kept.
    pub fn start_with(state: Arc<TempDir>, fakes: Fakes, stored: Vec<Stored>) -> Self {
        let bound = |name: &str| {
            let kept = stored.iter().find(|stored| stored.name == name)?;
            let socket = UdpSocket::from(kept.fd.try_clone().unwrap());
            socket.local_addr().ok()
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            listen: bound("control-socket").unwrap_or(any),
            video_port: bound("video-socket").map_or(0, |address| address.port()),
            gamestream: loopback(),
            ..Config::default()
        };
        let recovered = recover(&Vault::at(state.path()), &config, stored).unwrap();
        let sockets = recovered.sockets;
        let (address, video) = (sockets.control.local_addr().unwrap(), sockets.video.local_addr().unwrap());
        let keep = |name: &str, socket: &UdpSocket| Stored {
            name: name.into(),
            fd: socket.try_clone().unwrap().into(),
        };
        let moonlight = sockets.gamestream.unwrap();
        let kept = vec![
            keep("control-socket", &sockets.control),
            keep("video-socket", &sockets.video),
            keep("gamestream-video", &moonlight.video),
            keep("gamestream-control", &moonlight.control),
            Stored { name: "gamestream-rtsp".into(), fd: moonlight.rtsp.try_clone().unwrap().into() },
        ];
        let dscp = config.gamestream.dscp;
        let ground =
            Ground::open(moonlight.rtsp, moonlight.video, moonlight.control, moonlight.audio, dscp).unwrap();
        let outlet = Arc::new(Outlet::new(sockets.video).unwrap());
        let paths = Arc::new(Paths::new(Claim::of_hello));
        paths.listen(outlet.clone()).unwrap();
        let clients = recovered.clients;
        let endpoint =
            control::endpoint(&recovered.identity, clients.clone(), &config, sockets.control).unwrap();
        let (peers, pulses) = (Arc::new(Peers::default()), Pulses::default());
        let house = Arc::new(House {
            grounds: Grounds {
                upstream: fakes.clone(),
                generation: Generation(1),
                pulses: pulses.clone(),
                gates: Gates {
                    lumen1: Gate { paths, outlet, port: video.port(), mark: TrafficClass::BEST_EFFORT },
                    gamestream: Some(ground.gate.clone()),
                    sound: Some(ground.sound.clone()),
                },
                patience: PATIENCE,
                keep: KEEP,
                microphone: config.microphone,
            },
            clients: clients.clone(),
            peers: peers.clone(),
            name: "test host".into(),
            handshake: Duration::from_secs(10),
        });
        let mut lost = Vec::new();
        for record in sockets.records {
            let may_stream = |protocol: Protocol, client: &Fingerprint| {
                protocol != Protocol::Lumen1 || house.clients.is_allowed(client)
            };
            match adopt(&house.grounds, &house.peers, may_stream, record) {
                Ok(born) => ground.go_on(&house.peers, born),
                Err(error) => lost.push(error.to_string()),
            }
        }
        let listening = ground.listen(house.grounds.clone(), &peers).unwrap();
        let launches = listening.launches.clone();
        tokio::spawn(listening.serve());
        let lobby = Arc::new(Lobby::default());
        let task = tokio::spawn(control::listen(endpoint, house, lobby.clone()));
        Self {
            address,
            fingerprint: recovered.identity.fingerprint,
            clients,
            peers,
            lobby,
            pulses,
            fakes,
            state,
            kept,
            video: video.port(),
            launches,
            lost,
            task,
        }
    }

    /// What systemd holds of this incarnation: sockets and records.
    pub fn stored(&self) -> Vec<Stored> {
        let copy = |name: &str, fd: OwnedFd| Stored { name: name.into(), fd };
        let sockets = self.kept.iter().map(|kept| copy(&kept.name, kept.fd.try_clone().unwrap()));
        let sessions = self.peers.sessions();
        let records = sessions.iter().map(|live| live.record.duplicate().unwrap());
        sockets.chain(records).collect()
    }
}

/// An incarnation on a thread of its own, that dies without a word: its tasks stop, its clients hear nothing.
pub struct Doomed {
    thread: thread::JoinHandle<()>,
    death: oneshot::Sender<()>,
}

impl Doomed {
    pub fn start() -> (Self, Host) {
        Self::start_with(Arc::new(tempfile::tempdir().unwrap()), Fakes::default(), Vec::new())
    }

    /// Over what another one left.
    pub fn start_with(state: Arc<TempDir>, fakes: Fakes, stored: Vec<Stored>) -> (Self, Host) {
        let (host_to, host) = mpsc::channel();
        let (death, dies) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                host_to.send(Host::start_with(state, fakes, stored)).unwrap();
                dies.await.unwrap();
            });
        });
        (Self { thread, death }, host.recv().unwrap())
    }

    pub fn die(self) {
        self.death.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

/// GameStream on ports that are free.
fn loopback() -> Settings {
    let address = "127.0.0.1".parse().unwrap();
    Settings { address, http: 0, https: 0, rtsp: 0, video: 0, control: 0, audio: 0, ..Settings::default() }
}

/// A client's identity that nobody has seen before.
pub fn identity() -> Identity {
    let directory = tempfile::tempdir().unwrap();
    Identity::load(&Vault::at(directory.path())).unwrap()
}

/// Waits until `done`, at most five seconds.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come to pass within five seconds");
}

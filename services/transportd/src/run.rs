//! The one event loop: the bus, QUIC control, and the end of it all. Video runs on threads of its own.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use lumen_core::trust::{AllowList as _, Fingerprint};
use lumen_stage::{
    Boot, Bus, Exit,
    boot::serve,
    caller, failpoint,
    inherited::{self, Stored},
    status::{Report, Stage1},
};

use crate::{
    announcements,
    config::Config,
    control,
    gamestream::{
        Off,
        front::{Front, Parts},
        ground::{Ground, Listening},
        identity::Identity as Moonlight,
        reception::Reception,
        shelf::Vdisplayd,
        sockets::Sockets,
        streams::Streams,
    },
    peers::{
        Peers,
        birth::adopt,
        connection::House,
        lobby::Lobby,
        pipeline::Grounds,
        protocol::{Gate, Gates, Protocol},
    },
    recover::{self, Recovered, recover},
    transport1::Transport1,
    vault::Vault,
    video::{Outlet, Paths, datagrams::TrafficClass, proof::Claim},
};

/// How long the sessions may take to leave what they hold.
const FAREWELL: Duration = Duration::from_millis(500);

/// For what happens within a few turns of the event loop.
const BREATH: Duration = Duration::from_millis(10);

/// The stage's work from its boot to its end.
///
/// # Errors
/// [`Exit`] with what a person can do.
pub async fn run(mut boot: Boot<Config>) -> Result<(), Exit> {
    let stored = std::mem::take(&mut boot.stored);
    let recovered = recover(&Vault::open()?, &boot.config, stored)?;
    let facts = Facts::of(&recovered).map_err(socket)?;
    let bus = dress(&boot, facts.clone()).await?;
    facts.paths.listen(facts.outlet.clone()).map_err(socket)?;
    failpoint::at(recover::LISTENING);
    let (peers, lobby) = (facts.peers.clone(), facts.lobby.clone());
    tracing::info!(STAGE = "transportd", "listens on {}, video from {}", facts.listen, facts.video);
    let moonlight = open(recovered.sockets.gamestream, boot.config.gamestream.dscp);
    let ground = moonlight.as_ref().ok().map(|(ground, _)| ground);
    let house = Arc::new(House {
        grounds: Grounds {
            upstream: bus.clone(),
            generation: boot.generation,
            pulses: boot.pulses.clone(),
            gates: Gates {
                lumen1: Gate {
                    paths: facts.paths,
                    outlet: facts.outlet,
                    port: facts.video.port(),
                    mark: TrafficClass::BEST_EFFORT,
                },
                gamestream: ground.map(|ground| ground.gate.clone()),
                sound: ground.map(|ground| ground.sound.clone()),
            },
            patience: boot.config.resume.0,
            keep: boot.config.keep.0,
            microphone: boot.config.microphone,
        },
        clients: recovered.clients,
        peers: peers.clone(),
        name: boot.config.host_name(),
        handshake: boot.config.handshake.0,
    });
    for stored in recovered.sockets.records {
        go_on(&house, ground, stored);
    }
    failpoint::at(recover::GOING_ON);
    let clients = house.clients.clone();
    let endpoint = control::endpoint(&recovered.identity, clients, &boot.config, recovered.sockets.control)
        .map_err(|error| Exit::Environment(error.to_string()))?;
    let moonlight = moonlight.and_then(|(ground, doors)| {
        let listening = ground.listen(house.grounds.clone(), &peers)?;
        let front = front(recovered.moonlight, doors, &listening, &facts.transport, &boot.config, &bus)?;
        Ok((front, listening))
    });
    let work = async {
        tokio::select! {
            () = control::listen(endpoint, house, lobby) => {}
            () = announcements::follow(bus.clone(), &peers) => {}
            () = serve_moonlight(moonlight) => {}
        }
        Exit::Restart("the QUIC endpoint failed".into())
    };
    serve(&bus, &boot.pulses, work, part(&peers)).await
}

/// What streams by GameStream, and the two doors before it.
fn open(sockets: Result<Sockets, Off>, dscp: bool) -> Result<(Ground, [TcpListener; 2]), Off> {
    let Sockets { http, https, rtsp, video, control, audio } = sockets?;
    Ok((Ground::open(rtsp, video, control, audio, dscp)?, [http, https]))
}

/// Who may come by GameStream.
fn front(
    identity: Option<Moonlight>,
    [http, https]: [TcpListener; 2],
    listening: &Listening<Bus>,
    transport: &Transport1,
    config: &Config,
    bus: &Bus,
) -> Result<Front, Off> {
    let (Some(identity), Ok(reception)) = (identity, &transport.reception) else { return Err(Off::Setting) };
    let launches: Arc<dyn Streams> = listening.launches.clone();
    let streams = transport.streams.get_or_init(|| launches).clone();
    Front::new(Parts {
        identity,
        name: config.host_name(),
        http,
        https,
        clients: transport.clients.clone(),
        reception: reception.clone(),
        apps: Vdisplayd(bus.clone()),
        streams,
        announce: config.gamestream.announce && !config.gamestream.address.is_loopback(),
    })
}

/// Serves Moonlight clients, if it can; returns never.
async fn serve_moonlight(moonlight: Result<(Front, Listening<Bus>), Off>) {
    match moonlight {
        Ok((front, listening)) => drop(tokio::join!(front.serve(), listening.serve())),
        Err(off @ Off::Setting) => tracing::info!(STAGE = "transportd", "GameStream is {off}"),
        Err(off) => tracing::error!(STAGE = "transportd", "{off}"),
    }
    std::future::pending().await
}

/// Goes on with a session of the incarnation before.
fn go_on(house: &House<Bus>, ground: Option<&Ground>, stored: Stored) {
    let name = stored.name.clone();
    let may_stream = |protocol: Protocol, client: &Fingerprint| match protocol {
        Protocol::Lumen1 => house.clients.is_allowed(client),
        Protocol::GameStream { .. } => house.clients.paired(client).is_some(),
    };
    match adopt(&house.grounds, &house.peers, may_stream, stored) {
        Ok(born) => {
            tracing::info!(STAGE = "transportd", SESSION = %born.live.session, "goes on");
            if let Some(ground) = ground {
                ground.go_on(&house.peers, born);
            }
        }
        Err(error) => {
            tracing::warn!(STAGE = "transportd", "{name} does not go on: {error}");
            // Without systemd there is no store to remove it from.
            let _ = inherited::remove(&name);
        }
    }
}

fn socket(error: io::Error) -> Exit {
    Exit::Restart(format!("the sockets are of no use: {error}"))
}

/// Leaves all sessions to the next incarnation: systemd keeps their records and the sockets when it restarts us, and drops
/// them when it stops us. We cannot tell which of the two it is, so no client is sent away; one whose host has really
/// stopped finds its video port closed, and the stages upstream let go after their leases.
async fn part(peers: &Peers) {
    peers.part();
    let heard = async {
        while !peers.sessions().is_empty() {
            tokio::time::sleep(BREATH).await;
        }
        // What the clients are told leaves on tasks of QUIC's own, which nobody can wait for.
        tokio::time::sleep(BREATH).await;
    };
    // Past the limit the process ends anyway, as in a crash.
    let _ = tokio::time::timeout(FAREWELL, heard).await;
}

/// What the stage consists of, as far as `Status` tells of it.
#[derive(Clone)]
struct Facts {
    listen: SocketAddr,
    video: SocketAddr,
    strangers: u64,
    outlet: Arc<Outlet>,
    paths: Arc<Paths>,
    peers: Arc<Peers>,
    lobby: Arc<Lobby>,
    transport: Transport1,
    /// What clients speak to it.
    protocols: &'static str,
    /// The ports of GameStream, or why it is off.
    gamestream: Arc<str>,
    /// A person should do something about that.
    is_gamestream_missed: bool,
}

impl Facts {
    fn of(recovered: &Recovered) -> io::Result<Self> {
        let peers = Arc::new(Peers::default());
        let sockets = &recovered.sockets;
        let gamestream: Arc<str> = match &sockets.gamestream {
            Ok(open) => {
                format!("HTTP {}, HTTPS {}", open.http.local_addr()?, open.https.local_addr()?).into()
            }
            Err(off) => off.to_string().into(),
        };
        let reception = recovered.moonlight.as_ref();
        let reception =
            reception.map(|identity| Arc::new(Reception::new(identity, recovered.clients.clone())));
        Ok(Self {
            listen: sockets.control.local_addr()?,
            video: sockets.video.local_addr()?,
            strangers: sockets.strangers as u64,
            outlet: Arc::new(Outlet::new(sockets.video.try_clone()?)?),
            paths: Arc::new(Paths::new(Claim::of_hello)),
            lobby: Arc::default(),
            transport: Transport1 {
                clients: recovered.clients.clone(),
                peers: peers.clone(),
                fingerprint: recovered.identity.fingerprint,
                reception: reception.ok_or_else(|| gamestream.clone()),
                streams: Arc::default(),
            },
            protocols: if sockets.gamestream.is_ok() { "lumen/1, GameStream" } else { "lumen/1" },
            is_gamestream_missed: matches!(&sockets.gamestream, Err(off) if !matches!(off, Off::Setting)),
            gamestream,
            peers,
        })
    }

    fn fill(&self, report: &mut Report) {
        let segments = self.outlet.max_segments();
        let why = match segments {
            1 => {
                "the kernel or the network device has no segmentation offload: one call a datagram".to_owned()
            }
            n => format!("segmentation offload: up to {n} datagrams a call"),
        };
        report
            .set("backend", self.protocols)
            .set("why", why)
            .set("listen", self.listen.to_string())
            .set("video", self.video.to_string())
            .set("gamestream", &*self.gamestream)
            .set("fingerprint", self.transport.fingerprint.to_string())
            .set("connections", self.peers.count() as u64)
            .set("sessions", self.peers.sessions().len() as u64)
            .set("clients", self.transport.clients.list().len() as u64)
            .set("refused", self.transport.clients.refused_count())
            .set("handshakes", self.lobby.waiting() as u64)
            .set("made_room", self.lobby.expelled())
            .set("stray_datagrams", self.paths.strangers())
            .set("stray_descriptors", self.strangers);
        if self.is_gamestream_missed {
            let notes: Vec<&str> = caller::advisory().into_iter().chain([&*self.gamestream]).collect();
            report.set("notes", notes);
        }
    }
}

async fn dress(boot: &Boot<Config>, facts: Facts) -> Result<Bus, Exit> {
    let path = boot.stage.object_path();
    let transport = facts.transport.clone();
    let stage = Stage1::new(boot.stage, boot.generation, move |report| facts.fill(report));
    boot.bus(move |builder| builder.serve_at(path, transport.clone()).serve_at(path, stage.clone())).await
}

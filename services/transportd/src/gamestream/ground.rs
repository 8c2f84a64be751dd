//! What GameStream's sessions stand on: four sockets, and who reads them.

use std::{
    io,
    net::{TcpListener, UdpSocket},
    sync::Arc,
};

use lumen_gamestream::rtsp::Ports;

use super::{beginning, launches::Launches, rtsp, switchboard::Switchboard};
use crate::{
    peers::{Peers, birth::Born, pipeline::Grounds, protocol::Gate},
    upstream::Upstream,
    video::{Outlet, Paths, datagrams::TrafficClass, proof::Claim},
};

/// The sockets, before anybody reads them: sessions of the incarnation before are put back first.
#[derive(Debug)]
pub struct Ground {
    /// Video.
    pub gate: Gate,
    /// Sound.
    pub sound: Gate,
    board: Arc<Switchboard>,
    rtsp: TcpListener,
    ports: Ports,
}

/// RTSP, with what it leads to.
#[derive(Debug)]
pub struct Listening<U> {
    /// What HTTPS asks.
    pub launches: Arc<Launches<U>>,
    rtsp: tokio::net::TcpListener,
}

impl Ground {
    /// Over sockets that do not block; `dscp` is whether clients get the marks that they ask for.
    ///
    /// # Errors
    /// What the kernel says to their options.
    pub fn open(
        rtsp: TcpListener,
        video: UdpSocket,
        control: UdpSocket,
        audio: UdpSocket,
        dscp: bool,
    ) -> io::Result<Self> {
        let ports = Ports {
            audio: audio.local_addr()?.port(),
            video: video.local_addr()?.port(),
            control: control.local_addr()?.port(),
        };
        let gate = |socket, port, mark| -> io::Result<Gate> {
            let outlet = Arc::new(Outlet::new(socket)?);
            Ok(Gate {
                paths: Arc::new(Paths::new(Claim::of_ping)),
                outlet,
                port,
                mark: if dscp { mark } else { TrafficClass::BEST_EFFORT },
            })
        };
        let sound = gate(audio, ports.audio, TrafficClass::SOUND)?;
        let gate = gate(video, ports.video, TrafficClass::VIDEO)?;
        Ok(Self { gate, sound, board: Arc::new(Switchboard::new(control)?), rtsp, ports })
    }

    /// Goes on with the client of a session that was adopted; nothing, if it is none of GameStream.
    pub fn go_on(&self, peers: &Arc<Peers>, born: Born) {
        beginning::go_on(peers, &self.board, born);
    }

    /// Starts to read the sockets.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub fn listen<U: Upstream>(self, grounds: Grounds<U>, peers: &Arc<Peers>) -> io::Result<Listening<U>> {
        self.gate.paths.listen(self.gate.outlet.clone())?;
        self.sound.paths.listen(self.sound.outlet.clone())?;
        self.board.listen()?;
        let port = self.rtsp.local_addr()?.port();
        let launches = Launches::new(grounds, peers.clone(), self.board, self.ports, port);
        let rtsp = tokio::net::TcpListener::from_std(self.rtsp)?;
        Ok(Listening { launches: Arc::new(launches), rtsp })
    }
}

impl<U: Upstream> Listening<U> {
    /// Serves clients for as long as the stage lives.
    pub async fn serve(self) {
        tokio::join!(rtsp::listen(self.rtsp, self.launches.clone()), self.launches.watch());
    }
}

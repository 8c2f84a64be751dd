//! GameStream's six sockets, kept across restarts like those of lumen/1.
//!
//! A port that somebody else has turns GameStream off and nothing else: lumen/1 goes on, and `lumenctl status` says which
//! port, by whom, and which setting moves it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use super::{Off, config::Settings};
use crate::sockets::{Kept, SocketError};

/// Names in the fd store.
const NAMES: [&str; 6] = [HTTP, HTTPS, RTSP, VIDEO, CONTROL, AUDIO];
const HTTP: &str = "gamestream-http";
const HTTPS: &str = "gamestream-https";
const RTSP: &str = "gamestream-rtsp";
const VIDEO: &str = "gamestream-video";
const CONTROL: &str = "gamestream-control";
const AUDIO: &str = "gamestream-audio";

/// All of them, non-blocking. Each client has one peer on each: nothing is sent from another socket than it came to.
#[derive(Debug)]
pub struct Sockets {
    /// Plain HTTP.
    pub http: TcpListener,
    /// HTTP in TLS.
    pub https: TcpListener,
    /// RTSP.
    pub rtsp: TcpListener,
    /// Video out, pings in.
    pub video: UdpSocket,
    /// ENet.
    pub control: UdpSocket,
    /// Audio out, pings in.
    pub audio: UdpSocket,
}

impl Sockets {
    /// Takes them out of what was kept, or makes them.
    ///
    /// # Errors
    /// [`Off`]; then none of them is open.
    pub fn open(settings: &Settings, kept: &mut Kept) -> Result<Self, Off> {
        let opened =
            if settings.enabled { Self::bind(settings, kept).map_err(Off::from) } else { Err(Off::Setting) };
        if opened.is_err() {
            // Also those that were bound just now: they lie in the store already.
            NAMES.iter().for_each(|name| kept.drop(name));
        }
        opened
    }

    fn bind(settings: &Settings, kept: &mut Kept) -> Result<Self, SocketError> {
        let [http, https, rtsp, video, control, audio] = all(settings);
        Ok(Self {
            http: kept.socket(HTTP, http.address, http.setting)?,
            https: kept.socket(HTTPS, https.address, https.setting)?,
            rtsp: kept.socket(RTSP, rtsp.address, rtsp.setting)?,
            video: kept.socket(VIDEO, video.address, video.setting)?,
            control: kept.socket(CONTROL, control.address, control.setting)?,
            audio: kept.socket(AUDIO, audio.address, audio.setting)?,
        })
    }
}

/// Where one of the sockets is to be.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Address and port.
    pub address: SocketAddr,
    /// For datagrams.
    pub is_udp: bool,
    /// What moves it.
    pub setting: &'static str,
}

/// Where all of them are to be; `None` if GameStream is turned off.
pub fn places(settings: &Settings) -> Option<[Place; 6]> {
    settings.enabled.then(|| all(settings))
}

fn all(settings: &Settings) -> [Place; 6] {
    let ip = reachable(settings.address);
    let place = |port, is_udp, setting| Place { address: SocketAddr::new(ip, port), is_udp, setting };
    [
        place(settings.http, false, "gamestream.http"),
        place(settings.https, false, "gamestream.https"),
        place(settings.rtsp, false, "gamestream.rtsp"),
        place(settings.video, true, "gamestream.video"),
        place(settings.control, true, "gamestream.control"),
        place(settings.audio, true, "gamestream.audio"),
    ]
}

/// Every network is `::`, save where the kernel has no IPv6 at all.
fn reachable(wanted: IpAddr) -> IpAddr {
    let everywhere: IpAddr = Ipv6Addr::UNSPECIFIED.into();
    let has_ipv6 = || socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).is_ok();
    if wanted == everywhere && !has_ipv6() { Ipv4Addr::UNSPECIFIED.into() } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, sockets};
    use lumen_stage::inherited::Stored;
    use std::os::fd::OwnedFd;

    fn config(change: impl FnOnce(&mut Settings)) -> Config {
        let address = Ipv4Addr::LOCALHOST.into();
        let mut gamestream = Settings { address, http: 0, https: 0, rtsp: 0, ..Settings::default() };
        (gamestream.video, gamestream.control, gamestream.audio) = (0, 0, 0);
        change(&mut gamestream);
        Config { listen: "127.0.0.1:0".parse().unwrap(), video_port: 0, gamestream, ..Config::default() }
    }

    /// Sabotage: let a taken port of GameStream's fail the whole stage.
    #[test]
    fn a_taken_port_turns_gamestream_off_and_nothing_else() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let opened = sockets::Sockets::open(&config(|settings| settings.https = port), Vec::new()).unwrap();
        let message = opened.gamestream.unwrap_err().to_string();
        for part in [format!("TCP port {port}"), std::process::id().to_string(), "`gamestream.https`".into()]
        {
            assert!(message.contains(&part), "{message}");
        }
        let off = sockets::Sockets::open(&config(|settings| settings.enabled = false), Vec::new()).unwrap();
        assert!(matches!(off.gamestream, Err(Off::Setting)));
    }

    /// Sabotage: always bind anew.
    #[test]
    fn the_sockets_of_the_incarnation_before_are_taken_back() {
        let old = sockets::Sockets::open(&config(|_| {}), Vec::new()).unwrap().gamestream.unwrap();
        let store = |name: &str, fd: OwnedFd| Stored { name: name.to_owned(), fd };
        let kept = vec![
            store(HTTPS, old.https.try_clone().unwrap().into()),
            store(VIDEO, old.video.try_clone().unwrap().into()),
        ];
        let (https, video) = (old.https.local_addr().unwrap(), old.video.local_addr().unwrap());
        let again = sockets::Sockets::open(
            &config(|settings| (settings.https, settings.video) = (https.port(), video.port())),
            kept,
        );
        let again = again.unwrap().gamestream.unwrap();
        assert_eq!((again.https.local_addr().unwrap(), again.video.local_addr().unwrap()), (https, video));
    }
}

//! How Moonlight finds this host without being told its address: multicast DNS, answered by this stage itself.
//!
//! Avahi would have to be asked on the system's bus, where a stage with a network could ask for much else; and the crates
//! that speak mDNS list interfaces by netlink, which the unit's sandbox does not give. One small service needs neither.
//! Other responders on this machine (Avahi, systemd-resolved) share the port.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::Duration,
};

use lumen_gamestream::mdns::Service;
use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, sleep, timeout_at};

/// Where mDNS is spoken.
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);

/// How often interfaces are looked for that came or went.
const LOOK: Duration = Duration::from_secs(20);

/// What was said is not said again for so long, however often it is asked for (RFC 6762, 6).
const QUIET: Duration = Duration::from_secs(1);

/// Longest packet of mDNS in bytes.
const MAX_PACKET: usize = 9000;

/// Answers on every interface. Never returns.
pub async fn serve(name: &str, host: &str, port: u16) {
    let mut speaking = BTreeMap::new();
    loop {
        let there = interfaces();
        speaking.retain(|interface, task: &mut tokio::task::JoinHandle<()>| {
            let stays = there.contains(interface) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for interface in there {
            speaking.entry(interface).or_insert_with_key(|(interface, address)| {
                let (name, host) = (name.to_owned(), host.to_owned());
                let service = Service { name, host, port, address: *address };
                tokio::spawn(speak(interface.clone(), service))
            });
        }
        sleep(LOOK).await;
    }
}

/// Answers on one interface until it fails.
async fn speak(interface: String, service: Service) {
    if let Err(error) = answer(&interface, &service).await {
        tracing::debug!(STAGE = "transportd", "no mDNS on {interface}: {error}");
    }
}

async fn answer(interface: &str, service: &Service) -> io::Result<()> {
    let socket = tokio::net::UdpSocket::from_std(open(interface, service.address)?)?;
    socket.send_to(&service.announcement(), GROUP).await?;
    let mut packet = vec![0; MAX_PACKET];
    loop {
        let (count, from) = socket.recv_from(&mut packet).await?;
        let asked = packet.get(..count).unwrap_or_default();
        // Questions from other ports want an answer of their own, which would make this host say something to whomever
        // a forged address names.
        let Some(bytes) = service.answer(asked).filter(|_| from.port() == GROUP.port()) else { continue };
        socket.send_to(&bytes, GROUP).await?;
        let quiet = Instant::now() + QUIET;
        while timeout_at(quiet, socket.recv_from(&mut packet)).await.is_ok() {}
    }
}

/// A socket that hears the group on one interface, and speaks there.
fn open(interface: &str, address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_multicast_ttl_v4(255)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, GROUP.port())).into())?;
    socket.join_multicast_v4(GROUP.ip(), &address)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The interfaces with IPv4 routes and their addresses; not loopback.
fn interfaces() -> Vec<(String, Ipv4Addr)> {
    let table = fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    let mut names: Vec<&str> =
        table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    names.sort_unstable();
    names.dedup();
    let others = names.into_iter().filter(|name| *name != "lo");
    others.filter_map(|name| Some((name.to_owned(), address(name).ok()?))).collect()
}

/// The address that this machine speaks from on an interface.
fn address(interface: &str) -> io::Result<Ipv4Addr> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.connect(&SocketAddr::from(GROUP).into())?;
    let address = socket.local_addr()?.as_socket_ipv4();
    address.map(|address| *address.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

//! What the network reads in the heads of datagrams: the marks of video and sound, where a client asked for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod scene;

use std::{
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use lumen_core::Burst;
use lumen_transportd::{
    gamestream::ground::Ground,
    video::{Figures, Outlet, datagrams::TrafficClass, outlet::Destination},
};
use scene::{
    Host,
    moonlight::{Moonlight, PLAIN, app, caller},
};
use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, Socket, Type};

/// `struct cmsghdr`: a length and two numbers.
const HEAD: usize = size_of::<usize>() + 8;

/// A socket at `ip` that is told the class of each datagram.
fn receiver(ip: IpAddr) -> Socket {
    let socket = Socket::from(UdpSocket::bind((ip, 0)).unwrap());
    match ip {
        IpAddr::V4(_) => socket.set_recv_tos_v4(true).unwrap(),
        IpAddr::V6(_) => socket.set_recv_tclass_v6(true).unwrap(),
    }
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// Bytes and class of the next datagram.
fn next(socket: &Socket) -> (Vec<u8>, u8) {
    let (mut bytes, mut control) = ([MaybeUninit::new(0); 2048], [MaybeUninit::new(0); 64]);
    let mut buffers = [MaybeUninitSlice::new(&mut bytes)];
    let mut message = MsgHdrMut::new().with_buffers(&mut buffers).with_control(&mut control);
    let len = socket.recvmsg(&mut message, 0).expect("a datagram comes within five seconds");
    // SAFETY: each byte was set above, if not by the kernel.
    let read = |byte: &MaybeUninit<u8>| unsafe { byte.assume_init() };
    (bytes[..len].iter().map(read).collect(), read(&control[HEAD]))
}

/// A socket for both versions of IP, as `"::"` is listened on.
fn both() -> UdpSocket {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).unwrap();
    socket.into()
}

/// Sabotage: send a traffic class of IPv6 to an address of IPv4 that is written as one of IPv6, or forget it with several segments.
#[test]
fn each_datagram_is_marked_over_either_version_of_ip_alone_and_in_bursts() {
    let (four, six) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let mapped = IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    let to_four = || UdpSocket::bind("127.0.0.1:0").unwrap();
    for (socket, at, to) in [(to_four(), four, four), (both(), six, six), (both(), four, mapped)] {
        let (outlet, figures, receiver) = (Outlet::new(socket).unwrap(), Figures::default(), receiver(at));
        let port = receiver.local_addr().unwrap().as_socket().unwrap().port();
        for class in [TrafficClass::BEST_EFFORT, TrafficClass::VIDEO, TrafficClass::SOUND] {
            for from in [None, Some(to)] {
                let destination = Destination { to: SocketAddr::new(to, port), from };
                let bytes: Vec<u8> = (0..250).collect();
                let burst = Burst { bytes: &bytes, segment_len: 100, count: 3 };
                outlet.send(&burst, destination, class, &figures);
                for part in bytes.chunks(100) {
                    assert_eq!(next(&receiver), (part.to_vec(), class.byte()), "{destination:?} {class:?}");
                }
                outlet.post(&[7; 20], destination, class).unwrap();
                assert_eq!(next(&receiver), (vec![7; 20], class.byte()), "{destination:?} {class:?}");
            }
        }
        assert!(outlet.max_segments() > 1, "this kernel has segmentation");
    }
    assert_eq!((TrafficClass::VIDEO.byte() >> 2, TrafficClass::SOUND.byte() >> 2), (40, 48));
}

/// Sabotage: mark all, or none.
#[tokio::test]
async fn video_is_marked_for_the_client_that_asks() {
    let host = Host::start();
    for (n, asks_dscp) in [(1, true), (2, false)] {
        let launched = Moonlight::launch(&host, &caller(n), &app(1, None), [n; 16]).await;
        let mut client = launched.unwrap();
        client.asks_dscp = asks_dscp;
        client.negotiate(PLAIN).await;
        let _control = client.connect();
        let (token, port) = (client.token().to_owned(), client.ports().0);
        let seen = tokio::task::spawn_blocking(move || {
            let socket = receiver(Ipv4Addr::LOCALHOST.into());
            let ping = [token.as_bytes(), &1u32.to_be_bytes()].concat();
            socket.send_to(&ping, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
            next(&socket).1
        });
        let wanted = if asks_dscp { TrafficClass::VIDEO } else { TrafficClass::BEST_EFFORT };
        assert_eq!(seen.await.unwrap(), wanted.byte());
    }
}

/// Sabotage: ignore `dscp = false`, or give both sockets one mark.
#[test]
fn nothing_is_marked_where_the_administrator_says_no() {
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let marks = |dscp| {
        let ground = Ground::open(tcp(), udp(), udp(), udp(), dscp).unwrap();
        [
            ground.gate.class(true),
            ground.sound.class(true),
            ground.gate.class(false),
            ground.sound.class(false),
        ]
    };
    let none = TrafficClass::BEST_EFFORT;
    assert_eq!(marks(true), [TrafficClass::VIDEO, TrafficClass::SOUND, none, none]);
    assert_eq!(marks(false), [none; 4]);
}

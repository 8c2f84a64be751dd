//! Connections that cost and say nothing.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use lumen_transportd::peers::lobby::PLACES;

use crate::scene::{Host, Moon, connect, get};

/// What a client says slowly: the begin of a request, and that of a ClientHello of 512 bytes.
const PLAIN: &[u8] = b"GET /serverinfo HTTP/1.1\r\nX: ";
const HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// How long a host hears a byte each half second.
fn patience(door: SocketAddr, begin: &[u8]) -> Duration {
    let mut stream = connect(Ipv4Addr::LOCALHOST, door);
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let began = Instant::now();
    for byte in begin.iter().chain(&[b'a'; 60]) {
        let is_open = stream.write_all(&[*byte]).is_ok();
        match stream.read(&mut [0; 1]) {
            Err(error) if is_open && error.kind() == ErrorKind::WouldBlock => {}
            _ => return began.elapsed(),
        }
    }
    panic!("it is still heard after {:?}", began.elapsed());
}

/// Sabotage: count the time since the last byte instead of since the connection.
#[test]
fn a_byte_a_second_is_no_request() {
    let host = Host::start();
    let slow = [(host.http, PLAIN), (host.https, HELLO)];
    let slow = slow.map(|(door, begin)| thread::spawn(move || patience(door, begin)));
    assert_eq!(get(host.http, "/serverinfo").status().0, "200", "others are served meanwhile");
    for one in slow {
        let lasted = one.join().unwrap();
        assert!(
            lasted > Duration::from_secs(3),
            "{lasted:?}: a client in a slow network is to have some time"
        );
    }
}

/// Sabotage: let the oldest go, whoever it is; or refuse the newcomer.
#[test]
fn silent_connections_hold_nobody_up() {
    let (host, moon) = (Host::start(), Moon::new(1));
    host.know(&moon);
    let silent: Vec<_> = (0..4 * PLACES)
        .map(|n| {
            connect(Ipv4Addr::new(127, 0, 1, (n % 8) as u8), if n % 2 == 0 { host.http } else { host.https })
        })
        .collect();
    assert_eq!(get(host.http, "/serverinfo").status().0, "200");
    assert_eq!(moon.get(&host, "/applist").unwrap().status().0, "200");
    drop(silent);
}

//! The first datagrams of a session, which anyone can send.

use lumen_core::Timestamp;
use lumen_gamestream::enet::{Connect, Output, Peer, PeerId};
use lumen_gamestream::ping::Ping;

/// A ping, a connect, or a datagram of a peer that is not this one.
pub(super) fn run(bytes: &[u8]) {
    if let Some(ping) = Ping::parse(bytes) {
        assert_eq!([&ping.payload[..], &ping.number.to_be_bytes()].concat(), bytes);
    }
    let now = Timestamp::from_ns(0);
    if let Some(connect) = Connect::parse(bytes) {
        assert_eq!(PeerId::of(bytes), None, "a connect of somebody who has a number");
        let id = PeerId::new(7).expect("7 is one");
        let mut peer = Peer::accept(&connect, id, now);
        let sent: Vec<Output> = std::iter::from_fn(|| peer.poll_output()).collect();
        assert!(matches!(&sent[..], [Output::Send(verify)] if verify.len() == 48), "{sent:?}");
        assert!(peer.send(0, b"x", now).is_err(), "nothing is said before the client has proven its address");
        // It is told of a number, which no other datagram has yet.
        peer.handle_datagram(bytes, now);
        assert_eq!((peer.poll_output(), peer.counters().foreign), (None, 1));
    }
}

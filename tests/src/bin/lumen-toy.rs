//! The least that a stage can be: it says READY, keeps one UDP socket in systemd's fd store, and sends each datagram back.
//! `cargo xtask kill` kills it as often as the real stages, so that their gaps are judged against what systemd and this
//! machine make possible.
#![forbid(unsafe_code)]

use std::{net::UdpSocket, os::fd::AsFd};

use lumen_stage::inherited;

fn main() -> anyhow::Result<()> {
    let socket = match inherited::take().pop() {
        Some(stored) => UdpSocket::from(stored.fd),
        None => {
            let port: u16 = std::env::args().nth(1).unwrap_or_default().parse()?;
            let socket = UdpSocket::bind(("127.0.0.1", port))?;
            inherited::store("socket", socket.as_fd())?;
            socket
        }
    };
    inherited::ready()?;
    let mut bytes = [0; 64];
    loop {
        let (len, from) = socket.recv_from(&mut bytes)?;
        socket.send_to(bytes.get(..len).unwrap_or_default(), from)?;
    }
}

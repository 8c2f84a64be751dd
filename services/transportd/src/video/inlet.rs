//! What comes in on a UDP socket of the stage, datagram by datagram.

use std::{
    io::{self, IoSliceMut},
    os::fd::AsFd,
    sync::Weak,
};

use quinn_udp::RecvMeta;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::outlet::{Destination, Outlet};

/// Because the kernel merges equal datagrams of one sender into at most 64 KiB (GRO).
const RECEIVE_BYTES: usize = 1 << 16;

/// Pause after an error that the socket did not explain.
const ERROR_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Takes in all datagrams for as long as `reader` lives: each with where its answer goes.
pub fn take_in<R>(outlet: &Outlet, reader: &Weak<R>, handle: impl Fn(&R, &mut [u8], Destination)) {
    let mut buffer = vec![0; RECEIVE_BYTES];
    // What comes when nobody reads is left to whoever reads next.
    while let Some(reader) = reader.upgrade() {
        let mut meta = [RecvMeta::default()];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        match outlet.state().recv(outlet.socket().into(), &mut slices, &mut meta) {
            Ok(_) => split(&mut buffer, &meta, |datagram, place| handle(&reader, datagram, place)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(reader);
                wait(outlet, None);
            }
            Err(_) => wait(outlet, Some(&ERROR_PAUSE)),
        }
    }
}

fn split(buffer: &mut [u8], meta: &[RecvMeta; 1], handle: impl Fn(&mut [u8], Destination)) {
    let [meta] = meta;
    let place = Destination { to: meta.addr, from: meta.dst_ip };
    let received = buffer.get_mut(..meta.len).unwrap_or_default();
    for datagram in received.chunks_mut(meta.stride.max(1)) {
        handle(datagram, place);
    }
}

fn wait(outlet: &Outlet, limit: Option<&Timespec>) {
    let mut fds = [PollFd::from_borrowed_fd(outlet.socket().as_fd(), PollFlags::IN)];
    // An interrupted wait ends in another look at the socket.
    let _ = poll(&mut fds, limit);
}

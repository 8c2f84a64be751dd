//! The wire against a peer of a few bytes.

use super::*;
use proptest::prelude::*;
use std::io::{Read, Write};

fn pair() -> (Wire, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Wire::new(ours), theirs)
}

fn message(object: u32, opcode: u16, words: &[u32]) -> Vec<u8> {
    let length = 8 + 4 * words.len() as u32;
    let head = [object, length << 16 | u32::from(opcode)];
    head.iter().chain(words).flat_map(|word| word.to_ne_bytes()).collect()
}

// Sabotage: pad a string to one byte too many. The bytes are those of wl_registry.bind as libwayland writes
// them.
#[test]
fn request_is_written_as_libwayland_writes_it() {
    let (mut wire, mut peer) = pair();
    let (registry, shm) = (wire.make(Interface::Registry), wire.make(Interface::Shm));
    wire.request(registry, 0).uint(7).string("wl_shm").uint(1).object(shm).send();
    wire.flush().unwrap();
    let mut bytes = [0; 32];
    peer.read_exact(&mut bytes).unwrap();
    let mut expected = message(2, 0, &[7, 7]);
    expected.extend_from_slice(b"wl_shm\0\0");
    expected.extend([1u32, 3].iter().flat_map(|word| word.to_ne_bytes()));
    expected[6..8].copy_from_slice(&32u16.to_ne_bytes());
    assert_eq!(bytes[..], expected);
}

// Sabotage: read a message before all of it is there.
#[test]
fn event_in_pieces_is_read_once_it_is_whole() {
    let (mut wire, mut peer) = pair();
    wire.make(Interface::Callback);
    let bytes = message(2, 0, &[5]);
    for (index, byte) in bytes.iter().enumerate() {
        assert!(wire.next().unwrap().is_none());
        peer.write_all(&[*byte]).unwrap();
        assert!(wire.read().unwrap(), "{index}");
    }
    let mut event = wire.next().unwrap().unwrap();
    assert_eq!((event.sender, event.interface, event.arguments.uint()), (Id(2), Interface::Callback, Ok(5)));
    assert!(!wire.read().unwrap());
}

// Sabotage: give an id away again as soon as its object is destroyed.
#[test]
fn id_is_used_again_only_when_the_server_says_so() {
    let (mut wire, mut peer) = pair();
    let first = wire.make(Interface::Buffer);
    wire.forget(first);
    assert_ne!(wire.make(Interface::Buffer), first);
    peer.write_all(&message(first.0, 0, &[])).unwrap();
    peer.write_all(&message(1, display::DELETE_ID, &[first.0])).unwrap();
    wire.read().unwrap();
    assert!(wire.next().unwrap().is_none(), "an event of a destroyed object means nothing");
    assert_eq!(wire.make(Interface::Output), first);
}

#[test]
fn refusal_is_told_in_the_compositors_words() {
    let (mut wire, mut peer) = pair();
    wire.make(Interface::Shm);
    let mut bytes = message(1, display::ERROR, &[2, 3, 4]);
    bytes.extend_from_slice(b"bad\0");
    bytes[6..8].copy_from_slice(&24u16.to_ne_bytes());
    peer.write_all(&bytes).unwrap();
    wire.read().unwrap();
    let refused = WireError::Refused { interface: "wl_shm", code: 3, message: "bad".into() };
    assert_eq!(wire.next().unwrap_err(), refused);
    drop(peer);
    assert_eq!(wire.read().unwrap_err(), WireError::Closed);
}

// Sabotage: keep the descriptor for the next flush too.
#[test]
fn descriptor_travels_with_its_request_and_once() {
    let (mut wire, peer) = pair();
    let shm = wire.make(Interface::Shm);
    for attached in [1, 0] {
        if attached == 1 {
            wire.attach(std::fs::File::open("/dev/null").unwrap().as_fd()).unwrap();
        }
        wire.request(shm, 0).send();
        wire.flush().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 64];
        recvmsg(&peer, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(control.drain().count(), attached);
    }
}

/// Object, opcode and arguments of each.
fn messages() -> impl Strategy<Value = Vec<(u32, u16, Vec<u32>)>> {
    let words = prop::collection::vec(any::<u32>(), 0..6);
    prop::collection::vec((1u32..6, 0u16..8, words), 0..20)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), known in 0usize..20) {
        let (mut wire, mut peer) = pair();
        for _ in 0..known {
            wire.make(Interface::Output);
        }
        peer.write_all(&bytes).unwrap();
        drop(peer);
        while let Ok(true) = wire.read() {
            while let Ok(Some(event)) = wire.next() {
                let _ = crate::backends::wlroots::protocol::read(event);
            }
        }
    }

    // Sabotage: look for the end of a message outside of what was read.
    #[test]
    fn well_formed_garbage_is_read_or_refused(messages in messages()) {
        let (mut wire, mut peer) = pair();
        use Interface::{CopyFrame, Output, Registry, ScreencopyFrame};
        for interface in [Registry, Output, ScreencopyFrame, CopyFrame] {
            wire.make(interface);
        }
        for (object, opcode, words) in &messages {
            peer.write_all(&message(*object, *opcode, words)).unwrap();
        }
        while let Ok(true) = wire.read() {
            while let Ok(Some(event)) = wire.next() {
                let _ = crate::backends::wlroots::protocol::read(event);
            }
        }
    }
}

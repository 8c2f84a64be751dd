//! Datagrams that nobody sealed, and the heads within those that somebody did.

use lumen_core::sound::Packet;
use lumen_core::wire::{
    BLOCK_HEAD_LEN, BlockHead, Header, HelloBody, MAX_UNIT_LEN, Shard, ShardHead, channel_of,
};
use lumen_core::{ChannelId, ChannelSecret, Direction, Opener};
use zerocopy::{Immutable, IntoBytes};

/// Reads the bytes as each part of a datagram. What is not sealed is never opened.
pub(super) fn run(bytes: &[u8]) {
    header(bytes);
    shard(bytes);
    if let Some(packet) = Packet::parse(bytes) {
        assert_eq!(packet.to_bytes(), bytes);
    }
    if let Ok((timeline, unit)) = BlockHead::parse(bytes) {
        assert!((1..=MAX_UNIT_LEN).contains(&unit) && unit <= bytes.len() - BLOCK_HEAD_LEN);
        let again = [head(&BlockHead::new(unit as u32, &timeline)), vec![0; unit]].concat();
        assert_eq!(BlockHead::parse(&again), Ok((timeline, unit)));
    }
    if let Ok(sent) = HelloBody::parse(bytes) {
        assert_eq!(HelloBody::parse(&head(&HelloBody::new(sent))), Ok(sent));
    }
    let channel = channel_of(bytes).unwrap_or(ChannelId(0));
    for direction in [Direction::HostToClient, Direction::ClientToHost] {
        let mut opener = Opener::new(&ChannelSecret::from_bytes([7; 32]), channel, direction);
        assert!(opener.open(&mut bytes.to_vec()).is_err(), "nobody sealed it");
        assert_eq!((opener.counters().opened, opener.next_sequence()), (0, 0));
    }
}

fn head(part: &(impl IntoBytes + Immutable)) -> Vec<u8> {
    part.as_bytes().to_vec()
}

fn header(bytes: &[u8]) {
    let Ok((header, sealed)) = Header::parse(bytes) else {
        assert!(channel_of(bytes).is_err());
        return;
    };
    let kind = header.kind().expect("a parsed header has a kind");
    let written = Header::new(kind, header.channel(), header.sequence());
    assert!(bytes.starts_with(&head(&written)) && bytes.ends_with(sealed));
}

fn shard(bytes: &[u8]) {
    if let Ok(shard) = Shard::parse(bytes) {
        assert!(shard.shape.is_valid() && usize::from(shard.index) < shard.shape.shards());
        assert_eq!(shard.bytes.len(), usize::from(shard.shape.shard_len));
        let written = ShardHead::new(shard.frame, shard.flags, &shard.shape, shard.index, shard.sent);
        let again = [&head(&written)[..], shard.bytes].concat();
        let read = Shard::parse(&again).expect("it was read before");
        assert_eq!(
            (read.frame, read.flags, read.shape, read.index),
            (shard.frame, shard.flags, shard.shape, shard.index)
        );
    }
}

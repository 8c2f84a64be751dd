//! What stands at the start of a block, within its parity.

use super::{BLOCK_HEAD_LEN, MAX_UNIT_LEN, WireError};
use crate::time::Timestamp;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// When a frame passed the host's stages, on the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// captured took it from the compositor.
    pub dequeued: Timestamp,
    /// encoded began.
    pub encode_begin: Timestamp,
    /// encoded was done.
    pub encode_end: Timestamp,
    /// transportd had cut it into shards.
    pub packetised: Timestamp,
}

/// The head of a block, protected by its FEC so that a recovered frame has it too. 40 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockHead {
    unit_len: U32,
    reserved: U32,
    dequeued_ns: U64,
    encode_begin_ns: U64,
    encode_end_ns: U64,
    packetised_ns: U64,
}

impl BlockHead {
    /// The head of a block that carries `unit_len` bytes.
    pub fn new(unit_len: u32, timeline: &Timeline) -> Self {
        Self {
            unit_len: U32::new(unit_len),
            reserved: U32::ZERO,
            dequeued_ns: U64::new(timeline.dequeued.as_ns()),
            encode_begin_ns: U64::new(timeline.encode_begin.as_ns()),
            encode_end_ns: U64::new(timeline.encode_end.as_ns()),
            packetised_ns: U64::new(timeline.packetised.as_ns()),
        }
    }

    /// The timeline and the length of the unit that follows the head of a whole block.
    ///
    /// # Errors
    /// [`WireError::Unit`] if the block cannot hold such a unit.
    pub fn parse(block: &[u8]) -> Result<(Timeline, usize), WireError> {
        let (head, rest) = Self::ref_from_prefix(block)
            .map_err(|_| WireError::TooShort { need: BLOCK_HEAD_LEN, got: block.len() })?;
        let unit = usize::try_from(head.unit_len.get()).unwrap_or(usize::MAX);
        if unit == 0 || unit > rest.len() || unit > MAX_UNIT_LEN {
            return Err(WireError::Unit { unit, block: block.len() });
        }
        let timeline = Timeline {
            dequeued: Timestamp::from_ns(head.dequeued_ns.get()),
            encode_begin: Timestamp::from_ns(head.encode_begin_ns.get()),
            encode_end: Timestamp::from_ns(head.encode_end_ns.get()),
            packetised: Timestamp::from_ns(head.packetised_ns.get()),
        };
        Ok((timeline, unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: believe the unit's length without looking at the block's.
    #[test]
    fn a_unit_that_its_block_cannot_hold_is_refused() {
        let block = |unit_len: u32, room: usize| {
            let mut block = BlockHead::new(unit_len, &Timeline::default()).as_bytes().to_vec();
            block.resize(BLOCK_HEAD_LEN + room, 0);
            BlockHead::parse(&block).map(|(_, unit)| unit)
        };
        assert_eq!(block(64, 64), Ok(64));
        assert_eq!(block(63, 64), Ok(63));
        assert_eq!(block(65, 64), Err(WireError::Unit { unit: 65, block: 104 }));
        assert_eq!(block(0, 64), Err(WireError::Unit { unit: 0, block: 104 }));
        assert!(block(MAX_UNIT_LEN as u32 + 1, MAX_UNIT_LEN + 1).is_err());
    }
}

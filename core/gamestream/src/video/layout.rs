//! How a frame is cut into Blocks, and how much parity each has.

use super::{FRAME_HEAD_LEN, RTP_LEN};
use arrayvec::ArrayVec;

/// Because beyond it a smaller bitrate helps more.
pub const MAX_PARITY_PERCENT: u8 = 100;
/// Because the number of a block and of the last one have two bits each.
pub(super) const MAX_BLOCKS: usize = 4;
/// Because shards are elements of GF(2⁸) but zero.
const MAX_SHARDS: usize = 255;
/// Because the number of data shards has ten bits.
const MAX_DATA: usize = 1023;

/// A part of a frame that is mended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Data shards.
    pub data: usize,
    /// Parity shards.
    pub parity: usize,
    /// From which the client computes `parity`.
    pub percent: u8,
}

impl Block {
    /// A block with as much parity as `percent` says, and `least` if that is anything.
    fn new(data: usize, percent: usize, least: usize) -> Self {
        let parity = parity_of(data, percent);
        let percent = if percent > 0 && parity < least { 100 * least / data } else { percent };
        let percent = u8::try_from(percent).unwrap_or(u8::MAX);
        Self { data, parity: parity_of(data, percent.into()), percent }
    }
}

/// The client's formula.
fn parity_of(data: usize, percent: usize) -> usize {
    (data * percent).div_ceil(100)
}

/// A frame's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// One to four.
    pub blocks: ArrayVec<Block, MAX_BLOCKS>,
    /// Bytes of each payload.
    pub payload: usize,
    /// Bytes that the last payload uses.
    pub last_len: usize,
}

impl Layout {
    /// Of a unit of `unit_len` bytes; `None` if no four blocks hold it. Where the parity asked for would need more than four
    /// blocks, there is as much as four hold.
    pub(super) fn of(unit_len: usize, packet_size: usize, percent: u8, least: u8) -> Option<Self> {
        let payload = packet_size - RTP_LEN;
        let frame = FRAME_HEAD_LEN + unit_len;
        let shards = frame.div_ceil(payload);
        if shards > MAX_BLOCKS * MAX_DATA {
            return None;
        }
        let least = usize::from(least);
        let percent = affordable(shards, percent.into(), least);
        let most = if percent == 0 {
            shards.div_ceil(MAX_BLOCKS).max(MAX_SHARDS)
        } else {
            most_data(percent, least)
        };
        let count = shards.div_ceil(most);
        let (each, more) = (shards / count, shards % count);
        let blocks = (0..count).map(|block| Block::new(each + usize::from(block < more), percent, least));
        Some(Self { blocks: blocks.collect(), payload, last_len: frame - (shards - 1) * payload })
    }

    /// Data and parity shards of all blocks.
    pub fn shards(&self) -> usize {
        self.blocks.iter().map(|block| block.data + block.parity).sum()
    }
}

/// The most data shards that fit into a block beside their parity.
fn most_data(percent: usize, least: usize) -> usize {
    (MAX_SHARDS * 100 / (100 + percent)).min(MAX_SHARDS - least)
}

/// `percent`, or the most with which four blocks hold the shards.
fn affordable(shards: usize, percent: usize, least: usize) -> usize {
    let each = shards.div_ceil(MAX_BLOCKS);
    if each > MAX_SHARDS - least {
        return 0;
    }
    percent.min((MAX_SHARDS * 100 / each).saturating_sub(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_frames_have_at_least_the_parity_that_clients_ask() {
        let block = |unit_len, percent| Layout::of(unit_len, 1392, percent, 2).unwrap().blocks[0];
        assert_eq!(block(10, 20), Block { data: 1, parity: 2, percent: 200 });
        assert_eq!(block(1376 * 3 - 8, 20), Block { data: 3, parity: 2, percent: 66 });
        assert_eq!(block(1376 * 20 - 8, 20), Block { data: 20, parity: 4, percent: 20 });
        assert_eq!(block(10, 0), Block { data: 1, parity: 0, percent: 0 });
    }

    // Source: gamestream.md 4.7: 212 data shards at 20 %, 231 at 10 %, 242 at 5 %.
    #[test]
    fn blocks_are_as_long_as_the_field_allows() {
        assert_eq!([20, 10, 5].map(|percent| most_data(percent, 2)), [212, 231, 242]);
        let layout = |shards: usize| Layout::of(shards * 1376 - 8, 1392, 20, 2).unwrap();
        assert_eq!(layout(212).blocks.len(), 1);
        assert_eq!(layout(213).blocks.len(), 2);
        assert_eq!(layout(848).blocks.len(), 4);
        assert_eq!(layout(849).blocks[0].percent, 19, "less parity instead of none");
        assert_eq!(layout(1021).blocks[0], Block { data: 256, parity: 0, percent: 0 });
        assert_eq!(layout(4092).blocks[3], Block { data: 1023, parity: 0, percent: 0 });
        assert_eq!(Layout::of(4093 * 1376 - 8, 1392, 20, 2), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

        // Sabotage: round the parity down, or forget `least` in `most_data`.
        #[test]
        fn every_layout_is_one_that_clients_compute_alike(
            unit_len in 1usize..1_600_000, packet_size in 480usize..1500, percent in 0u8..=100, least in 0u8..=16,
        ) {
            let Some(layout) = Layout::of(unit_len, packet_size, percent, least) else {
                prop_assert!(unit_len + 8 > 4092 * (packet_size - 16));
                return Ok(());
            };
            let data: usize = layout.blocks.iter().map(|block| block.data).sum();
            prop_assert_eq!((data - 1) * layout.payload + layout.last_len, unit_len + 8);
            prop_assert!((1..=layout.payload).contains(&layout.last_len));
            prop_assert!((1..=4).contains(&layout.blocks.len()));
            for block in &layout.blocks {
                prop_assert!(block.data >= 1 && block.data <= 1023);
                prop_assert_eq!(block.parity, (block.data * usize::from(block.percent)).div_ceil(100), "the client's formula");
                prop_assert!(block.parity == 0 || block.data + block.parity <= 255, "{:?}", block);
                prop_assert!(block.percent <= percent || block.parity <= usize::from(least).max(1));
            }
        }
    }
}

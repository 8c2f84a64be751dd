//! Access units into blocks: how many shards, how long, and their parity.

pub use crate::batch::{Burst, DatagramBatch};

use crate::fec::{BlockEncoder, FecError, parity_count};
use crate::wire::{
    BLOCK_HEAD_LEN, BlockHead, BlockShape, DEFAULT_DATAGRAM_LEN, MAX_DATAGRAM_LEN, MAX_UNIT_LEN,
    MIN_DATAGRAM_LEN, OVERHEAD, Timeline,
};

/// Because more than twice the data would be better spent on a lower bitrate.
pub const MAX_PARITY_PERCENT: u16 = 200;

/// How frames are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketiserConfig {
    /// UDP payload bytes of a full datagram, 512..=8,952.
    pub datagram_len: usize,
    /// Parity shards per 100 data shards, 0..=200, rounded up.
    pub parity_percent: u16,
}

impl Default for PacketiserConfig {
    /// 1,400 bytes and 20 %.
    fn default() -> Self {
        Self { datagram_len: DEFAULT_DATAGRAM_LEN, parity_percent: 20 }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The datagram length is out of range.
    #[error("datagrams of {got} bytes: must be {MIN_DATAGRAM_LEN} to {MAX_DATAGRAM_LEN}")]
    DatagramLen {
        /// What was asked.
        got: usize,
    },
    /// More parity than [`MAX_PARITY_PERCENT`].
    #[error("a parity of {got} %: must be 0 to {MAX_PARITY_PERCENT}")]
    Parity {
        /// What was asked.
        got: u16,
    },
}

/// Why a unit was not cut.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PacketiseError {
    /// Empty, or longer than [`MAX_UNIT_LEN`].
    #[error("an access unit of {got} bytes: must be 1 to {MAX_UNIT_LEN}")]
    UnitLen {
        /// Its length.
        got: usize,
    },
    /// The batch still holds datagrams of the frame before.
    #[error("{waiting} datagrams of the frame before are still unsent")]
    BatchInUse {
        /// How many.
        waiting: usize,
    },
    /// Parity could not be computed.
    #[error(transparent)]
    Fec(#[from] FecError),
}

/// What a frame is, beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameMeta {
    /// The client's frame number: the first is what `Launched` said, each next one is one more.
    pub number: u64,
    /// It refers to no frame before it.
    pub idr: bool,
    /// It shows what the frame before it showed.
    pub repeat: bool,
    /// When it passed the stages, on the host's clock.
    pub timeline: Timeline,
}

/// Cuts access units into shards and computes their parity. Keeps its working space.
#[derive(Debug)]
pub struct Packetiser {
    config: PacketiserConfig,
    encoder: BlockEncoder,
}

impl Packetiser {
    /// A packetiser for one channel.
    ///
    /// # Errors
    /// [`ConfigError`] if a number is out of range.
    pub fn new(config: PacketiserConfig) -> Result<Self, ConfigError> {
        if !(MIN_DATAGRAM_LEN..=MAX_DATAGRAM_LEN).contains(&config.datagram_len) {
            return Err(ConfigError::DatagramLen { got: config.datagram_len });
        }
        check_parity(config.parity_percent)?;
        Ok(Self { config, encoder: BlockEncoder::default() })
    }

    /// Changes the parity from the next frame on.
    ///
    /// # Errors
    /// [`ConfigError::Parity`].
    pub fn set_parity_percent(&mut self, percent: u16) -> Result<(), ConfigError> {
        check_parity(percent)?;
        self.config.parity_percent = percent;
        Ok(())
    }

    /// Cuts `unit` into the empty batch `out`. Allocates only where the batch or the block is larger than any before.
    ///
    /// # Errors
    /// [`PacketiseError`]; the batch is then empty, or as it was if it was in use.
    pub fn packetise(
        &mut self,
        unit: &[u8],
        meta: &FrameMeta,
        out: &mut DatagramBatch,
    ) -> Result<BlockShape, PacketiseError> {
        if !out.is_empty() {
            return Err(PacketiseError::BatchInUse { waiting: out.remaining() });
        }
        let wrong_len = PacketiseError::UnitLen { got: unit.len() };
        if unit.is_empty() || unit.len() > MAX_UNIT_LEN {
            return Err(wrong_len);
        }
        let unit_len = u32::try_from(unit.len()).map_err(|_| wrong_len)?;
        let shape = self.shape(unit.len());
        out.begin(&shape, meta);
        out.write_data(&BlockHead::new(unit_len, &meta.timeline), unit, &shape);
        if let Err(error) = out.write_parity(&mut self.encoder, &shape) {
            out.clear();
            return Err(error.into());
        }
        Ok(shape)
    }

    /// The fewest shards that hold the unit, all of one even length with the least padding.
    fn shape(&self, unit_len: usize) -> BlockShape {
        let block = BLOCK_HEAD_LEN + unit_len;
        let longest = (self.config.datagram_len - OVERHEAD) & !1;
        let shard_len = block.div_ceil(block.div_ceil(longest)).next_multiple_of(2);
        // Rounding each shard up can leave whole shards without a byte of the block.
        let data = u16::try_from(block.div_ceil(shard_len)).unwrap_or(u16::MAX);
        BlockShape {
            data,
            parity: parity_count(data, self.config.parity_percent),
            shard_len: u16::try_from(shard_len).unwrap_or(u16::MAX),
        }
    }
}

fn check_parity(percent: u16) -> Result<(), ConfigError> {
    if percent > MAX_PARITY_PERCENT {
        return Err(ConfigError::Parity { got: percent });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        let config = |datagram_len, parity_percent| {
            Packetiser::new(PacketiserConfig { datagram_len, parity_percent }).err()
        };
        assert_eq!(config(511, 0), Some(ConfigError::DatagramLen { got: 511 }));
        assert_eq!(config(8953, 0), Some(ConfigError::DatagramLen { got: 8953 }));
        assert_eq!(config(512, 201), Some(ConfigError::Parity { got: 201 }));
        assert_eq!((config(512, 200), config(8952, 0)), (None, None));
    }

    #[test]
    fn a_unit_of_no_or_too_many_bytes_is_refused() {
        let mut packetiser = Packetiser::new(PacketiserConfig::default()).unwrap();
        let mut batch = DatagramBatch::new();
        for len in [0, MAX_UNIT_LEN + 1] {
            let refused = packetiser.packetise(&vec![0; len], &FrameMeta::default(), &mut batch);
            assert_eq!(refused, Err(PacketiseError::UnitLen { got: len }));
        }
        packetiser.packetise(&[1], &FrameMeta::default(), &mut batch).unwrap();
        let refused = packetiser.packetise(&[1], &FrameMeta::default(), &mut batch);
        assert_eq!(refused, Err(PacketiseError::BatchInUse { waiting: 2 }));
    }

    proptest! {
        // Sabotage: round the shard's length up without counting the shards again.
        #[test]
        fn each_shape_is_valid_and_none_of_its_shards_is_idle(
            datagram_len in MIN_DATAGRAM_LEN..=MAX_DATAGRAM_LEN, parity_percent in 0u16..=200, unit_len in 1..=MAX_UNIT_LEN,
        ) {
            let packetiser = Packetiser::new(PacketiserConfig { datagram_len, parity_percent }).unwrap();
            let shape = packetiser.shape(unit_len);
            prop_assert!(shape.is_valid(), "{shape:?}");
            let (data, len) = (usize::from(shape.data), usize::from(shape.shard_len));
            prop_assert!(OVERHEAD + len <= datagram_len);
            prop_assert!((data - 1) * len < BLOCK_HEAD_LEN + unit_len && BLOCK_HEAD_LEN + unit_len <= data * len);
        }
    }
}

//! Parity for one block: Leopard Reed-Solomon over GF(2¹⁶), as reed-solomon-simd 3 computes it.
//!
//! A block of one data shard needs no field: each of its parity shards *is* the data shard. So the smallest frames, a still
//! screen's, are spared the decoder's floor of 127 µs. (GF(2⁸) would decode blocks below some hundred shards faster; the block's
//! size could choose the field in a later layout version.)

use crate::wire::BlockShape;
use reed_solomon_simd::{Error, ReedSolomonDecoder, ReedSolomonEncoder};

/// Why parity was not computed or a block not recovered.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum FecError {
    /// The counts or lengths do not fit the shape, or too few shards are there.
    #[error("Reed-Solomon refused the block: {0}")]
    Refused(#[from] Error),
    /// A block of one data shard has no shard to recover it from.
    #[error("the block's only data shard is missing, and so is its parity")]
    Empty,
}

/// How many parity shards `percent` makes of `data`: rounded up, so that any parity protects the smallest frame, and at most
/// what the field holds beside the data.
pub fn parity_count(data: u16, percent: u16) -> u16 {
    let wanted = (u32::from(data) * u32::from(percent)).div_ceil(100);
    let field = (1u32 << 16) - u32::from(data).next_power_of_two();
    let index = u32::from(u16::MAX) - u32::from(data);
    u16::try_from(wanted.min(field).min(index)).unwrap_or(u16::MAX)
}

/// Computes parity; keeps its working space, so a block no larger than one before allocates nothing.
#[derive(Default)]
pub struct BlockEncoder {
    encoder: Option<ReedSolomonEncoder>,
}

impl std::fmt::Debug for BlockEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockEncoder")
    }
}

impl BlockEncoder {
    /// Reads `shape.data` shards from `data` and hands each parity shard to `put(index, bytes)`, index from 0.
    ///
    /// # Errors
    /// [`FecError::Refused`] if `data` does not match the shape.
    pub fn encode<'a>(
        &mut self,
        shape: &BlockShape,
        data: impl Iterator<Item = &'a [u8]>,
        mut put: impl FnMut(usize, &[u8]),
    ) -> Result<(), FecError> {
        if shape.data == 1 {
            let only = data.last().ok_or(FecError::Empty)?;
            (0..usize::from(shape.parity)).for_each(|index| put(index, only));
            return Ok(());
        }
        let (k, m, len) = (shape.data.into(), shape.parity.into(), shape.shard_len.into());
        let encoder = match &mut self.encoder {
            Some(encoder) => {
                encoder.reset(k, m, len)?;
                encoder
            }
            none => none.insert(ReedSolomonEncoder::new(k, m, len)?),
        };
        for shard in data {
            encoder.add_original_shard(shard)?;
        }
        for (index, shard) in encoder.encode()?.recovery_iter().enumerate() {
            put(index, shard);
        }
        Ok(())
    }
}

/// Recovers data shards; keeps its working space.
#[derive(Default)]
pub struct BlockDecoder {
    decoder: Option<ReedSolomonDecoder>,
}

impl std::fmt::Debug for BlockDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockDecoder")
    }
}

impl BlockDecoder {
    /// Recovers the data shards for which `has(index)` is false, in place: `block` is `shape.block_len()` bytes, and `parity`
    /// yields the parity shards that came with their index from 0.
    ///
    /// # Errors
    /// [`FecError`] if fewer than `shape.data` shards are there or one does not match the shape.
    pub fn decode<'a>(
        &mut self,
        shape: &BlockShape,
        block: &mut [u8],
        has: impl Fn(usize) -> bool,
        mut parity: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> Result<(), FecError> {
        if shape.data == 1 {
            let (_, copy) = parity.next().ok_or(FecError::Empty)?;
            block.iter_mut().zip(copy).for_each(|(byte, copied)| *byte = *copied);
            return Ok(());
        }
        let (k, m, len) = (shape.data.into(), shape.parity.into(), usize::from(shape.shard_len));
        let decoder = match &mut self.decoder {
            Some(decoder) => {
                decoder.reset(k, m, len)?;
                decoder
            }
            none => none.insert(ReedSolomonDecoder::new(k, m, len)?),
        };
        for (index, shard) in block.chunks_exact(len).enumerate().filter(|(index, _)| has(*index)) {
            decoder.add_original_shard(index, shard)?;
        }
        for (index, shard) in parity {
            decoder.add_recovery_shard(index, shard)?;
        }
        let restored = decoder.decode()?;
        for (index, shard) in block.chunks_exact_mut(len).enumerate() {
            if let Some(bytes) = restored.restored_original(index) {
                shard.copy_from_slice(bytes);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parity_is_rounded_up() {
        assert_eq!([0, 1, 20, 100].map(|percent| parity_count(1, percent)), [0, 1, 1, 1]);
        assert_eq!([0, 1, 20, 50, 150].map(|percent| parity_count(15, percent)), [0, 1, 3, 8, 23]);
    }

    proptest! {
        // Sabotage: leave the field's limit or the index's out of `parity_count`.
        #[test]
        fn a_block_with_its_parity_always_fits_the_field(data in 1u16..18_398, percent in 0u16..=200) {
            let parity = parity_count(data, percent);
            let shape = BlockShape { data, parity, shard_len: 456 };
            prop_assert!(shape.is_valid());
            prop_assert!(data == 1 || parity == 0 || ReedSolomonEncoder::supports(data.into(), parity.into()));
        }

        // What a stranger's packetiser may say must never reach an assertion of the codec.
        #[test]
        fn each_valid_shape_is_one_that_the_codec_takes(data: u16, parity: u16, shard_len: u16) {
            let shape = BlockShape { data, parity, shard_len };
            if shape.is_valid() && data > 1 && parity > 0 {
                prop_assert!(ReedSolomonDecoder::supports(data.into(), parity.into()));
            }
        }
    }

    #[test]
    fn too_few_shards_are_an_error() {
        let shape = BlockShape { data: 3, parity: 2, shard_len: 64 };
        let (mut block, parity) = ([0; 192], [0; 64]);
        let refused = BlockDecoder::default().decode(
            &shape,
            &mut block,
            |index| index == 0,
            [(0, &parity[..])].into_iter(),
        );
        assert!(matches!(refused, Err(FecError::Refused(Error::NotEnoughShards { .. }))));
        let one = BlockShape { data: 1, ..shape };
        let refused = BlockDecoder::default().decode(&one, &mut block[..64], |_| false, std::iter::empty());
        assert_eq!(refused, Err(FecError::Empty));
    }
}

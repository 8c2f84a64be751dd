//! Parity as Moonlight's decoder undoes it: systematic Reed-Solomon over GF(2⁸) with polynomial 0x11d, Cauchy rows.
//!
//! The coefficient of data shard i in parity shard j of P is 1 / ((P + i) XOR j). Rows are made as they are needed, because
//! libraries derive theirs by inverting a matrix, which takes up to 10 ms for a shape that was not seen before.

use fec_rs::galois::{MulSliceFn, detect_mul_slice, div};
use std::fmt;

/// The arithmetic, in the widest form that this processor has.
#[derive(Clone, Copy)]
pub(super) struct Engine {
    multiply: MulSliceFn,
    multiply_add: MulSliceFn,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine(..)")
    }
}

impl Engine {
    pub(super) fn new() -> Self {
        let (multiply, multiply_add) = detect_mul_slice();
        Self { multiply, multiply_add }
    }

    /// Fills the parity shards from the data shards. All are `stride` apart and the first `skip` bytes of each are left out;
    /// there are at most 255 in all.
    pub(super) fn encode(&self, data: &[u8], parity: &mut [u8], stride: usize, skip: usize) {
        let count = parity.len() / stride;
        for (row, into) in parity.chunks_exact_mut(stride).enumerate() {
            let into = into.get_mut(skip..).unwrap_or_default();
            for (column, from) in data.chunks_exact(stride).enumerate() {
                let from = from.get(skip..).unwrap_or_default();
                let factor = coefficient(count, row, column);
                if column == 0 {
                    (self.multiply)(factor, from, into);
                } else {
                    (self.multiply_add)(factor, from, into);
                }
            }
        }
    }
}

/// 1 / ((P + i) XOR j): never 1 / 0, because P + i is above every j.
fn coefficient(parity: usize, row: usize, column: usize) -> u8 {
    div(1, ((parity + column) ^ row) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{Context, SHA256};

    /// The shards that the golden bytes below were made from.
    fn data(count: usize, len: usize) -> Vec<u8> {
        (0..count).flat_map(|i| (0..len).map(move |j| ((i * 7 + j * 13 + i * j) % 251) as u8)).collect()
    }

    fn parity(shards: usize, count: usize, len: usize) -> Vec<u8> {
        let mut parity = vec![0xaa; count * len];
        Engine::new().encode(&data(shards, len), &mut parity, len, 0);
        parity
    }

    // Source: moonlight-common-c as it lies in the PyPI wheel moonlight-python 0.3.0, its reed_solomon_new and
    // reed_solomon_encode called through ctypes on these shards. 709 shapes: 1 to 253 data shards with 5, 20, 50 and 200 %,
    // at least two parity shards. Sabotage: any other matrix or polynomial.
    #[test]
    fn parity_is_what_the_clients_own_encoder_makes() {
        assert_eq!(
            crate::hex::encode(&parity(3, 2, 16)),
            "7b30ecbe93c4ff50b65e19b895c2d1a12986ccd5c6712363eace3f263579e032"
        );
        let (mut hash, mut shapes) = (Context::new(&SHA256), 0);
        for shards in 1usize..254 {
            for percent in [5, 20, 50, 200] {
                let count = (shards * percent).div_ceil(100).max(2);
                if shards + count <= 255 {
                    hash.update(&parity(shards, count, 96));
                    shapes += 1;
                }
            }
        }
        assert_eq!(shapes, 709);
        let expected = "c32656cbe93638c3eb6d62b5940d0273e63fee71e43f9974fe4e4f8f89a9c3b6";
        assert_eq!(crate::hex::encode(hash.finish().as_ref()), expected);
    }

    /// Bit by bit, with the polynomial of the first line.
    fn multiply(mut a: u8, mut b: u8) -> u8 {
        let mut product = 0;
        while b != 0 {
            product ^= if b & 1 == 1 { a } else { 0 };
            a = (a << 1) ^ if a & 0x80 != 0 { 0x1d } else { 0 };
            b >>= 1;
        }
        product
    }

    #[test]
    fn the_engine_equals_the_naive_field() {
        for (shards, count, len) in [(1, 2, 1), (4, 2, 17), (7, 3, 1408), (200, 40, 33)] {
            let (shards_bytes, parity) = (data(shards, len), parity(shards, count, len));
            for row in 0..count {
                for at in 0..len {
                    let sum = (0..shards).fold(0, |sum, column| {
                        let factor = ((count + column) ^ row) as u8;
                        let inverse = (1..=255).find(|&inverse| multiply(factor, inverse) == 1).unwrap();
                        sum ^ multiply(inverse, shards_bytes[column * len + at])
                    });
                    assert_eq!(parity[row * len + at], sum, "{shards}+{count}, row {row}, byte {at}");
                }
                if shards * count * len > 10_000 {
                    break;
                }
            }
        }
    }
}

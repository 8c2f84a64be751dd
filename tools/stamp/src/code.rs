//! The number as 64 blocks: 8 of a fixed pattern, 32 of the number, 24 of its checksum, most significant first.

use crate::layout::Region;

/// Blocks in a row and rows of blocks.
pub const COLUMNS: u32 = 16;
/// Rows of blocks.
pub const ROWS: u32 = 4;

/// As many white blocks as black ones: the reader learns both levels from them.
pub const PATTERN: u8 = 0b1011_0010;

/// The 64 blocks of a number, the first block in the highest bit; 1 is white.
pub fn encode(number: u32) -> u64 {
    u64::from(PATTERN) << 56 | u64::from(number) << 24 | u64::from(checksum(number))
}

/// The number in 64 blocks, if pattern and checksum agree.
pub fn decode(blocks: u64) -> Option<u32> {
    let number = (blocks >> 24) as u32;
    (encode(number) == blocks).then_some(number)
}

/// Where the block `index` (0..64) lies in the code's region.
pub fn block(code: Region, index: u32) -> Region {
    let edge = |extent: u32, parts: u32, i: u32| extent * i / parts;
    let (column, row) = (index % COLUMNS, index / COLUMNS);
    let (x, y) = (edge(code.width, COLUMNS, column), edge(code.height, ROWS, row));
    Region {
        x: code.x + x,
        y: code.y + y,
        width: edge(code.width, COLUMNS, column + 1) - x,
        height: edge(code.height, ROWS, row + 1) - y,
    }
}

/// CRC-24 as in RFC 9580 § 6.1: any burst of up to 24 wrong blocks is seen.
fn checksum(number: u32) -> u32 {
    let mut crc: u32 = 0x00b7_04ce;
    for byte in number.to_be_bytes() {
        crc ^= u32::from(byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: let decode() ignore the checksum.
    #[test]
    fn one_wrong_block_is_seen() {
        for number in [0, 1, 0xdead_beef, u32::MAX] {
            let blocks = encode(number);
            assert_eq!(decode(blocks), Some(number));
            for i in 0..64 {
                assert_eq!(decode(blocks ^ 1 << i), None);
            }
        }
    }
}

//! H.264's arithmetic coder, as far as a slice needs it in which nothing is coded.

use super::bits::Writer;

/// Ranges of the less probable symbol for the states 42 to 62 (H.264, table 9-44): with the coarsest quantiser the context of
/// `mb_skip_flag` begins at 42 with a skip as the more probable (table 9-13: 23, 33).
const RANGES: [[u8; 4]; 21] = [
    [16, 20, 23, 27],
    [15, 19, 22, 25],
    [14, 18, 21, 24],
    [14, 17, 20, 23],
    [13, 16, 19, 22],
    [12, 15, 18, 21],
    [12, 14, 17, 20],
    [11, 14, 16, 19],
    [11, 13, 15, 18],
    [10, 12, 15, 17],
    [10, 12, 14, 16],
    [9, 11, 13, 15],
    [9, 11, 12, 14],
    [8, 10, 12, 14],
    [8, 9, 11, 13],
    [7, 9, 11, 12],
    [7, 9, 10, 12],
    [7, 8, 10, 11],
    [6, 8, 9, 11],
    [6, 7, 9, 10],
    [6, 7, 8, 9],
];

/// The coder (H.264, 9.3.4.2). As long as the more probable symbol comes, `low` stays 0.
struct Coder {
    low: u32,
    range: u32,
    outstanding: u32,
    is_first: bool,
    out: Writer,
}

/// `count` macroblocks, all skipped, and the end of their slice.
pub(super) fn skipped(count: u32) -> Vec<u8> {
    let mut coder = Coder { low: 0, range: 510, outstanding: 0, is_first: true, out: Writer::default() };
    let mut state = 0;
    for left in (0..count).rev() {
        let ranges = RANGES.get(state).unwrap_or(&[6, 7, 8, 9]);
        let quarter = (coder.range >> 6 & 3) as usize;
        coder.range -= u32::from(ranges.get(quarter).copied().unwrap_or_default());
        coder.renormalise();
        state = (state + 1).min(RANGES.len() - 1);
        // Whether the slice ends here.
        coder.range -= 2;
        if left > 0 {
            coder.renormalise();
        }
    }
    coder.flush();
    coder.out.bytes().to_vec()
}

impl Coder {
    fn renormalise(&mut self) {
        while self.range < 256 {
            match self.low {
                0..256 => self.put(0),
                512.. => {
                    self.low -= 512;
                    self.put(1);
                }
                256..512 => {
                    self.low -= 256;
                    self.outstanding += 1;
                }
            }
            (self.range, self.low) = (self.range << 1, self.low << 1);
        }
    }

    fn put(&mut self, bit: u32) {
        if !std::mem::take(&mut self.is_first) {
            self.out.bit(bit);
        }
        (0..std::mem::take(&mut self.outstanding)).for_each(|_| self.out.bit(1 - bit));
    }

    /// The end of the slice is the less probable symbol; the last bit is the stop bit.
    fn flush(&mut self) {
        self.low += self.range;
        self.range = 2;
        self.renormalise();
        self.put(self.low >> 9 & 1);
        self.out.bits(self.low >> 7 & 3 | 1, 2);
        self.out.align(0);
    }
}

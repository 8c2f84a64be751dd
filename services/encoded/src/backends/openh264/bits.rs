//! Bits of H.264: fields, Exp-Golomb codes, and the bytes that keep start codes out of a NAL unit.

/// Reads bits, the highest of each byte first.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    /// A number of `count` bits, at most 32.
    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | self.bit()?))
    }

    /// ue(v).
    pub(super) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// se(v): 0, 1, −1, 2, …
    pub(super) fn signed(&mut self) -> Option<i32> {
        let code = self.unsigned()?;
        let size = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { size } else { -size })
    }
}

/// Writes bits, the highest of each byte first.
#[derive(Debug, Clone, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Bits of the last byte that are still free.
    free: u32,
}

impl Writer {
    pub(super) fn bit(&mut self, bit: u32) {
        if self.free == 0 {
            self.bytes.push(0);
            self.free = 8;
        }
        self.free -= 1;
        if let Some(last) = self.bytes.last_mut() {
            *last |= ((bit & 1) << self.free) as u8;
        }
    }

    pub(super) fn bits(&mut self, number: u32, count: u32) {
        (0..count).rev().for_each(|place| self.bit(number >> place));
    }

    /// ue(v).
    pub(super) fn unsigned(&mut self, number: u32) {
        let code = u64::from(number) + 1;
        let length = code.ilog2();
        self.bits(0, length);
        self.bits(code as u32, length + 1);
    }

    /// se(v).
    pub(super) fn signed(&mut self, number: i32) {
        let size = number.unsigned_abs() * 2;
        self.unsigned(if number > 0 { size - 1 } else { size });
    }

    /// Fills the last byte.
    pub(super) fn align(&mut self, bit: u32) {
        while self.free > 0 {
            self.bit(bit);
        }
    }

    pub(super) fn clear(&mut self) {
        (self.free, _) = (0, self.bytes.clear());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Overwrites `count` bits from `at` on.
pub(super) fn patch(bytes: &mut [u8], at: usize, number: u32, count: u32) {
    for (bit, place) in (at..).zip((0..count).rev()) {
        if let Some(byte) = bytes.get_mut(bit / 8) {
            let mask = 0x80 >> (bit % 8);
            *byte = if number >> place & 1 == 1 { *byte | mask } else { *byte & !mask };
        }
    }
}

/// Adds what `raw` carries to `plain`: at least `least` bytes if there are so many, and up to one that is not zero, after which
/// nothing before it matters to what is escaped. How much of `raw` that was.
pub(super) fn unescape(raw: &[u8], least: usize, plain: &mut Vec<u8>) -> usize {
    let mut zeros = 0;
    for (&byte, place) in raw.iter().zip(1..) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        plain.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        if byte != 0 && plain.len() >= least {
            return place;
        }
    }
    raw.len()
}

/// Adds `plain` to `raw` so that no start code is in it.
pub(super) fn escape(plain: &[u8], raw: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in plain {
        if zeros >= 2 && byte <= 3 {
            raw.push(3);
            zeros = 0;
        }
        raw.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        let mut writer = Writer::default();
        [0, 1, 2, 7].into_iter().for_each(|number| writer.unsigned(number));
        [0, 1, -1, 25].into_iter().for_each(|number| writer.signed(number));
        // 1 010 011 0001000 1 010 011 00000110010
        assert_eq!(writer.bytes(), [0b1010_0110, 0b0010_0010, 0b1001_1000, 0b0011_0010]);
        let mut reader = Reader::new(writer.bytes());
        assert_eq!([(); 4].map(|()| reader.unsigned()), [0, 1, 2, 7].map(Some));
        assert_eq!([(); 4].map(|()| reader.signed()), [0, 1, -1, 25].map(Some));
        assert_eq!(reader.bit(), None);
    }

    proptest! {
        // Sabotage: stop at a zero, or count zeros on through an escape.
        #[test]
        fn what_is_changed_at_the_front_is_all_that_changes(
            plain in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => 0u8..5], 1..80), number: u16, at in 0usize..100,
        ) {
            let plain = [&plain[..], &[0x80]].concat();
            let mut raw = Vec::new();
            escape(&plain, &mut raw);
            prop_assert!(raw.windows(3).all(|three| three[..2] != [0, 0] || three[2] >= 3));
            let (mut head, mut changed, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            let read = unescape(&raw, 16, &mut head);
            prop_assert_eq!(&head[..], &plain[..head.len()]);
            let last = head.len() * 8 - 9;
            patch(&mut head, at.min(last), number.into(), 1);
            escape(&head, &mut changed);
            changed.extend_from_slice(&raw[read..]);
            escape(&[&head[..], &plain[head.len()..]].concat(), &mut expected);
            prop_assert_eq!(changed, expected);
        }
    }
}

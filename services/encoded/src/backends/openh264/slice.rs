//! The head of a slice as openh264 writes it, as far as it tells of numbers and references.

use super::bits::Reader;
use crate::backends::Kept;

/// Types of NAL units.
pub(super) const SLICE: u8 = 1;
const IDR_SLICE: u8 = 5;

/// Bytes in which all of a head that is read surely lies: three codes of at most 31 bits, 16 bits of `frame_num`, two codes of an
/// IDR, and at most eight short ones for references.
pub(super) const HEAD_LEN: usize = 24;

/// What a slice says of its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Where `frame_num` begins, in bits.
    pub at: usize,
    /// `frame_num`.
    pub number: u32,
    /// `idr_pic_id`, of an IDR.
    pub idr: Option<u32>,
    /// The picture that it makes a long-term reference, and of which index.
    pub marks: Option<(Kept, u32)>,
}

impl Head {
    /// Of a NAL unit whose first byte is `kind` and that goes on with `plain`, in which nothing is escaped; `number_bits` are
    /// those of `frame_num`. `None` if it is no slice, or none as openh264 writes them.
    pub(super) fn read(kind: u8, plain: &[u8], number_bits: u32) -> Option<Self> {
        let mut reader = Reader::new(plain);
        let [_first, _type, _set] = [reader.unsigned()?, reader.unsigned()?, reader.unsigned()?];
        let (at, number) = (reader.at(), reader.bits(number_bits)?);
        if kind & 31 == IDR_SLICE {
            let idr = Some(reader.unsigned()?);
            let [_no_output, is_long] = [reader.bit()?, reader.bit()?];
            return Some(Self { at, number, idr, marks: (is_long == 1).then_some((Kept::This, 0)) });
        }
        if kind & 31 != SLICE {
            return None;
        }
        read_order(&mut reader)?;
        let is_reference = kind >> 5 & 3 != 0;
        let marks = if is_reference { read_marking(&mut reader)? } else { None };
        Some(Self { at, number, idr: None, marks })
    }
}

/// Skips how many references a slice has, and their order.
fn read_order(reader: &mut Reader<'_>) -> Option<()> {
    if reader.bit()? == 1 {
        reader.unsigned()?;
    }
    if reader.bit()? == 1 {
        while reader.unsigned()? != 3 {
            reader.unsigned()?;
        }
    }
    Some(())
}

/// What dec_ref_pic_marking makes a long-term reference: operation 3 the picture before, 6 this one.
fn read_marking(reader: &mut Reader<'_>) -> Option<Option<(Kept, u32)>> {
    if reader.bit()? == 0 {
        return Some(None);
    }
    let mut marks = None;
    loop {
        match reader.unsigned()? {
            0 => return Some(marks),
            1 | 2 | 4 => drop(reader.unsigned()?),
            3 if reader.unsigned()? == 0 => marks = Some((Kept::Before, reader.unsigned()?)),
            6 => marks = Some((Kept::This, reader.unsigned()?)),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::Writer;
    use super::*;

    // Sabotage: take operation 3 for operation 6, or forget what operation 4 carries.
    #[test]
    fn what_is_marked_is_found_behind_the_order_of_references() {
        let with = |marking: &[u32]| {
            let mut writer = Writer::default();
            [0, 0, 0].into_iter().for_each(|number| writer.unsigned(number));
            writer.bits(5, 15);
            // As many references as usual, in an order that follows.
            writer.bits(0b01, 2);
            [0, 0, 3].into_iter().for_each(|number| writer.unsigned(number));
            writer.bit(u32::from(!marking.is_empty()));
            marking.iter().for_each(|number| writer.unsigned(*number));
            writer.align(1);
            Head::read(0x61, writer.bytes(), 15)
        };
        let marks = |marks| Some(Head { at: 3, number: 5, idr: None, marks });
        assert_eq!(with(&[]), marks(None));
        assert_eq!(with(&[4, 2, 1, 0, 6, 1, 0]), marks(Some((Kept::This, 1))));
        assert_eq!(with(&[3, 0, 1, 0]), marks(Some((Kept::Before, 1))));
        assert_eq!(with(&[3, 1, 1, 0]), None, "of an earlier picture nobody keeps account");
        assert_eq!(Head::read(0x67, &[0xff; 8], 15), None, "a set is no slice");
    }
}

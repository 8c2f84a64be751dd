//! Pictures that show what the one before showed, made without an encoder: a slice of skipped macroblocks.
//!
//! ```text
//! 0x41 ‖ first ue 0 ‖ P ue 0 ‖ set ue ‖ frame_num u(n) ‖ 0 ‖ order ‖ 0 ‖ context ue 0 ‖ quantiser se ‖ [no deblocking ue 1] ‖ 1… ‖ CABAC
//! order = 0, or after a long-term reference 1 ‖ ue 2 ‖ its index ue ‖ ue 3
//! ```
//! Each is a reference, because type 2 of the picture order (which openh264 uses) allows no two others in a row. openh264
//! knows nothing of them: the pictures that it makes after them get numbers that are higher by as many, until its next IDR.
//! What they refer to shows the same, so a decoder has the very pictures that the encoder has. openh264 names references by their
//! distance only where that is one, or by their long-term index: stills between make neither wrong.

use super::{
    bits::{Reader, Writer, escape, patch, unescape},
    cabac,
    slice::{HEAD_LEN, Head},
};
use crate::backends::Kept;

/// What parameter sets say of slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sets {
    /// Bits of `frame_num`.
    number_bits: u32,
    /// Of a picture.
    macroblocks: u32,
    /// Number of the picture's set.
    set: u32,
    /// What makes the quantiser the coarsest, at which skipping costs least.
    quantiser: i32,
    /// Slices say whether they are deblocked.
    says_deblocking: bool,
}

/// A picture of the encoder whose slices are not what its parameter sets say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign;

/// Still pictures of one encoder.
#[derive(Debug, Default)]
pub(super) struct Stills {
    /// `None` before the first IDR, and where the sets are not of a kind that is known: then there are no still pictures.
    sets: Option<Sets>,
    /// All of a slice after its head.
    skipped: Vec<u8>,
    /// `frame_num` of the newest picture.
    newest: u32,
    /// Still pictures since the newest IDR.
    added: u32,
    /// `idr_pic_id` of the newest IDR.
    idr: u32,
    /// openh264 has predicted a picture since.
    is_predicted: bool,
    /// Index of the newest picture among the long-term references, if it is one: those come last in a decoder's order.
    long: Option<u32>,
    /// Which picture openh264's newest one makes a long-term reference, and the `frame_num` that openh264 knows it by.
    kept: Option<(Kept, u32)>,
    plain: Vec<u8>,
    head: Writer,
    /// The NAL units that were handed out last.
    raw: Vec<u8>,
}

impl Stills {
    /// Another picture of the same. `None` where there is none that could be shown again.
    pub(super) fn again(&mut self) -> Option<&[u8]> {
        let sets = self.sets?;
        self.added += 1;
        self.newest = sets.numbered(self.newest + 1);
        let head = &mut self.head;
        head.clear();
        head.unsigned(0);
        head.unsigned(0);
        head.unsigned(sets.set);
        head.bits(self.newest, sets.number_bits);
        // As many references as the set says, the newest first, which stay references.
        head.bit(0);
        match self.long.take() {
            None => head.bit(0),
            Some(index) => {
                head.bit(1);
                [2, index, 3].into_iter().for_each(|code| head.unsigned(code));
            }
        }
        head.bit(0);
        head.unsigned(0);
        head.signed(sets.quantiser);
        if sets.says_deblocking {
            head.unsigned(1);
        }
        head.align(1);
        self.plain.clear();
        self.plain.extend_from_slice(head.bytes());
        self.plain.extend_from_slice(&self.skipped);
        self.raw.clear();
        self.raw.extend_from_slice(&[0, 0, 0, 1, 0x41]);
        escape(&self.plain, &mut self.raw);
        Some(&self.raw)
    }

    /// Takes in a picture of the encoder, in Annex B. Whether something else is to be sent for it: [`Stills::renumbered`].
    ///
    /// # Errors
    /// [`Foreign`]: no decoder could go on with it; an IDR is needed.
    pub(super) fn pass(&mut self, chunks: &[&[u8]], idr: bool) -> Result<bool, Foreign> {
        self.kept = None;
        if idr {
            self.begin(chunks);
            return Ok(false);
        }
        let Some(sets) = self.sets else {
            return Ok(false);
        };
        self.is_predicted = true;
        self.raw.clear();
        if self.added == 0 {
            // Only its number and its references are asked: its other slices are not even looked for.
            let first = chunks.first().and_then(|chunk| chunk.get(start(chunk)?.1..)).ok_or(Foreign)?;
            let (_, head) = self.unfold(first, &sets).ok_or(Foreign)?;
            self.newest = head.number;
            self.keep(&head, &sets);
            return Ok(false);
        }
        for nal in chunks.iter().flat_map(|chunk| nals(chunk)) {
            let head = self.renumber(nal, &sets).ok_or(Foreign)?;
            self.newest = sets.numbered(head.number + self.added);
            self.keep(&head, &sets);
        }
        Ok(true)
    }

    /// The picture that was taken in last, with numbers that are higher by the still pictures before it.
    pub(super) fn renumbered(&self) -> &[u8] {
        &self.raw
    }

    /// Which picture openh264's newest one makes a long-term reference, and the `frame_num` that openh264 knows it by.
    pub(super) fn kept(&self) -> Option<(Kept, u32)> {
        self.kept
    }

    /// `idr_pic_id` of the newest IDR.
    pub(super) fn idr(&self) -> u32 {
        self.idr
    }

    /// Whether openh264 has predicted a picture since its newest IDR.
    pub(super) fn is_predicted(&self) -> bool {
        self.is_predicted
    }

    /// An IDR: numbers begin anew, maybe with other sets.
    fn begin(&mut self, chunks: &[&[u8]]) {
        (self.newest, self.added, self.is_predicted, self.long) = (0, 0, false, None);
        let sets = Sets::read(chunks.iter().flat_map(|chunk| nals(chunk)));
        if self.sets.map(|sets| sets.macroblocks) != sets.map(|sets| sets.macroblocks) {
            self.skipped = sets.map(|sets| cabac::skipped(sets.macroblocks)).unwrap_or_default();
        }
        self.sets = sets;
        let Some(sets) = sets else { return };
        let heads = chunks.iter().flat_map(|chunk| nals(chunk)).filter_map(|nal| self.unfold(nal, &sets));
        let idr = heads.map(|(_, head)| head).find(|head| head.idr.is_some());
        if let Some(head) = idr {
            self.idr = head.idr.unwrap_or_default();
            self.keep(&head, &sets);
        }
    }

    /// Takes in what a slice says of long-term references.
    fn keep(&mut self, head: &Head, sets: &Sets) {
        self.long = head.marks.and_then(|(kept, index)| (kept == Kept::This).then_some(index));
        self.kept = head.marks.map(|(kept, _)| match kept {
            Kept::This => (kept, head.number),
            Kept::Before => (kept, sets.numbered(head.number.wrapping_sub(1))),
        });
    }

    /// Adds a slice to `raw` with a `frame_num` that is higher by the still pictures so far. The answer is its head as it was.
    fn renumber(&mut self, nal: &[u8], sets: &Sets) -> Option<Head> {
        let (read, head) = self.unfold(nal, sets)?;
        patch(&mut self.plain, head.at, sets.numbered(head.number + self.added), sets.number_bits);
        self.raw.extend_from_slice(&[0, 0, 0, 1, *nal.first()?]);
        escape(&self.plain, &mut self.raw);
        self.raw.extend_from_slice(nal.get(1 + read..)?);
        Some(head)
    }

    /// Puts the head of a slice into `plain`, as it is without escapes, and reads it. The first number are the bytes after the NAL
    /// unit's first that it took.
    fn unfold(&mut self, nal: &[u8], sets: &Sets) -> Option<(usize, Head)> {
        let (kind, body) = nal.split_first()?;
        self.plain.clear();
        let read = unescape(body, HEAD_LEN, &mut self.plain);
        Some((read, Head::read(*kind, &self.plain, sets.number_bits)?))
    }
}

/// Types of NAL units.
const SEQUENCE_SET: u8 = 7;
const PICTURE_SET: u8 = 8;

/// More than sets have that are read.
const SET_LEN: usize = 256;

/// The profiles whose sets say what chroma and depth are.
const HIGH_PROFILES: [u32; 4] = [100, 110, 122, 244];

impl Sets {
    /// Of the NAL units of an IDR; `None` if they are not as openh264 writes them.
    fn read<'a>(nals: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let (mut sequence, mut picture) = (None, None);
        for nal in nals {
            let mut plain = Vec::new();
            let (kind, body) = nal.split_first()?;
            match kind & 31 {
                SEQUENCE_SET => {
                    unescape(body, SET_LEN, &mut plain);
                    sequence = read_sequence(Reader::new(&plain));
                }
                PICTURE_SET => {
                    unescape(body, SET_LEN, &mut plain);
                    picture = read_picture(Reader::new(&plain));
                }
                _ => {}
            }
        }
        let ((number_bits, macroblocks), (set, quantiser, says_deblocking)) = sequence.zip(picture)?;
        Some(Self { number_bits, macroblocks, set, quantiser, says_deblocking })
    }

    fn numbered(&self, number: u32) -> u32 {
        number & ((1 << self.number_bits) - 1)
    }
}

/// Bits of `frame_num`, and macroblocks of a picture.
fn read_sequence(mut sps: Reader<'_>) -> Option<(u32, u32)> {
    let profile = sps.bits(8)?;
    sps.bits(16)?;
    sps.unsigned()?;
    if HIGH_PROFILES.contains(&profile) {
        // 4:2:0, 8 bits, no lossless mode, no scaling lists.
        let [chroma, luma_depth, chroma_depth] = [sps.unsigned()?, sps.unsigned()?, sps.unsigned()?];
        let is_plain = (chroma, luma_depth, chroma_depth, sps.bits(2)?) == (1, 0, 0, 0);
        is_plain.then_some(())?;
    }
    let number_bits = sps.unsigned()?.checked_add(4).filter(|bits| *bits <= 16)?;
    // The order of pictures follows from their numbers.
    (sps.unsigned()? == 2).then_some(())?;
    let [_references, _gaps, width, height] = [sps.unsigned()?, sps.bit()?, sps.unsigned()?, sps.unsigned()?];
    let macroblocks = (width.min(1023) + 1) * (height.min(1023) + 1);
    (sps.bit()? == 1).then_some((number_bits, macroblocks))
}

/// The set's number, the difference from its quantiser to 51, and whether slices say something of deblocking.
fn read_picture(mut pps: Reader<'_>) -> Option<(u32, i32, bool)> {
    let (set, _sequence) = (pps.unsigned()?, pps.unsigned()?);
    let (is_cabac, says_order) = (pps.bit()? == 1, pps.bit()? == 1);
    let [groups, references, _backward] = [pps.unsigned()?, pps.unsigned()?, pps.unsigned()?];
    let is_weighted = pps.bits(3)? != 0;
    let quantiser = 25 - pps.signed()?;
    let [_switching, _chroma] = [pps.signed()?, pps.signed()?];
    let [says_deblocking, _constrained, is_redundant] = [pps.bit()?, pps.bit()?, pps.bit()?];
    let is_plain =
        is_cabac && !says_order && (groups, references) == (0, 0) && !is_weighted && is_redundant == 0;
    is_plain.then_some((set, quantiser, says_deblocking == 1))
}

/// The NAL units of Annex B, without their start codes.
fn nals(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = start(bytes);
    std::iter::from_fn(move || {
        let rest = bytes.get(begin?.1..)?;
        let next = start(rest);
        let nal = next.map_or(Some(rest), |(end, _)| rest.get(..end))?;
        (bytes, begin) = (rest, next);
        Some(nal)
    })
}

/// Where the next start code begins, with its zeroes, and where it ends.
fn start(bytes: &[u8]) -> Option<(usize, usize)> {
    let at = bytes.windows(3).position(|three| three == [0, 0, 1])?;
    let zero = usize::from(at > 0 && bytes.get(at - 1) == Some(&0));
    Some((at - zero, at + 3))
}

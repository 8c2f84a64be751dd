//! What lies beside a picture in PipeWire's shared memory: header, changed areas, cursor. The other side may write
//! there at any time, so nothing in it is believed: each function takes the bytes as they are and never panics.

use super::gate::Ticket;
use crate::backends::Spot;
use lumen_ipc::{Damage, Rect, pointer::PointerBitmap};
use pipewire::spa::sys;

/// `struct spa_meta_cursor` in bytes, and the least offset at which its bitmap may begin.
const CURSOR_BYTES: usize = 28;
/// `struct spa_meta_bitmap` in bytes, and the least offset at which its pixels may begin.
const BITMAP_BYTES: usize = 20;
/// `struct spa_meta_region` in bytes.
pub(super) const REGION_BYTES: usize = 16;
/// `struct spa_meta_header` in bytes.
pub(super) const HEADER_BYTES: usize = 32;

/// `SPA_META_SyncTimeline` of spa/buffer/meta.h, since PipeWire 1.2: the headers of 0.3.65, which we are built with, end before it.
pub(super) const SYNC_TIMELINE: u32 = 9;
/// `struct spa_meta_sync_timeline` in bytes: flags, padding, the acquire point, the release point.
pub(super) const SYNC_TIMELINE_BYTES: usize = 24;
/// `SPA_META_SYNC_TIMELINE_UNSCHEDULED_RELEASE`, since PipeWire 1.6.
pub(super) const UNSCHEDULED_RELEASE: u32 = 1;

/// Room for a cursor with a bitmap of this side.
pub(super) const fn cursor_room(side: usize) -> usize {
    CURSOR_BYTES + BITMAP_BYTES + side * side * 4
}

/// Whether the header says that the picture is none: `spa_meta_header.flags`.
pub(super) fn corrupted(header: &[u8]) -> bool {
    unsigned(header, 0).is_some_and(|flags| flags & sys::SPA_META_HEADER_FLAG_CORRUPTED != 0)
}

/// When the producer says that the picture was shown, CLOCK_MONOTONIC ns; `None` where it does not know
/// (gamescope says −1).
pub(super) fn shown_ns(header: &[u8]) -> Option<u64> {
    let pts = i64::from_ne_bytes(header.get(8..16)?.try_into().ok()?);
    u64::try_from(pts).ok().filter(|&pts| pts > 0)
}

/// The points of a buffer's timelines; `None` where it has none.
pub(super) fn ticket(bytes: &[u8]) -> Option<Ticket> {
    let point = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some(Ticket { acquire: point(8)?, release: point(16)? })
}

/// Where the picture lies in the coordinates that its producer tells changes in.
///
/// Mutter 48 tells them in the coordinates of its whole desktop, Mutter 51 in the picture's. Whenever it lays out its
/// monitors anew the whole picture has changed, so an area that is as large as the picture tells where the picture is.
/// Only the first of a list does: Mutter 48 leaves older areas behind those it writes. The buffer that says so may never
/// have come, when Mutter had none free: then the next areas lie outside, among older ones that do not.
#[derive(Debug, Default)]
pub(super) struct Origin {
    x: i32,
    y: i32,
    /// The picture was moved, nobody knows where to.
    lost: bool,
}

/// The changed areas within a picture of this size; `None` where the producer names none, which means that it does
/// not know. The list ends with its first empty area.
pub(super) fn damage(origin: &mut Origin, regions: &[u8], width: u32, height: u32) -> Option<Damage> {
    let mut damage = Damage::default();
    for (index, region) in regions.as_chunks::<REGION_BYTES>().0.iter().enumerate() {
        let [x, y] = [signed(region, 0)?, signed(region, 4)?];
        let [w, h] = [unsigned(region, 8)?, unsigned(region, 12)?];
        if w == 0 || h == 0 {
            break;
        }
        if index == 0 && (w, h) == (width, height) {
            *origin = Origin { x, y, lost: false };
        }
        let (x, y) = (x.saturating_sub(origin.x), y.saturating_sub(origin.y));
        match clip((x, w), (y, h), width, height) {
            Some(rect) => damage.add(rect),
            None => origin.lost |= index == 0,
        }
    }
    (!damage.is_empty() && !origin.lost).then_some(damage)
}

fn clip((x, w): (i32, u32), (y, h): (i32, u32), width: u32, height: u32) -> Option<Rect> {
    let span = |from: i32, length: u32, limit: u32| {
        let end = (i64::from(from) + i64::from(length)).clamp(0, i64::from(limit)) as u32;
        let start = i64::from(from).clamp(0, i64::from(limit)) as u32;
        (end > start).then(|| (start, end - start))
    };
    let ((x, width), (y, height)) = (span(x, w, width)?, span(y, h, height)?);
    Some(Rect { x, y, width, height })
}

/// What a cursor's metadata says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor<'a> {
    /// Where its hotspot is; `None`: not on this stream.
    pub spot: Option<Spot>,
    /// What it looks like.
    pub look: Look<'a>,
}

/// What a cursor looks like.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look<'a> {
    /// As before.
    Same,
    /// Like nothing.
    Invisible,
    /// Like something that cannot be read: too large, or of an unknown format.
    Unreadable,
    /// Like this.
    New(Pixels<'a>),
}

/// Pixels of a cursor as the producer wrote them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pixels<'a> {
    /// Pixels; 1 to [`PointerBitmap::MAX_SIDE`].
    pub width: u32,
    /// Pixels; 1 to [`PointerBitmap::MAX_SIDE`].
    pub height: u32,
    /// Of the point that points, from the bitmap's corner.
    pub hotspot: Spot,
    /// Whether red comes first, else blue.
    red_first: bool,
    stride: usize,
    rows: &'a [u8],
}

impl Pixels<'_> {
    /// Writes them without padding, blue first, into `target`, which is emptied before.
    pub fn write(&self, target: &mut Vec<u8>) {
        target.clear();
        for row in self.rows.chunks(self.stride) {
            for &[a, g, b, alpha] in row.as_chunks::<4>().0.iter().take(self.width as usize) {
                let [blue, red] = if self.red_first { [b, a] } else { [a, b] };
                target.extend([blue, g, red, alpha]);
            }
        }
    }
}

/// Reads a cursor; `None` if there is too little of it.
pub(super) fn cursor(bytes: &[u8]) -> Option<Cursor<'_>> {
    let id = unsigned(bytes, 0)?;
    let at = Spot { x: signed(bytes, 8)?, y: signed(bytes, 12)? };
    let hotspot = Spot { x: signed(bytes, 16)?, y: signed(bytes, 20)? };
    let bitmap = unsigned(bytes, 24)? as usize;
    if id == 0 {
        return Some(Cursor { spot: None, look: Look::Same });
    }
    let look = match bitmap >= CURSOR_BYTES {
        true => bytes.get(bitmap..).and_then(|bytes| look(bytes, hotspot)).unwrap_or(Look::Unreadable),
        false => Look::Same,
    };
    Some(Cursor { spot: Some(at), look })
}

fn look(bytes: &[u8], hotspot: Spot) -> Option<Look<'_>> {
    let [format, width, height, stride, offset] = [
        unsigned(bytes, 0)?,
        unsigned(bytes, 4)?,
        unsigned(bytes, 8)?,
        unsigned(bytes, 12)?,
        unsigned(bytes, 16)?,
    ];
    if format == sys::SPA_VIDEO_FORMAT_UNKNOWN {
        return Some(Look::Same);
    }
    if (offset as usize) < BITMAP_BYTES || width == 0 || height == 0 {
        return Some(Look::Invisible);
    }
    let red_first = match format {
        sys::SPA_VIDEO_FORMAT_RGBA => true,
        sys::SPA_VIDEO_FORMAT_BGRA => false,
        _ => return None,
    };
    let (row, stride) = (width as usize * 4, stride as usize);
    if width.max(height) > PointerBitmap::MAX_SIDE || stride < row {
        return None;
    }
    let length = stride.checked_mul(height as usize - 1)?.checked_add(row)?;
    let rows = bytes.get(offset as usize..)?.get(..length)?;
    Some(Look::New(Pixels { width, height, hotspot, red_first, stride, rows }))
}

fn unsigned(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn signed(bytes: &[u8], at: usize) -> Option<i32> {
    unsigned(bytes, at).map(u32::cast_signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    const RGBA: u32 = sys::SPA_VIDEO_FORMAT_RGBA;

    /// A cursor at (5, −6) with hotspot (1, 2) whose bitmap of 2×2 pixels has rows of 12 bytes.
    fn two_by_two(format: u32) -> Vec<u8> {
        let mut bytes = words(&[1, 0, 5, -6i32 as u32, 1, 2, 28, format, 2, 2, 12, 20]);
        bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 99, 99, 99, 99, 9, 10, 11, 12, 13, 14, 15, 16]);
        bytes
    }

    // Sabotage: take the format for blue first always, or forget the stride.
    #[test]
    fn cursor_bitmap_is_read_blue_first_and_without_padding() {
        for (format, first) in [(RGBA, [3, 2, 1, 4]), (sys::SPA_VIDEO_FORMAT_BGRA, [1, 2, 3, 4])] {
            let bytes = two_by_two(format);
            let cursor = cursor(&bytes).unwrap();
            assert_eq!(cursor.spot, Some(Spot { x: 5, y: -6 }));
            let Look::New(pixels) = cursor.look else { panic!("{cursor:?}") };
            let mut written = vec![0; 7];
            pixels.write(&mut written);
            assert_eq!((pixels.hotspot, written.len()), (Spot { x: 1, y: 2 }, 16));
            assert_eq!((&written[..4], written[11], written[15]), (&first[..], 12, 16));
        }
    }

    // Sabotage: mistake a point for the other, or read what is not there.
    #[test]
    fn points_are_read_where_the_header_says() {
        let bytes: Vec<u8> = [1, 7, 8].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
        assert_eq!(ticket(&bytes), Some(Ticket { acquire: 7, release: 8 }));
        assert_eq!((bytes.len(), ticket(&bytes[..23]), ticket(&[])), (SYNC_TIMELINE_BYTES, None, None));
    }

    // Sabotage: take id 0 for "as before", or an offset of 0 for pixels.
    #[test]
    fn cursors_may_be_elsewhere_unchanged_invisible_or_unreadable() {
        let look = |format, offset| {
            let mut bytes = two_by_two(format);
            bytes[44] = offset;
            format!("{:?}", cursor(&bytes).unwrap().look)
        };
        assert_eq!(look(0, 20), "Same");
        assert_eq!(look(RGBA, 0), "Invisible");
        assert_eq!(look(RGBA, 21), "Unreadable");
        assert_eq!(look(sys::SPA_VIDEO_FORMAT_NV12, 20), "Unreadable");
        let mut bytes = two_by_two(RGBA);
        bytes[24] = 0;
        assert_eq!(cursor(&bytes).unwrap().look, Look::Same);
        bytes[0] = 0;
        assert_eq!(cursor(&bytes).unwrap().spot, None);
    }

    // Sabotage: read beyond the first empty area, or take a negative edge for a large one.
    #[test]
    fn changed_areas_end_with_the_first_empty_one_and_stay_inside() {
        let minus = -4i32 as u32;
        let regions = words(&[minus, minus, 10, 10, 60, 0, 10, 5, 0, 0, 0, 0, 1, 1, 1, 1]);
        let damage = damage(&mut Origin::default(), &regions, 64, 64).unwrap();
        let expected = [Rect { x: 0, y: 0, width: 6, height: 6 }, Rect { x: 60, y: 0, width: 4, height: 5 }];
        assert_eq!(damage.rects(), expected);
        assert_eq!(super::damage(&mut Origin::default(), &words(&[0, 0, 0, 0]), 64, 64), None);
    }

    // Sabotage: take areas as they are said. (Seen with Mutter 48: a second monitor's picture stood still.)
    #[test]
    fn areas_in_the_desktops_coordinates_are_those_of_the_picture() {
        let mut origin = Origin::default();
        let mut say =
            |regions: &[u32]| damage(&mut origin, &words(regions), 64, 48).map(|said| said.rects().to_vec());
        let rect = |x, y, width, height| Some(vec![Rect { x, y, width, height }]);
        assert_eq!(say(&[3, 4, 5, 6]), rect(3, 4, 5, 6));
        assert_eq!(say(&[80, 0, 64, 48]), rect(0, 0, 64, 48), "it was moved to 80,0");
        assert_eq!(say(&[83, 4, 5, 6]), rect(3, 4, 5, 6));
        assert_eq!(say(&[83, 4, 5, 6, 0, 0, 64, 48]), rect(3, 4, 5, 6), "a leftover moves nothing");
        assert_eq!(say(&[84, 4, 5, 6]), rect(4, 4, 5, 6));
    }

    // Sabotage: believe the leftovers that lie inside. (Seen with Mutter 48: now and then the picture stood still after
    // another monitor had come.)
    #[test]
    fn picture_that_was_moved_unseen_has_changed_all_over_until_its_place_is_told() {
        let mut origin = Origin::default();
        let mut say =
            |regions: &[u32]| damage(&mut origin, &words(regions), 64, 48).map(|said| said.rects().to_vec());
        assert!(say(&[3, 4, 5, 6]).is_some());
        assert_eq!(say(&[83, 4, 5, 6, 3, 4, 5, 6]), None, "it lies elsewhere, and who knows where");
        assert_eq!(say(&[3, 4, 5, 6]), None, "that may be anywhere now");
        assert!(say(&[80, 0, 64, 48]).is_some());
        let place = Rect { x: 3, y: 4, width: 5, height: 6 };
        assert_eq!(say(&[83, 4, 5, 6, 3, 4, 5, 6]), Some(vec![place]), "a leftover outside loses nothing");
    }

    #[test]
    fn header_tells_corruption_and_a_time_only_where_there_is_one() {
        let header = |flags: u32, pts: i64| {
            let mut bytes = words(&[flags, 0]);
            bytes.extend(pts.to_ne_bytes());
            bytes
        };
        assert!(corrupted(&header(2, 0)) && !corrupted(&header(1, 0)));
        assert_eq!(shown_ns(&header(0, 7)), Some(7));
        assert_eq!((shown_ns(&header(0, -1)), shown_ns(&[])), (None, None));
    }

    proptest! {
        // Sabotage: index instead of `get`.
        #[test]
        fn hostile_bytes_are_harmless(bytes in prop::collection::vec(prop_oneof![0u8..40, any::<u8>()], 0..200)) {
            let _ = (corrupted(&bytes), shown_ns(&bytes));
            if let Some(damage) = damage(&mut Origin::default(), &bytes, 64, 48) {
                for rect in damage.rects() {
                    prop_assert!(rect.x + rect.width <= 64 && rect.y + rect.height <= 48);
                }
            }
            if let Some(Cursor { look: Look::New(pixels), .. }) = cursor(&bytes) {
                let mut written = Vec::new();
                pixels.write(&mut written);
                prop_assert_eq!(written.len() as u32, pixels.width * pixels.height * 4);
            }
        }
    }
}

//! What the pointer looks like, and how it gets onto a finished picture and off it again.

use std::{ops::Range, os::fd::OwnedFd, sync::Arc};

use arrayvec::ArrayVec;
use lumen_ipc::{
    pointer::{Pointer, PointerBitmap},
    pool::PixelFormat,
};

use crate::{backends::kernel::Weights, picture::Picture};

/// Bitmaps kept, because captured names the newest one or, just before a message of ours reached it, the one before.
pub const MAX_BITMAPS: usize = 8;

/// Luma of black, and chroma of grey.
const BLACK: i32 = 16;
const GREY: i32 = 128;

/// Why a bitmap cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum SpriteError {
    /// A side is 0 or too large.
    #[error("a pointer of {width}×{height} pixels is impossible")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Its memory could not be read.
    #[error("the pointer's pixels could not be read: {0}")]
    Memory(#[from] rustix::io::Errno),
}

/// One look of the pointer.
#[derive(Debug)]
pub struct Sprite {
    bitmap: PointerBitmap,
    /// Blue, green, red, alpha; colours premultiplied.
    pixels: Vec<[u8; 4]>,
    /// The memory that the pixels came in, to be handed on.
    memory: OwnedFd,
}

impl Sprite {
    /// Reads the pixels, which stay as they are now whatever their writer does.
    ///
    /// # Errors
    /// An impossible size, or memory that cannot be read.
    pub fn new(bitmap: PointerBitmap, memory: OwnedFd) -> Result<Self, SpriteError> {
        let PointerBitmap { width, height, .. } = bitmap;
        let bytes = bitmap.bytes().ok_or(SpriteError::Size { width, height })?;
        let mut pixels = vec![[0; 4]; bytes as usize / 4];
        let mut at = 0;
        while let Some(room) = pixels.as_flattened_mut().get_mut(at..).filter(|room| !room.is_empty()) {
            match rustix::io::pread(&memory, room, at as u64)? {
                0 => return Err(rustix::io::Errno::NODATA.into()),
                read => at += read,
            }
        }
        Ok(Self { bitmap, pixels, memory })
    }

    /// What it was announced as.
    pub fn bitmap(&self) -> &PointerBitmap {
        &self.bitmap
    }

    /// The memory that its pixels came in.
    pub fn memory(&self) -> &OwnedFd {
        &self.memory
    }

    fn pixel(&self, x: usize, y: usize) -> Option<[u8; 4]> {
        let width = self.bitmap.width as usize;
        (x < width).then(|| self.pixels.get(y * width + x).copied())?
    }
}

/// The looks that captured named on this link.
#[derive(Debug, Default)]
pub struct Sprites(ArrayVec<Arc<Sprite>, MAX_BITMAPS>);

impl Sprites {
    /// Adds one; the oldest goes when there are too many.
    pub fn add(&mut self, sprite: Sprite) {
        self.0.retain(|known| known.bitmap.id != sprite.bitmap.id);
        if self.0.is_full() {
            self.0.remove(0);
        }
        self.0.push(Arc::new(sprite));
    }

    /// The one that was announced with this id.
    pub fn get(&self, id: u32) -> Option<&Arc<Sprite>> {
        self.0.iter().find(|sprite| sprite.bitmap.id == id)
    }

    /// The pointer, ready to be drawn; `None` if its look is not known.
    pub fn placed(&self, pointer: Pointer) -> Option<Placed> {
        Some(Placed::new(pointer.x, pointer.y, self.get(pointer.bitmap)?.clone()))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// A pointer with its look.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Of the hotspot, in pixels of the picture.
    x: i32,
    y: i32,
    sprite: Arc<Sprite>,
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        (self.x, self.y) == (other.x, other.y) && Arc::ptr_eq(&self.sprite, &other.sprite)
    }
}

/// Where a pointer lies on a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// From an even column to an even column.
    pub columns: Range<usize>,
    /// From an even row to an even row.
    pub rows: Range<usize>,
    /// Column and row of the bitmap's upper left pixel; may be negative.
    origin: (i64, i64),
}

impl Placed {
    /// Its hotspot lies at `x` and `y` of the picture.
    pub fn new(x: i32, y: i32, sprite: Arc<Sprite>) -> Self {
        Self { x, y, sprite }
    }

    /// The part of `picture` that it covers; `None` if it is outside.
    pub fn area(&self, picture: &Picture) -> Option<Area> {
        let PointerBitmap { width, height, hotspot_x, hotspot_y, .. } = self.sprite.bitmap;
        let origin = (i64::from(self.x) - i64::from(hotspot_x), i64::from(self.y) - i64::from(hotspot_y));
        let columns = covered(origin.0, width, picture.width())?;
        let rows = covered(origin.1, height, picture.height())?;
        Some(Area { columns, rows, origin })
    }

    fn pixel(&self, area: &Area, x: usize, y: usize) -> [u8; 4] {
        let (x, y) = (x as i64 - area.origin.0, y as i64 - area.origin.1);
        let at = usize::try_from(x).ok().zip(usize::try_from(y).ok());
        at.and_then(|(x, y)| self.sprite.pixel(x, y)).unwrap_or_default()
    }
}

/// What of `start` and the `len` after it lies in `0..limit`, widened to even numbers, as is `limit`.
fn covered(start: i64, len: u32, limit: usize) -> Option<Range<usize>> {
    let end = (start + i64::from(len)).clamp(0, limit as i64) as usize;
    let start = start.clamp(0, limit as i64) as usize;
    (start < end).then(|| start & !1..end.next_multiple_of(2))
}

/// What a picture has beneath the pointer, so that it can be put back.
#[derive(Debug, Default)]
pub struct Beneath {
    area: Option<Area>,
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

impl Beneath {
    /// Draws `pointer` on `picture`, and keeps what was there. Returns the sum of absolute luma differences.
    ///
    /// BT.709 is linear, so that premultiplied colours are blended after their conversion as well as before.
    pub fn draw(&mut self, picture: &mut Picture, pointer: &Placed) -> u64 {
        let Some(area) = pointer.area(picture) else {
            return 0;
        };
        let stride = picture.stride();
        let (luma, blue, red) = picture.planes_mut();
        let (rows, columns) = (&area.rows, &area.columns);
        keep(luma, &mut self.luma, stride, rows, columns);
        let half = (halved(rows), halved(columns));
        keep(blue, &mut self.blue, stride / 2, &half.0, &half.1);
        keep(red, &mut self.red, stride / 2, &half.0, &half.1);
        let (weights, mut difference) = (Weights::of(PixelFormat::Bgrx), 0);
        for (y, x) in rows.clone().flat_map(|y| columns.clone().map(move |x| (y, x))) {
            if let Some(place) = luma.get_mut(y * stride + x) {
                let pixel = pointer.pixel(&area, x, y).map(i32::from);
                let blended = blended(pixel, 1, (weights.luma, BLACK), *place);
                difference += u64::from(blended.abs_diff(*place));
                *place = blended;
            }
        }
        for (y, x) in half.0.clone().flat_map(|y| half.1.clone().map(move |x| (y, x))) {
            let four = sum_of_four(pointer, &area, x * 2, y * 2);
            for (plane, weights) in [(&mut *blue, weights.blue), (&mut *red, weights.red)] {
                if let Some(place) = plane.get_mut(y * (stride / 2) + x) {
                    *place = blended(four, 4, (weights, GREY), *place);
                }
            }
        }
        self.area = Some(area);
        difference
    }

    /// Puts back what was there before [`Beneath::draw`].
    pub fn lift(&mut self, picture: &mut Picture) {
        let Some(Area { rows, columns, .. }) = self.area.take() else {
            return;
        };
        let stride = picture.stride();
        let (luma, blue, red) = picture.planes_mut();
        put_back(luma, &self.luma, stride, &rows, &columns);
        let (rows, columns) = (halved(&rows), halved(&columns));
        put_back(blue, &self.blue, stride / 2, &rows, &columns);
        put_back(red, &self.red, stride / 2, &rows, &columns);
    }
}

fn halved(range: &Range<usize>) -> Range<usize> {
    range.start / 2..range.end / 2
}

fn sum_of_four(pointer: &Placed, area: &Area, x: usize, y: usize) -> [i32; 4] {
    let mut sum = [0; 4];
    for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
        let pixel = pointer.pixel(area, x, y);
        sum.iter_mut().zip(pixel).for_each(|(sum, byte)| *sum += i32::from(byte));
    }
    sum
}

fn keep(plane: &[u8], to: &mut Vec<u8>, stride: usize, rows: &Range<usize>, columns: &Range<usize>) {
    to.clear();
    for row in rows.clone().map(|y| y * stride) {
        to.extend_from_slice(plane.get(row + columns.start..row + columns.end).unwrap_or_default());
    }
}

fn put_back(plane: &mut [u8], from: &[u8], stride: usize, rows: &Range<usize>, columns: &Range<usize>) {
    for (y, from) in rows.clone().zip(from.chunks_exact(columns.len())) {
        if let Some(to) = plane.get_mut(y * stride + columns.start..y * stride + columns.end) {
            to.copy_from_slice(from);
        }
    }
}

/// What `under` becomes beneath the mean of `count` pixels, of which `sum` is the sum; `zero` is the value of no colour.
fn blended(sum: [i32; 4], count: i32, (weights, zero): ([i8; 4], i32), under: u8) -> u8 {
    let [.., alpha] = sum;
    let own: i32 = sum.iter().zip(weights).map(|(byte, weight)| byte * i32::from(weight)).sum();
    let own = (own + 64 * count).div_euclid(128 * count);
    let opaque = 255 * count;
    let through = ((i32::from(under) - zero) * (opaque - alpha) + opaque / 2).div_euclid(opaque);
    // Colours that exceed their alpha would exceed a byte.
    (zero + own + through).clamp(0, 255) as u8
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One in one colour that points with its upper left corner.
    pub fn solid_sprite(width: u32, height: u32, pixel: [u8; 4]) -> Arc<Sprite> {
        sprite(width, height, (0, 0), pixel)
    }

    fn sprite(width: u32, height: u32, hotspot: (i32, i32), pixel: [u8; 4]) -> Arc<Sprite> {
        let memory = lumen_stage::memory::sealed("test", u64::from(width * height * 4)).unwrap();
        rustix::io::pwrite(&memory, &pixel.repeat((width * height) as usize), 0).unwrap();
        let (hotspot_x, hotspot_y) = hotspot;
        Arc::new(Sprite::new(PointerBitmap { id: 1, width, height, hotspot_x, hotspot_y }, memory).unwrap())
    }

    fn grey_picture() -> Picture {
        let mut picture = Picture::new(66, 40);
        picture.planes_mut().0.fill(100);
        picture
    }

    fn is_clean(picture: &Picture) -> bool {
        let (blue, red) = picture.chroma();
        picture.luma().iter().all(|&y| y == 100) && blue.iter().chain(red).all(|&c| c == 128)
    }

    // Sabotage: ignore the hotspot, or blend without premultiplication.
    #[test]
    fn it_lies_with_its_hotspot_where_it_points() {
        let (mut picture, mut beneath) = (grey_picture(), Beneath::default());
        let placed = Placed { x: 20, y: 10, sprite: sprite(4, 2, (1, 0), [0, 0, 255, 255]) };
        beneath.draw(&mut picture, &placed);
        let red_luma = 16 + (23 * 255 + 64) / 128;
        for (y, row) in picture.luma().chunks(picture.stride()).enumerate() {
            for (x, &luma) in row.iter().enumerate() {
                let inside = (19..23).contains(&x) && (10..12).contains(&y);
                assert_eq!(luma, if inside { red_luma as u8 } else { 100 }, "at {x}, {y}");
            }
        }
        // Its left column shares chroma with the picture's.
        let red = &picture.chroma().1[5 * picture.stride() / 2..];
        assert_eq!((red[8], red[10], red[12]), (128, 128 + 112, 128));
        assert!((128 + 54..128 + 58).contains(&red[9]) && red[9] == red[11], "{:?}", &red[8..13]);
        beneath.lift(&mut picture);
        assert!(is_clean(&picture));
    }

    #[test]
    fn a_half_transparent_one_lets_half_through_and_a_transparent_one_all() {
        let (mut picture, mut beneath) = (grey_picture(), Beneath::default());
        // Half of white, premultiplied.
        let half = Placed { x: 0, y: 0, sprite: sprite(8, 8, (0, 0), [128, 128, 128, 128]) };
        assert!(beneath.draw(&mut picture, &half) > 0);
        assert_eq!(picture.luma()[0], (16.0f64 + 219.0 * 128.0 / 255.0 + 84.0 * 127.0 / 255.0).round() as u8);
        assert_eq!(picture.chroma().0[0], 128);
        beneath.lift(&mut picture);
        let none = Placed { x: 0, y: 0, sprite: sprite(8, 8, (0, 0), [0; 4]) };
        assert_eq!(beneath.draw(&mut picture, &none), 0);
        assert!(is_clean(&picture));
    }

    proptest! {
        // Sabotage: clip at the right and lower edges only.
        #[test]
        fn wherever_it_is_it_is_lifted_without_a_trace(
            x in prop_oneof![-300..400i32, any::<i32>()],
            y in prop_oneof![-300..400i32, any::<i32>()],
            size in (1u32..=256, 1u32..=256),
            hotspot in (any::<i32>(), -10..300i32),
            pixel: [u8; 4],
        ) {
            let (mut picture, mut beneath) = (grey_picture(), Beneath::default());
            let placed = Placed { x, y, sprite: sprite(size.0, size.1, hotspot, pixel) };
            let area = placed.area(&picture);
            beneath.draw(&mut picture, &placed);
            let (origin_x, origin_y) =
                (i64::from(x) - i64::from(hotspot.0), i64::from(y) - i64::from(hotspot.1));
            let touches = |origin: i64, size: u32, limit| origin < limit && origin + i64::from(size) > 0;
            prop_assert_eq!(area.is_some(), touches(origin_x, size.0, 66) && touches(origin_y, size.1, 40));
            beneath.lift(&mut picture);
            prop_assert!(is_clean(&picture));
        }
    }

    // Sabotage: keep the bitmap's memory mapped instead of its pixels, or take any size.
    #[test]
    fn impossible_bitmaps_are_refused() {
        let memory = || lumen_stage::memory::sealed("test", 64).unwrap();
        let bitmap = |width, height| PointerBitmap { id: 1, width, height, hotspot_x: 0, hotspot_y: 0 };
        for (width, height) in [(0, 4), (257, 1), (4, u32::MAX)] {
            assert!(matches!(Sprite::new(bitmap(width, height), memory()), Err(SpriteError::Size { .. })));
        }
        assert!(matches!(Sprite::new(bitmap(5, 4), memory()), Err(SpriteError::Memory(_))));
        assert!(Sprite::new(bitmap(4, 4), memory()).is_ok());
    }

    // Sabotage: never let one go, or keep two of one id.
    #[test]
    fn only_the_newest_looks_are_kept() {
        let mut sprites = Sprites::default();
        for id in (0..20).chain([19]) {
            let memory = lumen_stage::memory::sealed("test", 4).unwrap();
            let bitmap = PointerBitmap { id, width: 1, height: 1, hotspot_x: 0, hotspot_y: 0 };
            sprites.add(Sprite::new(bitmap, memory).unwrap());
        }
        assert_eq!((sprites.0.len(), sprites.get(11).is_some()), (MAX_BITMAPS, false));
        assert!(sprites.placed(Pointer { x: 1, y: 2, bitmap: 12 }).is_some());
    }
}

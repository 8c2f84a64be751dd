//! The pointer apart from the picture, for a client that draws it itself: what it looks like, and where it is.
//!
//! A shape is larger than a message may be, so it travels in pieces of whole rows, from the top and one after the other.

use super::fields::{Reader, Writer};
use super::{MAX_MESSAGE_LEN, MalformedMessage};

/// Pixels of a shape's side at most, because no compositor draws a larger one in a hardware plane.
pub const MAX_POINTER_SIDE: u16 = 256;

/// Bytes of a pixel: blue, green, red, alpha.
const PIXEL: usize = 4;

/// Bytes of a piece before its pixels.
const PIECE_HEAD: usize = 20;

/// What a pointer looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerShape {
    /// By which [`PointerMoved`] names it. A shape with the id of one before replaces that one.
    pub id: u32,
    /// Pixels, 1 to [`MAX_POINTER_SIDE`].
    pub width: u16,
    /// Pixels, 1 to [`MAX_POINTER_SIDE`].
    pub height: u16,
    /// Pixels from the left edge to the point that points.
    pub hotspot_x: i32,
    /// Pixels from the top edge to the point that points.
    pub hotspot_y: i32,
    /// Rows from the top without padding, 4 bytes a pixel: blue, green, red, alpha; colours premultiplied by alpha.
    pub pixels: Vec<u8>,
}

/// Some rows of a [`PointerShape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerRows {
    /// The shape, with the pixels of these rows only.
    pub shape: PointerShape,
    /// The first of them.
    pub top: u16,
}

/// Where the pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointerMoved {
    /// `None`: it is not to be seen.
    pub spot: Option<PointerSpot>,
}

/// A place on the picture, and what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointerSpot {
    /// Of the hotspot, in pixels from the picture's left edge; may lie outside.
    pub x: i32,
    /// Of the hotspot, in pixels from the picture's top edge; may lie outside.
    pub y: i32,
    /// [`PointerShape::id`].
    pub shape: u32,
}

impl PointerShape {
    fn row_len(&self) -> usize {
        usize::from(self.width) * PIXEL
    }

    /// The pieces in which it travels; none if its pixels are not as many as its size says.
    pub fn pieces(&self) -> impl Iterator<Item = PointerRows> + '_ {
        let is_whole = self.row_len() > 0 && self.pixels.len() == self.row_len() * usize::from(self.height);
        let rows = (MAX_MESSAGE_LEN - PIECE_HEAD) / self.row_len().max(1);
        let pixels = if is_whole { self.pixels.as_slice() } else { &[] };
        pixels.chunks((rows * self.row_len()).max(1)).enumerate().map(move |(piece, pixels)| PointerRows {
            shape: Self { pixels: pixels.to_vec(), ..*self },
            top: (piece * rows) as u16,
        })
    }
}

impl PointerRows {
    /// id u32 ‖ width u16 ‖ height u16 ‖ hotspot_x i32 ‖ hotspot_y i32 ‖ top u16 ‖ rows u16 ‖ width × rows × 4 bytes
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let shape = &self.shape;
        let rows = shape.pixels.len() / shape.row_len().max(1);
        to.u32(shape.id).u16(shape.width).u16(shape.height).i32(shape.hotspot_x).i32(shape.hotspot_y);
        to.u16(self.top).u16(rows as u16).bytes(&shape.pixels);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        let (id, width, height) = (from.u32()?, from.u16()?, from.u16()?);
        let (hotspot_x, hotspot_y, top, rows) = (from.i32()?, from.i32()?, from.u16()?, from.u16()?);
        let sides = 1..=MAX_POINTER_SIDE;
        let fits = u32::from(top) + u32::from(rows) <= u32::from(height) && rows > 0;
        if !sides.contains(&width) || !sides.contains(&height) || !fits {
            return Err(MalformedMessage::Pointer { width, height, top, rows });
        }
        let pixels = from.slice(usize::from(rows) * usize::from(width) * PIXEL)?.to_vec();
        Ok(Self { shape: PointerShape { id, width, height, hotspot_x, hotspot_y, pixels }, top })
    }
}

impl PointerMoved {
    /// visible flag ‖ x i32 ‖ y i32 ‖ shape u32; the latter three are 0 if it is not visible
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let PointerSpot { x, y, shape } = self.spot.unwrap_or(PointerSpot { x: 0, y: 0, shape: 0 });
        to.u8(self.spot.is_some().into()).i32(x).i32(y).u32(shape);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        let is_visible = from.flag()?;
        let spot = PointerSpot { x: from.i32()?, y: from.i32()?, shape: from.u32()? };
        Ok(Self { spot: is_visible.then_some(spot) })
    }
}

/// Puts pieces together. Never holds more than one shape.
#[derive(Debug, Default)]
pub struct ShapeAssembler {
    begun: Option<PointerShape>,
}

impl ShapeAssembler {
    /// The shape that these rows complete. Rows that do not continue the ones before are no use without them, and
    /// dropped.
    pub fn add(&mut self, rows: PointerRows) -> Option<PointerShape> {
        let PointerRows { shape: piece, top } = rows;
        let whole = match self.begun.take() {
            _ if top == 0 => piece,
            Some(mut begun) if continues(&begun, &piece, top) => {
                begun.pixels.extend_from_slice(&piece.pixels);
                begun
            }
            _ => return None,
        };
        if whole.pixels.len() == whole.row_len() * usize::from(whole.height) {
            return Some(whole);
        }
        self.begun = Some(whole);
        None
    }
}

fn continues(begun: &PointerShape, piece: &PointerShape, top: u16) -> bool {
    let head = |shape: &PointerShape| (shape.id, shape.width, shape.height, shape.hotspot_x, shape.hotspot_y);
    head(begun) == head(piece) && begun.pixels.len() == begun.row_len() * usize::from(top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Decoder, Message};

    fn shape(width: u16, height: u16) -> PointerShape {
        let pixels = (0..usize::from(width) * usize::from(height) * PIXEL).map(|n| (n % 251) as u8).collect();
        PointerShape { id: 7, width, height, hotspot_x: -1, hotspot_y: 300, pixels }
    }

    fn sent(shape: &PointerShape) -> Vec<PointerRows> {
        let mut decoder = Decoder::new();
        let mut came = Vec::new();
        for piece in shape.pieces() {
            decoder.push(&Message::PointerRows(piece).to_bytes());
            let Ok(Some(Message::PointerRows(rows))) = decoder.next_message() else { panic!("no rows came") };
            came.push(rows);
        }
        came
    }

    // Sabotage: count the rows of a piece without the bytes before them, or leave the last piece out.
    #[test]
    fn largest_and_smallest_shape_arrive_whole_in_messages_of_the_allowed_length() {
        for (width, height, pieces) in [(256, 256, 18), (24, 24, 1), (1, 1, 1), (1, 256, 1), (256, 1, 1)] {
            let (shape, mut assembler) = (shape(width, height), ShapeAssembler::default());
            let rows = sent(&shape);
            assert_eq!(rows.len(), pieces, "{width}×{height}");
            let whole: Vec<PointerShape> = rows.into_iter().filter_map(|rows| assembler.add(rows)).collect();
            assert_eq!(whole, [shape]);
        }
    }

    // Sabotage: append whatever rows come.
    #[test]
    fn rows_that_do_not_continue_are_dropped() {
        let (shape, mut assembler) = (shape(256, 256), ShapeAssembler::default());
        let mut rows = sent(&shape);
        rows.remove(3);
        assert!(rows.into_iter().all(|rows| assembler.add(rows).is_none()), "a hole was filled with nothing");
        let whole = sent(&shape).into_iter().filter_map(|rows| assembler.add(rows)).count();
        assert_eq!(whole, 1, "it does not begin anew");
    }

    // Sabotage: take memory for what the size says.
    #[test]
    fn impossible_sizes_are_refused() {
        let bytes = |width, height, top, rows: u16| {
            let piece = PointerRows { shape: PointerShape { pixels: Vec::new(), ..shape(1, 1) }, top };
            let mut bytes = Message::PointerRows(piece).to_bytes();
            for (at, value) in [(8, width), (10, height), (22, rows)] {
                bytes[at..at + 2].copy_from_slice(&u16::to_le_bytes(value));
            }
            bytes
        };
        for (width, height, top, rows) in
            [(0, 1, 0, 1), (1, 0, 0, 1), (257, 1, 0, 1), (4, 4, 0, 5), (4, 4, 4, 1), (4, 4, 0, 0)]
        {
            let mut decoder = Decoder::new();
            decoder.push(&bytes(width, height, top, rows));
            let refused = MalformedMessage::Pointer { width, height, top, rows };
            assert_eq!(decoder.next_message(), Err(refused));
        }
        let odd = PointerShape { pixels: vec![0; 3], ..shape(1, 1) };
        assert_eq!(odd.pieces().count(), 0);
    }
}

//! From encoded's words about a pointer that is not in the picture to those of lumen/1.

use std::os::fd::BorrowedFd;

use lumen_core::control::{PointerMoved, PointerShape, PointerSpot};
use lumen_ipc::pointer::{Pointer, PointerBitmap};
use lumen_stage::memory::map_received;

/// What the pointer looks like, copied out of encoded's memory; `None` if it cannot be read.
pub(super) fn shape(bitmap: &PointerBitmap, memory: BorrowedFd<'_>) -> Option<PointerShape> {
    let PointerBitmap { id, width, height, hotspot_x, hotspot_y } = *bitmap;
    let bytes = bitmap.bytes()?;
    let pixels = map_received(memory, bytes).ok()?.get(..usize::try_from(bytes).ok()?)?.to_vec();
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    Some(PointerShape { id, width, height, hotspot_x, hotspot_y, pixels })
}

/// Where it is.
pub(super) fn moved(pointer: Option<Pointer>) -> PointerMoved {
    PointerMoved { spot: pointer.map(|Pointer { x, y, bitmap }| PointerSpot { x, y, shape: bitmap }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stage::memory::SharedMemory;
    use std::os::fd::AsFd;

    // Sabotage: take memory for a size that cannot be, or read past the end of what came.
    #[test]
    fn only_a_whole_bitmap_becomes_a_shape() {
        let mut memory = SharedMemory::new("test", 16).unwrap();
        memory.bytes_mut().copy_from_slice(&[7; 16]);
        let bitmap = |width| PointerBitmap { id: 5, width, height: 2, hotspot_x: 1, hotspot_y: -1 };
        let whole = shape(&bitmap(2), memory.as_fd()).unwrap();
        assert_eq!((whole.id, whole.width, whole.height, whole.pixels), (5, 2, 2, vec![7; 16]));
        assert_eq!((whole.hotspot_x, whole.hotspot_y), (1, -1));
        for width in [0, 3, 257, u32::MAX] {
            assert_eq!(shape(&bitmap(width), memory.as_fd()), None, "{width}");
        }
    }
}

//! The pointer that is told apart from the picture, as a client that draws it would know it.

use std::{collections::BTreeMap, time::Duration};

use lumen_core::control::{PointerMoved, PointerShape};
use serde::Serialize;

/// Places kept for the summary. Because a mouse moves a thousand times a second, and the last ones tell enough.
const KEPT: usize = 1000;

/// One shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShapeLine {
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Pixels from the left and the top edge.
    pub hotspot: (i32, i32),
    /// Pixels that are not wholly transparent.
    pub visible: usize,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MoveLine {
    /// Seconds after the dial.
    pub at_s: f64,
    /// The hotspot, in pixels of the picture; `null`: nowhere.
    pub spot: Option<(i32, i32)>,
    /// Whether a shape came that it can be drawn with.
    pub is_drawable: bool,
}

/// All that was told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PointerSummary {
    /// Shapes that came, also those that replaced one.
    pub shapes_told: u64,
    /// Places that came.
    pub moves_told: u64,
    /// The shapes by their ids.
    pub shapes: BTreeMap<u32, ShapeLine>,
    /// The last places.
    pub moves: Vec<MoveLine>,
}

impl PointerSummary {
    /// A shape came.
    pub fn handle_shape(&mut self, shape: &PointerShape) {
        self.shapes_told += 1;
        let visible = shape.pixels.as_chunks::<4>().0.iter().filter(|[.., alpha]| *alpha > 0).count();
        let PointerShape { width, height, hotspot_x, hotspot_y, .. } = *shape;
        let line = ShapeLine { width, height, hotspot: (hotspot_x, hotspot_y), visible };
        self.shapes.insert(shape.id, line);
    }

    /// A place came, `since` the dial.
    pub fn handle_moved(&mut self, moved: PointerMoved, since: Duration) {
        self.moves_told += 1;
        if self.moves.len() == KEPT {
            self.moves.remove(0);
        }
        self.moves.push(MoveLine {
            at_s: since.as_secs_f64(),
            spot: moved.spot.map(|spot| (spot.x, spot.y)),
            is_drawable: moved.spot.is_some_and(|spot| self.shapes.contains_key(&spot.shape)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_core::control::PointerSpot;

    // Sabotage: call a pointer drawable whose shape never came.
    #[test]
    fn a_pointer_is_drawable_once_its_shape_came() {
        let mut summary = PointerSummary::default();
        let moved = PointerMoved { spot: Some(PointerSpot { x: 3, y: 4, shape: 1 }) };
        summary.handle_moved(moved, Duration::ZERO);
        let pixels = vec![1, 1, 1, 255, 0, 0, 0, 0];
        summary.handle_shape(&PointerShape {
            id: 1,
            width: 2,
            height: 1,
            hotspot_x: 0,
            hotspot_y: 0,
            pixels,
        });
        summary.handle_moved(moved, Duration::ZERO);
        let drawable: Vec<bool> = summary.moves.iter().map(|line| line.is_drawable).collect();
        assert_eq!(drawable, [false, true]);
        assert_eq!((summary.shapes[&1].visible, summary.moves_told), (1, 2));
    }
}

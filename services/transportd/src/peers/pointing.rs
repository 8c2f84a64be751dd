//! What a session keeps of a pointer that its client draws, for the connection that serves it and the next one.
//!
//! At most one place is on its way to the client; encoded keeps the newest until that one is written, so a client that
//! reads slowly costs places and never latency.

use std::sync::Arc;

use lumen_core::control::{PointerMoved, PointerShape};

use super::{mail::News, pipeline::Pipeline};
use crate::video::Report;

/// Shapes kept for a new connection. Because encoded names none but its reader's last eight.
const SHAPES: usize = 8;

/// The pointer.
#[derive(Debug, Default)]
pub struct Pointing {
    shapes: Vec<Arc<PointerShape>>,
    newest: Option<PointerMoved>,
    /// The link whose encoded waits until the newest is written.
    out: Option<u64>,
}

impl Pointing {
    /// What came over `link`, as news.
    ///
    /// # Errors
    /// The report, if it is about something else.
    pub fn handle_report(&mut self, report: Report, link: u64) -> Result<News, Report> {
        match report {
            Report::PointerShape(shape) => {
                self.keep(shape.clone());
                Ok(News::PointerShape(shape))
            }
            Report::PointerMoved(moved) => {
                (self.newest, self.out) = (Some(moved), Some(link));
                Ok(News::PointerMoved(moved))
            }
            other => Err(other),
        }
    }

    fn keep(&mut self, shape: Arc<PointerShape>) {
        self.shapes.retain(|kept| kept.id != shape.id);
        if self.shapes.len() == SHAPES {
            self.shapes.remove(0);
        }
        self.shapes.push(shape);
    }

    /// What was out is written, or nobody is there who would: encoded may tell the next place.
    pub fn settle(&mut self, pipeline: &Pipeline) {
        if let Some(link) = self.out.take() {
            pipeline.take_pointer(link);
        }
    }

    /// All of it, for a connection that knows nothing.
    pub fn again(&self) -> impl Iterator<Item = News> + '_ {
        let shapes = self.shapes.iter().cloned().map(News::PointerShape);
        shapes.chain(self.newest.map(News::PointerMoved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_core::control::PointerSpot;

    fn shape(id: u32, byte: u8) -> Report {
        let pixels = vec![byte; 4];
        let shape = PointerShape { id, width: 1, height: 1, hotspot_x: 0, hotspot_y: 0, pixels };
        Report::PointerShape(Arc::new(shape))
    }

    // Sabotage: keep every shape that ever was, keep two of one id, or tell a new connection the place alone.
    #[test]
    fn a_new_connection_hears_the_last_shapes_and_the_newest_place() {
        let mut pointing = Pointing::default();
        for id in 0..10 {
            pointing.handle_report(shape(id, 1), 4).unwrap();
        }
        pointing.handle_report(shape(5, 2), 4).unwrap();
        for x in 0..3 {
            let spot = Some(PointerSpot { x, y: 0, shape: 5 });
            pointing.handle_report(Report::PointerMoved(PointerMoved { spot }), 4).unwrap();
        }
        let mut again: Vec<News> = pointing.again().collect();
        assert!(
            matches!(again.pop(), Some(News::PointerMoved(PointerMoved { spot: Some(spot) })) if spot.x == 2)
        );
        let bytes = |news: &News| match news {
            News::PointerShape(shape) => (shape.id, shape.pixels[0]),
            other => panic!("{other:?}"),
        };
        let ids: Vec<_> = again.iter().map(bytes).collect();
        assert_eq!(ids, [(2, 1), (3, 1), (4, 1), (6, 1), (7, 1), (8, 1), (9, 1), (5, 2)]);
    }
}

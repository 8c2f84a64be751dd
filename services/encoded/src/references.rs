//! Which pictures the encoder keeps to recover from, which of them the client has, and how much of the screen differs from
//! them now. Sans-IO.
//!
//! ```text
//!  IDR ─────────────────────────────► settled ── replaced by the next one that settles, or lost
//!  kept ─► unsettled ─ SETTLING units without a word ─┘
//!              └─ lost ─► forgotten
//! ```
//! A client reports what it lost, and has what came before: so nobody waits for an acknowledgement, and a reference that was given
//! up too soon costs an IDR and no more. **Invariant:** what was kept with a unit that is lost, or after one, is never recovered from.

use crate::{backends::Kept, change::BAND, ratecontrol::Grain};

/// Units after which a picture that was kept is taken for received: half a second of a movement, a second of a still screen. A
/// client whose reports take longer pays with an IDR where it lost just that one.
const SETTLING: u64 = 30;

/// Share of the blocks that may differ from a reference: beyond it an IDR costs no more (measured: 126 kB against 141 kB after twelve
/// frames of panning, and the other way round at a coarser quantiser).
const MOST_CHANGED: f64 = 0.2;

/// A picture that is kept.
#[derive(Debug)]
struct Reference {
    /// The AccessUnit with which it is kept: who has all up to that one has the picture.
    unit: u64,
    /// How finely it was coded.
    grain: Grain,
    /// Blocks that changed since, band after band.
    changed: Vec<bool>,
    count: usize,
}

impl Reference {
    fn change(&mut self, block: usize) {
        if self.changed.get_mut(block).is_some_and(|known| !std::mem::replace(known, true)) {
            self.count += 1;
        }
    }
}

/// What one encoder keeps. Its memory is made once.
#[derive(Debug)]
pub struct References {
    settled: Option<Reference>,
    unsettled: Option<Reference>,
    /// Room for the next one.
    spare: Vec<Vec<bool>>,
    /// Blocks that differ between the newest picture and the one before.
    newest: Vec<usize>,
    columns: usize,
    blocks: usize,
    /// How finely the picture before was coded.
    grain: Grain,
}

impl References {
    /// For pictures of this size, none of which is kept yet.
    pub fn new(width: usize, height: usize) -> Self {
        let columns = width.div_ceil(BAND);
        let blocks = columns * height.div_ceil(BAND);
        Self {
            settled: None,
            unsettled: None,
            spare: vec![vec![false; blocks]; 3],
            newest: Vec::with_capacity(blocks),
            columns,
            blocks,
            grain: Grain::COARSEST,
        }
    }

    /// A picture is to be encoded in which these blocks changed: x and y of their upper left pixels.
    pub fn handle_change(&mut self, changed: &[(u16, u16)]) {
        let columns = self.columns;
        self.newest.clear();
        self.newest
            .extend(changed.iter().map(|(x, y)| usize::from(*y) / BAND * columns + usize::from(*x) / BAND));
        for reference in self.settled.iter_mut().chain(&mut self.unsettled) {
            self.newest.iter().for_each(|block| reference.change(*block));
        }
    }

    /// That picture is AccessUnit `unit`, coded with `grain`; `kept` is what the encoder says of it.
    pub fn handle_unit(&mut self, unit: u64, grain: Grain, idr: bool, kept: Option<Kept>) {
        if idr {
            self.forget_all();
        }
        if let Some(kept) = kept {
            let mut reference = self.fresh(unit, if kept == Kept::This { grain } else { self.grain });
            if kept == Kept::Before {
                self.newest.iter().for_each(|block| reference.change(*block));
            }
            let place = if idr { &mut self.settled } else { &mut self.unsettled };
            if let Some(old) = place.replace(reference) {
                self.spare.push(old.changed);
            }
        }
        self.grain = grain;
    }

    fn fresh(&mut self, unit: u64, grain: Grain) -> Reference {
        let mut changed = self.spare.pop().unwrap_or_else(|| vec![false; self.blocks]);
        changed.fill(false);
        Reference { unit, grain, changed, count: 0 }
    }

    /// Whether what was kept last counts as received before AccessUnit `next`.
    pub fn is_due(&self, next: u64) -> bool {
        self.unsettled.as_ref().is_some_and(|kept| kept.unit + SETTLING <= next)
    }

    /// It does: pictures after the next one can be recovered from it.
    pub fn settle(&mut self) {
        if let Some(kept) = self.unsettled.take()
            && let Some(old) = self.settled.replace(kept)
        {
            self.spare.push(old.changed);
        }
    }

    /// AccessUnits from `first` on did not all come. Whether a picture that was not settled is lost with them.
    pub fn lose(&mut self, first: u64) -> bool {
        let is_lost = |kept: &mut Reference| kept.unit >= first;
        let unsettled = self.unsettled.take_if(is_lost);
        let is_unsettled = unsettled.is_some();
        self.spare.extend(unsettled.into_iter().chain(self.settled.take_if(is_lost)).map(|old| old.changed));
        is_unsettled
    }

    /// The grain with which the newest picture is to be coded from the settled one; `None` where an IDR is no dearer, or the only way.
    pub fn recovery(&self) -> Option<Grain> {
        let kept = self.settled.as_ref()?;
        let is_near = kept.count as f64 <= MOST_CHANGED * self.blocks as f64;
        (is_near && kept.grain <= Grain::COARSEST_QP).then_some(kept.grain)
    }

    /// Share of the blocks that differ from the settled one.
    pub fn fraction(&self) -> f64 {
        self.settled.as_ref().map_or(1.0, |kept| kept.count as f64 / self.blocks.max(1) as f64)
    }

    /// Nothing is kept any more.
    fn forget_all(&mut self) {
        let gone = self.settled.take().into_iter().chain(self.unsettled.take());
        self.spare.extend(gone.map(|old| old.changed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Grain = Grain::from_const(22);

    /// After an IDR as unit 1 and a picture kept with unit 50.
    fn references() -> References {
        let mut references = References::new(160, 160);
        references.handle_unit(1, FINE, true, Some(Kept::This));
        references.handle_change(&[(0, 0), (16, 0), (16, 0)]);
        references.handle_unit(50, FINE, false, Some(Kept::This));
        references
    }

    // Sabotage: recover from what is not settled, or from what was kept with the lost unit.
    #[test]
    fn what_was_lost_is_never_recovered_from() {
        let mut references = references();
        assert_eq!((references.recovery(), references.fraction()), (Some(FINE), 0.02), "the IDR");
        assert!(!references.lose(51), "what was kept with unit 50 came");
        assert!(references.lose(50) && !references.lose(50));
        assert!(!references.lose(2) && references.recovery().is_some());
        assert!(!references.lose(1));
        assert_eq!(references.recovery(), None);
    }

    // Sabotage: settle at once, or count from the IDR on what changed since another picture.
    #[test]
    fn a_picture_settles_after_thirty_units_and_takes_the_place_of_the_one_before() {
        let mut references = references();
        assert!(!references.is_due(79) && references.is_due(80));
        references.settle();
        assert!(!references.is_due(1000));
        assert_eq!(references.fraction(), 0.0);
        references.lose(51);
        assert!(references.recovery().is_some());
        references.lose(50);
        assert_eq!(references.recovery(), None, "the IDR was given up");
    }

    #[test]
    fn the_one_before_differs_by_what_changed_with_the_one_that_says_so() {
        let mut references = references();
        references.handle_unit(51, Grain::from_const(30), false, None);
        references.handle_change(&[(32, 32)]);
        references.handle_unit(52, FINE, false, Some(Kept::Before));
        references.settle();
        assert_eq!((references.fraction(), references.recovery()), (0.01, Some(Grain::from_const(30))));
    }

    // Sabotage: forget a block when it changes again.
    #[test]
    fn where_a_fifth_of_the_screen_changed_an_idr_is_no_dearer() {
        let mut references = references();
        let rows =
            |rows: u16| (0..rows * 10).map(|block| (block % 10 * 16, block / 10 * 16)).collect::<Vec<_>>();
        references.handle_change(&rows(2));
        references.handle_change(&rows(1));
        assert!(references.recovery().is_some());
        references.handle_change(&rows(3));
        assert_eq!(references.recovery(), None);
    }
}

//! A source on its rung of the ladder: what it does, crashes and errors included, is counted for it.

use crate::backends::{Counts, Event, Source, SourceError};
use lumen_ipc::pool::Layout;
use lumen_stage::Rung;
use std::os::fd::BorrowedFd;

/// A source, judged.
pub struct Tried<S> {
    source: S,
    rung: Rung,
}

impl<S: Source> Tried<S> {
    /// `source`, which takes pictures in the way of `rung`.
    pub fn new(source: S, rung: Rung) -> Self {
        Self { source, rung }
    }

    fn call<T>(&mut self, work: impl FnOnce(&mut S) -> Result<T, SourceError>) -> Result<T, SourceError> {
        let _inside = self.rung.begin();
        work(&mut self.source).map_err(|error| {
            if !error.is_backends_own() {
                return error;
            }
            self.rung.erred();
            match self.rung.is_last() {
                true => error,
                false => SourceError::Way { name: self.source.name(), error: Box::new(error) },
            }
        })
    }
}

impl<S: Source> Source for Tried<S> {
    fn name(&self) -> &'static str {
        self.source.name()
    }

    fn why(&self) -> &'static str {
        self.source.why()
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.source.descriptor()
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SourceError> {
        let event = self.call(S::dispatch)?;
        if matches!(event, Some(Event::Filled { .. })) {
            self.rung.made();
        }
        Ok(event)
    }

    fn use_pool(&mut self, layout: Layout, buffers: &[BorrowedFd<'_>]) -> Result<(), SourceError> {
        self.call(|source| source.use_pool(layout, buffers))
    }

    fn wants_buffer(&self) -> bool {
        self.source.wants_buffer()
    }

    fn fill(&mut self, buffer: u32) -> Result<(), SourceError> {
        self.call(|source| source.fill(buffer))
    }

    fn is_pending(&self) -> bool {
        self.source.is_pending()
    }

    fn watch(&mut self, watched: bool) -> Result<(), SourceError> {
        self.call(|source| source.watch(watched))
    }

    fn refuse_memory(&mut self) -> Result<(), SourceError> {
        self.call(S::refuse_memory)
    }

    fn counts(&self) -> Counts {
        self.source.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::pattern::Pattern;
    use lumen_ipc::{Failure, FailureClass, Mode};
    use lumen_stage::{Ladder, ladder::QUIET};

    const MODE: Mode = Mode { width: 64, height: 64, refresh_mhz: 60_000 };

    /// Sabotage: blame a way of capturing for an Output that went away, or do not blame it for what it gives.
    #[test]
    fn only_its_own_errors_are_held_against_a_way() {
        let ladder = Ladder::take(&mut Vec::new(), QUIET).unwrap();
        let mut tried = Tried::new(Pattern::new(MODE).unwrap(), ladder.hold("best", "64x64", false));
        for _ in 0..5 {
            let gone = || SourceError::OutputGone { name: "x".into() };
            assert!(tried.call(|_| Err::<(), _>(gone())).is_err());
        }
        assert!(!ladder.is_falling());
        for _ in 0..3 {
            assert!(tried.call(|_| Err::<(), _>(SourceError::Refused { count: 16 })).is_err());
        }
        assert!(ladder.is_falling() && ladder.has_fallen("best", "64x64"));
    }

    /// Sabotage: hand the error of a better way on as it is, or soften that of the last one.
    #[test]
    fn what_another_way_may_mend_is_told_as_passing_and_what_none_may_as_lasting() {
        let ladder = Ladder::take(&mut Vec::new(), QUIET).unwrap();
        for (is_last, class) in [(false, FailureClass::Temporary), (true, FailureClass::Environment)] {
            let rung = ladder.hold("way", "64x64", is_last);
            let mut tried = Tried::new(Pattern::new(MODE).unwrap(), rung);
            let format = || SourceError::Format { offered: "NV12".into() };
            let failure = Failure::from(tried.call(|_| Err::<(), _>(format())).unwrap_err());
            assert_eq!(failure.class, class);
            assert!(failure.text.contains("NV12"), "{failure}");
        }
    }
}

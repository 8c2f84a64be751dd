//! A session's microphone, for as long as its client has one: made, made again when PipeWire comes back, and taken away.

use std::time::Duration;

use lumen_ipc::Failure;
use lumen_stage::clock::now_ns;

use super::microphone::Microphone;

/// Between two tries to get a source.
const RETRY_NS: u64 = 1_000_000_000;

/// A session's.
#[derive(Default)]
pub(super) struct Booth {
    /// The client has a microphone.
    pub is_wanted: bool,
    /// Its source, where it is there.
    pub microphone: Option<Microphone>,
    /// Since when there may be another try.
    due_ns: u64,
    failure: Option<Failure>,
    /// Pieces of 10 or 20 ms that came.
    came: u64,
    /// Those for which there was no source.
    lost: u64,
}

impl Booth {
    /// Does all that is to be done now; `open` makes a source. What is wrong, where it is news.
    pub fn turn(&mut self, open: impl FnOnce() -> Result<Microphone, Failure>) -> Option<Failure> {
        let worked = match &mut self.microphone {
            _ if !self.is_wanted => {
                self.close();
                return None;
            }
            Some(microphone) => microphone.dispatch().map_err(Failure::from),
            None if self.due_ns > now_ns() => return None,
            none => open().map(|opened| *none = Some(opened)),
        };
        let Err(failure) = worked else {
            if self.microphone.as_ref().is_some_and(Microphone::is_playing) {
                self.failure = None;
            }
            return None;
        };
        (self.microphone, self.due_ns) = (None, now_ns() + RETRY_NS);
        let is_news = self.failure.as_ref() != Some(&failure);
        self.failure = Some(failure.clone());
        is_news.then_some(failure)
    }

    /// How long nothing is to be done unless something comes.
    pub fn pause(&self) -> Duration {
        match self.microphone {
            None if self.is_wanted => Duration::from_nanos(self.due_ns.saturating_sub(now_ns())),
            _ => Duration::MAX,
        }
    }

    /// Plays what came.
    pub fn speak(&mut self, samples: &[i16]) {
        self.came += 1;
        match &mut self.microphone {
            Some(microphone) => microphone.speak(samples),
            None => self.lost += 1,
        }
    }

    /// What becomes of it, in words; nothing where there is none.
    pub fn said(&self) -> String {
        let Some(microphone) = &self.microphone else {
            let failure = self.failure.as_ref().filter(|_| self.is_wanted);
            return failure.map(Failure::to_string).unwrap_or_default();
        };
        let state = if microphone.is_playing() { "is there" } else { "waits for PipeWire" };
        let (counts, came, lost) = (microphone.counts(), self.came, self.lost);
        format!(
            "the session's source {state}: {came} pieces came, {lost} without a source, {} times dry, {} samples left out",
            counts.dry, counts.left_out
        )
    }

    /// Takes the source away.
    pub fn close(&mut self) {
        if let Some(microphone) = self.microphone.take() {
            microphone.destroy();
        }
    }
}

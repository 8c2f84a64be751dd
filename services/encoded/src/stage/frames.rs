//! The way of a Frame: it waits, is taken, returned, and encoded; and what is encoded when none comes.

use lumen_ipc::{Damage, Mode, Timeline, capture::Frame, encode::UnitKind, pool::Layout};

use super::{Fault, Output, REPEAT_NS, STILL_HALVES, Session};

impl Session {
    pub(super) fn handle_frame(&mut self, mut frame: Frame, now_ns: u64) -> Result<(), Fault> {
        if self.waiting.is_full() {
            return Err(Fault::TooManyFrames);
        }
        frame.timeline.received_ns = now_ns;
        self.last_frame_ns = now_ns;
        if self.reader.is_some() {
            self.supersede(&mut frame.damage);
        }
        frame.pointer = self.point_with_frame(frame.pointer);
        self.waiting.push(frame);
        Ok(())
    }

    /// Gives back all Frames that wait, and adds what they would have shown to `damage`.
    pub(super) fn supersede(&mut self, damage: &mut Damage) {
        for older in self.waiting.drain(..) {
            damage.unite(&older.damage);
            self.counters.superseded += 1;
            // Never full: it is drained before more Frames can come.
            let _ = self.returns.try_push(older.buffer);
        }
    }

    /// The Frames from now on lie in a new pool of this layout; the encoder must have its size, less an odd column or row.
    /// Returns whether the size is another than before.
    pub fn handle_pool(&mut self, layout: &Layout) -> bool {
        self.supersede(&mut Damage::default());
        self.all_damaged = true;
        let size = (layout.width & !1, layout.height & !1);
        self.refresh_mhz = self.coming_mhz.take().unwrap_or(self.refresh_mhz);
        let other = self.size.replace(size) != Some(size);
        if other {
            (self.shown, self.taken, self.idr) = (None, None, true);
        }
        other
    }

    /// The Output has this mode now; Frames of another size come with a new pool, and until then the mode is the one before.
    pub(super) fn handle_mode(&mut self, mode: Mode) {
        if self.size == Some((mode.width & !1, mode.height & !1)) {
            self.refresh_mhz = mode.refresh_mhz;
        } else {
            self.coming_mhz = Some(mode.refresh_mhz);
        }
    }

    pub(super) fn poll_picture(&mut self, now_ns: u64) -> Option<Output> {
        let reader = self.reader.as_ref()?;
        if self.encoding || !reader.is_ready() {
            return None;
        }
        let (begins, recovers) = (self.idr, self.recovers);
        let or_anew = |other| match (begins, recovers) {
            (true, _) => UnitKind::Idr,
            (false, true) => UnitKind::Recovered,
            (false, false) => other,
        };
        if let (Some(timeline), Some(frame)) = (self.taken.take(), self.shown) {
            self.encoding = true;
            return Some(Output::Encode { kind: or_anew(UnitKind::Delta), frame, timeline });
        }
        if let Some(frame) = self.take_waiting() {
            return Some(Output::Take(frame));
        }
        let frame = self.shown?;
        if self.pointer_due().is_some_and(|due| due <= now_ns)
            && let Some((pointer, timeline)) = self.pointing.take_moved()
        {
            self.taken = Some(timeline);
            return Some(Output::Point(pointer));
        }
        let due = begins || recovers || self.still_due().is_some_and(|due| due <= now_ns);
        let timeline = Timeline { dequeued_ns: now_ns, received_ns: now_ns, ..Timeline::default() };
        self.encoding = due;
        due.then_some(Output::Encode { kind: or_anew(UnitKind::Repeat), frame, timeline })
    }

    /// The newest Frame that waits, with the damage of all; their buffers are returned once it was read.
    fn take_waiting(&mut self) -> Option<Frame> {
        let mut frame = self.waiting.pop()?;
        self.supersede(&mut frame.damage);
        if let (true, Some((width, height))) = (std::mem::take(&mut self.all_damaged), self.size) {
            frame.damage = Damage::full(width, height);
        }
        let _ = self.returns.try_push(frame.buffer);
        (self.taken, self.shown) = (Some(frame.timeline), Some(frame.number));
        Some(frame)
    }

    /// When the same picture is due again: sooner while it is not sharp.
    pub(super) fn still_due(&self) -> Option<u64> {
        self.shown?;
        let interval = self.interval_ns();
        let repeat = self.last_unit_ns.saturating_add(self.repeat_ns());
        let still = self.last_frame_ns.saturating_add(interval * STILL_HALVES / 2);
        let refine = still.max(self.last_unit_ns.saturating_add(interval));
        Some(if self.refine { refine.min(repeat) } else { repeat })
    }

    /// When a pointer that moved is drawn: pointing devices report more often than the Output is shown.
    pub(super) fn pointer_due(&self) -> Option<u64> {
        self.shown.filter(|_| self.pointing.is_moved() && !self.is_apart())?;
        Some(self.last_unit_ns.saturating_add(self.interval_ns() * 7 / 8))
    }

    fn repeat_ns(&self) -> u64 {
        let asked = self.spec.repeat_mhz.map(|mhz| 1_000_000_000_000 / u64::from(mhz.max(1)));
        asked.map_or(REPEAT_NS, |ns| ns.clamp(self.interval_ns(), REPEAT_NS))
    }

    fn interval_ns(&self) -> u64 {
        self.mode().map_or(REPEAT_NS, Mode::frame_ns)
    }
}

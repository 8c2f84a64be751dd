//! The client's frame numbers, and what encoded is asked for. Sans-IO.
//!
//! Frame numbers are transportd's own and rise by one over all links and incarnations of encoded, so that a restart of
//! encoded is a picture that comes late and nothing else to the client.

use lumen_ipc::encode::{AccessUnit, Control, UnitKind};

/// What a client did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The first frame, if the client says which, and goes on with a picture that refers to none from there on.
    pub first: Option<u64>,
    /// The last.
    pub last: u64,
}

/// A frame that a client can go on with.
#[derive(Debug, Clone, Copy)]
struct Mended {
    frame: u64,
    /// The first that it does not refer to.
    from: u64,
}

/// Frames whose AccessUnits are numbered like them, but for this difference.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    ahead: u64,
}

/// Maps AccessUnits to frames and knows when an IDR is due.
#[derive(Debug)]
pub struct Sequence {
    next_frame: u64,
    mended: Option<Mended>,
    run: Option<Run>,
    /// No IDR came yet over this link: a Delta would refer to pictures that the client does not have.
    is_headless: bool,
    /// Asked for and not yet come.
    is_idr_due: bool,
    /// The first frame that the next [`UnitKind::Recovered`] shall not refer to, likewise.
    due_from: Option<u64>,
    control: Control,
}

impl Sequence {
    /// Starts with frame `next_frame`: 0 in a new session.
    pub fn starting_at(next_frame: u64, bitrate_bps: u32) -> Self {
        Self {
            next_frame,
            mended: None,
            run: None,
            is_headless: true,
            is_idr_due: false,
            due_from: None,
            control: Control { bitrate_bps, idr_wanted: 0, losses: 0, lost_from: 0 },
        }
    }

    /// What encoded is to know, whole; sent on every new link and after each change.
    pub fn control(&self) -> Control {
        self.control
    }

    /// A new link starts: its first picture must be an IDR, and its AccessUnits may be another incarnation's.
    pub fn start_link(&mut self) {
        (self.is_headless, self.is_idr_due) = (true, false);
        (self.run, self.due_from) = (None, None);
    }

    /// The frame number of the next AccessUnit; `None` if no client could decode it, and then an IDR is asked for by
    /// the control that this changes.
    pub fn take(&mut self, unit: &AccessUnit) -> Option<u64> {
        let frame = self.next_frame;
        match unit.kind {
            UnitKind::Idr => {
                self.mended = Some(Mended { frame, from: 0 });
                (self.is_headless, self.is_idr_due, self.due_from) = (false, false, None);
            }
            _ if self.is_headless => {
                self.want_idr();
                return None;
            }
            UnitKind::Recovered => {
                let from = self.due_from.take().unwrap_or(frame);
                self.mended = Some(Mended { frame, from });
            }
            UnitKind::Delta | UnitKind::Repeat => {}
        }
        let ahead = unit.number.wrapping_sub(frame);
        if self.run.is_none_or(|run| run.ahead != ahead) {
            self.run = Some(Run { first: frame, ahead });
        }
        self.next_frame += 1;
        Some(frame)
    }

    /// The client lost frames. Whether the control changed: not if what mends it was sent or is on its way.
    pub fn handle_loss(&mut self, loss: Loss) -> bool {
        let first = loss.first.unwrap_or(0);
        let is_mended =
            |mended: Mended| mended.frame > loss.last && (loss.first.is_none() || mended.from <= first);
        if self.mended.is_some_and(is_mended) || self.is_idr_due {
            return false;
        }
        match loss.first.and_then(|first| self.unit(first)) {
            Some(unit) => self.want_recovery(first, unit),
            None => self.want_idr(),
        }
    }

    /// The client wants another bitrate. Whether the control changed.
    pub fn handle_bitrate(&mut self, bps: u32) -> bool {
        let changed = self.control.bitrate_bps != bps;
        self.control.bitrate_bps = bps;
        changed
    }

    /// The AccessUnit that became a frame, if it is of this link.
    fn unit(&self, frame: u64) -> Option<u64> {
        let run = self.run.filter(|run| (run.first..self.next_frame).contains(&frame))?;
        Some(frame.wrapping_add(run.ahead))
    }

    fn want_recovery(&mut self, first: u64, unit: u64) -> bool {
        if self.due_from.is_some_and(|due| due <= first) {
            return false;
        }
        self.due_from = Some(first);
        self.control.losses = self.control.losses.wrapping_add(1);
        self.control.lost_from = unit;
        true
    }

    fn want_idr(&mut self) -> bool {
        if self.is_idr_due {
            return false;
        }
        self.is_idr_due = true;
        self.control.idr_wanted = self.control.idr_wanted.wrapping_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UnitKind::{Delta, Idr, Recovered, Repeat};

    fn unit(number: u64, kind: UnitKind) -> AccessUnit {
        AccessUnit { number, kind, offset: 0, len: 0, frame: 0, timeline: Default::default() }
    }

    /// A link over which units of these kinds come, numbered from `first` on.
    fn take(sequence: &mut Sequence, first: u64, kinds: &[UnitKind]) -> Vec<Option<u64>> {
        (first..).zip(kinds).map(|(number, kind)| sequence.take(&unit(number, *kind))).collect()
    }

    const fn until(last: u64) -> Loss {
        Loss { first: None, last }
    }

    const fn within(first: u64, last: u64) -> Loss {
        Loss { first: Some(first), last }
    }

    /// Sabotage: start at 0 with each link.
    #[test]
    fn numbers_go_on_over_links() {
        let mut sequence = Sequence::starting_at(0, 1);
        assert_eq!(take(&mut sequence, 1, &[Idr, Delta, Repeat]), [Some(0), Some(1), Some(2)]);
        sequence.start_link();
        assert_eq!(take(&mut sequence, 1, &[Idr, Delta]), [Some(3), Some(4)]);
    }

    /// Sabotage: forget in `start_link` that the new link has shown no IDR yet.
    #[test]
    fn each_link_must_start_with_an_idr() {
        let mut sequence = Sequence::starting_at(0, 1);
        assert_eq!(take(&mut sequence, 1, &[Idr]), [Some(0)]);
        sequence.start_link();
        assert_eq!(take(&mut sequence, 2, &[Delta]), [None]);
        assert_eq!(sequence.control().idr_wanted, 1);
        assert_eq!(take(&mut sequence, 3, &[Idr]), [Some(1)]);
    }

    /// Sabotage: number a Delta that comes first.
    #[test]
    fn a_link_that_starts_without_an_idr_is_asked_for_one_once() {
        let mut sequence = Sequence::starting_at(0, 1);
        assert_eq!(take(&mut sequence, 1, &[Delta, Repeat, Recovered]), [None, None, None]);
        assert_eq!(sequence.control().idr_wanted, 1);
        assert_eq!(take(&mut sequence, 4, &[Idr]), [Some(0)]);
    }

    /// Sabotage: ask for an IDR on each request.
    #[test]
    fn a_loss_that_an_idr_mended_or_will_mend_asks_for_none() {
        let mut sequence = Sequence::starting_at(0, 1);
        take(&mut sequence, 1, &[Idr, Delta, Delta]);
        assert!(sequence.handle_loss(until(1)));
        assert!(!sequence.handle_loss(until(2)), "one is on its way");
        assert_eq!(take(&mut sequence, 4, &[Idr]), [Some(3)]);
        assert!(!sequence.handle_loss(until(2)), "frame 3 mended it");
        assert!(sequence.handle_loss(until(3)), "the IDR itself was lost");
        assert_eq!(sequence.control().idr_wanted, 2);
    }

    /// Sabotage: name the frame instead of its unit, ask again for each growing report, or take a recovery for one of an earlier loss.
    #[test]
    fn a_loss_within_a_link_asks_for_a_recovery_once() {
        let mut sequence = Sequence::starting_at(100, 1);
        take(&mut sequence, 1, &[Idr, Delta, Delta, Delta]);
        assert!(sequence.handle_loss(within(102, 102)));
        let Control { idr_wanted, losses, lost_from, .. } = sequence.control();
        assert_eq!((idr_wanted, losses, lost_from), (0, 1, 3));
        assert!(!sequence.handle_loss(within(102, 103)), "it waits, and says so again");
        assert_eq!(take(&mut sequence, 5, &[Delta, Recovered, Delta]), [Some(104), Some(105), Some(106)]);
        assert!(!sequence.handle_loss(within(102, 104)), "frame 105 refers to none of them");
        assert!(sequence.handle_loss(within(101, 101)), "frame 105 may refer to it");
        assert!(!sequence.handle_loss(within(105, 106)), "what comes refers to nothing from 101 on");
        assert_eq!((sequence.control().losses, sequence.control().lost_from), (2, 2));
        assert_eq!(take(&mut sequence, 8, &[Recovered]), [Some(107)]);
        assert!(sequence.handle_loss(within(107, 107)), "it was lost itself");
        assert!(sequence.handle_loss(until(107)), "the client wants an IDR");
        assert!(!sequence.handle_loss(within(107, 107)), "which is on its way");
    }

    /// Sabotage: keep the run over a new link.
    #[test]
    fn what_another_incarnation_encoded_costs_an_idr() {
        let mut sequence = Sequence::starting_at(0, 1);
        take(&mut sequence, 1, &[Idr, Delta]);
        sequence.start_link();
        take(&mut sequence, 2, &[Idr, Delta]);
        assert!(!sequence.handle_loss(within(1, 1)), "frame 2 is an IDR");
        assert!(sequence.handle_loss(within(1, 3)));
        assert_eq!((sequence.control().idr_wanted, sequence.control().losses), (1, 0));
        take(&mut sequence, 4, &[Idr]);
        assert!(sequence.handle_loss(within(9, 9)), "of a frame that was never sent nobody knows the unit");
        assert_eq!(sequence.control().losses, 0);
    }

    #[test]
    fn only_a_change_of_bitrate_is_said() {
        let mut sequence = Sequence::starting_at(0, 5);
        assert!(!sequence.handle_bitrate(5));
        assert!(sequence.handle_bitrate(6));
        assert_eq!(sequence.control().bitrate_bps, 6);
    }
}

//! The client's frame numbers, and what encoded is asked for. Sans-IO.
//!
//! Frame numbers are transportd's own and rise by one over all links and incarnations of encoded, so that a restart of
//! encoded is a picture that comes late and nothing else to the client.

use lumen_ipc::encode::{Control, UnitKind};

/// Maps AccessUnits to frames and knows when an IDR is due.
#[derive(Debug)]
pub struct Sequence {
    next_frame: u64,
    newest_idr: Option<u64>,
    /// No IDR came yet over this link: a Delta would refer to pictures that the client does not have.
    is_headless: bool,
    /// Asked for and not yet come.
    is_idr_due: bool,
    control: Control,
}

impl Sequence {
    /// Starts with frame `next_frame`: 0 in a new session.
    pub fn starting_at(next_frame: u64, bitrate_bps: u32) -> Self {
        Self {
            next_frame,
            newest_idr: None,
            is_headless: true,
            is_idr_due: false,
            control: Control { bitrate_bps, idr_wanted: 0 },
        }
    }

    /// What encoded is to know, whole; sent on every new link and after each change.
    pub fn control(&self) -> Control {
        self.control
    }

    /// A new link starts: its first picture must be an IDR.
    pub fn start_link(&mut self) {
        self.is_headless = true;
        self.is_idr_due = false;
    }

    /// The frame number of the next AccessUnit; `None` if no client could decode it, and then an IDR is asked for by
    /// the control that this changes.
    pub fn take(&mut self, kind: UnitKind) -> Option<u64> {
        match kind {
            UnitKind::Idr => {
                self.newest_idr = Some(self.next_frame);
                (self.is_headless, self.is_idr_due) = (false, false);
            }
            UnitKind::Delta | UnitKind::Repeat if self.is_headless => {
                self.want_idr();
                return None;
            }
            UnitKind::Delta | UnitKind::Repeat => {}
        }
        let frame = self.next_frame;
        self.next_frame += 1;
        Some(frame)
    }

    /// The client lost frames up to `after_frame`. Whether the control changed: not if an IDR after that one was sent
    /// or is on its way.
    pub fn handle_loss(&mut self, after_frame: u64) -> bool {
        let is_mended = self.newest_idr.is_some_and(|idr| idr > after_frame);
        !is_mended && self.want_idr()
    }

    /// The client wants another bitrate. Whether the control changed.
    pub fn handle_bitrate(&mut self, bps: u32) -> bool {
        let changed = self.control.bitrate_bps != bps;
        self.control.bitrate_bps = bps;
        changed
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
    use UnitKind::{Delta, Idr, Repeat};

    /// Sabotage: start at 0 with each link.
    #[test]
    fn numbers_go_on_over_links() {
        let mut sequence = Sequence::starting_at(0, 1);
        let take =
            |s: &mut Sequence, kinds: &[UnitKind]| kinds.iter().map(|k| s.take(*k)).collect::<Vec<_>>();
        assert_eq!(take(&mut sequence, &[Idr, Delta, Repeat]), [Some(0), Some(1), Some(2)]);
        sequence.start_link();
        assert_eq!(take(&mut sequence, &[Idr, Delta]), [Some(3), Some(4)]);
    }

    /// Sabotage: forget in `start_link` that the new link has shown no IDR yet.
    #[test]
    fn each_link_must_start_with_an_idr() {
        let mut sequence = Sequence::starting_at(0, 1);
        assert_eq!(sequence.take(Idr), Some(0));
        sequence.start_link();
        assert_eq!(sequence.take(Delta), None);
        assert_eq!(sequence.control().idr_wanted, 1);
        assert_eq!(sequence.take(Idr), Some(1));
    }

    /// Sabotage: number a Delta that comes first.
    #[test]
    fn a_link_that_starts_without_an_idr_is_asked_for_one_once() {
        let mut sequence = Sequence::starting_at(0, 1);
        assert_eq!((sequence.take(Delta), sequence.take(Repeat)), (None, None));
        assert_eq!(sequence.control().idr_wanted, 1);
        assert_eq!(sequence.take(Idr), Some(0));
    }

    /// Sabotage: ask for an IDR on each request.
    #[test]
    fn a_loss_that_an_idr_mended_or_will_mend_asks_for_none() {
        let mut sequence = Sequence::starting_at(0, 1);
        assert!([Idr, Delta, Delta].iter().all(|kind| sequence.take(*kind).is_some()));
        assert!(sequence.handle_loss(1));
        assert!(!sequence.handle_loss(2), "one is on its way");
        assert_eq!(sequence.take(Idr), Some(3));
        assert!(!sequence.handle_loss(2), "frame 3 mended it");
        assert!(sequence.handle_loss(3), "the IDR itself was lost");
        assert_eq!(sequence.control().idr_wanted, 2);
    }

    #[test]
    fn only_a_change_of_bitrate_is_said() {
        let mut sequence = Sequence::starting_at(0, 5);
        assert!(!sequence.handle_bitrate(5));
        assert!(sequence.handle_bitrate(6));
        assert_eq!(sequence.control().bitrate_bps, 6);
    }
}

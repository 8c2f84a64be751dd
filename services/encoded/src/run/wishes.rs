//! What the reader wants of the coder.

use super::{Bench, MIN_BITRATE_BPS};

impl Bench {
    /// The coder goes on for another reader.
    pub(super) fn clear_coder(&mut self) {
        let Some(coder) = &mut self.coder else { return };
        coder.ring().clear();
        if let Err(error) = coder.keep_references(&*self.common.factory, self.keeps) {
            self.fail(&error.into());
        }
    }

    pub(super) fn lose(&mut self, first: u64) {
        if let Some(coder) = &mut self.coder
            && let Err(error) = coder.lose(first)
        {
            self.fail(&error.into());
        }
    }

    pub(super) fn set_bitrate(&mut self, bitrate_bps: u32) {
        self.bitrate_bps = bitrate_bps.min(self.common.max_bitrate_bps).max(MIN_BITRATE_BPS);
        if let Some(coder) = &mut self.coder {
            coder.set_bitrate(self.bitrate_bps);
        }
    }
}

//! The pointer as PipeWire's metadata tells it, from one buffer to the next.

use super::meta::{self, Look};
use crate::backends::{Bitmap, SourceError, Spot};
use lumen_stage::memory::sealed;
use rustix::io::pwrite;

/// What the metadata said so far.
///
/// Seen with Mutter 48: a stream that begins while the pointer is somewhere hears where, but what it looks like only when
/// that changes. So a pointer without a look is told; whoever knows a look from before (`pointer.rs`) draws it.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    spot: Option<Spot>,
    invisible: bool,
    /// The bitmap told last: size, hotspot and pixels, to tell a new one from the same one written again.
    told: Option<(u32, u32, Spot)>,
    pixels: Vec<u8>,
    scratch: Vec<u8>,
    /// Bitmaps that could not be read.
    pub unreadable: u64,
}

impl Cursor {
    /// Takes in a buffer's metadata; a bitmap if there is a new one.
    ///
    /// # Errors
    /// The kernel gives no memory for the bitmap.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Option<Bitmap>, SourceError> {
        let Some(said) = meta::cursor(bytes) else { return Ok(None) };
        self.spot = said.spot;
        match said.look {
            Look::Same => {}
            Look::Invisible => return self.vanish(),
            Look::Unreadable => {
                self.invisible = true;
                self.unreadable += 1;
            }
            Look::New(pixels) => {
                self.invisible = false;
                pixels.write(&mut self.scratch);
                let look = (pixels.width, pixels.height, pixels.hotspot);
                if self.told != Some(look) || self.pixels != self.scratch {
                    self.told = Some(look);
                    std::mem::swap(&mut self.pixels, &mut self.scratch);
                    return self.bitmap(look).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Where the pointer is to be drawn; `None` where it is not.
    pub fn spot(&self) -> Option<Spot> {
        self.spot.filter(|_| !self.invisible)
    }

    /// It looks like nothing from now on, which is told as a transparent bitmap once: whoever keeps looks keeps that too.
    fn vanish(&mut self) -> Result<Option<Bitmap>, SourceError> {
        if std::mem::replace(&mut self.invisible, true) {
            return Ok(None);
        }
        let look = (1, 1, Spot { x: 0, y: 0 });
        self.told = Some(look);
        self.pixels.clear();
        self.pixels.resize(4, 0);
        self.bitmap(look).map(Some)
    }

    fn bitmap(&self, (width, height, hotspot): (u32, u32, Spot)) -> Result<Bitmap, SourceError> {
        let memory = |error: lumen_stage::memory::MemoryError| SourceError::Memory(error.to_string());
        let memfd = sealed("lumen-pointer", self.pixels.len() as u64).map_err(memory)?;
        let system = |errno| SourceError::System { what: "writing a pointer", errno };
        let mut written = 0;
        while let Some(rest) = self.pixels.get(written..).filter(|rest| !rest.is_empty()) {
            written += pwrite(&memfd, rest, written as u64).map_err(system)?;
        }
        Ok(Bitmap { width, height, hotspot, pixels: memfd })
    }
}

//! From a buffer that came to what the brain is told of it.

use super::{PipeWire, copying::span, format::Format, memory::BufferRef, meta, stock::Handing};
use crate::{
    backends::{Event, Source, SourceError},
    newest::Picture,
};
use lumen_ipc::{Damage, pool::Layout};
use lumen_stage::clock::now_ns;
use pipewire::spa::sys;

impl PipeWire {
    /// Takes a buffer that came, and looks at it unless its picture is yet to be drawn.
    ///
    /// # Errors
    /// The source is at its end.
    pub(super) fn take(&mut self, buffer: BufferRef) -> Result<(), SourceError> {
        self.progress.heard();
        match self.stock.came(buffer).is_some() && self.may_look(buffer)? {
            true => self.look(buffer),
            false => Ok(()),
        }
    }

    /// Gives a buffer back that nobody looked at.
    pub(super) fn unlooked(&mut self, buffer: BufferRef) {
        if let Some(index) = self.stock.index(buffer) {
            self.give_back(index);
        }
    }

    /// Makes events of a buffer that may be looked at.
    ///
    /// # Errors
    /// The source is at its end.
    pub(super) fn look(&mut self, buffer: BufferRef) -> Result<(), SourceError> {
        let dequeued_ns = now_ns();
        let Some(index) = self.stock.index(buffer) else { return Ok(()) };
        let before = self.cursor.spot();
        let bitmap = self.cursor.hear(buffer.meta(sys::SPA_META_Cursor))?;
        self.counts.bitmaps_unreadable = self.cursor.unreadable;
        let redrawn = bitmap.is_some();
        self.events.extend(bitmap.map(Event::Bitmap));
        let Some((format, layout)) = self.usable(buffer)? else {
            self.give_back(index);
            if redrawn || self.cursor.spot() != before {
                self.events.push_back(Event::Pointer { spot: self.cursor.spot(), dequeued_ns });
            }
            return Ok(());
        };
        self.progress.begins_anew();
        if let Some(shown) = meta::shown_ns(buffer.meta(sys::SPA_META_Header)) {
            self.counts.age_us = dequeued_ns.saturating_sub(shown) / 1000;
        }
        let damage = self.damage(buffer, &layout);
        let offset = buffer.chunk().map_or(0, |chunk| chunk.offset);
        match self.stock.settle(offset, layout, format.modifier) {
            Ok(event) => self.events.extend(event),
            // Dmabufs that cannot be used are given up; shared memory comes instead.
            Err(_) if !self.wish.modifiers.is_empty() => {
                self.give_back(index);
                return self.refuse_memory();
            }
            Err(error) => return Err(error),
        }
        match self.stock.handing() {
            Some(Handing::Copied(_)) => self.copy(index, damage, dequeued_ns)?,
            _ => self.filled(index as u32, damage, dequeued_ns),
        }
        Ok(())
    }

    /// What changed since the picture before; all, where the producer does not say it or one was missed.
    fn damage(&mut self, buffer: BufferRef, layout: &Layout) -> Damage {
        let missed = std::mem::take(&mut self.missed);
        let regions = buffer.meta(sys::SPA_META_VideoDamage);
        let said = meta::damage(&mut self.origin, regions, layout.width, layout.height);
        said.filter(|_| !missed).unwrap_or_else(|| Damage::full(layout.width, layout.height))
    }

    /// The layout of the picture in `buffer`; `None` if there is none.
    fn usable(&mut self, buffer: BufferRef) -> Result<Option<(Format, Layout)>, SourceError> {
        let (Some(format), Some(chunk)) = (self.format, buffer.chunk()) else { return Ok(None) };
        let header = buffer.meta(sys::SPA_META_Header);
        if chunk.corrupted || meta::corrupted(header) {
            match chunk.size {
                0 => self.counts.pointer_only += 1,
                _ => {
                    self.counts.corrupted += 1;
                    self.missed = true;
                }
            }
            return Ok(None);
        }
        if let [transform @ 1..=7, ..] = buffer.meta(sys::SPA_META_VideoTransform) {
            let name = format!("PipeWire node {}", self.node);
            return Err(SourceError::Rotated { name, transform: u32::from(*transform) });
        }
        let stride =
            u32::try_from(chunk.stride).ok().filter(|&stride| stride > 0).unwrap_or(format.width * 4);
        let layout = Layout { width: format.width, height: format.height, stride, format: format.pixel };
        layout.bytes()?;
        let need = span(&layout);
        let size = if chunk.size == 0 { need } else { u64::from(chunk.size) };
        let room = u64::from(buffer.room()).saturating_sub(u64::from(chunk.offset));
        if size.min(room) < need {
            self.counts.short += 1;
            self.missed = true;
            self.progress.unusable(need, size.min(room))?;
            return Ok(None);
        }
        Ok(Some((format, layout)))
    }

    fn filled(&mut self, buffer: u32, damage: Damage, dequeued_ns: u64) {
        let picture = Picture { damage, dequeued_ns, spot: self.cursor.spot() };
        self.events.push_back(Event::Filled { buffer, picture, upside_down: false });
    }

    /// Copies the picture in PipeWire's buffer `index` as soon as there is a buffer of ours; a newer one replaces it.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn copy(
        &mut self,
        index: usize,
        mut damage: Damage,
        dequeued_ns: u64,
    ) -> Result<(), SourceError> {
        if let Some((older, lacking)) = self.uncopied.take() {
            damage.unite(&lacking);
            self.counts.uncopied += u64::from(older != index);
            if older != index {
                self.give_back(older);
            }
        }
        let (Some(buffer), Some((layout, before))) = (self.stock.get(index), self.stock.layout()) else {
            return Ok(());
        };
        let offset = u64::from(buffer.offset()) + u64::from(before);
        match self.copier.copy((index, buffer), offset, &layout, &damage)? {
            Some(ours) => {
                self.counts.copied += 1;
                self.counts.copied_bytes = self.copier.bytes;
                self.give_back(index);
                self.filled(ours, damage, dequeued_ns);
            }
            None => self.uncopied = Some((index, damage)),
        }
        Ok(())
    }
}

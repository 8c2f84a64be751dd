//! Bytes as steps of a story.

use std::time::Duration;

/// What is left of an input. Reading past its end gives zeroes, so that every input is a script.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// From the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What the next step is; `None` when the story is over.
    pub fn step(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        self.step().unwrap_or(0)
    }

    /// Two bytes, the lower first.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// Four bytes, the lowest first.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// Eight bytes, the lowest first.
    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// One bit of a byte.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// `count` bytes, or as many as there are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// As many bytes as a byte before them says.
    pub fn piece(&mut self) -> &'a [u8] {
        let count = self.u8();
        self.take(count.into())
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A span of time: mostly milliseconds, sometimes a minute, so that deadlines are met and missed.
    pub fn span(&mut self) -> Duration {
        match self.u8() {
            ms @ 0..128 => Duration::from_millis(ms.into()),
            more => Duration::from_millis((u64::from(more) - 127) * 500),
        }
    }
}

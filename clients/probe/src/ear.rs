//! Sound: what the connection's datagrams bring, into a file, and how much of it was lost.
//!
//! The file begins as a client's decoder is told: channels, streams, coupled streams and their mapping, a byte each; then packets: time
//! u64 (CLOCK_MONOTONIC, ns), length u16, Opus. One of length 0 was lost.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use lumen_core::sound::Packet;
use serde::Serialize;

use crate::record::RecordError;

/// More packets than these in a row are no loss but another beginning.
const GAP: u32 = 2000;

/// Streams and coupled streams of so many channels. Source: docs/lumen1.md.
fn layout(channels: u8) -> (u8, u8) {
    match channels {
        6 => (4, 2),
        8 => (5, 3),
        _ => (1, 1),
    }
}

/// What was heard.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EarSummary {
    /// Packets that came in their turn.
    pub packets: u64,
    /// Numbers that were left out.
    pub lost: u64,
    /// Packets that came late or again, and were left out.
    pub late: u64,
}

/// Hears.
#[derive(Debug)]
pub struct Ear {
    file: File,
    path: PathBuf,
    next: Option<u32>,
    summary: EarSummary,
}

impl Ear {
    /// Into a new file.
    ///
    /// # Errors
    /// [`RecordError::File`].
    pub fn create(path: &Path, channels: u8) -> Result<Self, RecordError> {
        let failed = |source| RecordError::File { path: path.to_owned(), source };
        let mut file = File::create(path).map_err(failed)?;
        let (streams, coupled) = layout(channels);
        let mut head = vec![channels, streams, coupled];
        head.extend(0..channels);
        file.write_all(&head).map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), next: None, summary: EarSummary::default() })
    }

    /// Takes a datagram that came at `now_ns`.
    ///
    /// # Errors
    /// [`RecordError::File`].
    pub fn take(&mut self, datagram: &[u8], now_ns: u64) -> Result<(), RecordError> {
        let Some(packet) = Packet::parse(datagram) else { return Ok(()) };
        let skipped = packet.number.wrapping_sub(self.next.unwrap_or(packet.number));
        if skipped > u32::MAX / 2 {
            self.summary.late += 1;
            return Ok(());
        }
        if skipped < GAP {
            self.summary.lost += u64::from(skipped);
            (0..skipped).try_for_each(|_| self.write(&[], now_ns))?;
        }
        self.next = Some(packet.number.wrapping_add(1));
        self.summary.packets += 1;
        self.write(packet.opus, now_ns)
    }

    /// What was heard until now.
    pub fn summary(&self) -> EarSummary {
        self.summary
    }

    fn write(&mut self, opus: &[u8], now_ns: u64) -> Result<(), RecordError> {
        let len = u16::try_from(opus.len()).unwrap_or_default();
        let bytes = [&now_ns.to_le_bytes(), &len.to_le_bytes()[..], opus].concat();
        self.file.write_all(&bytes).map_err(|source| RecordError::File { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_core::Timestamp;

    /// Sabotage: write what comes again, or leave no place for what was lost.
    #[test]
    fn what_is_lost_has_its_place_and_what_comes_again_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("opus");
        let mut ear = Ear::create(&path, 2).unwrap();
        for number in [u32::MAX, 0, 0, 3, 2] {
            let packet = Packet { number, played: Timestamp::from_ns(1), opus: &[number as u8] };
            ear.take(&packet.to_bytes(), 7).unwrap();
        }
        ear.take(&[1], 7).unwrap();
        let EarSummary { packets, lost, late } = ear.summary();
        assert_eq!((packets, lost, late), (3, 2, 2));
        let entry = |len: u8| [7, 0, 0, 0, 0, 0, 0, 0, len, 0];
        let expected =
            [&[2, 1, 1, 0, 1][..], &entry(1), &[255], &entry(1), &[0], &entry(0), &entry(0), &entry(1), &[3]];
        assert_eq!(std::fs::read(&path).unwrap(), expected.concat());
    }
}

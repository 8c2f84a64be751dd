//! What a session's record has of its sound.

use lumen_core::SequenceCounter;
use lumen_stage::failpoint;
use serde::{Deserialize, Serialize};

use super::{
    Record, RecordError,
    slot::{read_slot, write_slot},
};
use crate::recover;

/// Number of the next packet.
const PACKETS: usize = 2128;
/// [`SoundTerms`], written once.
const TERMS: usize = 2136;

/// Channels that a lumen/1 client asked for; 0: none.
const CHANNELS: usize = 2184;
/// Not 0: it asked for a microphone.
const MICROPHONE: usize = 2192;

/// What a Moonlight client was told of its sound.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundTerms {
    /// What its pings to the audio port carry.
    pub token: [u8; 16],
    /// `rikeyid` of the launch or resume, of which IVs are made.
    pub key_id: i32,
}

impl std::fmt::Debug for SoundTerms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SoundTerms(..)")
    }
}

impl Record {
    /// To be called before the record is stored.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn set_sound(&self, terms: &SoundTerms) -> Result<(), RecordError> {
        Ok(write_slot(&mut self.lock(), TERMS, terms)?)
    }

    /// What the client was told of its sound; `None` if it gets none.
    pub fn sound(&self) -> Option<SoundTerms> {
        read_slot(&self.lock(), TERMS)
    }

    /// To be called before the record is stored.
    pub fn set_channels(&self, channels: u32) {
        self.set_number(CHANNELS, channels.into());
    }

    /// Channels that a lumen/1 client asked for; 0: none.
    pub fn channels(&self) -> u32 {
        u32::try_from(self.number(CHANNELS)).unwrap_or_default()
    }

    /// To be called before the record is stored.
    pub fn set_microphone(&self, is_asked: bool) {
        self.set_number(MICROPHONE, is_asked.into());
    }

    /// Whether a lumen/1 client asked for a microphone.
    pub fn has_microphone(&self) -> bool {
        self.number(MICROPHONE) != 0
    }

    /// Numbers for packets of sound.
    pub fn packet_numbers(&self) -> PacketNumbers<'_> {
        PacketNumbers(self)
    }
}

/// Each one is taken before it is used.
#[derive(Debug)]
pub struct PacketNumbers<'a>(&'a Record);

impl PacketNumbers<'_> {
    /// How many were taken.
    pub fn taken(&self) -> u64 {
        self.0.number(PACKETS)
    }
}

impl SequenceCounter for PacketNumbers<'_> {
    fn reserve(&mut self, count: u64) -> Option<u64> {
        let first = self.0.number(PACKETS);
        self.0.set_number(PACKETS, first.checked_add(count)?);
        failpoint::at(recover::SOUND_STORED);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{Road, tests::fixed},
        video::outlet::Destination,
    };

    /// Sabotage: keep one way for both, or begin anew at packet 0.
    #[test]
    fn the_next_incarnation_goes_on_with_the_sound() {
        let record = Record::make(&fixed(1), 5).unwrap();
        assert_eq!(record.sound(), None);
        let terms = SoundTerms { token: *b"0123456789abcdef", key_id: -7 };
        record.set_sound(&terms).unwrap();
        assert_eq!(record.packet_numbers().reserve(3), Some(0));
        assert_eq!(record.channels(), 0);
        record.set_channels(6);
        assert!(!record.has_microphone());
        record.set_microphone(true);
        let way = |port: u16| Destination {
            to: ([0xfe80, 0, 0, 0, 0xffff, 0xffff, 0xffff, 0xffff], port).into(),
            from: Some("fe80::1".parse().unwrap()),
        };
        record.set_way(Road::Video, way(1), 11);
        (1..4).for_each(|n| record.set_way(Road::Sound, way(n + 10), n.into()));
        let (next, _) = Record::adopt(record.duplicate().unwrap()).unwrap();
        assert_eq!(next.sound(), Some(terms));
        assert_eq!((next.packet_numbers().taken(), next.channels(), next.has_microphone()), (3, 6, true));
        assert_eq!(next.packet_numbers().reserve(1), Some(3));
        assert_eq!(next.way(Road::Video), Some((way(1), 11)));
        assert_eq!(next.way(Road::Sound), Some((way(13), 3)));
    }
}

//! What the host says.

use serde::{Deserialize, Serialize};

/// Why a session ends. Clients say it in their own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// It was ended, by the app or by a person.
    Graceful,
    /// Pictures could not be encoded.
    FrameConversion,
    /// The screen shows what may not be streamed.
    ProtectedContent,
}

impl Termination {
    fn code(self) -> u32 {
        match self {
            Self::Graceful => 0x8003_0023,
            Self::FrameConversion => 0x800e_9403,
            Self::ProtectedContent => 0x800e_9302,
        }
    }
}

/// A sensor of a Pad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensor {
    /// m/s².
    Accelerometer,
    /// Degrees a second.
    Gyroscope,
}

/// What an HDR picture means. Chromaticities are in 1/50,000, red, green, blue and white, x before y.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HdrMetadata {
    /// Red, green, blue.
    pub primaries: [(u16, u16); 3],
    /// White.
    pub white: (u16, u16),
    /// Of the mastering display, in cd/m².
    pub max_display: u16,
    /// Of the mastering display, in 1/10,000 cd/m².
    pub min_display: u16,
    /// Brightest pixel, in cd/m².
    pub max_content: u16,
    /// Brightest average of a frame, in cd/m².
    pub max_frame_average: u16,
    /// What the display can show on its whole face, in cd/m².
    pub max_full_frame: u16,
}

/// The resistance of a Pad's triggers, as its maker codes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdaptiveTriggers {
    /// Effect and parameters of the left one, if it changes.
    pub left: Option<(u8, [u8; 10])>,
    /// Of the right one.
    pub right: Option<(u8, [u8; 10])>,
}

/// A message of the host. `pad` is the number that the client gave its Pad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Shake a Pad.
    Rumble {
        /// Which.
        pad: u16,
        /// Strength of the slow motor.
        low: u16,
        /// Strength of the fast motor.
        high: u16,
    },
    /// Shake a Pad's triggers.
    RumbleTriggers {
        /// Which.
        pad: u16,
        /// Strength of the left one.
        left: u16,
        /// Strength of the right one.
        right: u16,
    },
    /// Send a Pad's motion.
    ReportMotion {
        /// Which.
        pad: u16,
        /// Samples a second; 0 stops.
        rate_hz: u16,
        /// Of what.
        sensor: Sensor,
    },
    /// The light of a Pad.
    Light {
        /// Which.
        pad: u16,
        /// Red, green, blue.
        rgb: [u8; 3],
    },
    /// The triggers of a Pad.
    Triggers {
        /// Which.
        pad: u16,
        /// How.
        triggers: AdaptiveTriggers,
    },
    /// Pictures are HDR from now on, or no longer.
    Hdr {
        /// Whether.
        enabled: bool,
        /// What they mean.
        metadata: HdrMetadata,
    },
    /// The session ends.
    Terminate(Termination),
}

impl Outgoing {
    pub(super) fn kind(&self) -> u16 {
        match self {
            Self::Rumble { .. } => 0x010b,
            Self::RumbleTriggers { .. } => 0x5500,
            Self::ReportMotion { .. } => 0x5501,
            Self::Light { .. } => 0x5502,
            Self::Triggers { .. } => 0x5503,
            Self::Hdr { .. } => 0x010e,
            Self::Terminate(_) => 0x0109,
        }
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        match *self {
            Self::Rumble { pad, low, high } => [&[0; 4][..], &words(&[pad, low, high])].concat(),
            Self::RumbleTriggers { pad, left, right } => words(&[pad, left, right]),
            Self::ReportMotion { pad, rate_hz, sensor } => {
                let sensor = match sensor {
                    Sensor::Accelerometer => 1,
                    Sensor::Gyroscope => 2,
                };
                [words(&[pad, rate_hz]), vec![sensor]].concat()
            }
            Self::Light { pad, rgb } => [words(&[pad]), rgb.to_vec()].concat(),
            Self::Triggers { pad, triggers: AdaptiveTriggers { left, right } } => {
                let changed = u8::from(right.is_some()) * 0x04 + u8::from(left.is_some()) * 0x08;
                let ((left_kind, left), (right_kind, right)) =
                    (left.unwrap_or_default(), right.unwrap_or_default());
                [&words(&[pad])[..], &[changed, left_kind, right_kind], &left, &right].concat()
            }
            Self::Hdr { enabled, metadata } => [vec![u8::from(enabled)], metadata.bytes()].concat(),
            Self::Terminate(why) => why.code().to_be_bytes().to_vec(),
        }
    }
}

impl HdrMetadata {
    fn bytes(&self) -> Vec<u8> {
        let points = self.primaries.iter().chain([&self.white]).flat_map(|&(x, y)| [x, y]);
        let rest = [
            self.max_display,
            self.min_display,
            self.max_content,
            self.max_frame_average,
            self.max_full_frame,
        ];
        words(&points.chain(rest).collect::<Vec<_>>())
    }
}

/// Little-endian.
fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

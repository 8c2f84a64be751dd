//! Who speaks: the stage, its incarnation, and the session that is spoken of.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One service of the constellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Makes Outputs.
    Vdisplayd,
    /// Takes Frames.
    Captured,
    /// Makes AccessUnits.
    Encoded,
    /// Speaks to clients.
    Transportd,
    /// Makes input real.
    Inputd,
}

impl Stage {
    /// All stages, in the order of the pipeline.
    pub const ALL: [Self; 5] =
        [Self::Vdisplayd, Self::Captured, Self::Encoded, Self::Transportd, Self::Inputd];

    /// The service's name: its folder, its config file and the middle of its unit's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vdisplayd => "vdisplayd",
            Self::Captured => "captured",
            Self::Encoded => "encoded",
            Self::Transportd => "transportd",
            Self::Inputd => "inputd",
        }
    }

    /// Its well-known name on lumen's bus.
    pub const fn bus_name(self) -> &'static str {
        match self {
            Self::Vdisplayd => "org.lumen.Display1",
            Self::Captured => "org.lumen.Capture1",
            Self::Encoded => "org.lumen.Encode1",
            Self::Transportd => "org.lumen.Transport1",
            Self::Inputd => "org.lumen.Input1",
        }
    }

    /// The object that carries its interfaces.
    pub const fn object_path(self) -> &'static str {
        match self {
            Self::Vdisplayd => "/org/lumen/Display1",
            Self::Captured => "/org/lumen/Capture1",
            Self::Encoded => "/org/lumen/Encode1",
            Self::Transportd => "/org/lumen/Transport1",
            Self::Inputd => "/org/lumen/Input1",
        }
    }

    /// Its systemd user unit.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Vdisplayd => "lumen-vdisplayd.service",
            Self::Captured => "lumen-captured.service",
            Self::Encoded => "lumen-encoded.service",
            Self::Transportd => "lumen-transportd.service",
            Self::Inputd => "lumen-inputd.service",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One incarnation of a stage: CLOCK_MONOTONIC nanoseconds at its start, so a later one is always larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A running stream: 16 random bytes, written as 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

/// Why a text is not a session id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a session id: need 32 lower-case hex digits, got {got} characters; `lumenctl status` lists the running sessions"
)]
pub struct SessionIdError {
    /// Length of the offending text in characters.
    pub got: usize,
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = SessionIdError { got: text.chars().count() };
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(error);
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| error)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_id_is_read_as_it_is_written() {
        let id = SessionId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
    }

    #[test]
    fn other_texts_are_no_session_ids() {
        for text in ["", "x", "0123", "+0000000000000000000000000000000", "ABCDEF00112233445566778899aabbcc"]
        {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }
}

//! What a host says of a client's microphone.

/// Whether the host takes the client's microphone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Microphone {
    /// The client asked for none, or the host knows none.
    #[default]
    None,
    /// It does.
    Taken,
    /// The host's administrator has not allowed it.
    NotAllowed,
    /// The client asked for no sound, with which a microphone comes.
    NoSound,
    /// A later version's answer: it does not.
    Unknown(u8),
}

impl Microphone {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Taken => 1,
            Self::NotAllowed => 2,
            Self::NoSound => 3,
            Self::Unknown(code) => code,
        }
    }

    pub(super) fn from_code(code: u8) -> Self {
        match code {
            0 => Self::None,
            1 => Self::Taken,
            2 => Self::NotAllowed,
            3 => Self::NoSound,
            code => Self::Unknown(code),
        }
    }
}

impl std::fmt::Display for Microphone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "not asked for, or the host is too old to take one",
            Self::Taken => "taken",
            Self::NotAllowed => {
                "not taken: the host's administrator has not set microphone = true in transportd.toml"
            }
            Self::NoSound => "not taken: it comes with sound, which was not asked for",
            Self::Unknown(_) => "not taken, for a reason that this client is too old to know",
        })
    }
}

//! What `/launch` and `/resume` ask for.

use super::request::{Query, QueryError};
use crate::hex;
use crate::keys::SessionKey;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A picture's size and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Pictures a second, rounded; SDP says it exactly.
    pub fps: u32,
}

const MODE_TAKES: &str = "128 to 8192 pixels in each direction at 10 to 480 frames a second";

impl Mode {
    /// Whether this host takes it.
    pub(crate) fn is_in_range(self) -> bool {
        let side = 128..=8192;
        side.contains(&self.width) && side.contains(&self.height) && (10..=480).contains(&self.fps)
    }
}

/// The loudspeakers of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Surround {
    /// Two.
    Stereo,
    /// Six, 5.1.
    FiveOne,
    /// Eight, 7.1.
    SevenOne,
}

impl Surround {
    /// How many channels it has.
    pub fn channels(self) -> u8 {
        match self {
            Self::Stereo => 2,
            Self::FiveOne => 6,
            Self::SevenOne => 8,
        }
    }

    /// By the number of channels.
    pub fn of_channels(count: u32) -> Option<Self> {
        match count {
            2 => Some(Self::Stereo),
            6 => Some(Self::FiveOne),
            8 => Some(Self::SevenOne),
            _ => None,
        }
    }
}

/// What a resumed session is given anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeQuery {
    /// The session's key from now on.
    pub key: SessionKey,
    /// Seeds the nonces of audio.
    pub key_id: i32,
}

/// What a launch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchQuery {
    /// The app's number in `/applist`.
    pub app: i32,
    /// What the Output shall show.
    pub mode: Mode,
    /// Whether the picture shall be HDR.
    pub hdr: bool,
    /// Whether the host's own loudspeakers shall stay on.
    pub local_audio: bool,
    /// What sound is made for.
    pub surround: Surround,
    /// One bit for each Pad that is plugged in.
    pub pads: u32,
    /// The keys.
    pub resume: ResumeQuery,
}

impl ResumeQuery {
    /// Reads `/resume`.
    ///
    /// # Errors
    /// [`QueryError`], also for a client that would speak RTSP in the clear (`corever` below 1): whoever reached the port
    /// first could take its session.
    pub fn parse(query: &Query) -> Result<Self, QueryError> {
        let name = "rikey";
        let malformed = |_| QueryError::Malformed { name, must: "32 hexadecimal digits" };
        let key = SessionKey::from_bytes(hex::decode_array(query.need(name)?).map_err(malformed)?);
        let key_id = key_id(query)?;
        let (name, must) = ("corever", "1 or more, so that RTSP is sealed");
        match number(query, name, must, Some(0u32))? {
            0 => Err(QueryError::Malformed { name, must }),
            _ => Ok(Self { key, key_id }),
        }
    }
}

impl LaunchQuery {
    /// Reads `/launch`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn parse(query: &Query) -> Result<Self, QueryError> {
        Ok(Self {
            app: app_id(query)?,
            mode: mode(query)?,
            hdr: flag(query, "hdrMode", Some(false))?,
            local_audio: flag(query, "localAudioPlayMode", None)?,
            surround: surround(query)?,
            pads: number(query, "remoteControllersBitmap", "a number", Some(0))?,
            resume: ResumeQuery::parse(query)?,
        })
    }
}

/// The number of an app.
///
/// # Errors
/// [`QueryError`]; 0 is no app.
pub(super) fn app_id(query: &Query) -> Result<i32, QueryError> {
    match number(query, "appid", "a number", None)? {
        0 => Err(QueryError::Malformed { name: "appid", must: "the number of an app in the list" }),
        id => Ok(id),
    }
}

/// Clients print the 32 bits as signed or as unsigned.
fn key_id(query: &Query) -> Result<i32, QueryError> {
    let id: i64 = number(query, "rikeyid", "a number of 32 bits", None)?;
    i32::try_from(id)
        .or_else(|_| u32::try_from(id).map(|id| id as i32))
        .map_err(|_| QueryError::Malformed { name: "rikeyid", must: "a number of 32 bits" })
}

fn mode(query: &Query) -> Result<Mode, QueryError> {
    let name = "mode";
    let text = query.need(name)?;
    let malformed = QueryError::Malformed { name, must: "width, height and rate, like 1920x1080x60" };
    let numbers: Option<Vec<u32>> = text.split('x').map(|number| number.parse().ok()).collect();
    let Some([width, height, fps]) = numbers.as_deref() else {
        return Err(malformed);
    };
    let mode = Mode { width: *width, height: *height, fps: *fps };
    if mode.is_in_range() {
        Ok(mode)
    } else {
        Err(QueryError::OutOfRange { name, got: format!("{width}x{height}x{fps}"), takes: MODE_TAKES })
    }
}

/// Channel mask in the upper half, number of channels in the lower.
fn surround(query: &Query) -> Result<Surround, QueryError> {
    let name = "surroundAudioInfo";
    let info: u32 = number(query, name, "a number", Some(0x3_0002))?;
    let refused = || QueryError::OutOfRange {
        name,
        got: format!("{} channels", info & 0xffff),
        takes: "2, 6 or 8 channels",
    };
    Surround::of_channels(info & 0xffff).ok_or_else(refused)
}

fn flag(query: &Query, name: &'static str, default: Option<bool>) -> Result<bool, QueryError> {
    Ok(number(query, name, "0 or 1", default.map(u32::from))? != 0)
}

fn number<N: FromStr>(
    query: &Query,
    name: &'static str,
    must: &'static str,
    default: Option<N>,
) -> Result<N, QueryError> {
    match (query.get(name)?, default) {
        (Some(text), _) => text.parse().map_err(|_| QueryError::Malformed { name, must }),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(QueryError::Missing { name }),
    }
}

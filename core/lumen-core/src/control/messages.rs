//! The messages and their fields, in the order in which they are written.

use super::fields::{Reader, Writer};
use super::input::Input;
use super::microphone::Microphone;
use super::news::{ModeChanged, Notice};
use super::pointer::{PointerMoved, PointerRows};
use super::{MalformedMessage, PROTOCOL_VERSION};
use crate::time::Timestamp;
use crate::wire::ChannelId;

/// Bytes of a name or an app's name.
pub const MAX_NAME_LEN: u16 = 256;
/// Bytes of a text for people.
pub const MAX_TEXT_LEN: u16 = 2048;
/// Codecs in a launch.
pub const MAX_CODECS: u8 = 16;

/// A session's random id, chosen by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a picture measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Thousandths of a hertz: 59.94 Hz is 59,940.
    pub refresh_mhz: u32,
}

/// How pictures are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// H.264, Annex B.
    H264 = 1,
    /// H.265, Annex B.
    Hevc = 2,
    /// AV1, low-overhead OBUs.
    Av1 = 3,
}

impl Codec {
    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::H264, Self::Hevc, Self::Av1].into_iter().find(|codec| *codec as u8 == code)
    }
}

/// The first message of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the sender; both speak the lower one.
    pub version: u16,
    /// What people call the sender. Never trusted.
    pub name: String,
}

impl Hello {
    /// This version's.
    pub fn new(name: impl Into<String>) -> Self {
        Self { version: PROTOCOL_VERSION, name: name.into() }
    }
}

/// The client wants a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The picture it can show.
    pub mode: Mode,
    /// Bits per second of video.
    pub bitrate_bps: u32,
    /// Parity per 100 data shards.
    pub parity_percent: u16,
    /// UDP payload bytes of a datagram that its path takes.
    pub datagram_len: u16,
    /// The app to run, by the host's name for it; `None` means the desktop or the host's default.
    pub app: Option<String>,
    /// What it can decode, the best first. Unknown ones are left out when read.
    pub codecs: Vec<Codec>,
    /// It draws the pointer itself: the pictures are to be without it, where the host can tell it apart.
    pub is_pointer_separate: bool,
    /// Channels of the sound that it wants: 2, 6 or 8; 0: none.
    pub channels: u8,
    /// It has a microphone for the host's programs.
    pub has_microphone: bool,
}

/// The host streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The session, for `Resume` and as the exporter's context.
    pub session: SessionId,
    /// Its video channel.
    pub channel: ChannelId,
    /// Where the client sends its hello datagrams: this UDP port of the address it dialled.
    pub video_port: u16,
    /// What the host will send.
    pub mode: Mode,
    /// How it is compressed.
    pub codec: Codec,
    /// Number of the first frame.
    pub next_frame: u64,
    /// Whether the client's microphone is taken.
    pub microphone: Microphone,
}

/// Why the host does not stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// The client speaks no version that the host does.
    Version,
    /// The mode cannot be.
    Mode,
    /// No codec in common.
    Codec,
    /// The app does not exist or did not start.
    App,
    /// Too many sessions.
    Busy,
    /// A stage is missing or failed.
    Backend,
    /// No such session, or not this client's.
    Session,
    /// A later version's class.
    Unknown(u16),
}

impl RefusalClass {
    const CODES: [(Self, u16); 7] = [
        (Self::Version, 1),
        (Self::Mode, 2),
        (Self::Codec, 3),
        (Self::App, 4),
        (Self::Busy, 5),
        (Self::Backend, 6),
        (Self::Session, 7),
    ];

    fn code(self) -> u16 {
        match self {
            Self::Unknown(code) => code,
            known => Self::CODES.iter().find(|(class, _)| *class == known).map_or(0, |(_, code)| *code),
        }
    }

    fn from_code(code: u16) -> Self {
        Self::CODES.iter().find(|(_, known)| *known == code).map_or(Self::Unknown(code), |(class, _)| *class)
    }
}

/// The host does not stream, and says why to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For programs.
    pub class: RefusalClass,
    /// What happened and why.
    pub text: String,
    /// What to do next.
    pub advice: String,
}

/// What a client received since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames whole.
    pub frames: u64,
    /// Frames lost.
    pub lost_frames: u64,
    /// Frames recovered by parity.
    pub recovered_frames: u64,
    /// Datagrams opened.
    pub datagrams: u64,
    /// Datagrams that nobody sealed.
    pub forged: u64,
    /// The least round trip, in µs; 0 if unknown.
    pub rtt_us: u32,
}

/// Why a side ends the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// For a person; may be empty.
    pub reason: String,
}

/// All that is said on the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Both, first.
    Hello(Hello),
    /// Client.
    Launch(Launch),
    /// Client, instead of `Launch`: goes on with a session whose connection was lost.
    Resume(SessionId),
    /// Host, to `Launch` and `Resume`.
    Launched(Launched),
    /// Host, to `Launch` and `Resume`; then it closes.
    Refused(Refused),
    /// Client: needs an IDR with a number above this. State: the host ignores it if it sent such a one.
    RequestIdr {
        /// The newest lost frame.
        after_frame: u64,
    },
    /// Client. State.
    SetBitrate {
        /// Bits per second of video.
        bps: u32,
    },
    /// Either.
    Ping {
        /// When it left, on the sender's clock.
        sent: Timestamp,
    },
    /// The answer to `Ping`.
    Pong {
        /// Of the ping.
        sent: Timestamp,
        /// When the ping came, on the answerer's clock.
        received: Timestamp,
        /// When the pong left, on the answerer's clock.
        answered: Timestamp,
    },
    /// Client. State.
    Stats(Stats),
    /// Client.
    Input(Input),
    /// Client: the session is to end, and everything that was made for it.
    Stop,
    /// Either, last.
    Bye(Bye),
    /// Client: wants another mode. State; answered by `ModeChanged`, or by a `Notice` that says why not.
    SetMode(Mode),
    /// Host. State.
    Notice(Notice),
    /// Host. State.
    ModeChanged(ModeChanged),
    /// Host, only to a client that draws the pointer itself. State.
    PointerRows(PointerRows),
    /// Host, likewise, after the shape that it names. Sample: the newest is where the pointer is.
    PointerMoved(PointerMoved),
}

impl Message {
    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Launch(_) => "Launch",
            Self::Resume(_) => "Resume",
            Self::Launched(_) => "Launched",
            Self::Refused(_) => "Refused",
            Self::RequestIdr { .. } => "RequestIdr",
            Self::SetBitrate { .. } => "SetBitrate",
            Self::Ping { .. } => "Ping",
            Self::Pong { .. } => "Pong",
            Self::Stats(_) => "Stats",
            Self::Input(_) => "Input",
            Self::Stop => "Stop",
            Self::Bye(_) => "Bye",
            Self::SetMode(_) => "SetMode",
            Self::Notice(_) => "Notice",
            Self::ModeChanged(_) => "ModeChanged",
            Self::PointerRows(_) => "PointerRows",
            Self::PointerMoved(_) => "PointerMoved",
        }
    }

    pub(super) fn kind(&self) -> u16 {
        match self {
            Self::Hello(_) => 1,
            Self::Launch(_) => 2,
            Self::Resume(_) => 3,
            Self::Launched(_) => 4,
            Self::Refused(_) => 5,
            Self::RequestIdr { .. } => 6,
            Self::SetBitrate { .. } => 7,
            Self::Ping { .. } => 8,
            Self::Pong { .. } => 9,
            Self::Stats(_) => 10,
            Self::Input(_) => 11,
            Self::Stop => 12,
            Self::Bye(_) => 13,
            Self::SetMode(_) => 14,
            Self::Notice(_) => 15,
            Self::ModeChanged(_) => 16,
            Self::PointerRows(_) => 17,
            Self::PointerMoved(_) => 18,
        }
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Hello(hello) => {
                to.u16(hello.version).text(&hello.name, MAX_NAME_LEN);
            }
            Self::Launch(launch) => launch.write(to),
            Self::Resume(session) => {
                to.bytes(&session.0);
            }
            Self::Launched(launched) => launched.write(to),
            Self::Refused(refused) => {
                to.u16(refused.class.code())
                    .text(&refused.text, MAX_TEXT_LEN)
                    .text(&refused.advice, MAX_TEXT_LEN);
            }
            Self::RequestIdr { after_frame } => {
                to.u64(*after_frame);
            }
            Self::SetBitrate { bps } => {
                to.u32(*bps);
            }
            Self::Ping { sent } => {
                to.u64(sent.as_ns());
            }
            Self::Pong { sent, received, answered } => {
                to.u64(sent.as_ns()).u64(received.as_ns()).u64(answered.as_ns());
            }
            Self::Stats(stats) => stats.write(to),
            Self::Input(input) => input.write(to),
            Self::Stop => {}
            Self::Bye(bye) => {
                to.text(&bye.reason, MAX_TEXT_LEN);
            }
            Self::SetMode(mode) => mode.write(to),
            Self::Notice(notice) => notice.write(to),
            Self::ModeChanged(changed) => changed.write(to),
            Self::PointerRows(rows) => rows.write(to),
            Self::PointerMoved(moved) => moved.write(to),
        }
    }

    /// `None` if the type is unknown.
    pub(super) fn read(kind: u16, from: &mut Reader<'_>) -> Result<Option<Self>, MalformedMessage> {
        Ok(Some(match kind {
            1 => Self::Hello(Hello { version: from.u16()?, name: from.text(MAX_NAME_LEN)? }),
            2 => Self::Launch(Launch::read(from)?),
            3 => Self::Resume(SessionId(from.array()?)),
            4 => Self::Launched(Launched::read(from)?),
            5 => Self::Refused(Refused {
                class: RefusalClass::from_code(from.u16()?),
                text: from.text(MAX_TEXT_LEN)?,
                advice: from.text(MAX_TEXT_LEN)?,
            }),
            6 => Self::RequestIdr { after_frame: from.u64()? },
            7 => Self::SetBitrate { bps: from.u32()? },
            8 => Self::Ping { sent: Timestamp::from_ns(from.u64()?) },
            9 => Self::Pong {
                sent: Timestamp::from_ns(from.u64()?),
                received: Timestamp::from_ns(from.u64()?),
                answered: Timestamp::from_ns(from.u64()?),
            },
            10 => Self::Stats(Stats::read(from)?),
            11 => match Input::read(from)? {
                Some(input) => Self::Input(input),
                None => return Ok(None),
            },
            12 => Self::Stop,
            13 => Self::Bye(Bye { reason: from.text(MAX_TEXT_LEN)? }),
            14 => Self::SetMode(Mode::read(from)?),
            15 => match Notice::read(from)? {
                Some(notice) => Self::Notice(notice),
                None => return Ok(None),
            },
            16 => Self::ModeChanged(ModeChanged::read(from)?),
            17 => Self::PointerRows(PointerRows::read(from)?),
            18 => Self::PointerMoved(PointerMoved::read(from)?),
            _ => return Ok(None),
        }))
    }
}

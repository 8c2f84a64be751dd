//! What travels on lumen's own D-Bus: the dictionaries of `Open`, `Acquire` and `Status`.
//!
//! All arguments are `a{sv}` and unknown keys are ignored, so that a stage of the next version may say more. The
//! interfaces themselves are in `ipc-schema/dbus/*.xml`; a test compares them with the running services.

use zbus::{DeserializeDict, OwnedFd, SerializeDict, Type};

use crate::{Mode, SessionId, geometry::ModeError};

/// The interface that every stage has beside its own.
pub const STAGE_INTERFACE: &str = "org.lumen.Stage1";

/// What is to be shown: the argument of `Display1.Acquire` and `Capture1.Open`.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct OutputSpec {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Thousandths of a hertz.
    pub refresh_mhz: u32,
    /// Name of an app in vdisplayd's configuration; absent: its default. Never a command.
    pub app: Option<String>,
    /// `"separate"`: pictures come without the pointer and it is told apart. Absent: the pointer is drawn.
    pub cursor: Option<String>,
    /// `"dmabuf"`: the reader would rather import GPU memory. Absent: memfds, which every encoder reads.
    pub memory: Option<String>,
    /// How many channels the sink has that the session's programs play into: 2, 6 or 8. Absent: 2.
    pub channels: Option<u32>,
    /// The session has a source from which its programs hear the client's microphone. Absent: it has none.
    pub microphone: Option<bool>,
}

/// What is to be streamed: the argument of `Encode1.Open`.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct StreamSpec {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Thousandths of a hertz.
    pub refresh_mhz: u32,
    /// As in [`OutputSpec::app`].
    pub app: Option<String>,
    /// As in [`OutputSpec::cursor`].
    pub cursor: Option<String>,
    /// How often a still picture is repeated, in thousandths of a hertz. Absent: once a second.
    pub repeat_mhz: Option<u32>,
    /// Whether pictures may refer to older ones than the one before, so that a loss costs no IDR. Absent: they may not.
    pub references: Option<bool>,
    /// As in [`OutputSpec::channels`].
    pub channels: Option<u32>,
    /// As in [`OutputSpec::microphone`].
    pub microphone: Option<bool>,
    /// `"h264"`.
    pub codec: String,
    /// Bits a second for the encoded pictures at the start.
    pub bitrate_bps: u32,
}

/// What sound is to be streamed: the argument of `Encode1.OpenSound`.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SoundSpec {
    /// 2, 6 or 8.
    pub channels: u32,
    /// Streams of Opus.
    pub streams: u32,
    /// How many of them carry two channels.
    pub coupled: u32,
    /// Of one packet, in milliseconds: 5 or 10.
    pub packet_ms: u32,
    /// Bits a second of all streams together.
    pub bitrate_bps: u32,
    /// As in [`OutputSpec::microphone`].
    pub microphone: Option<bool>,
}

/// What sound is to be read: the argument of `Capture1.OpenSound`.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SinkSpec {
    /// 2, 6 or 8.
    pub channels: u32,
    /// As in [`OutputSpec::microphone`].
    pub microphone: Option<bool>,
}

/// Where input is to land: the argument of `Input1.Open`.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SeatSpec {
    /// Pixels of the Output.
    pub width: u32,
    /// Pixels of the Output.
    pub height: u32,
}

/// Where captured finds the pictures: the answer of `Display1.Acquire`.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct Source {
    /// `"wayland"`: `fd` is a fresh connection to the compositor, `output` names the wl_output. `"pipewire"`: `fd` is a
    /// fresh connection to the PipeWire daemon, `node` is the stream, and the mode is what the reader must fix in its
    /// negotiation. `"pattern"`: none of them is there.
    pub kind: String,
    /// An open connection, owned by the receiver.
    pub fd: Option<OwnedFd>,
    /// Id of the PipeWire node.
    pub node: Option<u32>,
    /// `object.serial` of the PipeWire node, where known: ids are used again, serials are not.
    pub serial: Option<u64>,
    /// The PipeWire node takes another rate only together with another size: the reader is to negotiate another size
    /// first, and then this one.
    pub detour: Option<bool>,
    /// The wl_output's name.
    pub output: Option<String>,
    /// The Output is in the user's own desktop, whose programs play where they always do. Absent: its programs were told to
    /// play into the session's sink.
    pub users: Option<bool>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Thousandths of a hertz.
    pub refresh_mhz: u32,
}

/// Where captured finds the sound of a session: the answer of `Display1.Sound`.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SoundSource {
    /// A fresh connection to the PipeWire daemon, owned by the receiver.
    pub fd: Option<OwnedFd>,
}

/// Where inputd finds the Output of a session: the answer of `Display1.Seat`.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SeatSource {
    /// `"wayland"`: `fd` is a fresh connection to the compositor, `output` names the wl_output. `"eis"`: `fd` is a fresh
    /// connection to the compositor's EIS, `region` names the Output there.
    pub kind: String,
    /// An open connection, owned by the receiver.
    pub fd: Option<OwnedFd>,
    /// The wl_output's name.
    pub output: Option<String>,
    /// The mapping id of the Output's region, as devices that take places name it.
    pub region: Option<String>,
    /// Which backend of vdisplayd made the Output, in one word.
    pub desktop: Option<String>,
    /// A Seat was opened on this Output before, which may have died with buttons down.
    pub again: Option<bool>,
}

/// `node.name` of the sink of a session. Programs that vdisplayd starts are told it, and captured makes it.
pub fn sink_name(session: SessionId) -> String {
    format!("{SINK_PREFIX}{session}")
}

/// What the names of all such sinks begin with.
pub const SINK_PREFIX: &str = "lumen-session-";

/// `node.name` of the source that has a session's microphone; likewise.
pub fn source_name(session: SessionId) -> String {
    format!("{SOURCE_PREFIX}{session}")
}

/// What the names of all such sources begin with.
pub const SOURCE_PREFIX: &str = "lumen-microphone-";

impl OutputSpec {
    /// The mode asked for, if it can be streamed.
    pub fn mode(&self) -> Result<Mode, ModeError> {
        Mode { width: self.width, height: self.height, refresh_mhz: self.refresh_mhz }.check()
    }
}

impl StreamSpec {
    /// The mode asked for, if it can be streamed.
    pub fn mode(&self) -> Result<Mode, ModeError> {
        Mode { width: self.width, height: self.height, refresh_mhz: self.refresh_mhz }.check()
    }

    /// What captured needs of it.
    pub fn output(&self) -> OutputSpec {
        OutputSpec {
            width: self.width,
            height: self.height,
            refresh_mhz: self.refresh_mhz,
            app: self.app.clone(),
            cursor: self.cursor.clone(),
            memory: None,
            channels: self.channels,
            microphone: self.microphone,
        }
    }
}

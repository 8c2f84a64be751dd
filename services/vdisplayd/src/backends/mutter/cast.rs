//! One recorded virtual monitor: a RemoteDesktop session of Mutter's with a ScreenCast session linked to it.
//!
//! ```text
//! RemoteDesktop.CreateSession ─► SessionId ─► ScreenCast.CreateSession ─► RecordVirtual ─► (match rule) ─► Start
//!                                                                                PipeWireStreamAdded(node) ◄─┘
//! ```
//! The monitor itself comes to be when a reader of the node has fixed size and rate in its negotiation, keeps both
//! when that reader goes, and takes the next reader's. That is why `modes` is not used where Mutter knows it (51):
//! a monitor made with it refuses every other size ("no more input formats"), and a change of mode would cost it.

use std::{collections::HashMap, future::poll_fn, os::fd::OwnedFd, pin::Pin, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use zbus::{
    MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, Variant, export::futures_core::Stream,
    message::Type,
};

use super::line::{Line, LineError};

/// The name that gnome-shell, or a bare mutter, takes on the session bus.
pub const SCREEN_CAST: &str = "org.gnome.Mutter.ScreenCast";
const REMOTE_DESKTOP: &str = "org.gnome.Mutter.RemoteDesktop";
const REMOTE_SESSION: &str = "org.gnome.Mutter.RemoteDesktop.Session";
const CAST_SESSION: &str = "org.gnome.Mutter.ScreenCast.Session";
const STREAM: &str = "org.gnome.Mutter.ScreenCast.Stream";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Time for Mutter to make its PipeWire stream, because a PipeWire that just starts takes a second.
const STREAM_LIMIT: Duration = Duration::from_secs(4);

/// The pointer comes as metadata: Mutter (48, 51) does not paint it into a virtual monitor's stream.
const CURSOR_AS_METADATA: u32 = 2;

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum CastError {
    /// No connection.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It refused, or does not know this call.
    #[error("GNOME refused {call}: {source}")]
    Refused {
        /// The method.
        call: &'static str,
        /// Its answer.
        source: Box<zbus::Error>,
    },
    /// It said yes and then nothing.
    #[error("GNOME made no PipeWire stream within {} s", STREAM_LIMIT.as_secs())]
    NoStream,
    /// It says nothing of where on the desktop its pictures are.
    #[error("GNOME does not say which region of its desktop the Output is: it is older than version 46")]
    NoRegion,
}

/// What names a recording on its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Object of the RemoteDesktop session.
    pub remote: String,
    /// Object of the stream.
    pub stream: String,
    /// Id of its PipeWire node.
    pub node: u32,
}

/// A recording and the line that keeps it.
#[derive(Debug)]
pub struct Cast {
    line: Line,
    /// What it is called.
    pub recording: Recording,
}

impl Cast {
    /// Has a virtual monitor recorded for the owner of `line`, who loses it with the line.
    pub async fn start(line: Line) -> Result<Self, CastError> {
        match record(&line).await {
            Ok(recording) => Ok(Self { line, recording }),
            Err(error) => {
                line.close().await;
                Err(error)
            }
        }
    }

    /// Takes care again of `recording`, made over `line` by an earlier vdisplayd; `None` if GNOME ended it.
    pub async fn resume(line: Line, recording: Recording) -> Option<Self> {
        let cast = Self { line, recording };
        if cast.lives().await {
            return Some(cast);
        }
        cast.stop().await;
        None
    }

    /// Whether GNOME still has it. It ends recordings when the screen locks, when a person says so in its panel,
    /// and with itself.
    pub async fn lives(&self) -> bool {
        let remote: Result<OwnedVariant, _> = self
            .line
            .call(REMOTE_DESKTOP, &self.recording.remote, PROPERTIES, "Get", &(REMOTE_SESSION, "SessionId"))
            .await;
        let stream: Result<OwnedVariant, _> = self
            .line
            .call(SCREEN_CAST, &self.recording.stream, PROPERTIES, "Get", &(STREAM, "Parameters"))
            .await;
        remote.is_ok() && stream.is_ok()
    }

    /// A fresh connection to GNOME's EIS, over which input comes to this recording's monitor, and the name that the monitor
    /// has there. Mutter (48, 51) gives any number of them, each with keys and buttons of its own, which go up with it.
    pub async fn input(&self) -> Result<(OwnedFd, String), CastError> {
        let refused = |call| move |source| CastError::Refused { call, source: Box::new(source) };
        let asked = (STREAM, "Parameters");
        let stream = &self.recording.stream;
        let parameters = self.line.call(SCREEN_CAST, stream, PROPERTIES, "Get", &asked).await;
        let parameters: OwnedVariant = parameters.map_err(refused("ScreenCast.Stream.Parameters"))?;
        let mut parameters: HashMap<String, OwnedVariant> =
            parameters.try_into().map_err(refused("ScreenCast.Stream.Parameters"))?;
        let region = parameters.remove("mapping-id").ok_or(CastError::NoRegion)?;
        let region = region.try_into().map_err(refused("ScreenCast.Stream.Parameters"))?;

        let remote = &self.recording.remote;
        let options = HashMap::<&str, Variant<'_>>::new();
        let eis = self.line.call(REMOTE_DESKTOP, remote, REMOTE_SESSION, "ConnectToEIS", &options).await;
        let eis: zbus::OwnedFd = eis.map_err(refused("RemoteDesktop.Session.ConnectToEIS"))?;
        Ok((eis.into(), region))
    }

    /// Ends it: the monitor goes.
    pub async fn stop(self) {
        // It may be gone already; what counts is that the line is.
        let _ = self
            .line
            .call::<(), _>(REMOTE_DESKTOP, &self.recording.remote, REMOTE_SESSION, "Stop", &())
            .await;
        self.line.close().await;
    }
}

async fn record(line: &Line) -> Result<Recording, CastError> {
    let refused = |call| move |source| CastError::Refused { call, source: Box::new(source) };
    let no_options = HashMap::<&str, Variant<'_>>::new;

    let path = "/org/gnome/Mutter/RemoteDesktop";
    let remote = line.call(REMOTE_DESKTOP, path, REMOTE_DESKTOP, "CreateSession", &()).await;
    let remote: OwnedObjectPath = remote.map_err(refused("RemoteDesktop.CreateSession"))?;
    let asked = (REMOTE_SESSION, "SessionId");
    let id = line.call(REMOTE_DESKTOP, remote.as_str(), PROPERTIES, "Get", &asked).await;
    let id: OwnedVariant = id.map_err(refused("RemoteDesktop.Session.SessionId"))?;
    let id = String::try_from(id).map_err(refused("RemoteDesktop.Session.SessionId"))?;

    let path = "/org/gnome/Mutter/ScreenCast";
    let mut linked = no_options();
    linked.insert("remote-desktop-session-id", id.into());
    // While it lasts, everywhere in GNOME: an animation costs the bits of a film, and shows a delay of its own.
    linked.insert("disable-animations", true.into());
    let session = line.call(SCREEN_CAST, path, SCREEN_CAST, "CreateSession", &linked).await;
    let session: OwnedObjectPath = session.map_err(refused("ScreenCast.CreateSession"))?;

    let mut options = no_options();
    options.insert("cursor-mode", CURSOR_AS_METADATA.into());
    // A real monitor to GNOME, and no "your screen is shared" in its panel. Unknown keys are ignored.
    options.insert("is-platform", true.into());
    let stream = line.call(SCREEN_CAST, session.as_str(), CAST_SESSION, "RecordVirtual", &options).await;
    let stream: OwnedObjectPath = stream.map_err(refused("ScreenCast.Session.RecordVirtual"))?;

    // Before Start, because the signal is sent once.
    let mut added = added(line, &stream).await.map_err(refused("AddMatch"))?;
    let started = line.call(REMOTE_DESKTOP, remote.as_str(), REMOTE_SESSION, "Start", &()).await;
    let () = started.map_err(refused("RemoteDesktop.Session.Start"))?;
    let message = timeout(STREAM_LIMIT, poll_fn(|context| Pin::new(&mut added).poll_next(context))).await;
    let node = match message {
        Ok(Some(Ok(message))) => message.body().deserialize().map_err(refused("PipeWireStreamAdded"))?,
        _ => return Err(CastError::NoStream),
    };
    Ok(Recording { remote: remote.as_str().to_owned(), stream: stream.as_str().to_owned(), node })
}

async fn added(line: &Line, stream: &OwnedObjectPath) -> Result<MessageStream, zbus::Error> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface(STREAM)
        .member("PipeWireStreamAdded")
        .path(stream.as_str())
        .build()?;
    MessageStream::for_match_rule(rule, line.connection(), None).await
}

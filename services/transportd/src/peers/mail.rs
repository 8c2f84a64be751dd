//! What a session is told, and what it tells the connection that serves it.

use std::sync::Arc;

use lumen_core::control::{
    Input, Launched, ModeChanged, Notice, NoticeKind, PointerMoved, PointerShape, RefusalClass, Refused,
};
use lumen_ipc::Mode;
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender},
    oneshot,
};

use super::NotYours;
use crate::video::{Loss, Report};

/// The receiving ends of a session's channels.
#[derive(Debug)]
pub struct Ends {
    /// From its video thread.
    pub reports: UnboundedReceiver<(u64, Report)>,
    /// From everybody else.
    pub mail: UnboundedReceiver<Mail>,
}

/// What a session is told.
#[derive(Debug)]
pub enum Mail {
    /// A connection of its client serves it from now on, instead of the one before.
    Attach {
        /// Number of the connection.
        birth: u64,
        /// Where news go.
        news: UnboundedSender<News>,
    },
    /// That connection was lost.
    Detach {
        /// Number of the connection.
        birth: u64,
    },
    /// The client ended the session over that connection.
    Leave {
        /// Number of the connection.
        birth: u64,
        /// What it said.
        reason: String,
    },
    /// The client lost frames.
    Loss(Loss),
    /// Pictures have another bitrate: the client wants it, or it is what another parity leaves.
    Bitrate {
        /// Bits a second.
        bps: u32,
        /// That parity, in percent of the data.
        parity: Option<u8>,
    },
    /// The client wants another mode, which [`crate::launch::check_mode`] found good.
    Mode(Mode),
    /// A person did something.
    Input(Input),
    /// That connection has written the [`News::PointerMoved`] that was out: it may have the next one.
    PointerWritten {
        /// Number of the connection.
        birth: u64,
    },
    /// vdisplayd says that its app has ended.
    AppEnded {
        /// What happened and why.
        text: String,
        /// What to do next.
        advice: String,
    },
    /// The machine goes to sleep, or it woke.
    Sleeps(bool),
    /// Its client launches anew: it is over, and what was made for it is left to the session that comes.
    HandOver(oneshot::Sender<Legacy>),
    /// Its client goes on in a session with fresh keys, whether or not a connection serves this one: it is over, likewise.
    TakeOver(oneshot::Sender<Legacy>),
    /// This incarnation ends: everything is left to the next one.
    Part,
    /// It is over, for this reason.
    End(String),
}

/// What a session leaves to the one that takes it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Legacy {
    /// Number of the text that inputd was told last.
    pub texts: u64,
}

/// What a session tells the connection that serves it.
#[derive(Debug)]
pub enum News {
    /// It streams.
    Launched(Launched),
    /// Its pictures have another mode.
    ModeChanged(ModeChanged),
    /// A person is to know this.
    Notice(Notice),
    /// The pointer that the client draws looks so.
    PointerShape(Arc<PointerShape>),
    /// It is there; one is out until [`Mail::PointerWritten`].
    PointerMoved(PointerMoved),
    /// It never will stream.
    Refused(Refused),
    /// It is over, for this reason.
    Ended(String),
}

/// Where a session comes from.
#[derive(Debug)]
pub enum Origin {
    /// A client launched it over this connection.
    Launched {
        /// Number of the connection.
        birth: u64,
        /// Where news go.
        news: UnboundedSender<News>,
    },
    /// It streamed in an earlier incarnation, in this mode.
    Adopted(Mode),
}

/// The answer to a client that wants to go on with a session that is not there, or not its own.
pub fn gone(why: NotYours) -> Refused {
    Refused { class: RefusalClass::Session, text: why.to_string(), advice: "Start a new one.".into() }
}

/// What a client is told by an incarnation that ends.
pub fn parting() -> Notice {
    Notice {
        kind: NoticeKind::Waiting,
        text: "The network stage of the host ends or restarts.".into(),
        advice: "The stream goes on by itself when it is back.".into(),
    }
}

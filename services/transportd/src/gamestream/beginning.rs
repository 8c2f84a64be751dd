//! How a GameStream session begins: its desktop at the launch, itself when the client has chosen, and again after a restart.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use lumen_core::{Timestamp, control, trust::Fingerprint};
use lumen_gamestream::{
    http::{LaunchQuery, Surround},
    keys::SessionKey,
    parity,
    rtsp::{StreamConfig, Tokens},
};
use lumen_ipc::{
    Failure, FailureClass, Generation, Mode, SessionId, Stage,
    bus::{SeatSpec, StreamSpec},
    encode::FromEncode,
    geometry::ModeError,
    input::FromInput,
};
use lumen_stage::{Link, clock::now_ns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc::unbounded_channel, oneshot};

use super::{
    conversation::Conversation,
    streams::{App, Refused},
    switchboard::Switchboard,
    talk::Talk,
};
use crate::{
    launch::{MAX_BITRATE, MIN_BITRATE},
    peers::{
        Peers,
        birth::{Born, Founding},
        mail::{Legacy, Mail, Origin},
        pipeline::Grounds,
        protocol::Protocol,
    },
    record::{Fixed, SoundTerms, Terms},
    upstream::Upstream,
};

/// How long a desktop may take to show its first picture. Well below the 120 s after which clients give a launch up.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long inputd may take to say whether fingers reach the desktop. Because a client can do without, and waits.
const WORD: Duration = Duration::from_secs(1);

/// How long one look at a link lasts.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Bits a second for the pictures before the client has said what it wants; nobody sees them.
const FIRST_BITRATE: u32 = 10_000_000;

/// What a launch or resume says of its session.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// That of what is kept for the client, or a new one.
    pub session: SessionId,
    /// Whose it is.
    pub fingerprint: Fingerprint,
    /// What the client is called.
    pub client: String,
    /// The app's number in the client's list.
    pub app: i32,
    /// What vdisplayd calls it.
    pub app_name: Option<String>,
    /// What the client's datagrams name.
    pub tokens: Tokens,
    /// What all is sealed with.
    pub key: SessionKey,
    /// Of which the IVs of sound are made.
    pub key_id: i32,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// What the client chose at last cannot be.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// No room, or no thread.
    #[error("{}", .0.text)]
    Refused(control::Refused),
    /// It would not say whose its datagrams are.
    #[error("the client is too old to say which session its datagrams are of; update it")]
    Anonymous,
    /// Somebody has its numbers, or all are taken.
    #[error("no number is free on the control socket")]
    Number,
}

/// Makes the desktop and the first picture, so that what cannot be is said where clients show it; whether its Seat takes
/// fingers. All of it waits upstream for the session, which opens it again within its lease.
///
/// # Errors
/// [`Refused::Failed`].
pub(super) async fn warm<U: Upstream>(
    grounds: &Grounds<U>,
    session: SessionId,
    app: &App,
    launch: &LaunchQuery,
) -> Result<bool, Refused> {
    let mode = launch.mode;
    let mode = Mode { width: mode.width, height: mode.height, refresh_mhz: mode.fps * 1000 };
    let mode = mode.check().map_err(|error| {
        let advice = "Choose another resolution in the client's settings.";
        failed(Failure::new(FailureClass::Request, format!("On this host {error}."), advice))
    })?;
    let spec = spec(mode, app.name.clone(), launch.surround);
    let link = grounds.upstream.open_encoder(session, &spec).await.map_err(failed)?;
    let generation = grounds.generation;
    let shown = tokio::task::spawn_blocking(move || first_picture(link, generation)).await;
    // A thread that died says nothing of the desktop; the session finds out.
    shown.unwrap_or(Ok(())).map_err(failed)?;
    let spec = SeatSpec { width: mode.width, height: mode.height };
    // Without input a session goes on, and says so itself.
    let Ok(link) = grounds.upstream.open_seat(session, &spec).await else { return Ok(false) };
    Ok(tokio::task::spawn_blocking(move || takes_touch(link, generation)).await.unwrap_or(false))
}

/// Waits for inputd's first word.
fn takes_touch(link: OwnedFd, generation: Generation) -> bool {
    let Ok(mut link) = Link::start(link, Stage::Transportd, generation, Stage::Inputd) else { return false };
    let until = Timestamp::from_ns(now_ns()) + WORD;
    while Timestamp::from_ns(now_ns()) < until {
        match link.receive::<FromInput>().map(|received| received.map(|received| received.message)) {
            Ok(Some(FromInput::Ready { touch })) => return touch,
            // It is asked for again.
            Ok(Some(FromInput::Failed(failure))) if matches!(failure.class, FailureClass::Temporary) => {}
            Ok(Some(_)) | Err(_) => return false,
            Ok(None) => look(&link),
        }
    }
    false
}

/// Waits a moment for the next message.
fn look(link: &Link) {
    let mut fds = [PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN)];
    // An interrupted wait ends in another look.
    let _ = poll(&mut fds, Some(&LOOK));
}

/// Waits until encoded has an encoder and a picture for it.
fn first_picture(link: OwnedFd, generation: Generation) -> Result<(), Failure> {
    let Ok(mut link) = Link::start(link, Stage::Transportd, generation, Stage::Encoded) else {
        // It died meanwhile; whoever opens it again hears more.
        return Ok(());
    };
    let until = Timestamp::from_ns(now_ns()) + PATIENCE;
    let mut failure = None;
    while Timestamp::from_ns(now_ns()) < until {
        match link.receive::<FromEncode>().map(|received| received.map(|received| received.message)) {
            Ok(Some(FromEncode::Ready { .. })) | Err(_) => return Ok(()),
            Ok(Some(FromEncode::Failed(said))) => match said.class {
                FailureClass::Temporary | FailureClass::Locked => failure = Some(said),
                _ => return Err(said),
            },
            Ok(Some(_)) => {}
            Ok(None) => look(&link),
        }
    }
    let silent = || {
        let text = format!("No picture could be made within {} s.", PATIENCE.as_secs());
        Failure::new(FailureClass::Temporary, text, "See `lumenctl status` on the host, then try again.")
    };
    Err(failure.unwrap_or_else(silent))
}

fn failed(failure: Failure) -> Refused {
    Refused::Failed { text: failure.text, advice: failure.advice }
}

fn spec(mode: Mode, app: Option<String>, surround: Surround) -> StreamSpec {
    StreamSpec {
        width: mode.width,
        height: mode.height,
        refresh_mhz: mode.refresh_mhz,
        app,
        cursor: None,
        repeat_mhz: None,
        references: None,
        channels: Some(surround.channels().into()),
        microphone: None,
        codec: "h264".into(),
        bitrate_bps: FIRST_BITRATE,
    }
}

/// Starts a session as the client chose it, and waits for its control connection.
///
/// # Errors
/// [`BeginError`].
pub(super) async fn begin<U: Upstream>(
    grounds: &Grounds<U>,
    peers: &Arc<Peers>,
    board: &Arc<Switchboard>,
    beginning: Beginning,
    config: &StreamConfig,
) -> Result<Born, BeginError> {
    let mode = Mode { width: config.width, height: config.height, refresh_mhz: config.centi_hz * 10 };
    let mode = mode.check()?;
    if !config.session_ids {
        return Err(BeginError::Anonymous);
    }
    let legacy = inherit(peers, &beginning).await;
    let terms = Terms {
        key: *beginning.key.as_bytes(),
        app: beginning.app,
        video: Tokens::ping_payload(beginning.tokens.video),
        control: beginning.tokens.control,
        config: *config,
    };
    let least = parity::least(config);
    let founding = Founding {
        fixed: fixed(&beginning, mode, least),
        bitrate_bps: parity::share(config, least).clamp(MIN_BITRATE, MAX_BITRATE),
        is_pointer_separate: false,
        terms: Some(terms.clone()),
        sound: Some(SoundTerms {
            token: Tokens::ping_payload(beginning.tokens.audio),
            key_id: beginning.key_id,
        }),
        channels: 0,
        has_microphone: false,
        texts: legacy.texts,
    };
    let (orders_to, orders) = unbounded_channel();
    let admitted = peers.admit(beginning.fingerprint, orders_to);
    let id = board.free_id().ok_or(BeginError::Number)?;
    let line = board.connect(terms.control, id).ok_or(BeginError::Number)?;
    let (news_to, news) = unbounded_channel();
    let origin = Origin::Launched { birth: admitted.birth(), news: news_to };
    let born = crate::peers::birth::begin(grounds, peers, founding, origin).map_err(BeginError::Refused)?;
    let talk = Talk::new(born.live.record.clone(), &terms, id, now());
    tracing::info!(
        STAGE = "transportd",
        SESSION = %born.live.session,
        "{} launches {mode} at {} kbit/s over GameStream",
        beginning.client,
        config.bitrate_kbps,
    );
    let reached = Born { live: born.live.clone(), mail: born.mail.clone() };
    Conversation { talk, line, born, config: *config, admitted, orders, news, news_to: None }.start();
    Ok(reached)
}

/// Goes on with the connection of a session that an earlier incarnation had.
pub fn go_on(peers: &Arc<Peers>, board: &Arc<Switchboard>, born: Born) {
    let Some(terms) = born.live.record.terms() else {
        return;
    };
    let Some(id) = board.free_id() else {
        return;
    };
    let talk = Talk::new(born.live.record.clone(), &terms, id, now());
    let line = board.connect(terms.control, talk.id());
    let Some(line) = line.filter(|_| !talk.is_over()) else {
        return born.live.path.lose();
    };
    let (orders_to, orders) = unbounded_channel();
    let admitted = peers.admit(born.live.fingerprint, orders_to);
    let (news_to, news) = unbounded_channel();
    let (config, news_to) = (terms.config, Some(news_to));
    Conversation { talk, line, born, config, admitted, orders, news, news_to }.start();
}

fn fixed(beginning: &Beginning, mode: Mode, parity_percent: u8) -> Fixed {
    Fixed {
        session: beginning.session,
        fingerprint: *beginning.fingerprint.as_bytes(),
        client: beginning.client.clone(),
        // What tells its record from that of the session before it with the same id.
        channel: beginning.tokens.control,
        secret: Default::default(),
        mode: (mode.width, mode.height, mode.refresh_mhz),
        app: beginning.app_name.clone(),
        parity_percent: parity_percent.into(),
        datagram_len: 0,
    }
}

/// Ends what the client had by this protocol. What was made for the session that this one goes on with is left to it.
async fn inherit(peers: &Arc<Peers>, beginning: &Beginning) -> Legacy {
    let mut legacy = Legacy { texts: 0 };
    for live in peers.sessions() {
        if live.fingerprint != beginning.fingerprint || live.protocol == Protocol::Lumen1 {
            continue;
        }
        let Ok(mail) = peers.mailbox(live.session, &live.fingerprint) else {
            continue;
        };
        if live.session != beginning.session {
            // One that is over has said so.
            let _ = mail.send(Mail::End("its client launched another app".to_owned()));
            continue;
        }
        let (heir, answer) = oneshot::channel();
        if mail.send(Mail::TakeOver(heir)).is_ok()
            && let Ok(left) = answer.await
        {
            legacy = left;
        }
    }
    legacy
}

fn now() -> Timestamp {
    Timestamp::from_ns(now_ns())
}

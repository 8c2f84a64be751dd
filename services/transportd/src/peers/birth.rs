//! How a session comes to be: launched by a client, or adopted from the incarnation before.

use std::sync::Arc;

use lumen_core::control::{RefusalClass, Refused};
use lumen_core::trust::Fingerprint;
use lumen_stage::{failpoint, inherited::Stored};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    Full, Live, Peers,
    pipeline::{Grounds, Pipeline, StartError},
    protocol::Protocol,
    session::{Ends, Mail, Origin, Session},
};
use crate::{
    record::{Fixed, Record, RecordError, SoundTerms, Terms},
    recover,
    upstream::Upstream,
};

/// Why a session is not adopted; it is then over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Its record is of no use.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no room.
    #[error(transparent)]
    Full(#[from] Full),
    /// Its client was revoked.
    #[error("its client may not stream any more")]
    Revoked,
    /// It was negotiated and not yet begun: what its client was answered is not known.
    #[error("its client had not finished RTSP; it launches again")]
    Unplayed,
}

/// What a new session is made of.
#[derive(Debug)]
pub struct Founding {
    /// What never changes in it.
    pub fixed: Fixed,
    /// As launched.
    pub bitrate_bps: u32,
    /// The client draws the pointer itself.
    pub is_pointer_separate: bool,
    /// What RTSP agreed on, of a GameStream session.
    pub terms: Option<Terms>,
    /// What the client was told of its sound.
    pub sound: Option<SoundTerms>,
    /// Channels of sound that a lumen/1 client asked for; 0: none.
    pub channels: u32,
    /// It asked for a microphone.
    pub has_microphone: bool,
    /// Texts that inputd has heard of it: none, unless it takes over what was kept of another.
    pub texts: u64,
}

/// A session that lives.
#[derive(Debug)]
pub struct Born {
    /// As the bus sees it.
    pub live: Arc<Live>,
    /// Reaches it.
    pub mail: UnboundedSender<Mail>,
}

/// Starts a new session and puts its record into the store.
///
/// # Errors
/// The answer for the client.
pub fn begin<U: Upstream>(
    grounds: &Grounds<U>,
    peers: &Arc<Peers>,
    founding: Founding,
    origin: Origin,
) -> Result<Born, Refused> {
    let Founding { fixed, bitrate_bps, terms, sound, .. } = founding;
    let record = match &terms {
        None => Record::make(&fixed, bitrate_bps),
        Some(terms) => Record::make_gamestream(&fixed, terms, bitrate_bps),
    };
    let refused = |error| StartError::from(error).refusal();
    let record = record.map_err(refused)?;
    if let Some(sound) = &sound {
        record.set_sound(sound).map_err(refused)?;
    }
    record.set_channels(founding.channels);
    record.set_microphone(founding.has_microphone);
    record.set_texts(founding.texts);
    record.set_pointer_separate(founding.is_pointer_separate);
    let record = Arc::new(record);
    match raise(grounds, peers, record.clone(), &fixed, origin) {
        Ok(born) => {
            record.store();
            Ok(born)
        }
        Err(AdoptError::Start(error)) => Err(error.refusal()),
        Err(other) => Err(Refused {
            class: RefusalClass::Busy,
            text: format!("The host is busy: {other}."),
            advice:
                "End one of them first: `lumenctl end` on the host does that, `lumenctl status` lists them."
                    .into(),
        }),
    }
}

/// Goes on with a session of the incarnation before: video at once, control when its client comes back.
///
/// # Errors
/// [`AdoptError`]; the session is over.
pub fn adopt<U: Upstream>(
    grounds: &Grounds<U>,
    peers: &Arc<Peers>,
    may_stream: impl Fn(Protocol, &Fingerprint) -> bool,
    stored: Stored,
) -> Result<Born, AdoptError> {
    let (record, fixed) = Record::adopt(stored)?;
    failpoint::at(recover::ADOPTED);
    let protocol = record.terms().map_or(Protocol::Lumen1, |terms| Protocol::GameStream { app: terms.app });
    if !may_stream(protocol, &Fingerprint::from_bytes(fixed.fingerprint)) {
        return Err(AdoptError::Revoked);
    }
    if protocol != Protocol::Lumen1 && !record.is_playing() {
        return Err(AdoptError::Unplayed);
    }
    let mode = record.mode();
    let born = raise(grounds, peers, Arc::new(record), &fixed, Origin::Adopted(mode))?;
    failpoint::at(recover::RAISED);
    Ok(born)
}

fn raise<U: Upstream>(
    grounds: &Grounds<U>,
    peers: &Arc<Peers>,
    record: Arc<Record>,
    fixed: &Fixed,
    origin: Origin,
) -> Result<Born, AdoptError> {
    let (report_to, reports) = unbounded_channel();
    let (mail_to, mail) = unbounded_channel();
    let pipeline = Pipeline::start(grounds, record, fixed, report_to)?;
    let live = pipeline.live().clone();
    let enrolled = peers.enroll(live.clone(), mail_to.clone())?;
    Session::start(grounds, pipeline, Ends { reports, mail }, enrolled, origin);
    Ok(Born { live, mail: mail_to })
}

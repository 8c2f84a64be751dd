//! How a session comes to be: launched by a client, or adopted from the incarnation before.

use std::sync::Arc;

use lumen_core::control::{RefusalClass, Refused};
use lumen_core::trust::{AllowList, Fingerprint};
use lumen_ipc::SessionId;
use lumen_stage::{failpoint, inherited::Stored};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    Full, Peers,
    pipeline::{Grounds, Pipeline, StartError},
    session::{Ends, Mail, Origin, Session},
};
use crate::{
    clients::Clients,
    record::{Fixed, Record, RecordError},
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
    /// Texts that inputd has heard of it: none, unless it takes over what was kept of another.
    pub texts: u64,
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
) -> Result<UnboundedSender<Mail>, Refused> {
    let Founding { fixed, bitrate_bps, is_pointer_separate, texts } = founding;
    let record = Record::make(&fixed, bitrate_bps).map_err(|error| StartError::from(error).refusal())?;
    record.set_texts(texts);
    record.set_pointer_separate(is_pointer_separate);
    let record = Arc::new(record);
    match raise(grounds, peers, record.clone(), &fixed, origin) {
        Ok(mail) => {
            record.store();
            Ok(mail)
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
    clients: &Clients,
    stored: Stored,
) -> Result<SessionId, AdoptError> {
    let (record, fixed) = Record::adopt(stored)?;
    failpoint::at(recover::ADOPTED);
    if !clients.is_allowed(&Fingerprint::from_bytes(fixed.fingerprint)) {
        return Err(AdoptError::Revoked);
    }
    let mode = record.mode();
    raise(grounds, peers, Arc::new(record), &fixed, Origin::Adopted(mode))?;
    failpoint::at(recover::RAISED);
    Ok(fixed.session)
}

fn raise<U: Upstream>(
    grounds: &Grounds<U>,
    peers: &Arc<Peers>,
    record: Arc<Record>,
    fixed: &Fixed,
    origin: Origin,
) -> Result<UnboundedSender<Mail>, AdoptError> {
    let (report_to, reports) = unbounded_channel();
    let (mail_to, mail) = unbounded_channel();
    let pipeline = Pipeline::start(grounds, record, fixed, report_to)?;
    let enrolled = peers.enroll(pipeline.live().clone(), mail_to.clone())?;
    Session::start(grounds, pipeline, Ends { reports, mail }, enrolled, origin);
    Ok(mail_to)
}

//! The sounds of all sessions, beside their pictures.

use super::{
    lead::Lead,
    run::{self, Common, Lives},
    sweep::sweep,
};
use crate::{display::Display, run::Common as Pictures};
use lumen_ipc::{
    SessionId,
    bus::{OutputSpec, SinkSpec},
};
use lumen_stage::{Sessions, pulse::Pulses};
use std::{
    sync::{Arc, atomic::AtomicBool},
    thread,
};

/// Whoever is asked for a connection to PipeWire that is no session's.
const NOBODY: SessionId = SessionId([0; 16]);

/// The sounds that go with `pictures`, whose sessions are `shown`. With `is_heir` sinks of an earlier incarnation may be in use.
pub fn sessions(
    pictures: &Pictures,
    shown: &Sessions<OutputSpec>,
    pulses: &Pulses,
    is_heir: bool,
    lead: Lead,
) -> Sessions<SinkSpec> {
    let shown = shown.clone();
    let lives: Lives = Arc::new(move |session| shown.list().contains(&session));
    let common = Common {
        generation: pictures.generation,
        lease: pictures.lease,
        display: pictures.display.clone(),
        board: pictures.board.clone(),
        desks: pictures.desks.clone(),
        lead,
        lives,
        is_unswept: Arc::new(AtomicBool::new(!is_heir)),
    };
    Sessions::new(pulses.clone(), move |seat| run::run(seat, common.clone()))
}

/// Takes away, on a thread of its own, the sinks of sessions that are not among `sounds`, and puts back the default output that
/// one of them had moved.
pub fn clean(display: Arc<dyn Display>, pulses: &Pulses, sounds: Sessions<SinkSpec>, lead: Lead) {
    let pulse = pulses.register();
    let work = move || {
        // Without PipeWire there are no sinks.
        let Ok(socket) = display.sound(NOBODY, &pulse) else { return };
        match sweep(socket, |session| sounds.list().contains(&session), &lead) {
            Ok(0) => {}
            Ok(count) => tracing::info!("took away {count} sinks of sessions that are over"),
            Err(error) => tracing::warn!("sinks of sessions that are over may be left: {error}"),
        }
    };
    if let Err(error) = thread::Builder::new().name("sweep".into()).spawn(work) {
        tracing::warn!("sinks of sessions that are over may be left: {error}");
    }
}

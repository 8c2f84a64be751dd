//! The sounds of all sessions, beside their pictures.

use super::{
    lead::Lead,
    run::{self, Common, Lives},
    sweep::{Swept, sweep},
};
use crate::{display::Display, run::Common as Pictures};
use lumen_ipc::{
    Failure, SessionId,
    bus::{OutputSpec, SinkSpec},
};
use lumen_stage::{
    Sessions,
    pulse::{Pulse, Pulses},
};
use std::{
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

/// Whoever is asked for a connection to PipeWire that is no session's.
const NOBODY: SessionId = SessionId([0; 16]);
/// How often, and in what time each, what a session left is taken away: at a log-in the session manager comes a while after us.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);

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
        pulses: pulses.clone(),
    };
    Sessions::new(pulses.clone(), move |seat| run::run(seat, common.clone()))
}

/// Takes away, on a thread of its own that beats `pulse`, the sinks of sessions that do not live, and puts back the default
/// output that one of them had moved: as soon as PipeWire and its session manager let it.
pub fn clean(
    display: Arc<dyn Display>,
    pulse: Pulse,
    lives: impl Fn(SessionId) -> bool + Send + 'static,
    lead: Lead,
) {
    let work = move || {
        for _ in 0..TRIES {
            let swept = display.sound(NOBODY, &pulse);
            match swept.and_then(|socket| sweep(socket, &lives, &lead).map_err(Failure::from)) {
                Ok(Swept { sinks: 0, is_done: true }) => return,
                Ok(Swept { sinks, is_done: true }) => {
                    return tracing::info!("took away {sinks} sinks and sources of sessions that are over");
                }
                // Without PipeWire there are no sinks.
                Err(_) if lead.record().is_none_or(|record| lives(record.session)) => return,
                _ => rest(&pulse),
            }
        }
        tracing::warn!(
            "sinks of sessions that are over may be left, and the default output one of them; choose another in the desktop's settings"
        );
    };
    if let Err(error) = thread::Builder::new().name("sweep".into()).spawn(work) {
        tracing::warn!("sinks of sessions that are over may be left: {error}");
    }
}

fn rest(pulse: &Pulse) {
    for _ in 0..4 {
        pulse.beat();
        thread::sleep(PAUSE / 4);
    }
}

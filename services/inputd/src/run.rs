//! The event loop: bus and watchdog. Input itself never passes through it.

use std::time::Duration;

use lumen_ipc::{Stage, bus::SeatSpec};
use lumen_stage::{
    Boot, Exit, Sessions, boot,
    bus::{CallError, require_stage, session_id},
    status::{Report, Stage1},
};
use zbus::{Connection, OwnedFd, interface, message::Header};

use crate::{
    backends::log::{self, Counts, Log},
    config::{Choice, Config},
    seat,
};

/// Time for the sessions to release their keys when the stage stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// The whole of inputd after boot.
pub async fn run(boot: Boot<Config>) -> Result<(), Exit> {
    let Choice::Log = boot.config.backend;
    let (generation, lease, counts) = (boot.generation, boot.config.lease.0, Counts::default());
    let played = counts.clone();
    let sessions = Sessions::new(boot.pulses.clone(), move |seat| {
        seat::sit(seat, generation, lease, Log::new(played.clone()));
    });
    let (input, listed) = (Input1 { sessions: sessions.clone() }, sessions.clone());
    let status = Stage1::new(boot.stage, generation, move |report| fill(report, &counts, &listed));
    let path = boot.stage.object_path();
    let bus =
        boot.bus(move |builder| builder.serve_at(path, input.clone()).serve_at(path, status.clone())).await?;
    boot::serve(&bus, &boot.pulses, std::future::pending(), sessions.close_all(STOP_LIMIT)).await
}

/// Adds `backend` (s), `why` (s), `sessions` (as) and `events` (a{st}: how many of each kind).
fn fill(report: &mut Report, counts: &Counts, sessions: &Sessions<SeatSpec>) {
    let events: std::collections::HashMap<&str, u64> = counts.read().collect();
    let sessions: Vec<String> = sessions.list().iter().map(ToString::to_string).collect();
    report
        .set("backend", "log")
        .set("why", format!("{}; {}", log::WHY, log::ADVICE))
        .set("sessions", sessions)
        .set("events", events);
}

/// The interface that transportd calls.
#[derive(Clone)]
struct Input1 {
    sessions: Sessions<SeatSpec>,
}

#[interface(name = "org.lumen.Input1")]
impl Input1 {
    /// Opens the input link of `session`; a newer one closes the older.
    #[zbus(out_args("link"))]
    async fn open(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        session: &str,
        spec: SeatSpec,
    ) -> Result<OwnedFd, CallError> {
        require_stage(bus, &header, Stage::Transportd).await?;
        Ok(self.sessions.open(session_id(session)?, spec)?.into())
    }
}

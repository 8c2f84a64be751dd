//! The event loop: bus and watchdog. Input itself never passes through it.

use std::{sync::Arc, time::Duration};

use lumen_ipc::{Stage, bus::SeatSpec};
use lumen_stage::{
    Boot, Exit, Sessions, boot,
    bus::{CallError, require_stage, session_id},
    status::{Report, Stage1},
};
use zbus::{Connection, OwnedFd, interface, message::Header};

use crate::{
    backends::{eis::drain::Drains, log},
    config::{Choice, Config},
    counts::Counts,
    display::{Display, Logs, Vdisplayd},
    office::Office,
    seat,
    shown::Shown,
};

/// Time for the sessions to release their keys when the stage stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Time for fingers to go up thereafter. Because it takes one answer of the compositor's and 0.3 s.
const DRAIN_LIMIT: Duration = Duration::from_millis(450);

/// The whole of inputd after boot.
pub async fn run(mut boot: Boot<Config>) -> Result<(), Exit> {
    let (generation, lease) = (boot.generation, boot.config.lease.0);
    let drains = Drains::adopt(std::mem::take(&mut boot.stored));
    let touch = boot.config.touch.then(|| drains.clone());
    let vdisplayd = Arc::new(Vdisplayd::new(boot.config.layout.clone(), touch));
    let (display, idle): (Arc<dyn Display>, _) = match boot.config.backend {
        Choice::Auto => {
            (vdisplayd.clone(), ("auto", "nobody types now; chosen by the Output of each session"))
        }
        Choice::Log => (Arc::new(Logs), ("log", log::WHY)),
    };
    let office = Office { generation, lease, display, counts: Counts::default(), shown: Shown::default() };
    let (counts, shown) = (office.counts.clone(), office.shown.clone());
    let sessions = Sessions::new(boot.pulses.clone(), move |seat| seat::sit(seat, &office));
    let (input, listed) = (Input1 { sessions: sessions.clone() }, sessions.clone());
    let status = Stage1::new(boot.stage, generation, move |report| {
        shown.fill(report, idle);
        fill(report, &counts, &listed);
    });
    let path = boot.stage.object_path();
    let bus =
        boot.bus(move |builder| builder.serve_at(path, input.clone()).serve_at(path, status.clone())).await?;
    vdisplayd.connect(bus.clone());
    let release = async {
        sessions.close_all(STOP_LIMIT).await;
        drains.all_ended(DRAIN_LIMIT).await;
    };
    boot::serve(&bus, &boot.pulses, std::future::pending(), release).await
}

/// Adds `sessions` (as) and `events` (a{st}: how many of each kind).
fn fill(report: &mut Report, counts: &Counts, sessions: &Sessions<SeatSpec>) {
    let events: std::collections::HashMap<&str, u64> = counts.read().collect();
    let sessions: Vec<String> = sessions.list().iter().map(ToString::to_string).collect();
    report.set("sessions", sessions).set("events", events);
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

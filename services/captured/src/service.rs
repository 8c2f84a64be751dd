//! The stage on lumen's bus: `org.lumen.Capture1`.

use crate::{
    board::{Board, Line},
    config::{Backend, Config},
    display::{Display, Patterns, Vdisplayd},
    looks::{CLAIMED, Looks},
    run::{self, Common},
    sound::{self, Desks, Lead},
};
use lumen_ipc::{
    Stage,
    bus::{OutputSpec, SinkSpec},
};
use lumen_stage::{
    Boot, Exit, Ladder, Sessions, boot,
    bus::{CallError, require_stage, session_id},
    status::Stage1,
};
use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};
use zbus::{Connection, interface, message::Header};

/// How long sessions may take to say goodbye when the stage stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// Channels of a sink before anybody asks for others.
const STEREO: u32 = 2;

/// The interface that encoded calls.
#[derive(Clone)]
pub struct Capture1 {
    sessions: Sessions<OutputSpec>,
    sounds: Sessions<SinkSpec>,
}

#[interface(name = "org.lumen.Capture1")]
impl Capture1 {
    /// Opens `session` or attaches to it again; the answer is one end of its capture link.
    #[zbus(out_args("link"))]
    async fn open(
        &self,
        session: &str,
        spec: OutputSpec,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd, CallError> {
        require_stage(bus, &header, Stage::Encoded).await?;
        let session = session_id(session)?;
        spec.mode().map_err(|error| CallError::Request(error.to_string()))?;
        let channels = spec.channels.unwrap_or(STEREO);
        let sink = check(SinkSpec { channels, microphone: spec.microphone })?;
        if !self.sounds.list().contains(&session) {
            // Nobody reads it yet; but the sink must be there before the program on the Output is, and with all its channels,
            // because a program whose sink is made anew is moved to any other one meanwhile.
            drop(self.sounds.open(session, sink));
        }
        Ok(self.sessions.open(session, spec)?.into())
    }

    /// Opens the sound of `session` or attaches to it again; the answer is one end of its link.
    #[zbus(out_args("link"))]
    async fn open_sound(
        &self,
        session: &str,
        spec: SinkSpec,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd, CallError> {
        require_stage(bus, &header, Stage::Encoded).await?;
        let session = session_id(session)?;
        Ok(self.sounds.open(session, check(spec)?)?.into())
    }
}

/// What can be played into.
fn check(spec: SinkSpec) -> Result<SinkSpec, CallError> {
    if matches!(spec.channels, STEREO | 6 | 8) {
        return Ok(spec);
    }
    Err(CallError::Request(format!("{} channels are not 2, 6 or 8\nask for 2", spec.channels)))
}

/// The stage's work, from its first line after boot to its stop.
///
/// # Errors
/// No bus.
pub async fn serve(mut boot: Boot<Config>) -> Result<(), Exit> {
    let ladder = Ladder::take(&mut boot.stored, boot.config.set_aside.0)?;
    let looks = Looks::adopt(std::mem::take(&mut boot.stored));
    let desks = Desks::new(boot.is_heir);
    let lead = Lead::of_stage();
    let vdisplayd = Arc::new(Vdisplayd::new(ladder.clone(), desks.clone()));
    let (display, idle, why): (Arc<dyn Display>, _, _) = match boot.config.backend {
        Backend::Auto => {
            (vdisplayd.clone(), "none", "each session's backend follows the Output that vdisplayd gives")
        }
        Backend::Pattern => (Arc::new(Patterns), "pattern", "captured.toml says backend = \"pattern\""),
    };
    let board = Board::default();
    let common = Common {
        generation: boot.generation,
        lease: boot.config.lease.0,
        display,
        board: board.clone(),
        pools: Arc::new(AtomicU32::new(1)),
        looks: looks.clone(),
        desks,
    };
    let pictures = common.clone();
    let sessions = Sessions::new(boot.pulses.clone(), move |seat| run::run(seat, pictures.clone()));
    let sounds = sound::service::sessions(&common, &sessions, &boot.pulses, boot.is_heir, lead.clone());
    let capture = Capture1 { sessions: sessions.clone(), sounds: sounds.clone() };
    let descents = ladder.clone();
    let status = Stage1::new(boot.stage, boot.generation, move |report| {
        let taken = |line: &Line| (!line.backend.is_empty()).then_some((line.backend, line.why));
        let (backend, why) = board.find(taken).unwrap_or((idle, why));
        report.set("backend", backend).set("why", why).set("set_aside", descents.descents());
        board.fill(report);
    });
    let path = boot.stage.object_path();
    let bus = boot
        .bus(move |builder| builder.serve_at(path, capture.clone()).serve_at(path, status.clone()))
        .await?;
    vdisplayd.connect(bus.clone());
    let is_to_clean = boot.is_heir || lead.record().is_some();
    let clean = {
        let (display, pulses, sounds) = (common.display, boot.pulses.clone(), sounds.clone());
        let lives = move |session| sounds.list().contains(&session);
        move || sound::service::clean(display, pulses.register(), lives, lead)
    };
    let work = async move {
        let fallen = ladder.fallen();
        tokio::pin!(fallen);
        match tokio::time::timeout(CLAIMED, &mut fallen).await {
            Ok(exit) => exit,
            Err(_) => {
                looks.forget_unclaimed();
                if is_to_clean {
                    clean();
                }
                fallen.await
            }
        }
    };
    let goodbye = async {
        tokio::join!(sessions.close_all(GOODBYE), sounds.close_all(GOODBYE));
    };
    boot::serve(&bus, &boot.pulses, work, goodbye).await
}

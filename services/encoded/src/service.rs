//! The stage on lumen's bus: `org.lumen.Encode1`.

use std::{sync::Arc, time::Duration};

use lumen_ipc::{
    Stage,
    bus::{SoundSpec, StreamSpec},
};
use lumen_stage::{
    Boot, Exit, Ladder, Sessions, boot,
    bus::{CallError, require_stage, session_id},
    inherited,
    status::Stage1,
};
use zbus::{Connection, interface, message::Header};

use crate::{
    board::{Board, Line},
    capture::Captured,
    config::Config,
    run::{self, Common, MIN_BITRATE_BPS},
    rungs::Rungs,
    sound::{packer::Packer, run as sound},
};

/// How long sessions may take to say goodbye when the stage stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long after its start an heir is asked to go on with the sessions of the incarnation before.
const INHERITANCE_NS: u64 = 1_000_000_000;

/// The interface that transportd calls.
#[derive(Clone)]
pub struct Encode1 {
    sessions: Sessions<StreamSpec>,
    sounds: Sessions<SoundSpec>,
}

#[interface(name = "org.lumen.Encode1")]
impl Encode1 {
    /// Opens `session` or attaches to it again; the answer is one end of its encode link.
    #[zbus(out_args("link"))]
    async fn open(
        &self,
        session: &str,
        spec: StreamSpec,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd, CallError> {
        require_stage(bus, &header, Stage::Transportd).await?;
        let session = session_id(session)?;
        check(&spec).map_err(CallError::Request)?;
        Ok(self.sessions.open(session, spec)?.into())
    }

    /// Opens the sound of `session` or attaches to it again; the answer is one end of its link.
    #[zbus(out_args("link"))]
    async fn open_sound(
        &self,
        session: &str,
        spec: SoundSpec,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd, CallError> {
        require_stage(bus, &header, Stage::Transportd).await?;
        let session = session_id(session)?;
        Packer::new(&spec).map_err(|error| CallError::Request(error.to_string()))?;
        Ok(self.sounds.open(session, spec)?.into())
    }
}

/// Whether the backend can do what is asked; else what was wrong, and on a second line what to do.
fn check(spec: &StreamSpec) -> Result<(), String> {
    let mode = spec.mode().map_err(|error| error.to_string())?;
    if spec.codec != "h264" {
        return Err(format!("the codec {:?} is not one that this host has\nask for \"h264\"", spec.codec));
    }
    if u64::from(mode.width) * u64::from(mode.height) > crate::backends::openh264::MAX_PIXELS {
        return Err(format!(
            "{mode} is more than the software encoder takes\nask for at most 4096×2304 pixels"
        ));
    }
    if spec.bitrate_bps < MIN_BITRATE_BPS {
        return Err(format!(
            "no picture fits {} bit/s\nask for at least {MIN_BITRATE_BPS} bit/s",
            spec.bitrate_bps
        ));
    }
    Ok(())
}

/// The stage's work, from its first line after boot to its stop.
///
/// # Errors
/// No encoder, or no bus.
pub async fn serve(mut boot: Boot<Config>) -> Result<(), Exit> {
    let ladder = Ladder::take(&mut boot.stored, boot.config.set_aside.0)?;
    let unknown = inherited::discard(std::mem::take(&mut boot.stored)) as u64;
    let rungs =
        Rungs::new(&boot.config, ladder.clone()).map_err(|error| Exit::Environment(error.to_string()))?;
    let board = Board::default();
    let captured = Captured::new(boot.config.memory);
    let common = Common {
        generation: boot.generation,
        lease: boot.config.lease.0,
        max_bitrate_bps: u32::try_from(boot.config.max_bitrate.0).unwrap_or(u32::MAX),
        heir_until_ns: if boot.is_heir { boot.generation.0 + INHERITANCE_NS } else { 0 },
        capture: Arc::new(captured.clone()),
        factory: Arc::new(rungs.clone()),
        board: board.clone(),
    };
    let heard = sound::Common {
        generation: common.generation,
        lease: common.lease,
        capture: common.capture.clone(),
        board: board.clone(),
    };
    let sounds = Sessions::new(boot.pulses.clone(), move |seat| sound::run(seat, heard.clone()));
    let sessions = Sessions::new(boot.pulses.clone(), move |seat| run::run(seat, common.clone()));
    let encode = Encode1 { sessions: sessions.clone(), sounds: sounds.clone() };
    let in_use = |line: &Line| (!line.backend.0.is_empty()).then(|| line.backend.0.clone());
    let descents = ladder.clone();
    let status = Stage1::new(boot.stage, boot.generation, move |report| {
        let (first, why) = rungs.describe();
        let backend = board.find(in_use).unwrap_or_else(|| first.to_owned());
        report.set("backend", backend).set("why", why).set("set_aside", descents.descents());
        report.set("unknown_descriptors", unknown);
        board.fill(report);
    });
    let path = boot.stage.object_path();
    let bus = boot
        .bus(move |builder| builder.serve_at(path, encode.clone()).serve_at(path, status.clone()))
        .await?;
    captured.connect(bus.clone());
    let goodbye = async {
        sounds.close_all(GOODBYE / 2).await;
        sessions.close_all(GOODBYE).await;
    };
    boot::serve(&bus, &boot.pulses, ladder.fallen(), goodbye).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> StreamSpec {
        StreamSpec {
            width: 1280,
            height: 720,
            refresh_mhz: 60_000,
            app: None,
            cursor: None,
            repeat_mhz: None,
            references: None,
            channels: None,
            microphone: None,
            codec: "h264".into(),
            bitrate_bps: 10_000_000,
        }
    }

    /// Sabotage: accept every codec, size or bitrate.
    #[test]
    fn what_cannot_be_encoded_is_refused_with_advice() {
        assert_eq!(check(&spec()), Ok(()));
        let refused = [
            StreamSpec { codec: "av1".into(), ..spec() },
            StreamSpec { width: 8192, height: 4096, ..spec() },
            StreamSpec { bitrate_bps: 0, ..spec() },
        ];
        for spec in refused {
            let text = check(&spec).unwrap_err();
            assert!(text.contains("\nask for "), "{text}");
        }
        assert!(check(&StreamSpec { width: 0, ..spec() }).is_err());
    }
}

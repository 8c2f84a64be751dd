//! Sinks that nobody needs any more: their session ended while no captured was there to take them away.

use super::{
    error::SoundError,
    wire::{self, Heard, Said},
};
use crate::backends::{SourceError, pipewire::context::context};
use lumen_ipc::{SessionId, bus::SINK_PREFIX};
use lumen_stage::clock::now_ns;
use pipewire::loop_::{LoopRc, Timeout};
use std::{os::fd::OwnedFd, time::Duration};

/// How long the daemon may take to list its objects, and to forget some.
const PATIENCE: Duration = Duration::from_millis(500);
/// One turn of the loop.
const TURN: Duration = Duration::from_millis(20);

/// Takes away the sinks of all sessions but those that `lives` knows; how many.
///
/// # Errors
/// The daemon does not answer.
pub fn sweep(socket: OwnedFd, lives: impl Fn(SessionId) -> bool) -> Result<usize, SoundError> {
    pipewire::init();
    let failed = |what| move |_| SourceError::PipeWire { what };
    let main = LoopRc::new(None).map_err(failed("making a loop"))?;
    let context = context(&main)?;
    let core = context.connect_fd_rc(socket, None).map_err(failed("greeting the daemon"))?;
    let registry = core.get_registry_rc().map_err(failed("asking for the objects"))?;
    let heard = Heard::default();
    let _listeners = wire::listen(&core, &registry, &heard);
    let (mut swept, mut rounds) = (0, 0);
    let until = now_ns() + PATIENCE.as_nanos() as u64;
    core.sync(0).map_err(failed("asking for the objects"))?;
    // The second answer comes when what was asked after the first is done.
    while rounds < 2 && now_ns() < until {
        main.iterate(Timeout::Finite(TURN));
        let said: Vec<Said> = heard.borrow_mut().drain(..).collect();
        for said in said {
            match said {
                Said::Node { id, name, .. } if is_left(&name, &lives) => {
                    let _ = registry.destroy_global(id).into_result();
                    swept += 1;
                }
                Said::Listed => {
                    rounds += 1;
                    core.sync(0).map_err(failed("asking for the objects"))?;
                }
                Said::Refused { object: 0, message } => return Err(SoundError::Gone { message }),
                _ => {}
            }
        }
    }
    Ok(swept)
}

/// Whether this is the name of a sink whose session does not live.
fn is_left(name: &str, lives: impl Fn(SessionId) -> bool) -> bool {
    let session = name.strip_prefix(SINK_PREFIX).and_then(|session| session.parse().ok());
    session.is_some_and(|session| !lives(session))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: take away what only looks like a sink of ours.
    #[test]
    fn only_sinks_of_sessions_that_are_over_are_swept() {
        let (dead, live) = (SessionId([1; 16]), SessionId([2; 16]));
        let lives = |session| session == live;
        assert!(is_left(&lumen_ipc::bus::sink_name(dead), lives));
        for name in [lumen_ipc::bus::sink_name(live), "lumen-session-x".into(), "alsa_output".into()] {
            assert!(!is_left(&name, lives), "{name}");
        }
    }
}

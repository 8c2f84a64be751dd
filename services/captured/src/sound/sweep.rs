//! Sinks, and sources of microphones, that nobody needs any more: their session ended while no captured was there to take them
//! away, or the whole constellation stops.

use super::{
    error::SoundError,
    lead::Lead,
    output::DefaultOutput,
    wire::{Connection, Said},
};
use crate::backends::SourceError;
use lumen_ipc::{
    SessionId,
    bus::{SINK_PREFIX, SOURCE_PREFIX},
};
use lumen_stage::clock::now_ns;
use pipewire::loop_::Timeout;
use std::{
    env,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

/// How long the daemon may take to list its objects, and to forget some.
const PATIENCE: Duration = Duration::from_millis(500);
/// One turn of the loop.
const TURN: Duration = Duration::from_millis(20);

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Sinks and sources that were taken away.
    pub sinks: usize,
    /// All were looked at, and no default output of a session that is over is left to be put back.
    pub is_done: bool,
}

/// Takes away the sinks and sources of all sessions, and puts back the default output, of the PipeWire in `$XDG_RUNTIME_DIR`: a
/// process's whole work.
pub fn all() -> ExitCode {
    lumen_stage::log::start();
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default();
    // Without PipeWire there is nothing to sweep.
    let Ok(socket) = UnixStream::connect(runtime.join("pipewire-0")) else { return ExitCode::SUCCESS };
    match sweep(socket.into(), |_| false, &Lead::of_stage()) {
        Ok(Swept { is_done: true, .. }) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!(
                "lumen-captured: the default output may still be a session's; choose another in the desktop's settings"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("lumen-captured: sinks of sessions may be left in PipeWire: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes away the sinks and sources of all sessions but those that `lives` knows, and puts back the default output of one that `lead` says
/// had moved it.
///
/// # Errors
/// The daemon does not answer.
pub fn sweep(socket: OwnedFd, lives: impl Fn(SessionId) -> bool, lead: &Lead) -> Result<Swept, SoundError> {
    let connection = Connection::greet(socket)?;
    let (mut sinks, mut rounds, mut is_put_back) = (0, 0u32, false);
    let until = now_ns() + PATIENCE.as_nanos() as u64;
    // And after which answer it came.
    let mut default: Option<(DefaultOutput, u32)> = None;
    let left = lead.record().filter(|record| !lives(record.session));
    // The second answer comes when what was asked after the first is done: until then it is told what is the default. What is
    // then put back is there with the third.
    let last = if left.is_some() { 3 } else { 2 };
    while rounds < last && now_ns() < until {
        connection.main.iterate(Timeout::Finite(TURN));
        for said in connection.said() {
            match said {
                Said::Node { id, name } if is_left(&name, &lives) => {
                    let _ = connection.registry.destroy_global(id).into_result();
                    sinks += 1;
                }
                Said::Defaults(global) => {
                    let bound = DefaultOutput::bind(&connection.registry, &global, &connection.heard);
                    let failed = |_| SourceError::PipeWire { what: "asking for the default output" };
                    default = Some((bound.map_err(failed)?, rounds));
                }
                Said::Chosen(chosen) => {
                    default.iter_mut().for_each(|(default, _)| default.hear(chosen.clone()));
                }
                Said::Listed => {
                    rounds += 1;
                    if let (2, Some((default, 0)), Some(record)) = (rounds, &mut default, &left) {
                        default.settle();
                        is_put_back = default.put_back(record);
                    }
                    connection.sync()?;
                }
                Said::Refused { object: 0, message } => return Err(SoundError::Gone { message }),
                _ => {}
            }
        }
    }
    let is_listed = rounds == last;
    let is_done = is_listed && (left.is_none() || is_put_back);
    if let (Some(record), true) = (left, is_done) {
        lead.forget(record.session);
    }
    Ok(Swept { sinks, is_done })
}

/// Whether this is the name of a sink or a source whose session does not live.
fn is_left(name: &str, lives: impl Fn(SessionId) -> bool) -> bool {
    let session = [SINK_PREFIX, SOURCE_PREFIX].into_iter().find_map(|prefix| name.strip_prefix(prefix));
    let session = session.and_then(|session| session.parse().ok());
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
        assert!(is_left(&lumen_ipc::bus::source_name(dead), lives));
        let source = lumen_ipc::bus::source_name(live);
        for name in [lumen_ipc::bus::sink_name(live), source, "lumen-session-x".into(), "alsa_output".into()]
        {
            assert!(!is_left(&name, lives), "{name}");
        }
    }
}

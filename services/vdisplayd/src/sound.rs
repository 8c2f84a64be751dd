//! Where sound goes: the way to PipeWire, and what programs on an Output of our own are told.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
};

use lumen_ipc::{
    Failure, FailureClass, SessionId,
    bus::{SoundSource, sink_name, source_name},
};

/// Variables that make a program play into the sink of `session`: programs that speak to PulseAudio read the first, those that
/// speak to PipeWire itself, or to ALSA, the second. The third makes those that speak to PulseAudio listen to the session's
/// microphone; where it has none they listen to the default input as ever.
pub fn environment(session: SessionId) -> [String; 3] {
    let sink = sink_name(session);
    let source = source_name(session);
    [format!("PULSE_SINK={sink}"), format!("PIPEWIRE_NODE={sink}"), format!("PULSE_SOURCE={source}")]
}

/// Whether an Output of `backend` is in the user's own desktop, whose programs were told nothing.
pub fn is_users(backend: &str) -> bool {
    matches!(backend, "mutter" | "sway")
}

/// A fresh connection to the user's PipeWire.
///
/// # Errors
/// There is none.
pub fn source(runtime: &Path) -> Result<SoundSource, Failure> {
    let socket = runtime.join("pipewire-0");
    let stream = UnixStream::connect(&socket).map_err(|error| {
        Failure::new(
            FailureClass::Environment,
            format!("no sound: PipeWire does not answer at {} ({error})", socket.display()),
            "start it with `systemctl --user start pipewire.service wireplumber.service`; sound then comes by itself",
        )
    })?;
    Ok(SoundSource { fd: Some(OwnedFd::from(stream).into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: tell programs another name than captured gives the sink or the source.
    #[test]
    fn programs_are_told_the_sink_that_captured_makes() {
        let session = SessionId([7; 16]);
        let [pulse, native, source] = environment(session);
        assert!([pulse, native].iter().all(|line| line.ends_with(&format!("={}", sink_name(session)))));
        assert_eq!(source, format!("PULSE_SOURCE={}", source_name(session)));
        assert!(is_users("sway") && is_users("mutter") && !is_users("sway-headless"));
    }

    #[test]
    fn a_machine_without_pipewire_is_told_what_to_start() {
        let empty = tempfile::tempdir().unwrap();
        let failure = source(empty.path()).unwrap_err();
        assert!(failure.text.starts_with("no sound: ") && failure.advice.contains("pipewire.service"));
    }
}

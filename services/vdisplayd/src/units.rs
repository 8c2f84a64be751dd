//! Names of the transient units, so that one who restarts finds them again.

use lumen_ipc::SessionId;

/// The unit that stopping lumen stops.
pub const TARGET: &str = "lumen.target";
/// Compositors are part of the session, as systemd's own slices have it.
pub const SESSION_SLICE: &str = "session.slice";
/// Apps do not share lumen.slice's weight, because a game that takes every core would take it from the encoder.
pub const APP_SLICE: &str = "app.slice";
/// All Output units.
pub const OUTPUT_PATTERN: &str = "lumen-output-*.service";

/// The unit that an Output lives in.
pub fn output(session: SessionId) -> String {
    format!("lumen-output-{session}.service")
}

/// The unit that a session's app lives in.
pub fn app(session: SessionId) -> String {
    format!("lumen-app-{session}.service")
}

/// The unit of what is done before a session's app and undone after it.
pub fn prep(session: SessionId) -> String {
    format!("lumen-prep-{session}.service")
}

/// The session of an Output unit.
pub fn session_of(unit: &str) -> Option<SessionId> {
    unit.strip_prefix("lumen-output-")?.strip_suffix(".service")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_read_back_from_its_unit() {
        let session = SessionId([0xab; 16]);
        assert_eq!(session_of(&output(session)), Some(session));
        assert_eq!(session_of(&app(session)), None);
        assert_eq!(session_of("lumen-output-x.service"), None);
    }
}

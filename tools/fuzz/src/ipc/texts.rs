//! What people and other stages write as text.

use lumen_ipc::identity::SessionId;
use lumen_ipc::{Failure, FailureClass, Mode};

use crate::Script;

/// A mode, a session's id, or the words of a failure.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let kind = script.u8();
    let Ok(text) = std::str::from_utf8(script.rest()) else {
        return;
    };
    match kind % 3 {
        0 => {
            if let Ok(mode) = text.parse::<Mode>() {
                assert_eq!(mode.to_string().parse(), Ok(mode), "{text:?} is written as {mode}");
            }
        }
        1 => {
            if let Ok(id) = text.parse::<SessionId>() {
                assert_eq!(id.to_string(), text);
            }
        }
        _ => {
            let long = text.repeat(40);
            let failure = Failure::new(FailureClass::Request, long.as_str(), text);
            assert!(failure.text.len() <= Failure::MAX_TEXT && long.starts_with(&failure.text));
        }
    }
}

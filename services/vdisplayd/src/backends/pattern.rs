//! No compositor at all: captured draws a test picture. For tests of what lies downstream; never chosen by itself.

use std::collections::BTreeMap;

use lumen_ipc::{Failure, Mode, SessionId};

use super::{Acquired, Backend, Made, Pictures};

/// The backend `pattern`.
#[derive(Debug, Default)]
pub struct Pattern;

impl Backend for Pattern {
    async fn acquire(&mut self, _: SessionId, mode: Mode) -> Result<Acquired, Failure> {
        let made = Made {
            mode,
            output: None,
            wayland: None,
            display: None,
            unit: None,
            backend: "pattern",
            why: "vdisplayd.toml says backend = \"pattern\": a test picture, no desktop".to_owned(),
        };
        Ok(Acquired { made, pictures: Pictures::Pattern, fresh: false, ready: false })
    }

    fn has(&self, _: SessionId) -> bool {
        true
    }

    async fn release(&mut self, _: SessionId) -> Result<(), Failure> {
        Ok(())
    }

    async fn adopt(&mut self) -> Result<BTreeMap<SessionId, Made>, Failure> {
        Ok(BTreeMap::new())
    }
}

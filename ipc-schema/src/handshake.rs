//! The first packet in each direction of every link: who is there, and which schema they speak.

use serde::{Deserialize, Serialize};

use crate::{Delivery, Generation, LinkMessage, Stage};

/// First eight bytes of every link.
pub const MAGIC: [u8; 8] = *b"lumenlnk";

/// Version of all link messages; raised with each change of their layout.
pub const SCHEMA: u32 = 6;

/// The greeting of both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always [`MAGIC`].
    pub magic: [u8; 8],
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Who greets.
    pub stage: Stage,
    /// Which incarnation of it.
    pub generation: Generation,
}

/// Why a greeting is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not a lumen link at all.
    #[error("the other end is not a lumen stage: its greeting starts with {got:02x?}")]
    Magic {
        /// What came instead of [`MAGIC`].
        got: [u8; 8],
    },
    /// Another version of lumen.
    #[error(
        "{stage} speaks link schema {got}, this stage speaks {SCHEMA}: \
         install the same version of both, then restart lumen.target"
    )]
    Schema {
        /// Who greeted.
        stage: Stage,
        /// Its schema.
        got: u32,
    },
    /// A stage at the wrong end.
    #[error("expected {expected} at the other end, found {got}")]
    Stage {
        /// Who should be there.
        expected: Stage,
        /// Who is.
        got: Stage,
    },
}

impl Hello {
    /// The greeting of `stage` in incarnation `generation`.
    pub fn new(stage: Stage, generation: Generation) -> Self {
        Self { magic: MAGIC, schema: SCHEMA, stage, generation }
    }

    /// Accepts the greeting if it comes from `expected` and speaks our schema.
    pub fn check(&self, expected: Stage) -> Result<(), HandshakeError> {
        if self.magic != MAGIC {
            return Err(HandshakeError::Magic { got: self.magic });
        }
        if self.schema != SCHEMA {
            return Err(HandshakeError::Schema { stage: self.stage, got: self.schema });
        }
        if self.stage != expected {
            return Err(HandshakeError::Stage { expected, got: self.stage });
        }
        Ok(())
    }
}

impl LinkMessage for Hello {
    fn delivery(&self) -> Delivery {
        Delivery::State
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_stage_of_this_schema_is_accepted() {
        let hello = Hello::new(Stage::Captured, Generation(7));
        assert_eq!(hello.check(Stage::Captured), Ok(()));
        assert!(matches!(hello.check(Stage::Encoded), Err(HandshakeError::Stage { .. })));
        let foreign = Hello { magic: *b"GET / HT", ..hello };
        assert!(matches!(foreign.check(Stage::Captured), Err(HandshakeError::Magic { .. })));
        let newer = Hello { schema: SCHEMA + 1, ..hello };
        assert!(matches!(newer.check(Stage::Captured), Err(HandshakeError::Schema { .. })));
    }
}

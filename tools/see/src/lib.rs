//! What a window in full screen saw of a person's hands: written by `lumen-see`, read by tests.
#![forbid(unsafe_code)]

mod journal;
mod seen;

pub use journal::{Journal, Thing};
pub use seen::{Seen, SeenError, held_from};

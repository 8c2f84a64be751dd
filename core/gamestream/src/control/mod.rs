//! The control stream: small messages both ways, sealed, carried by [`enet`](crate::enet).
//!
//! ```text
//! plain    type u16 LE ‖ length u16 LE ‖ payload
//! sealed   0x0001 u16 LE ‖ length u16 LE = 4 + 16 + plain ‖ number u32 LE ‖ GCM tag (16) ‖ ciphertext
//! nonce    number LE ‖ 0⁶ ‖ 'C' (client) or 'H' (host) ‖ 'C'
//! ```
//! ENet orders messages by channel only, so numbers arrive out of order: [`ReplayWindow`] says which were seen.
//!
//! **Invariant**: what is not sealed, or sealed in the old way whose nonces come again after 256 messages, is not read.

mod incoming;
mod outgoing;
mod replay;
mod seal;

pub use incoming::{FecStatus, Incoming, LossStats};
pub use outgoing::{AdaptiveTriggers, HdrMetadata, Outgoing, Sensor, Termination};
pub use replay::{Freshness, ReplayWindow};
pub use seal::{ControlError, Opener, SealError, Sealer};

#[cfg(test)]
mod tests;

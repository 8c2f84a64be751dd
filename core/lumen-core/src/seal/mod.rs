//! AES-128-GCM for each datagram, with keys from the TLS exporter.
//!
//! ```text
//! prk        = HKDF-Extract-SHA256(salt "lumen/1 video", secret)
//! key(epoch) = HKDF-Expand(prk, "key" ‖ direction u8 ‖ channel u32 ‖ epoch u64, 16)
//! iv         = HKDF-Expand(prk, "iv"  ‖ direction u8 ‖ channel u32, 12)
//! epoch      = sequence >> 26
//! nonce      = iv XOR (0⁴ ‖ sequence big-endian)
//! ```
//! The key follows from the sequence number, because a channel at 10 Gbit/s outlives what one AES-GCM key may seal within
//! minutes (RFC 9001 § B.1: 2²⁸ short packets) and no message is then needed to change it.
//!
//! **Invariant**: a sequence number is reserved before anything is sealed with it, so a crash can skip numbers, never reuse one.

mod keys;
mod opener;
mod sealer;

pub use keys::{ChannelSecret, Direction, EPOCH_BITS, EXPORTER_LABEL, SECRET_LEN};
pub use opener::{Hello, OpenCounters, OpenError, Opened, Opener};
pub use sealer::{LocalCounter, SealError, Sealer, SequenceCounter};

//! The sound of a session: samples in, Opus out, on a thread of its own beside the pictures'.
//!
//! ```text
//!  captured ──Pcm──► run.rs ──► packer.rs: 5 or 10 ms ─► backends::opus ──Packet──► transportd
//! ```

pub mod packer;
pub mod run;

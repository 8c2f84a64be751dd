//! The sound of a session: samples in, Opus out, on a thread of its own beside the pictures'.
//!
//! ```text
//!  captured ──Pcm──► run.rs ──► resampler.rs: by our clock ─► packer.rs: 5 or 10 ms ─► backends::opus ──Packet──► transportd
//!           ◄──samples── run.rs ◄── microphone.rs: order, what is missing, backends::opus ◄──────────────Spoken──
//! ```

pub mod microphone;
pub mod order;
pub mod packer;
pub mod resampler;
pub mod run;

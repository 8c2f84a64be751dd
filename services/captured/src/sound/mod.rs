//! The sound of a session: a sink of its own that programs play into, read by its monitor.
//!
//! ```text
//!  programs ─► the session's sink (lingers) ─► Monitor ─► Chopper ─► Pcm ─► encoded
//!  programs ◄─ the session's source (lingers) ◄─ Microphone ◄─ Buffer ◄─ Spoken ─ encoded
//! ```
//! The sink is PipeWire's and outlives this process, so that a death moves no stream; who comes after a death finds it by its
//! name. Programs are told that name by vdisplayd when it starts them, so the sink is made before the Output. In the user's own
//! desktop nobody was told anything: there one session at a time moves the default output to its sink, and puts it back; others
//! read the default sink's monitor, whatever it is.
//!
//! A thread of its own for each session, because neither sound nor pictures shall wait for the other.

mod booth;
pub mod buffer;
pub mod chopper;
pub mod desks;
pub mod error;
pub mod lead;
pub mod microphone;
pub mod monitor;
mod output;
pub mod run;
pub mod service;
pub mod sweep;
mod wire;

pub use desks::Desks;
pub use lead::Lead;

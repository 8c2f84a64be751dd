//! lumen's encoder stage: Frames in, AccessUnits out.
//!
//! ```text
//!  captured ──Frame──► run.rs ──► coder.rs:  canvas ─► change ─► ratecontrol ─► backends ─► ring ──AccessUnit──► transportd
//!                        ▲                     ▲  ▲
//!                        │               convert  pointer
//!                     stage.rs decides, without pixels, clock or descriptors
//! ```
#![deny(unsafe_code)]

pub mod backends;
pub mod board;
pub mod canvas;
pub mod capture;
pub mod change;
pub mod coder;
pub mod config;
pub mod convert;
pub mod motion;
pub mod needs;
pub mod picture;
pub mod pointer;
pub mod ratecontrol;
pub mod recover;
pub mod references;
pub mod run;
pub mod rungs;
pub mod service;
pub mod soften;
pub mod sound;
pub mod stage;
#[cfg(test)]
mod synthetic;

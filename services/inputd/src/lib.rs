//! lumen's input stage: takes the client's keyboard, mouse, touch, pen and gamepads, and logs them; it types nothing yet.
//!
//! One thread per session reads the input link of transportd; [`stage`] turns its messages into events by difference,
//! and a backend plays them.
#![forbid(unsafe_code)]

pub mod backends;
pub mod config;
pub mod recover;
pub mod run;
pub mod seat;
pub mod stage;

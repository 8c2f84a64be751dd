//! lumen's input stage: makes what the client's keyboard, mouse and touch screen do happen on the session's Output.
//!
//! One thread per session reads the input link of transportd; [`stage`] turns its messages into events by difference and
//! within the quotas, [`display`] asks vdisplayd where they go, and a backend plays them there.
#![forbid(unsafe_code)]

pub mod backends;
pub mod config;
pub mod counts;
pub mod display;
pub mod event;
pub mod fingers;
pub mod needs;
pub mod office;
pub mod quota;
pub mod recover;
pub mod run;
pub mod seat;
pub mod shown;
pub mod stage;

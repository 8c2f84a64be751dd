//! lumen's virtual displays: one Output per session at the client's own mode.
#![forbid(unsafe_code)]

pub mod app;
pub mod backends;
pub mod config;
pub mod display;
pub mod library;
pub mod logind;
pub mod needs;
mod notices;
pub mod places;
mod private_bus;
pub mod process;
mod programs;
pub mod recover;
pub mod run;
pub mod shown;
mod sleep;
pub mod sound;
pub mod stage;
pub mod systemd;
pub mod transient;
pub mod units;
pub mod watch;

//! lumen's virtual displays: one Output per session at the client's own mode.
#![forbid(unsafe_code)]

pub mod backends;
pub mod places;
pub mod process;
pub mod systemd;
pub mod units;

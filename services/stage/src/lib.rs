//! What every lumen service is made of.
//!
//! A stage boots ([`boot`]), claims its name on lumen's bus ([`bus`], [`caller`]), and runs one plain thread per
//! session ([`sessions`]) that moves messages over [`link`]s, pictures through [`pool`]s and AccessUnits through
//! a [`ring`]. Each session thread beats a [`pulse`], and only while all of them beat is systemd's watchdog fed.
//!
//! This crate and the backends that call C are the only rooms with `unsafe`: here it maps shared memory
//! ([`memory`]) and takes inherited file descriptors ([`inherited`]).

pub mod board;
pub mod boot;
pub mod bus;
pub mod caller;
pub mod clock;
pub mod config;
pub mod dmabuf;
pub mod door;
pub mod failpoint;
pub mod inherited;
pub mod ladder;
pub mod lease;
pub mod link;
pub mod log;
pub mod memory;
pub mod needs;
pub mod pacing;
pub mod pool;
pub mod pulse;
pub mod rehearsal;
pub mod ring;
pub mod sessions;
pub mod status;

pub use boot::{Boot, Exit};
pub use bus::Bus;
pub use ladder::{Ladder, Rung};
pub use link::{Link, LinkError, Received};
pub use needs::Need;
pub use sessions::{Mail, Seat, Sessions};

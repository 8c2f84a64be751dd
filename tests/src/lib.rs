//! The harness of the system tests.
//!
//! A [`Constellation`] is the release binaries under the shipped unit files, started by `lumenctl run` as an
//! ordinary user; [`probe`] is the client that records what it saw, and [`moonlight`] a stock one; [`proxy`] is a bad network
//! between the two, and [`detour`] leads a stock client through it; [`flood`] is what strangers can throw at a host, and [`ledger`] what a session's record counts.
//! The tests themselves are in `tests/system/`, one behaviour a file. They need root, since `lumenctl run` does.
#![forbid(unsafe_code)]

pub mod constellation;
pub mod detour;
pub mod effort;
pub mod film;
pub mod flood;
pub mod lab;
pub mod layouts;
pub mod ledger;
pub mod moonlight;
pub mod overstays;
pub mod overview;
pub mod probe;
pub mod proxy;
pub mod silent;
pub mod sound;
pub mod tap;
pub mod vm;
pub mod watch;
pub mod wheel;

pub use constellation::Constellation;
pub use moonlight::Moonlight;
pub use probe::Probe;

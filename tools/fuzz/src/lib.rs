//! Fuzz targets: every parser of bytes that strangers or other processes send, each with what must hold of its output.
//!
//! ```text
//! corpus/<target>.txt ──► cargo test: each input once, as released
//!                    └──► cargo xtask fuzz: libFuzzer (main.rs), coverage-guided, with overflow checks
//! ```
//! A target takes any bytes and panics when a promise of the parser is broken: that is what libFuzzer reports. State
//! machines are driven by a [`Script`]: the bytes are read as steps in time. Where a message must be sealed to be read at
//! all, the target seals it, because a fuzzer cannot guess a tag.
#![forbid(unsafe_code)]

pub mod corpus;
mod gamestream;
mod ipc;
mod lumen1;
mod script;

pub use script::Script;

/// Something to be fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// How it and its corpus are called.
    pub name: &'static str,
    /// The folder of the crate whose parser it is.
    pub of: &'static str,
    /// Bytes of an input at most: what the parser's own limits let through, and some more.
    pub max_len: usize,
    /// Panics when something is wrong.
    pub run: fn(&[u8]),
}

/// All that there are, crate by crate.
pub const TARGETS: [&[Target]; 3] = [&gamestream::TARGETS, &lumen1::TARGETS, &ipc::TARGETS];

/// All that there are.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    TARGETS.into_iter().flatten()
}

/// The one of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    targets().find(|target| target.name == name)
}

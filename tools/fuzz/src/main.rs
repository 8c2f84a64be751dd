//! One target under libFuzzer, whose arguments it takes; `LUMEN_FUZZ_TARGET` says which. Started by `cargo xtask fuzz`.
#![forbid(unsafe_code)]
#![no_main]

use std::sync::OnceLock;

use lumen_fuzz::{Target, target};

static TARGET: OnceLock<&Target> = OnceLock::new();

/// The target of this process.
fn chosen() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("LUMEN_FUZZ_TARGET").unwrap_or_default();
        target(&name).expect("LUMEN_FUZZ_TARGET names a target of tools/fuzz/src")
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (chosen().run)(bytes));

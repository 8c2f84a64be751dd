//! lumen-captured: boot, and nothing else. With `--sweep` it takes away what sessions left in PipeWire instead.
#![forbid(unsafe_code)]

use lumen_captured::{config::Config, needs, recover, service, sound};
use lumen_ipc::Stage;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["--sweep"]) {
        return sound::sweep::all();
    }
    lumen_stage::boot::run::<Config, _, _>(Stage::Captured, recover::STEPS, needs::needs, service::serve)
}

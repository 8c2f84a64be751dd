//! lumen-captured: boot, and nothing else.
#![forbid(unsafe_code)]

use lumen_captured::{config::Config, needs, recover, service};
use lumen_ipc::Stage;
use std::process::ExitCode;

fn main() -> ExitCode {
    lumen_stage::boot::run::<Config, _, _>(Stage::Captured, recover::STEPS, needs::needs, service::serve)
}

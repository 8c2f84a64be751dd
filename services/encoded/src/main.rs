//! lumen-encoded: boot, and nothing else.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lumen_encoded::{config::Config, needs, recover, service};
use lumen_ipc::Stage;

fn main() -> ExitCode {
    lumen_stage::boot::run::<Config, _, _>(Stage::Encoded, recover::STEPS, needs::needs, service::serve)
}

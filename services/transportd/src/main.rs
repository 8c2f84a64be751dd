//! lumen-transportd: lumen's network stage.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lumen_ipc::Stage;
use lumen_transportd::{needs, recover, run};

fn main() -> ExitCode {
    lumen_stage::boot::run(Stage::Transportd, recover::STEPS, needs::needs, run::run)
}

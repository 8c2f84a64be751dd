//! lumen-transportd: lumen's network stage.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lumen_ipc::Stage;

fn main() -> ExitCode {
    lumen_stage::boot::run(Stage::Transportd, lumen_transportd::recover::STEPS, lumen_transportd::run::run)
}

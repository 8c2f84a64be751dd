//! lumen's virtual displays: one Output per session at the client's own mode
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lumen_ipc::Stage;
use lumen_vdisplayd::{library, needs, recover, run};

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--check")
        && let Err(error) = library::check()
    {
        eprintln!("{error}");
        return ExitCode::from(78);
    }
    recover::sweep(std::env::args().skip(1))
        .unwrap_or_else(|| lumen_stage::boot::run(Stage::Vdisplayd, recover::STEPS, needs::needs, run::run))
}

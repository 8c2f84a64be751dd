//! lumen's input stage: makes the client's keyboard, mouse, touch, pen and gamepads real
#![forbid(unsafe_code)]

use std::process::ExitCode;

use lumen_inputd::{needs, recover, run};
use lumen_ipc::Stage;

fn main() -> ExitCode {
    lumen_stage::boot::run(Stage::Inputd, recover::STEPS, needs::needs, run::run)
}

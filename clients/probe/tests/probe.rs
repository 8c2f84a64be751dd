//! Starts the built probe and reads what it says.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Runs the probe with `home` as its state directory.
pub fn run(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lumen-probe")).arg("--identity").arg(home).args(args).output().unwrap()
}

/// Runs it against a host of the tests; the summary of a run that must succeed.
pub fn summary(home: &Path, host: &str, args: &[&str]) -> Value {
    let common = ["--host", host, "--mode", "320x180@60", "--seconds", "20", "--stamp", "--json", "-"];
    let output = run(home, &[&common, args].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The exit status and what was said.
pub fn failure(home: &Path, args: &[&str]) -> (i32, String) {
    let output = run(home, args);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

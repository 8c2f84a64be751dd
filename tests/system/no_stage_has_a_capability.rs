//! No stage has a capability or a way to get one, and no program of ours gives one to whoever starts it.
//!
//! Sabotage: `chmod u+s` a program that was built; or let lumenctl's copies keep `security.capability`, and set one.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    constellation::{STAGES, Setup},
    overview::pids,
};
use rustix::{fs::getxattr, io::Errno};

/// Of a process, as `/proc` has them: inheritable, permitted, effective and ambient.
const SETS: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
/// Set user and set group.
const SET_ID: u32 = 0o6000;

#[test]
fn no_stage_has_a_capability() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    for (stage, pid) in pids(&host)? {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let said = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).with_context(|| format!("no {name} of {stage}: {status}"))
        };
        for set in SETS {
            let bits = u64::from_str_radix(said(set)?, 16)?;
            ensure!(bits == 0, "{stage} has capabilities, {set} {bits:x}");
        }
        ensure!(said("NoNewPrivs")? == "1", "{stage} may get privileges by executing a program");
    }
    let files: Vec<_> = fs::read_dir(host.programs())?.flatten().map(|entry| entry.path()).collect();
    ensure!(files.len() >= STAGES.len(), "{} programs in {}", files.len(), host.programs().display());
    for file in files {
        let mode = fs::metadata(&file)?.permissions().mode();
        ensure!(mode & SET_ID == 0, "{} changes who runs it: {mode:o}", file.display());
        let given = getxattr(&file, "security.capability", &mut [0; 64]);
        ensure!(given == Err(Errno::NODATA), "{} gives capabilities: {given:?}", file.display());
    }
    Ok(())
}

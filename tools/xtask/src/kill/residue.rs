//! What each stage holds: descriptors, threads and memory, compared before and after.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation,
    constellation::{STAGES, wait},
};

/// Growth of resident memory that is not a leak: allocators keep what one session freed, in KiB.
const MEMORY_KIB: u64 = 8 * 1024;

/// What the stages held at one moment with no session.
pub struct Residue {
    stages: Vec<(&'static str, Held)>,
}

/// What one process holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Open ones.
    pub descriptors: usize,
    /// Of it.
    pub threads: usize,
    /// In RAM.
    pub memory_kib: u64,
}

impl Residue {
    /// What all stages of `host` hold now.
    pub fn of(host: &Constellation) -> Result<Self> {
        let held =
            |stage| Ok((stage, Held::of(host.pid(stage)?).with_context(|| format!("looking at {stage}"))?));
        Ok(Self { stages: STAGES.into_iter().map(held).collect::<Result<_>>()? })
    }

    /// Whether, within 15 s (leases last ten), they hold no more than then.
    ///
    /// # Errors
    /// What they hold too much.
    pub fn judge(&self, host: &Constellation) -> Result<()> {
        let back = || {
            Self::of(host).is_ok_and(|now| {
                now.stages.iter().zip(&self.stages).all(|((_, now), (_, then))| {
                    // One more: the memfd with the times of restarts is stored at each stage's first start.
                    now.descriptors <= then.descriptors + 1 && now.threads <= then.threads
                })
            })
        };
        let in_time =
            wait("descriptors and threads to be back to what they were", Duration::from_secs(15), back);
        let now = Self::of(host)?;
        for ((stage, now), (_, then)) in now.stages.iter().zip(&self.stages) {
            println!(
                "{stage:<14}descriptors {:>3} → {:<3}  threads {:>2} → {:<2}  resident {:>6} → {} KiB",
                then.descriptors, now.descriptors, then.threads, now.threads, then.memory_kib, now.memory_kib
            );
            ensure!(now.memory_kib <= then.memory_kib + MEMORY_KIB, "{stage} has grown");
        }
        in_time
    }
}

impl Held {
    /// Of process `pid`, now.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Option<u64> {
            status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        Ok(Self {
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count(),
            memory_kib: field("VmRSS:").context("no VmRSS")?,
        })
    }
}

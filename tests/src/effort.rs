//! What processes do: how often the kernel let them run, and for how long. From /proc alone, so that measuring wakes nobody.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// What a process did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Times that one of its threads was put on a processor: after it slept, or after another had been preferred.
    pub runs: u64,
    /// Time on a processor.
    pub on_cpu: Duration,
}

impl Effort {
    /// All threads of process `pid` together. A thread that ended takes what it did along.
    pub fn of(pid: u32) -> Result<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("no process {pid}"))?;
        let mut all = Self::default();
        for task in tasks.flatten() {
            let said = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let one = Self::read(&said);
            all = Self { runs: all.runs + one.runs, on_cpu: all.on_cpu + one.on_cpu };
        }
        Ok(all)
    }

    /// What was done since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        let runs = self.runs.saturating_sub(earlier.runs);
        Self { runs, on_cpu: self.on_cpu.saturating_sub(earlier.on_cpu) }
    }

    /// A thread's `schedstat`: ns on a processor, ns of waiting for one, times it was put on one.
    fn read(said: &str) -> Self {
        let mut numbers = said.split_whitespace().map(|word| word.parse().unwrap_or(0));
        let on_cpu = Duration::from_nanos(numbers.next().unwrap_or(0));
        Self { runs: numbers.nth(1).unwrap_or(0), on_cpu }
    }
}

/// Memory of process `pid` that is in RAM, in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts_is_read() {
        let effort = Effort::read("3123036194 2560455393 5168\n");
        assert_eq!(effort, Effort { runs: 5168, on_cpu: Duration::from_nanos(3_123_036_194) });
        assert_eq!(Effort::read(""), Effort::default());
        let spent = Effort::of(std::process::id()).unwrap();
        assert!(spent.runs > 0 && spent.on_cpu > Duration::ZERO);
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
    }
}

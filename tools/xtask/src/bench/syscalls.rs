//! System calls a frame, stage by stage, counted by strace. It slows the stages down, so no time is taken here.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use lumen_tests::{Probe, constellation::Setup};

/// The stages on the frame path.
const STAGES: [&str; 3] = ["captured", "encoded", "transportd"];

/// From the start of the probe until all stages stream: launching is not counted.
const WARM_UP: Duration = Duration::from_secs(3);

/// Streams a moving desktop, counts for `seconds`, and prints each stage's calls a frame, the frequent ones by name.
///
/// # Errors
/// strace is not installed, the binaries are not built, this is not root, or the stream failed.
pub fn run(seconds: u32) -> anyhow::Result<()> {
    let counted = Duration::from_secs(seconds.into());
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let length = (WARM_UP + counted).as_secs() + 2;
    let streaming = probe.start(&["--seconds", &length.to_string()])?;
    thread::sleep(WARM_UP);
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let counters = STAGES.map(|stage| attach(host.pid(stage)?, &folder.path().join(stage)));
    thread::sleep(counted);
    for counter in counters {
        detach(counter?)?;
    }
    let took = begun.elapsed().as_secs_f64();
    let report = streaming.finish()?.success()?;
    host.end()?;
    let frames = report.number("/fps")? * took;
    for stage in STAGES {
        let summary =
            fs::read_to_string(folder.path().join(stage)).with_context(|| format!("nothing of {stage}"))?;
        let counts = counts(&summary);
        ensure!(!counts.is_empty(), "strace counted nothing in {stage}: {summary}");
        println!("{}", line(stage, &counts, frames));
    }
    Ok(())
}

fn attach(pid: u32, summary: &Path) -> anyhow::Result<Child> {
    Command::new("strace")
        .args(["-c", "-f", "-q", "-p", &pid.to_string(), "-o"])
        .arg(summary)
        .stderr(Stdio::null())
        .spawn()
        .context("strace is not installed: apt install strace")
}

/// strace writes its summary when it is interrupted.
fn detach(mut counter: Child) -> anyhow::Result<()> {
    Command::new("kill").args(["-INT", &counter.id().to_string()]).status()?;
    counter.wait()?;
    Ok(())
}

/// Calls and names out of the table of `strace -c`, most frequent first; its last line, the sum, is left out.
fn counts(summary: &str) -> Vec<(u64, String)> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = fields.last().filter(|name| **name != "total")?;
        Some((fields.get(3)?.parse().ok()?, (*name).to_owned()))
    };
    let mut counts: Vec<_> = summary.lines().filter_map(row).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

fn line(stage: &str, counts: &[(u64, String)], frames: f64) -> String {
    let each = |calls: u64| calls as f64 / frames;
    let all = each(counts.iter().map(|(calls, _)| calls).sum());
    let frequent = counts.iter().filter(|(calls, _)| each(*calls) >= 0.1);
    let frequent: Vec<_> = frequent.map(|(calls, name)| format!("{name} {:.1}", each(*calls))).collect();
    format!("{stage:<12}{all:>6.1} system calls a frame: {}", frequent.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60,00    0,000600           3       200           poll\n \
            40,00    0,000400           2       400        40 recvmsg\n \
            100,00    0,001000           2       600        40 total\n";
        let counts = counts(summary);
        assert_eq!(counts, [(400, "recvmsg".to_owned()), (200, "poll".to_owned())]);
        assert_eq!(
            line("captured", &counts, 100.0),
            "captured       6.0 system calls a frame: recvmsg 4.0, poll 2.0"
        );
    }
}

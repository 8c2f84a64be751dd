//! Stages with 5 % of a CPU: slow is not hung, so no watchdog may bark. Promise C5.
//!
//! Sabotage: take a loop that was silent for a tenth of a second for hung.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{Constellation, constellation::text};

use super::{scene, victim, witness::Desktop};

/// Longer than the watchdog allows any loop.
const STARVED: Duration = Duration::from_secs(4);
/// Of 100 ms.
const QUOTA_US: &str = "5000";
const PERIOD_US: &str = "100000";

/// Starves each of `stages`, one after the other.
///
/// # Errors
/// A stage was restarted, or the client noticed.
pub fn run(stages: &[&'static str]) -> Result<()> {
    scene::play(&[], Desktop::Same, |host| {
        for stage in stages {
            let pid = victim::running(host, stage)?;
            let throttled = match controller()? {
                Some(root) => by_group(&root, pid)?,
                None => by_manager(host, stage, pid)?,
            };
            println!("{stage:<14} throttled {throttled} times");
            ensure!(throttled > 0 || *stage != "encoded", "encoded was not short of CPU: nothing is shown");
            thread::sleep(Duration::from_secs(1));
            let after = victim::running(host, stage)?;
            ensure!(pid == after, "{stage} was restarted although it only was slow");
        }
        Ok(())
    })
    .map(drop)
}

/// Where cgroup v1 rules the CPU, if it does.
fn controller() -> Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let is_cpu = |words: &[&str]| words.get(2) == Some(&"cgroup") && words.get(3).is_some_and(has_cpu);
    let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    Ok(words.filter(|words| is_cpu(words)).find_map(|words| words.get(1).map(PathBuf::from)))
}

fn has_cpu(options: &&str) -> bool {
    options.split(',').any(|option| option == "cpu")
}

/// A group of cgroup v1 for one process.
struct Group {
    path: PathBuf,
    /// Where the process was.
    home: PathBuf,
    pid: u32,
}

impl Group {
    fn of(root: &Path, pid: u32) -> Result<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let mut fields = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let ours =
            fields.find(|fields| fields.get(1).is_some_and(has_cpu)).context("it is in no cpu group")?;
        let home = root.join(ours.get(2).unwrap_or(&"/").trim_start_matches('/'));
        let path = root.join(format!("lumen-starved-{pid}"));
        fs::create_dir(&path)?;
        let group = Self { path, home, pid };
        fs::write(group.path.join("cpu.cfs_period_us"), PERIOD_US)?;
        fs::write(group.path.join("cpu.cfs_quota_us"), QUOTA_US)?;
        fs::write(group.path.join("cgroup.procs"), pid.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that is gone need not go home; the next incarnation was born in the manager's group.
        let _ = fs::write(self.home.join("cgroup.procs"), self.pid.to_string());
        let _ = fs::remove_dir(&self.path);
    }
}

fn by_group(root: &Path, pid: u32) -> Result<u64> {
    let group = Group::of(root, pid)?;
    thread::sleep(STARVED);
    throttled(&group.path)
}

/// Where cgroup v2 rules, the user manager sets the quota of its unit.
fn by_manager(host: &Constellation, stage: &str, pid: u32) -> Result<u64> {
    let unit = format!("lumen-{stage}.service");
    let set = |quota: &str| -> Result<()> {
        let output = host.systemctl(&["set-property", "--runtime", &unit, quota])?;
        ensure!(output.status.success(), "{quota} of {unit}: {}", text(&output));
        Ok(())
    };
    set("CPUQuota=5%")?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let ours = groups.lines().find_map(|line| line.strip_prefix("0::/")).context("it is in no group")?;
    let path = Path::new("/sys/fs/cgroup").join(ours);
    let is_set = fs::read_to_string(path.join("cpu.max")).is_ok_and(|max| !max.starts_with("max"));
    ensure!(is_set, "{unit} has no CPU quota here: delegate the cpu controller to the user's manager");
    thread::sleep(STARVED);
    let throttled = throttled(&path);
    set("CPUQuota=")?;
    throttled
}

/// How often the group had to wait for its next period.
fn throttled(group: &Path) -> Result<u64> {
    let stat = fs::read_to_string(group.join("cpu.stat"))?;
    let count = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    count.context("no nr_throttled")?.parse().map_err(Into::into)
}

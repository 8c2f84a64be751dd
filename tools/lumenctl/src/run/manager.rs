//! The life of a private user manager, from its start to its end.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::Options;
use super::cgroup::Cgroup;
use super::console;
use super::inner::{Inner, Role};
use super::layout::INSTALLED_BINARIES;
use crate::refusal::manager_is_live;

/// Starting takes a quarter of a second; a machine that swaps may need this.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// The units' own TimeoutStopSec is 1.5 s; what is there after this is killed with its cgroup.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What the manager is given to live in.
#[derive(Debug)]
pub struct Place {
    /// The cgroup of the run, with its children `manager` and `command`.
    pub cgroup: Cgroup,
    /// The units' directory.
    pub units: PathBuf,
    /// The manager's own log.
    pub log: PathBuf,
}

/// Starts the manager and the constellation, lives until the command or a signal ends it, and stops the manager.
pub fn live(options: &Options, place: &Place) -> Result<ExitCode> {
    // All children are made by this thread, because the kernel sends their death signal when the *thread* that made
    // them ends, and this one lives as long as lumenctl.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut manager = start_manager(options, place)?;
        let ended = tokio::select! {
            ended = until_signal() => ended.map(|number| after_signal(options, number)),
            status = manager.wait() => Err(died(status?, place)),
            ended = attend(options) => ended,
        };
        place.cgroup.child("command").ask_to_end()?;
        stop(&mut manager).await?;
        ended
    })
}

/// Waits for one of the signals that ask for an orderly end; the answer is its number.
async fn until_signal() -> Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
        _ = hang_up.recv() => 1,
    })
}

/// A command that was cut short has failed; without one, a signal is how `run` is meant to end.
fn after_signal(options: &Options, number: u8) -> ExitCode {
    if options.command.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(128 + number) }
}

fn start_manager(options: &Options, place: &Place) -> Result<Child> {
    // The colon at the end means: and the usual directories, as for every user manager.
    let mut unit_path = place.units.clone().into_os_string();
    unit_path.push(":");
    let mut environment = vec![(OsString::from("SYSTEMD_UNIT_PATH"), unit_path)];
    environment.extend(options.environment.iter().cloned());
    let console = console::open(&options.account, &place.log).context("no terminal for the manager's log")?;
    let log = File::options().append(true).open(&place.log)?;
    let mut command = beside(options, "manager", environment, Role::Manager { console })?;
    // A group of its own, so that Ctrl-C on our terminal is for lumenctl to answer.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("cannot start the private systemd")
}

/// Brings lumen.target up and runs the command, or stays for ever.
async fn attend(options: &Options) -> Result<ExitCode> {
    let runtime_dir = options.account.runtime_dir();
    wait_for_manager(&runtime_dir).await?;
    match timeout(START_PATIENCE, systemctl(options, &["start", "lumen.target"])).await {
        Ok(said) => eprint!("{}", said?),
        // A stage that dies before READY is tried again and again; the others run.
        Err(_) => eprintln!("lumenctl: after {} s not all stages are ready", START_PATIENCE.as_secs()),
    }
    let but = if report_failed(options, &runtime_dir).await? { " but for the above" } else { "" };
    eprintln!("lumenctl: lumen.target is up for {}{but}", options.account.name);
    if options.command.is_empty() {
        eprintln!("lumenctl: Ctrl-C ends it; `lumenctl status` and `lumenctl logs` look into it");
        std::future::pending::<()>().await;
    }
    let status =
        beside(options, "command", command_environment(options), Role::Command(options.command.clone()))?
            .status()
            .await?;
    Ok(exit_code(status))
}

async fn wait_for_manager(runtime_dir: &Path) -> Result<()> {
    let waiting = async {
        while !manager_is_live(runtime_dir) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(START_PATIENCE, waiting).await.with_context(|| {
        format!(
            "the private systemd does not answer after {} s; see its log in {}",
            START_PATIENCE.as_secs(),
            runtime_dir.join("lumen-run/manager.log").display()
        )
    })
}

/// Names each stage that did not come up, with the last line it said; whether there was one.
async fn report_failed(options: &Options, runtime_dir: &Path) -> Result<bool> {
    let states = "--state=failed,activating,deactivating";
    let failed = systemctl(
        options,
        &["list-units", states, "--plain", "--no-legend", "--no-pager", "lumen-*.service"],
    )
    .await?;
    for unit in failed.lines().filter_map(|line| line.split_whitespace().next()) {
        let log = runtime_dir.join(format!("log-{}", unit.trim_end_matches(".service")));
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let said = text.lines().next_back().unwrap_or("(it said nothing)");
        eprintln!("lumenctl: {unit} is not up: {said}");
    }
    Ok(!failed.is_empty())
}

/// Runs systemctl as the user; the answer is what it printed.
async fn systemctl(options: &Options, words: &[&str]) -> Result<String> {
    let words = ["systemctl", "--user"].iter().chain(words).map(OsString::from).collect();
    let mut command = beside(options, "command", Vec::new(), Role::Command(words))?;
    let output = command.kill_on_drop(true).output().await?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn beside(
    options: &Options,
    cgroup: &str,
    environment: Vec<(OsString, OsString)>,
    role: Role,
) -> Result<Command> {
    let inner = Inner {
        account: options.account.clone(),
        parent: std::process::id(),
        cgroup: cgroup.to_owned(),
        environment,
        role,
    };
    Ok(inner.command()?.into())
}

/// The command finds the build's programs by name and keeps the caller's terminal and language.
fn command_environment(options: &Options) -> Vec<(OsString, OsString)> {
    let path = format!("{INSTALLED_BINARIES}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let mut environment = vec![(OsString::from("PATH"), OsString::from(path))];
    for name in ["TERM", "COLORTERM", "LANG", "LC_ALL", "RUST_LOG", "RUST_BACKTRACE"] {
        environment.extend(std::env::var_os(name).map(|value| (OsString::from(name), value)));
    }
    environment.extend(options.environment.iter().cloned());
    environment
}

/// SIGTERM is the manager's orderly end; SIGRTMIN+24 would leave the stages running.
async fn stop(manager: &mut Child) -> Result<()> {
    let Some(pid) = manager.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
        return Ok(());
    };
    kill_process(pid, Signal::TERM)?;
    match timeout(STOP_PATIENCE, manager.wait()).await {
        Ok(status) => status.map(|_| ()).context("the private systemd cannot be waited for"),
        Err(_) => {
            eprintln!("lumenctl: the private systemd does not stop; it is killed with all it runs");
            Ok(())
        }
    }
}

/// The error for a manager that ended by itself, with the end of its log.
fn died(status: ExitStatus, place: &Place) -> anyhow::Error {
    let text = std::fs::read_to_string(&place.log).unwrap_or_default();
    let mut last: Vec<&str> = text.lines().rev().take(5).collect();
    last.reverse();
    anyhow::anyhow!("the private systemd ended ({status}); its log ends with:\n{}", last.join("\n"))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX))
}

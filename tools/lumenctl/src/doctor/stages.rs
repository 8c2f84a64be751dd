//! What the stages say that they need, and what became of those that run.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lumen_ipc::Stage;
use lumen_stage::Need;

use super::Finding;
use crate::account::Account;
use crate::bus::Bus;
use crate::refusal::manager_is_live;
use crate::run::layout::INSTALLED_BINARIES;
use crate::{logs, units};

/// The stages' programs, opened while it is still allowed: a user may have no way to where root built them.
pub struct Programs {
    directory: PathBuf,
    opened: Vec<(Stage, io::Result<File>)>,
}

impl Programs {
    /// Those beside this one, else those that are installed.
    pub fn open() -> Self {
        let own = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
        let built = own.filter(|own| own.join("lumen-transportd").is_file());
        let directory = built.unwrap_or_else(|| INSTALLED_BINARIES.into());
        let open = |stage| (stage, File::open(directory.join(format!("lumen-{stage}"))));
        let opened = Stage::ALL.into_iter().map(open).collect();
        Self { directory, opened }
    }
}

/// Of each stage its needs, whether it runs, and in the end whether anybody may be streamed to.
pub async fn needs(account: &Account, programs: &Programs) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (stage, opened) in &programs.opened {
        let finding = |need| Finding { whose: stage.name(), need };
        let asked = opened
            .as_ref()
            .map_err(io::Error::kind)
            .and_then(|file| ask(file, account).map_err(|error| error.kind()));
        match asked {
            Ok(output) => findings.extend(answer(*stage, &output).into_iter().map(finding)),
            Err(kind) => {
                let says =
                    format!("{}/lumen-{stage} cannot be started: {kind}", programs.directory.display());
                findings.push(finding(Need::missing("program", says, "sudo make install")));
            }
        }
        findings.extend(unit(*stage, account).map(finding));
    }
    findings.extend(clients(account).await.map(|need| Finding { whose: "transportd", need }));
    findings
}

fn ask(program: &File, account: &Account) -> io::Result<Output> {
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    Command::new(path).arg("--needs").envs(account.environment()).output()
}

/// What the stage printed; a wrong configuration is told as its need.
fn answer(stage: Stage, output: &Output) -> Vec<Need> {
    if output.status.success() {
        let lines = String::from_utf8_lossy(&output.stdout);
        return lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().unwrap_or("it said nothing").trim().to_owned();
    vec![Need::missing("settings", said, format!("mend {stage}.toml where that says"))]
}

/// Whether it runs; `None` where nothing can be said because no manager does.
fn unit(stage: Stage, account: &Account) -> Option<Need> {
    if !manager_is_live(&account.runtime_dir()) {
        return None;
    }
    let unit = units::ask(account, &[&format!("lumen-{stage}")]).ok()?.into_values().next()?;
    Some(match unit.active.as_str() {
        "active" => {
            Need::met("unit", format!("runs as process {}, restarted {} times", unit.pid, unit.restarts))
        }
        "absent" => {
            Need::missing("unit", format!("systemd knows no lumen-{stage}.service"), "sudo make install")
        }
        "failed" => {
            let why = logs::last_words(account, stage.name(), unit.exit);
            let why = why.unwrap_or_else(|| format!("`lumenctl logs {stage}` tells why"));
            let mend = format!("mend that, then: systemctl --user restart lumen-{stage}");
            Need::missing("unit", format!("it gave up with exit code {}: {why}", unit.exit), mend)
        }
        other => Need::worse("unit", format!("it is {other}"), "systemctl --user start lumen.target"),
    })
}

/// Whether anybody may be streamed to; `None` if transportd cannot be asked.
async fn clients(account: &Account) -> Option<Need> {
    let allowed = Bus::connect(account).await.ok()?.allowed().await.ok()?;
    Some(match allowed.len() {
        0 => Need::worse(
            "clients",
            "nobody is streamed to yet",
            "lumenctl pair (a Moonlight client shows a PIN), or lumenctl allow FINGERPRINT (lumen/1)",
        ),
        count => Need::met("clients", format!("{count} may be streamed to")),
    })
}

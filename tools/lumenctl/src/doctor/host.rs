//! What no stage can see by itself: systemd, and whether it lets the units have their sandbox.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use lumen_stage::Need;

use crate::account::Account;
use crate::refusal::{self, manager_is_live};
use crate::run::hold;

/// Where logind remembers who lingers.
const LINGERING: &str = "/var/lib/systemd/linger";

/// Looks at this machine, as the user.
pub fn needs(account: &Account) -> Vec<Need> {
    vec![manager(account), lingering(account), namespaces()]
}

fn manager(account: &Account) -> Need {
    if let Some(pid) = hold::holder(account.uid) {
        return Need::met("systemd", format!("the private one of `lumenctl run` (pid {pid})"));
    }
    if manager_is_live(&account.runtime_dir()) {
        return Need::met("systemd", format!("a user manager runs for {}", account.name));
    }
    let advice = refusal::of_ordinary_user(account).to_string();
    let (what, mend) = advice.split_once(":\n").unwrap_or((&advice, "sudo lumenctl run"));
    Need::missing("systemd", what, mend.trim().replace("\n  ", "; "))
}

/// Whether lumen outlives its user's last log-out, and starts with the machine.
fn lingering(account: &Account) -> Need {
    if hold::holder(account.uid).is_some() {
        return Need::met("lingering", "not needed under `lumenctl run`");
    }
    if Path::new(LINGERING).join(&account.name).exists() {
        return Need::met("lingering", format!("lumen runs on when {} logs out", account.name));
    }
    Need::worse(
        "lingering",
        format!("lumen ends when {} logs out, and does not start with the machine", account.name),
        format!("sudo loginctl enable-linger {}", account.name),
    )
}

/// Whether an ordinary user may have the namespaces that the units' sandboxes ask for.
fn namespaces() -> Need {
    let made = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if made.is_ok_and(|status| status.success()) {
        return Need::met("user namespaces", "allowed: each stage sees only what it needs");
    }
    let (key, value) = forbidding();
    Need::missing(
        "user namespaces",
        format!(
            "this machine forbids them to ordinary users ({key}), and systemd cannot set the units up (exit 226)"
        ),
        format!("echo {key}={value} | sudo tee /etc/sysctl.d/60-lumen-userns.conf && sudo sysctl --system"),
    )
}

/// The setting that forbids namespaces, and the value that allows them.
fn forbidding() -> (&'static str, &'static str) {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        ("kernel.unprivileged_userns_clone", "1")
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        ("kernel.apparmor_restrict_unprivileged_userns", "0")
    } else {
        ("user.max_user_namespaces", "10000")
    }
}

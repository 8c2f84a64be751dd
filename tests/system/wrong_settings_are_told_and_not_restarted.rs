//! A wrong configuration, a port that is taken, a state directory that cannot be written: one message that names
//! the file, the holder or the setting, exit 78 or 69, and no restart.
//!
//! Sabotage: exit 1 for a wrong configuration.

use std::{fs, net::UdpSocket, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{PORT, Setup, USER, run, text, user, wait},
};

/// The stage has failed for good with this exit code, and its log has all these words.
fn given_up(host: &Constellation, stage: &str, code: &str, words: &[&str]) -> Result<()> {
    let unit = format!("lumen-{stage}.service");
    wait("the stage to give up", Duration::from_secs(5), || {
        host.property(&unit, "ActiveState").is_ok_and(|state| state == "failed")
    })?;
    let status = host.property(&unit, "ExecMainStatus")?;
    ensure!(status == code, "{unit} ended with {status}, not {code}:\n{}", host.logs());
    let logged = host.logs();
    for word in words {
        ensure!(logged.contains(word), "{word:?} is missing in:\n{logged}");
    }
    Ok(())
}

#[test]
fn an_unknown_key_is_told_with_file_and_line() -> Result<()> {
    let host = Setup::default().config("encoded", "\nbitrat = \"1 Mbit/s\"\n").start_without("encoded")?;
    given_up(&host, "encoded", "78", &["encoded.toml:2", "unknown field", "expected"])
}

#[test]
fn a_taken_port_is_told_with_its_holder_and_the_setting() -> Result<()> {
    let _holder = UdpSocket::bind(("127.0.0.1", PORT))?;
    let host = Setup::default().start_without("transportd")?;
    given_up(&host, "transportd", "69", &[&PORT.to_string(), "is taken by", "transportd.toml", "listen"])
}

#[test]
fn a_full_state_directory_is_told() -> Result<()> {
    let state = Tmpfs::mount("size=4k")?;
    fs::write(state.path.join("filler"), [0; 4096])?;
    let host = Setup::default().start_without("transportd")?;
    given_up(&host, "transportd", "69", &["lumen-transportd", "space"])
}

#[test]
fn an_unwritable_state_directory_is_told() -> Result<()> {
    let _state = Tmpfs::mount("ro")?;
    let host = Setup::default().start_without("transportd")?;
    given_up(&host, "transportd", "69", &["lumen-transportd", "Read-only"])
}

/// Sabotage: write the list of clients in place, or end because it cannot be written.
#[test]
fn a_disk_that_fills_up_is_told_and_costs_no_session() -> Result<()> {
    let state = Tmpfs::mount("size=64k")?;
    let host = Setup::stamp(&[]).start()?;
    let (probe, other) = (Probe::allowed(&host)?, Probe::new()?.fingerprint()?);
    let watching = probe.start(&["--seconds", "4"])?;
    let filler = state.path.join("filler");
    ensure!(fs::write(&filler, [0; 1 << 17]).is_err(), "the disk is not full");
    let refused = host.lumenctl("allow", &[&other])?;
    let said = text(&refused);
    ensure!(!refused.status.success() && said.contains("free some space"), "{said}");
    ensure!(said.contains("lumen-transportd"), "the file is not named: {said}");
    watching.finish()?.success()?;
    ensure!(host.property("lumen-transportd.service", "NRestarts")? == "0", "{}", host.logs());
    fs::remove_file(&filler)?;
    let allowed = host.lumenctl("allow", &[&other])?;
    ensure!(allowed.status.success(), "{}", text(&allowed));
    probe.stream(&["--seconds", "1"])?.success()?;
    Ok(())
}

/// A file system of its own at the place of transportd's state (systemd 252); unmounted when dropped.
struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    fn mount(options: &str) -> Result<Self> {
        let (uid, path) = (user()?, PathBuf::from(format!("/home/{USER}/.config/lumen-transportd")));
        fs::create_dir_all(&path)?;
        let options = format!("uid={uid},gid={uid},mode=700,{options}");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &options, "lumen-test", &path.to_string_lossy()])?;
        ensure!(mounted.status.success(), "{}", text(&mounted));
        Ok(Self { path })
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = run("umount", &["--lazy", &self.path.to_string_lossy()]);
        if !unmounted.is_ok_and(|output| output.status.success()) {
            eprintln!("{} stays mounted", self.path.display());
        }
    }
}

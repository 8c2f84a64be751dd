//! transportd killed while it writes down who may stream.

use std::{fs, os::unix::process::ExitStatusExt, path::Path, process::Command};

use lumen_core::trust::Fingerprint;
use lumen_transportd::{
    clients::Clients,
    vault::{Vault, steps},
};

/// Says to the inner process where the store is.
const INSIDE: &str = "LUMEN_TEST_STORE";

fn client(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

/// Pairs one more client in a process of its own, which dies at `step`.
fn pair_and_die(state: &Path, step: &str) {
    let switch = state.join("switch");
    fs::write(&switch, format!("die {step} 1")).unwrap();
    let test = "clients_survive_a_kill_at_every_write::the_list_is_whole_after_a_kill_at_every_write";
    let itself = std::env::current_exe().unwrap();
    let mut inner = Command::new(itself);
    inner.args(["--exact", test]).env(INSIDE, state).env("LUMEN_FAILPOINT", &switch);
    let output = inner.output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "it did not die at {step}: {output:?}");
}

/// Sabotage: write the file in place, in `vault::replace`.
#[test]
fn the_list_is_whole_after_a_kill_at_every_write() {
    if let Some(state) = std::env::var_os(INSIDE) {
        let clients = Clients::load(&Vault::at(state)).unwrap();
        let n = clients.list().len() as u8;
        clients.pair(client(n), "newcomer").unwrap();
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let vault = Vault::at(state.path());
    let load = || Clients::load(&vault).unwrap();
    for n in 0..3 {
        load().pair(client(n), "was there").unwrap();
    }
    for step in steps::STEPS {
        for _ in 0..3 {
            let before = load().list().len();
            pair_and_die(state.path(), step.name());
            let after = load();
            let is_new = after.list().len() == before + 1;
            assert_eq!(
                is_new,
                *step == steps::RENAMED,
                "{}: {before} became {}",
                step.name(),
                after.list().len()
            );
            assert!((0..3).all(|n| after.paired(&client(n)).as_deref() == Some("was there")));
            after.rename(&client(0), "was there").unwrap();
        }
    }
}

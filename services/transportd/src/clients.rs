//! The clients that may stream: the allow list, kept in `allowed.toml` of the state directory.
//!
//! ```text
//! [[client]]
//! fingerprint = "64 hexadecimal digits"
//! name = "what the administrator calls it"
//! ```
//! The list in memory is what counts; it changes only after the file did, so a full disk cannot make the two differ.
//! While the file is written the list can be read: a slow disk holds up no handshake.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, RwLock},
};

use arrayvec::ArrayVec;
use lumen_core::trust::{AllowList, Fingerprint};
use lumen_stage::clock::now_ns;
use serde::{Deserialize, Serialize};

use crate::vault::{Vault, VaultError};

const FILE: &str = "allowed.toml";

/// How long a refused client is not told of again in the log.
const QUIET_NS: u64 = 60_000_000_000;

/// Refused clients that are told of within [`QUIET_NS`]; more only count.
const MAX_TOLD: usize = 16;

/// Longest name of a client in characters.
const MAX_NAME: usize = 64;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Listing {
    #[serde(default, rename = "client")]
    clients: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    fingerprint: String,
    #[serde(default)]
    name: String,
}

/// Who may stream.
#[derive(Debug)]
pub struct Clients {
    vault: Vault,
    /// Held while the file is written, so that one change follows another.
    writing: Mutex<()>,
    allowed: RwLock<BTreeMap<Fingerprint, String>>,
    refusals: Mutex<Refusals>,
}

impl Clients {
    /// Reads the list; without a file nobody may stream.
    pub fn load(vault: &Vault) -> Result<Self, VaultError> {
        let damaged = |what: String| VaultError::Damaged {
            path: vault.path(FILE),
            what,
            cost: "every client must then be allowed anew with `lumenctl allow`",
        };
        let bytes = vault.read(FILE)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        let listing: Listing = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        let mut allowed = BTreeMap::new();
        for Entry { fingerprint, name } in listing.clients {
            let key = fingerprint.parse().map_err(|error| damaged(format!("{fingerprint:?}: {error}")))?;
            allowed.insert(key, name);
        }
        let writing = Mutex::default();
        Ok(Self { vault: vault.clone(), writing, allowed: RwLock::new(allowed), refusals: Mutex::default() })
    }

    /// Lets `client` stream from now on, also across restarts.
    pub fn allow(&self, client: Fingerprint, name: &str) -> Result<(), VaultError> {
        let name = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        self.change(|allowed| allowed.insert(client, name)).map(drop)
    }

    /// Ends that; whether `client` was allowed.
    pub fn revoke(&self, client: &Fingerprint) -> Result<bool, VaultError> {
        Ok(self.change(|allowed| allowed.remove(client))?.is_some())
    }

    /// All who may stream, with their names.
    pub fn list(&self) -> Vec<(Fingerprint, String)> {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.iter().map(|(client, name)| (*client, name.clone())).collect()
    }

    /// What the administrator calls `client`.
    pub fn name(&self, client: &Fingerprint) -> Option<String> {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.get(client).cloned()
    }

    /// Clients refused since the start.
    pub fn refused_count(&self) -> u64 {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    fn change<T>(&self, edit: impl FnOnce(&mut BTreeMap<Fingerprint, String>) -> T) -> Result<T, VaultError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.allowed.read().unwrap_or_else(PoisonError::into_inner).clone();
        let before = next.len();
        let result = edit(&mut next);
        let is_revoked = next.len() < before;
        // Who is revoked is out now, also where a full disk would let him in again after the next start.
        if is_revoked {
            self.replace(next.clone());
        }
        self.store(&next)?;
        if !is_revoked {
            self.replace(next);
        }
        Ok(result)
    }

    fn replace(&self, next: BTreeMap<Fingerprint, String>) {
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn store(&self, allowed: &BTreeMap<Fingerprint, String>) -> Result<(), VaultError> {
        let clients = allowed
            .iter()
            .map(|(client, name)| Entry { fingerprint: client.to_string(), name: name.clone() });
        let listing = Listing { clients: clients.collect() };
        let text = toml::to_string(&listing).expect("two strings an entry are always TOML");
        self.vault.write(FILE, text.as_bytes())
    }
}

impl AllowList for Clients {
    fn is_allowed(&self, client: &Fingerprint) -> bool {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.contains_key(client)
    }

    fn refused(&self, client: &Fingerprint) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.is_news(client, now_ns()) {
            tracing::warn!(
                STAGE = "transportd",
                "refused an unknown client; if it is yours, run `lumenctl allow {client}`"
            );
        }
    }
}

/// Keeps the log short while strangers knock.
#[derive(Debug, Default)]
struct Refusals {
    told: ArrayVec<(Fingerprint, u64), MAX_TOLD>,
    count: u64,
}

impl Refusals {
    /// Counts a refusal and says whether it is worth a line.
    fn is_news(&mut self, client: &Fingerprint, now_ns: u64) -> bool {
        self.count += 1;
        self.told.retain(|(_, at)| now_ns.saturating_sub(*at) < QUIET_NS);
        let known = self.told.iter().any(|(told, _)| told == client);
        !known && self.told.try_push((*client, now_ns)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a() -> Fingerprint {
        Fingerprint::from_bytes([0xaa; 32])
    }

    /// Sabotage: change the list in memory only.
    #[test]
    fn an_allowed_client_is_known_to_the_next_incarnation() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        let clients = Clients::load(&vault).unwrap();
        assert!(!clients.is_allowed(&a()));
        clients.allow(a(), "living\nroom").unwrap();
        assert!(clients.is_allowed(&a()));
        let next = Clients::load(&vault).unwrap();
        assert_eq!(next.list(), [(a(), "livingroom".to_owned())]);
        assert!(next.revoke(&a()).unwrap());
        assert!(!next.revoke(&a()).unwrap());
        assert!(Clients::load(&vault).unwrap().list().is_empty());
    }

    /// Sabotage: change the list in memory before the file.
    #[test]
    fn who_cannot_be_stored_is_not_allowed() {
        let clients = Clients::load(&Vault::at("/nonexistent/lumen")).unwrap();
        let error = clients.allow(a(), "").unwrap_err().to_string();
        assert!(error.contains("allowed.toml"), "{error}");
        assert!(!clients.is_allowed(&a()));
    }

    #[test]
    fn a_damaged_list_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        for text in ["[[client]]\nfingerprint = \"abc\"\n", "[[client]\n", "\u{fe}"] {
            vault.write(FILE, text.as_bytes()).unwrap();
            let error = Clients::load(&vault).unwrap_err().to_string();
            assert!(error.contains("allowed.toml") && error.contains("lumenctl allow"), "{error}");
        }
    }

    /// Sabotage: log each refusal.
    #[test]
    fn a_stranger_who_keeps_knocking_is_one_line_a_minute() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_news(&a(), 0));
        assert!(!refusals.is_news(&a(), QUIET_NS - 1));
        assert!(refusals.is_news(&a(), QUIET_NS));
        let news =
            (0..200u8).filter(|n| refusals.is_news(&Fingerprint::from_bytes([*n; 32]), QUIET_NS + 1)).count();
        assert_eq!(news, MAX_TOLD - 1);
        assert_eq!(refusals.count, 203);
    }
}

//! The clients that may stream, kept in `allowed.toml` of the state directory: those of lumen/1 that an administrator
//! allowed, and those of GameStream that were paired.
//!
//! ```text
//! [[client]]
//! fingerprint = "64 hexadecimal digits"
//! name = "what the administrator calls it"
//! protocols = ["lumen/1"]                      # or "gamestream", or both; lumen/1 if it is not there
//! ```
//! The list in memory is what counts; it changes only after the file did, so a full disk cannot make the two differ.
//! While the file is written the list can be read: a slow disk holds up no handshake.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// How a client may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// Allowed by its fingerprint.
    #[serde(rename = "lumen/1")]
    Lumen1,
    /// Paired with a PIN.
    #[serde(rename = "gamestream")]
    GameStream,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lumen1 => "lumen/1",
            Self::GameStream => "gamestream",
        }
    }
}

fn lumen1() -> BTreeSet<Protocol> {
    BTreeSet::from([Protocol::Lumen1])
}

/// What is known of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What the administrator calls it.
    pub name: String,
    /// How it may come, never empty.
    pub protocols: BTreeSet<Protocol>,
}

type List = BTreeMap<Fingerprint, Known>;

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
    #[serde(default = "lumen1")]
    protocols: BTreeSet<Protocol>,
}

/// Who may stream.
#[derive(Debug)]
pub struct Clients {
    vault: Vault,
    /// Held while the file is written, so that one change follows another.
    writing: Mutex<()>,
    allowed: RwLock<List>,
    refusals: Mutex<Refusals>,
}

impl Clients {
    /// Reads the list; without a file nobody may stream.
    pub fn load(vault: &Vault) -> Result<Self, VaultError> {
        let damaged = |what: String| VaultError::Damaged {
            path: vault.path(FILE),
            what,
            cost: "every client must then be allowed (`lumenctl allow`) or paired anew",
        };
        let bytes = vault.read(FILE)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        let listing: Listing = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        let mut allowed = BTreeMap::new();
        for Entry { fingerprint, name, protocols } in listing.clients {
            let key = fingerprint.parse().map_err(|error| damaged(format!("{fingerprint:?}: {error}")))?;
            allowed.insert(key, Known { name, protocols });
        }
        let writing = Mutex::default();
        Ok(Self { vault: vault.clone(), writing, allowed: RwLock::new(allowed), refusals: Mutex::default() })
    }

    /// Lets `client` come by lumen/1 from now on, also across restarts.
    pub fn allow(&self, client: Fingerprint, name: &str) -> Result<(), VaultError> {
        self.admit(client, Protocol::Lumen1, name)
    }

    /// Lets `client` come by GameStream from now on, also across restarts: it has proved the PIN.
    pub fn pair(&self, client: Fingerprint, name: &str) -> Result<(), VaultError> {
        self.admit(client, Protocol::GameStream, name)
    }

    /// Ends all of that; whether `client` was allowed anything.
    pub fn revoke(&self, client: &Fingerprint) -> Result<bool, VaultError> {
        Ok(self.change(|allowed| allowed.remove(client))?.is_some())
    }

    /// Ends [`pair`](Self::pair) alone; whether `client` was paired.
    pub fn unpair(&self, client: &Fingerprint) -> Result<bool, VaultError> {
        self.change(|allowed| {
            let was_paired =
                allowed.get_mut(client).is_some_and(|known| known.protocols.remove(&Protocol::GameStream));
            allowed.retain(|_, known| !known.protocols.is_empty());
            was_paired
        })
    }

    /// Calls `client` something else; whether it is known.
    pub fn rename(&self, client: &Fingerprint, name: &str) -> Result<bool, VaultError> {
        self.change(|allowed| {
            let known = allowed.get_mut(client);
            known.map(|known| known.name = clean_name(name)).is_some()
        })
    }

    /// All who may stream.
    pub fn list(&self) -> Vec<(Fingerprint, Known)> {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.iter().map(|(client, known)| (*client, known.clone())).collect()
    }

    /// What the administrator calls `client`, however it comes.
    pub fn name(&self, client: &Fingerprint) -> Option<String> {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.get(client).map(|known| known.name.clone())
    }

    /// What the administrator calls `client`, if it may come by GameStream.
    pub fn paired(&self, client: &Fingerprint) -> Option<String> {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        let known = allowed.get(client).filter(|known| known.protocols.contains(&Protocol::GameStream));
        known.map(|known| known.name.clone())
    }

    /// Clients refused since the start.
    pub fn refused_count(&self) -> u64 {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// A name that is empty leaves the one that was given before.
    fn admit(&self, client: Fingerprint, protocol: Protocol, name: &str) -> Result<(), VaultError> {
        self.change(|allowed| {
            let nobody = Known { name: String::new(), protocols: BTreeSet::new() };
            let known = allowed.entry(client).or_insert(nobody);
            known.protocols.insert(protocol);
            if !name.is_empty() {
                known.name = clean_name(name);
            }
        })
    }

    fn change<T>(&self, edit: impl FnOnce(&mut List) -> T) -> Result<T, VaultError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.allowed.read().unwrap_or_else(PoisonError::into_inner).clone();
        let ways = |list: &List| list.values().map(|known| known.protocols.len()).sum::<usize>();
        let before = ways(&next);
        let result = edit(&mut next);
        let is_revoked = ways(&next) < before;
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

    fn replace(&self, next: List) {
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn store(&self, allowed: &List) -> Result<(), VaultError> {
        let clients = allowed.iter().map(|(client, known)| Entry {
            fingerprint: client.to_string(),
            name: known.name.clone(),
            protocols: known.protocols.clone(),
        });
        let listing = Listing { clients: clients.collect() };
        let text = toml::to_string(&listing).expect("strings alone are always TOML");
        self.vault.write(FILE, text.as_bytes())
    }
}

/// A name as it is kept: one line of at most [`MAX_NAME`] characters.
pub fn clean_name(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

impl AllowList for Clients {
    fn is_allowed(&self, client: &Fingerprint) -> bool {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.get(client).is_some_and(|known| known.protocols.contains(&Protocol::Lumen1))
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
        assert_eq!(next.list(), [(a(), Known { name: "livingroom".to_owned(), protocols: lumen1() })]);
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

    /// Sabotage: let one way in open the other.
    #[test]
    fn who_was_paired_may_not_come_by_lumen1_nor_the_other_way_round() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        let b = Fingerprint::from_bytes([0xbb; 32]);
        let clients = Clients::load(&vault).unwrap();
        clients.pair(a(), "tv").unwrap();
        clients.allow(b, "laptop").unwrap();
        let next = Clients::load(&vault).unwrap();
        assert_eq!((next.paired(&a()).as_deref(), next.is_allowed(&a())), (Some("tv"), false));
        assert_eq!((next.paired(&b), next.is_allowed(&b)), (None, true));
        next.pair(b, "").unwrap();
        assert!(next.rename(&a(), "tele\nvision").unwrap());
        assert!(next.unpair(&b).unwrap() && !next.unpair(&b).unwrap());
        assert_eq!((next.paired(&b), next.name(&b).as_deref()), (None, Some("laptop")));
        assert!(next.unpair(&a()).unwrap());
        assert_eq!(Clients::load(&vault).unwrap().list().len(), 1);
        assert!(!next.rename(&a(), "gone").unwrap());
    }

    /// Provenance: a file of the version before.
    #[test]
    fn a_list_without_protocols_is_of_lumen1() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        let text = format!("[[client]]\nfingerprint = \"{}\"\nname = \"x\"\n", "aa".repeat(32));
        vault.write(FILE, text.as_bytes()).unwrap();
        let clients = Clients::load(&vault).unwrap();
        assert!(clients.is_allowed(&a()) && clients.paired(&a()).is_none());
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

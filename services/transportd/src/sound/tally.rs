//! What the administrator is shown of a session's sound.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// One session's.
#[derive(Debug)]
pub struct Tally {
    said: Mutex<String>,
    /// Packets that were handed to the network, parity not counted.
    pub packets: AtomicU64,
    /// Packets that came while nobody knew where to.
    pub homeless: AtomicU64,
    /// Datagrams that the kernel did not take.
    pub unsent: AtomicU64,
    /// Packets that no client could read.
    pub unusable: AtomicU64,
    /// Links to encoded.
    pub links: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            said: Mutex::new("no sound: the client asks for none".to_owned()),
            packets: AtomicU64::new(0),
            homeless: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            unusable: AtomicU64::new(0),
            links: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Whether there is sound, in words.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says whether there is sound.
    pub fn say(&self, text: String) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// One more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

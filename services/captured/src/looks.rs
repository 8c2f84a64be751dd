//! What the pointers look like, kept across this stage's own death. Because a compositor tells that only when it changes
//! (seen with Mutter 48): a captured that restarts would leave the pointer invisible until then.
//!
//! Each look is a memfd in systemd's fd store, named `pointer SESSION WIDTH HEIGHT X Y` with the hotspot at X, Y; a name
//! must have no ':'. Outside of systemd there is no store, and nothing is kept.

use crate::backends::{Bitmap, Spot};
use lumen_ipc::{SessionId, pointer::PointerBitmap};
use lumen_stage::{
    inherited::{self, Stored},
    memory::check_sealed,
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const PREFIX: &str = "pointer";

/// A look of before, with the name under which it is stored.
type Kept = (String, Option<Bitmap>);

/// All sessions' looks. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Looks(Arc<Mutex<BTreeMap<SessionId, Kept>>>);

impl Looks {
    /// Takes what the incarnation before left; what cannot be read is removed from the store.
    pub fn adopt(stored: Vec<Stored>) -> Self {
        let mut looks = BTreeMap::new();
        for Stored { name, fd } in stored {
            let read = read_name(&name).filter(|(_, look)| {
                let bytes = look.bytes();
                bytes.is_some_and(|bytes| check_sealed(fd.as_fd(), bytes).is_ok())
            });
            let Some((session, look)) = read else {
                tracing::warn!("removed {name:?} from the fd store: this version does not know it");
                remove(&name);
                continue;
            };
            let hotspot = Spot { x: look.hotspot_x, y: look.hotspot_y };
            let bitmap = Bitmap { width: look.width, height: look.height, hotspot, pixels: fd };
            if let Some((older, _)) = looks.insert(session, (name, Some(bitmap))) {
                remove(&older);
            }
        }
        Self(Arc::new(Mutex::new(looks)))
    }

    /// The look that a session's pointer had in the incarnation before. Each is given once.
    pub fn claim(&self, session: SessionId) -> Option<Bitmap> {
        self.lock().get_mut(&session)?.1.take()
    }

    /// Keeps this look of a session's pointer instead of the one before.
    pub fn keep(&self, session: SessionId, look: &PointerBitmap, pixels: BorrowedFd<'_>) {
        let name = name_of(session, look);
        // Frames of an animated pointer have one name, under which the store would keep all of them.
        if self.lock().get(&session).is_some_and(|(before, _)| *before == name) {
            remove(&name);
        }
        if let Err(error) = inherited::store(&name, pixels) {
            tracing::debug!(SESSION = %session, "the pointer's look is not kept: {error}");
        }
        let before = self.lock().insert(session, (name.clone(), None));
        before.into_iter().filter(|(before, _)| *before != name).for_each(|(before, _)| remove(&before));
    }

    /// The session is over.
    pub fn forget(&self, session: SessionId) {
        if let Some((name, _)) = self.lock().remove(&session) {
            remove(&name);
        }
    }

    /// Forgets the looks that no session claimed.
    pub fn forget_unclaimed(&self) {
        let unclaimed = |_: &SessionId, (name, bitmap): &mut Kept| {
            bitmap.is_some().then(|| remove(name));
            bitmap.is_none()
        };
        self.lock().retain(unclaimed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a session has to come back after the stage's start.
pub const CLAIMED: Duration = Duration::from_secs(30);

fn remove(name: &str) {
    if let Err(error) = inherited::remove(name) {
        tracing::debug!("{name:?} stays in the fd store: {error}");
    }
}

fn name_of(session: SessionId, look: &PointerBitmap) -> String {
    let PointerBitmap { width, height, hotspot_x, hotspot_y, .. } = look;
    format!("{PREFIX} {session} {width} {height} {hotspot_x} {hotspot_y}")
}

fn read_name(name: &str) -> Option<(SessionId, PointerBitmap)> {
    let mut words = name.split(' ');
    let session = words.next().filter(|word| *word == PREFIX).and(words.next())?.parse().ok()?;
    let mut number = || words.next()?.parse::<i32>().ok();
    let [width, height, hotspot_x, hotspot_y] = [number()?, number()?, number()?, number()?];
    let [width, height] = [u32::try_from(width).ok()?, u32::try_from(height).ok()?];
    words.next().is_none().then_some((session, PointerBitmap { id: 0, width, height, hotspot_x, hotspot_y }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stage::memory::sealed;

    const SESSION: SessionId = SessionId([7; 16]);
    const LOOK: PointerBitmap = PointerBitmap { id: 0, width: 24, height: 32, hotspot_x: -1, hotspot_y: 3 };

    fn stored(name: String, bytes: u64) -> Stored {
        Stored { name, fd: sealed("test", bytes).unwrap() }
    }

    // Sabotage: give a look twice, or to another session; or believe a name whose memfd is too small.
    #[test]
    fn look_of_the_incarnation_before_goes_to_its_session_once() {
        let looks = Looks::adopt(vec![stored(name_of(SESSION, &LOOK), 24 * 32 * 4)]);
        assert!(looks.claim(SessionId([8; 16])).is_none());
        let bitmap = looks.claim(SESSION).unwrap();
        assert_eq!((bitmap.width, bitmap.height, bitmap.hotspot), (24, 32, Spot { x: -1, y: 3 }));
        assert!(looks.claim(SESSION).is_none());
        assert!(Looks::adopt(vec![stored(name_of(SESSION, &LOOK), 4)]).claim(SESSION).is_none());
    }

    // Sabotage: keep them for ever.
    #[test]
    fn looks_that_nobody_claims_are_forgotten_and_those_in_use_are_not() {
        let other = SessionId([8; 16]);
        let looks = Looks::adopt(vec![stored(name_of(SESSION, &LOOK), 24 * 32 * 4)]);
        looks.keep(other, &LOOK, sealed("test", 24 * 32 * 4).unwrap().as_fd());
        looks.forget_unclaimed();
        assert!(looks.claim(SESSION).is_none());
        assert_eq!(looks.lock().keys().collect::<Vec<_>>(), [&other]);
        looks.forget(other);
        assert!(looks.lock().is_empty());
    }

    #[test]
    fn names_are_read_as_they_are_written_and_others_are_not() {
        assert_eq!(read_name(&name_of(SESSION, &LOOK)), Some((SESSION, LOOK)));
        for name in [
            "",
            "pointer",
            "other 00 1 1 1 1",
            &format!("pointer {SESSION} 1 1 1"),
            &format!("pointer {SESSION} -1 1 1 1"),
        ] {
            assert_eq!(read_name(name), None, "{name:?}");
        }
    }
}

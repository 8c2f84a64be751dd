//! File descriptors that systemd kept for us across a restart, and the store they come from.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use sd_notify::NotifyState;

use crate::memory::{MemoryError, SharedMemory};

/// One descriptor from the fd store.
#[derive(Debug)]
pub struct Stored {
    /// The name under which it was stored.
    pub name: String,
    /// The descriptor, CLOEXEC.
    pub fd: OwnedFd,
}

/// All descriptors that systemd passed to this process. To be called once, before any thread starts.
pub fn take() -> Vec<Stored> {
    let Ok(fds) = sd_notify::listen_fds_with_names() else {
        return Vec::new();
    };
    fds.map(|(fd, name)| Stored {
        name,
        // SAFETY: `listen_fds_with_names` checked that LISTEN_PID is this process and that the descriptor is in
        // the passed range, set CLOEXEC, and removed the variables; this is called once, so nothing else owns it.
        fd: unsafe { OwnedFd::from_raw_fd(fd) },
    })
    .collect()
}

/// Why a descriptor cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// systemd would name it `stored`, and it could never be removed again.
    #[error(
        "{0:?} is no name for a stored file descriptor: at most 255 characters, none of them ':' or a control character"
    )]
    Name(String),
    /// systemd does not answer.
    #[error("systemd does not take the file descriptor: {0}")]
    Notify(std::io::Error),
}

/// Puts `fd` into the store. `name` must have no ':' (measured: such names become `stored`, and the store fills up).
pub fn store(name: &str, fd: BorrowedFd<'_>) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > 255 || name.bytes().any(|b| b == b':' || !(b' '..0x7f).contains(&b)) {
        return Err(StoreError::Name(name.to_owned()));
    }
    // FDPOLL=0: the descriptor stays although its other end hung up; its owner decides.
    let state = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
    sd_notify::notify_with_fds(&state, &[fd.as_fd()]).map_err(StoreError::Notify)
}

/// Says READY where there is no [`crate::boot`] to say it.
pub fn ready() -> Result<(), StoreError> {
    sd_notify::notify(&[NotifyState::Ready]).map_err(StoreError::Notify)
}

/// Removes all descriptors of this name from the store.
pub fn remove(name: &str) -> Result<(), StoreError> {
    sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]).map_err(StoreError::Notify)
}

/// The `bytes` of memory that an incarnation before kept under `name`, taken out of `stored`; else new memory, kept for the
/// next one. `without` says what does not work where systemd does not keep it.
///
/// # Errors
/// No memory.
pub fn memory(
    stored: &mut Vec<Stored>,
    name: &'static str,
    bytes: u64,
    without: &str,
) -> Result<SharedMemory, MemoryError> {
    let (ours, others): (Vec<_>, Vec<_>) =
        std::mem::take(stored).into_iter().partition(|stored| stored.name == name);
    *stored = others;
    if let Some(kept) = ours.into_iter().next() {
        match SharedMemory::adopt(kept.fd, bytes) {
            Ok(memory) => return Ok(memory),
            Err(error) => {
                tracing::warn!("what the fd store had as {name:?} is thrown away: {error}");
                // Or the store would have two of this name, and one more with each start.
                let _ = remove(name);
            }
        }
    }
    let memory = SharedMemory::new(name, bytes)?;
    if let Err(error) = store(name, memory.as_fd()) {
        tracing::warn!("{without}: {error}");
    }
    Ok(memory)
}

/// Removes what nobody knows from the store, which else fills up; how many there were.
pub fn discard(stored: Vec<Stored>) -> usize {
    let count = stored.len();
    for Stored { name, .. } in stored {
        tracing::warn!("removed {name:?} from the fd store: this version does not know it");
        // Without systemd there is no store to remove it from.
        let _ = remove(&name);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: take memory of any size, or leave what was refused to the stage.
    #[test]
    fn memory_that_cannot_be_read_is_replaced() {
        let kept = SharedMemory::new("record", 4096).unwrap();
        let stored =
            |name: &str| Stored { name: name.into(), fd: kept.as_fd().try_clone_to_owned().unwrap() };
        let mut all = vec![stored("socket"), stored("record"), stored("record")];
        let memory = memory(&mut all, "record", 8192, "nothing is lost").unwrap();
        assert_eq!(memory.bytes().len(), 8192);
        assert_eq!(all.iter().map(|stored| stored.name.as_str()).collect::<Vec<_>>(), ["socket"]);
    }

    #[test]
    fn names_that_systemd_would_rename_are_refused() {
        let fd = std::fs::File::open("/dev/null").unwrap();
        for name in ["", "a:b", "a\nb", &"x".repeat(256)] {
            assert!(matches!(store(name, fd.as_fd()), Err(StoreError::Name(_))), "{name:?}");
        }
    }
}

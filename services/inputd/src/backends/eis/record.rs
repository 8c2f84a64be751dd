//! What the next inputd has to know of the fingers that are down: a memfd in systemd's fd store, under one name with the socket of the
//! connection on which they are.
//!
//! gnome-shell (48) dies when a connection ends on which a finger is down, and 51 leaves it down for ever; both die when a finger goes
//! up that is not down. So the connection has to outlive this process, and its heir to know exactly what was sent. What a finger
//! does is therefore written down, sent in one piece with a `sync`, and written down again as done, before anything is read: where the heir
//! finds it undone, the compositor's answer to the `sync` is in the socket if it was sent, and nowhere if it was not.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use lumen_ipc::input::MAX_FINGERS;
use lumen_stage::{
    clock::now_ns,
    inherited::{self, Stored},
    memory::{check_sealed, sealed},
};

/// Names in the fd store begin with this; a number of its own follows.
const PREFIX: &str = "fingers ";

/// First word of a record; another version of inputd has another one.
const MAGIC: u64 = u64::from_le_bytes(*b"fingers1");

/// Words before those of the fingers.
const HEAD: usize = 7;

const WORDS: usize = HEAD + MAX_FINGERS;

/// Bytes of a record.
const BYTES: u64 = 8 * WORDS as u64;

/// What EIS knows of a finger.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    #[default]
    Up,
    Down,
    /// It goes down or up, unless that was not sent: the `sync` with this callback went with it.
    Going {
        down: bool,
        callback: u64,
    },
}

/// All of a record. Objects are EI's.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) connection: u64,
    pub(super) device: u64,
    pub(super) touchscreen: u64,
    /// The touch screen knows cancelling.
    pub(super) cancels: bool,
    /// The last one that the compositor said.
    pub(super) serial: u32,
    /// The last message on the socket may be a part of one, after which nobody else can say anything.
    pub(super) is_ragged: bool,
    /// EI's number of a finger is its place here, counted from 1. Because Mutter takes 0 for no finger, and has room for 16.
    pub(super) slots: [Slot; MAX_FINGERS],
}

impl Said {
    fn encode(&self) -> Vec<u8> {
        let head = [
            MAGIC,
            self.connection,
            self.device,
            self.touchscreen,
            self.cancels.into(),
            self.serial.into(),
            self.is_ragged.into(),
        ];
        let slots = self.slots.iter().map(|slot| match slot {
            Slot::Up => 0,
            Slot::Down => 1,
            Slot::Going { down: true, callback } => callback << 2 | 2,
            Slot::Going { down: false, callback } => callback << 2 | 3,
        });
        head.into_iter().chain(slots).flat_map(u64::to_le_bytes).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let [magic, connection, device, touchscreen, cancels, serial, is_ragged] =
            std::array::from_fn(|_| words.next().unwrap_or_default());
        let slots = std::array::from_fn(|_| match words.next().unwrap_or_default() {
            0 => Slot::Up,
            1 => Slot::Down,
            word => Slot::Going { down: word & 1 == 0, callback: word >> 2 },
        });
        let (cancels, is_ragged, serial) = (cancels != 0, is_ragged != 0, u32::try_from(serial).ok()?);
        (magic == MAGIC).then_some(Self {
            connection,
            device,
            touchscreen,
            cancels,
            serial,
            is_ragged,
            slots,
        })
    }
}

/// A record, and the name under which it is stored.
#[derive(Debug)]
pub(super) struct Record {
    said: Said,
    file: File,
    name: String,
}

impl Record {
    /// A new one of no finger; it and `socket` are in the fd store from now on.
    ///
    /// # Errors
    /// No memory, or systemd does not keep it.
    pub(super) fn keep(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let name = format!("{PREFIX}{}", now_ns());
        let file = File::from(sealed("lumen-fingers", BYTES).map_err(io::Error::other)?);
        // Whole, so that there is memory for all that is written later.
        let said = Said::default();
        file.write_all_at(&said.encode(), 0)?;
        let store = |fd| inherited::store(&name, fd).map_err(io::Error::other);
        store(file.as_fd())?;
        store(socket)?;
        Ok(Self { said, file, name })
    }

    /// The records that an incarnation before left in `stored`, each with its socket. What else there is stays there.
    pub(super) fn adopt(stored: &mut Vec<Stored>) -> Vec<(Self, OwnedFd)> {
        let is_ours = |stored: &Stored| stored.name.starts_with(PREFIX);
        let (ours, others): (Vec<_>, Vec<_>) = std::mem::take(stored).into_iter().partition(is_ours);
        *stored = others;
        let is_record = |stored: &Stored| check_sealed(stored.fd.as_fd(), BYTES).is_ok();
        let (records, mut sockets): (Vec<_>, Vec<_>) = ours.into_iter().partition(is_record);
        let mut adopted = Vec::new();
        for Stored { name, fd } in records {
            let mut bytes = vec![0; 8 * WORDS];
            let file = File::from(fd);
            let said = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| Said::decode(&bytes));
            let place = sockets.iter().position(|socket| socket.name == name);
            match (said, place.map(|place| sockets.swap_remove(place))) {
                (Some(said), Some(socket)) => adopted.push((Self { said, file, name }, socket.fd)),
                // It died before the socket was stored, or is of another version.
                (_, None) | (None, _) => forget(&name),
            }
        }
        sockets.iter().for_each(|socket| forget(&socket.name));
        adopted
    }

    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// Writes it down, changed.
    ///
    /// # Errors
    /// It is not written down.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Said)) -> io::Result<()> {
        let mut said = self.said.clone();
        change(&mut said);
        if said != self.said {
            self.file.write_all_at(&said.encode(), 0)?;
            self.said = said;
        }
        Ok(())
    }

    /// All that was on its way was sent.
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.edit(|said| {
            said.is_ragged = false;
            for slot in &mut said.slots {
                if let Slot::Going { down, .. } = *slot {
                    *slot = if down { Slot::Down } else { Slot::Up };
                }
            }
        })
    }

    /// Whether no finger is down, nor on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.said.slots.iter().all(|slot| *slot == Slot::Up)
    }

    /// Takes it and the socket out of the fd store.
    pub(super) fn remove(self) {
        forget(&self.name);
    }
}

fn forget(name: &str) {
    if let Err(error) = inherited::remove(name) {
        tracing::debug!("{name:?} stays in the fd store: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: believe any memory, or give a record without its socket.
    #[test]
    fn record_is_found_again_with_its_socket() {
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut record = Record::keep(socket.as_fd()).unwrap();
        record
            .edit(|said| {
                (said.device, said.serial, said.cancels) = (u64::MAX, u32::MAX, true);
                said.slots[0] = Slot::Going { down: true, callback: 9 };
                said.slots[1] = Slot::Going { down: false, callback: u64::MAX >> 2 };
                said.slots[9] = Slot::Down;
            })
            .unwrap();
        let stored = |name: &str, fd: BorrowedFd<'_>| Stored {
            name: name.into(),
            fd: fd.try_clone_to_owned().unwrap(),
        };
        let whole = [
            stored(&record.name, socket.as_fd()),
            stored("another", socket.as_fd()),
            stored(&record.name, record.file.as_fd()),
        ];
        let mut all = whole.into_iter().collect();
        let adopted = Record::adopt(&mut all);
        assert_eq!((adopted.len(), all.len()), (1, 1));
        assert_eq!(adopted[0].0.said, record.said);
        let alone = || vec![stored(&record.name, record.file.as_fd())];
        assert!(Record::adopt(&mut alone()).is_empty());
        record.file.write_all_at(&[0; 8], 0).unwrap();
        let mut foreign = alone();
        foreign.push(stored(&record.name, socket.as_fd()));
        assert!(Record::adopt(&mut foreign).is_empty());
        record.settle().unwrap();
        assert!(!record.is_empty());
        assert_eq!((record.said.slots[0], record.said.slots[1]), (Slot::Down, Slot::Up));
    }
}

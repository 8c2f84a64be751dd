//! Places in a record's memory.

use aws_lc_rs::digest::{SHA256, digest};
use lumen_ipc::codec::{self, CodecError, MAX_MESSAGE};
use lumen_stage::{failpoint, memory::SharedMemory};
use serde::{Serialize, de::DeserializeOwned};

use crate::recover;

const CHECKSUM: usize = 8;
/// Bytes of a slot before what is in it.
pub(super) const SLOT_HEAD: usize = CHECKSUM + 4;

pub(super) fn read<const N: usize>(memory: &SharedMemory, at: usize) -> Option<[u8; N]> {
    memory.bytes().get(at..at + N)?.try_into().ok()
}

pub(super) fn write(memory: &mut SharedMemory, at: usize, bytes: &[u8]) {
    if let Some(place) = memory.bytes_mut().get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    sum
}

/// Writes what fits a message.
pub(super) fn write_slot<T: Serialize>(
    memory: &mut SharedMemory,
    at: usize,
    value: &T,
) -> Result<(), CodecError> {
    let mut bytes = [0; MAX_MESSAGE];
    let len = codec::encode(value, &mut bytes)?;
    let bytes = bytes.get(..len).unwrap_or_default();
    write(memory, at, &checksum(bytes));
    failpoint::at(recover::SUM_STORED);
    write(memory, at + CHECKSUM, &(len as u32).to_le_bytes());
    failpoint::at(recover::LENGTH_STORED);
    write(memory, at + SLOT_HEAD, bytes);
    failpoint::at(recover::SLOT_STORED);
    Ok(())
}

/// Writes what may be longer, at most `room` bytes with its head, without a copy: the checksum comes last, so that a slot half
/// written is none.
pub(super) fn write_long_slot<T: Serialize>(
    memory: &mut SharedMemory,
    at: usize,
    room: usize,
    value: &T,
) -> Result<(), CodecError> {
    let place = memory.bytes_mut().get_mut(at + SLOT_HEAD..at + room).unwrap_or_default();
    let len = codec::encode_state(value, place)?;
    let sum = checksum(place.get(..len).unwrap_or_default());
    write(memory, at + CHECKSUM, &(len as u32).to_le_bytes());
    failpoint::at(recover::LENGTH_STORED);
    write(memory, at, &sum);
    failpoint::at(recover::SLOT_STORED);
    Ok(())
}

/// What is in a slot of either kind; `None` if nothing whole is.
pub(super) fn read_slot<T: DeserializeOwned>(memory: &SharedMemory, at: usize) -> Option<T> {
    let sum: [u8; CHECKSUM] = read(memory, at)?;
    let len = read(memory, at + CHECKSUM).map(u32::from_le_bytes)? as usize;
    let start = at + SLOT_HEAD;
    let bytes = memory.bytes().get(start..start.checked_add(len)?)?;
    (checksum(bytes) == sum).then(|| codec::decode_state(bytes).ok())?
}

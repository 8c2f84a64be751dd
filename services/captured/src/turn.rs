//! Turning a picture whose rows lie from the bottom up, as some GL compositors copy them.

use rustix::io::{Errno, pread, pwrite};
use std::os::fd::BorrowedFd;

/// Reverses the order of `rows` rows of `stride` bytes in `memfd`. `scratch` is kept between pictures, so
/// that only the first one allocates.
///
/// # Errors
/// The kernel's, when the memfd cannot be read or written.
pub fn turn(memfd: BorrowedFd<'_>, stride: usize, rows: usize, scratch: &mut Vec<u8>) -> Result<(), Errno> {
    scratch.resize(stride * rows, 0);
    let mut at = 0;
    while let Some(rest) = scratch.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match pread(memfd, rest, at as u64) {
            Ok(0) => return Err(Errno::NODATA),
            Ok(read) => at += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let (mut upper, mut lower) = (0, rows.saturating_sub(1));
    while upper < lower {
        let (above, below) = scratch.split_at_mut(lower * stride);
        let above = above.get_mut(upper * stride..(upper + 1) * stride);
        let below = below.get_mut(..stride);
        above.zip(below).into_iter().for_each(|(above, below)| above.swap_with_slice(below));
        (upper, lower) = (upper + 1, lower - 1);
    }
    at = 0;
    while let Some(rest) = scratch.get(at..).filter(|rest| !rest.is_empty()) {
        match pwrite(memfd, rest, at as u64) {
            Ok(written) => at += written,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stage::memory::SharedMemory;
    use std::os::fd::AsFd;

    // Sabotage: leave out the last swap, or write nothing back.
    #[test]
    fn rows_change_places_and_bytes_within_a_row_do_not() {
        for rows in [1, 2, 5, 6] {
            let mut memory = SharedMemory::new("test", 4096).unwrap();
            for (index, byte) in memory.bytes_mut()[..rows * 8].iter_mut().enumerate() {
                *byte = index as u8;
            }
            turn(memory.as_fd(), 8, rows, &mut Vec::new()).unwrap();
            let expected: Vec<u8> = (0..rows as u8).rev().flat_map(|row| row * 8..row * 8 + 8).collect();
            assert_eq!(memory.bytes()[..rows * 8], expected);
        }
    }
}

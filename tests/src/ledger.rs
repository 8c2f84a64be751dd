//! The numbers in a session's record, as transportd keeps them in shared memory for its next incarnation: a test can let a
//! session be older than it is. The layout is that of `services/transportd/src/record.rs`.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::constellation::{Constellation, run, wait};

/// What a record begins with, and the version whose places these are.
const MAGIC: &[u8] = b"lumenses\x07\0\0\0";
/// Number of the next packet, and of the next frame.
const PACKETS: u64 = 2048;
const FRAMES: u64 = 2056;

/// What the next packet and the next frame are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Packets since the key was made.
    pub packets: u64,
    /// Frames, from 1.
    pub frames: u64,
}

/// Reads the numbers of the one session.
///
/// # Errors
/// There is not exactly one record, or it is of another version.
pub fn read(host: &Constellation) -> Result<Ages> {
    let file = record(host.pid("transportd")?)?;
    Ok(Ages { packets: number(&file, PACKETS)?, frames: number(&file, FRAMES)? })
}

/// Kills transportd and lets its next incarnation find that the session had come to what `older` makes of its numbers.
///
/// # Errors
/// There is not exactly one record, or nobody comes after it.
pub fn age(host: &Constellation, older: impl FnOnce(Ages) -> Ages) -> Result<()> {
    let pid = host.pid("transportd")?;
    let signal = |signal: &str| run("kill", &["-s", signal, &pid.to_string()]);
    // Stopped before its record is changed, so that it numbers nothing any more.
    signal("STOP")?;
    let is_stopped =
        || fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|s| s.contains("T (stopped)"));
    wait("transportd to stop", Duration::from_secs(2), is_stopped)?;
    let aged = record(pid).and_then(|file| {
        let ages = older(Ages { packets: number(&file, PACKETS)?, frames: number(&file, FRAMES)? });
        file.write_all_at(&ages.packets.to_le_bytes(), PACKETS)?;
        Ok(file.write_all_at(&ages.frames.to_le_bytes(), FRAMES)?)
    });
    signal("KILL")?;
    aged?;
    wait("the next transportd", Duration::from_secs(10), || {
        host.pid("transportd").is_ok_and(|new| new != pid && new != 0)
    })
}

/// The record of the one session that the process has.
fn record(pid: u32) -> Result<File> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten().map(|entry| entry.path());
    let is_record = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:lumen-session"))
    };
    let found: Vec<_> = entries.filter(is_record).collect();
    let files = found.iter().map(|path| OpenOptions::new().read(true).write(true).open(path));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let mut inodes = files.iter().map(|file| Ok(std::os::unix::fs::MetadataExt::ino(&file.metadata()?)));
    let first: u64 = inodes.next().unwrap_or_else(|| Err(anyhow::anyhow!("there is no session")))?;
    for inode in inodes {
        let inode: Result<u64> = inode;
        ensure!(inode? == first, "there is more than one session");
    }
    let file = files.into_iter().next().context("there is no session")?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact_at(&mut magic, 0)?;
    ensure!(
        magic == MAGIC,
        "a record of another layout, {magic:02x?}: look at services/transportd/src/record.rs"
    );
    Ok(file)
}

fn number(file: &File, at: u64) -> Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u64::from_le_bytes(bytes))
}

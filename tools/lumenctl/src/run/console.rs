//! The console that a private manager logs to.
//!
//! systemd 252 writes its log to the console or nowhere, an ordinary user may not open the real one, and it insists
//! on a terminal. So it gets a pseudo terminal there; what comes out of it goes to a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::account::Account;

/// Makes a terminal for this account and copies what is written to it into `log`, as long as this process lives.
/// The answer is the terminal's path.
pub fn open(account: &Account, log: &Path) -> io::Result<PathBuf> {
    let mut master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?);
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = PathBuf::from(ptsname(&master, Vec::new())?.to_string_lossy().into_owned());
    chown(&path, Some(account.uid), Some(account.gid))?;
    // Held open, because reading fails as soon as nobody holds the other side, and systemd opens it line by line.
    let held = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut log = OpenOptions::new().append(true).create(true).open(log)?;
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count) = master.read(&mut chunk) {
            let text: Vec<u8> = chunk.iter().take(count).copied().filter(|byte| *byte != b'\r').collect();
            if log.write_all(&text).is_err() {
                break;
            }
        }
        drop(held);
    });
    Ok(path)
}

//! An app's picture: a PNG file that `apps.toml` names.
//!
//! Clients ask for it by the app's number, so that they cannot name a file; and a file that is no PNG is not passed on.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use lumen_ipc::{Failure, FailureClass};
use rustix::fs::{MemfdFlags, OFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Largest file in bytes, because clients keep it in memory for each app.
const MAX_BYTES: u64 = 4 << 20;
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The PNG in `file`: a sealed memfd whose content is the file's.
///
/// # Errors
/// It is no regular file, no PNG, too large, or cannot be read.
pub fn picture(file: &Path) -> Result<OwnedFd, Failure> {
    let refused = |why: String| {
        let advice =
            "write the full path of a PNG file of at most 4 MiB as image in apps.toml, or leave it out";
        Failure::new(FailureClass::Environment, format!("{}: {why}", file.display()), advice)
    };
    let failed = |error: std::io::Error| refused(error.to_string());
    // Not blocking, because a FIFO would wait for its writer.
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened =
        File::options().read(true).custom_flags(flags.bits().cast_signed()).open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refused("no regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refused("larger than 4 MiB".to_owned()));
    }
    if !bytes.starts_with(SIGNATURE) {
        return Err(refused("no PNG".to_owned()));
    }
    let memfd = memfd_create("lumen-art", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(|error| failed(error.into()))?;
    let mut copy = File::from(memfd);
    copy.write_all(&bytes).map_err(failed)?;
    // Its reader shares the place in it.
    copy.rewind().map_err(failed)?;
    fcntl_add_seals(&copy, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)
        .map_err(|error| failed(error.into()))?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::FileExt;

    /// Sabotage: leave out the signature.
    #[test]
    fn only_a_png_is_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.png"), [SIGNATURE, b"rest"].concat()).unwrap();
        fs::write(path("secret"), "root:x:0:0").unwrap();
        fs::write(path("large.png"), [SIGNATURE, &vec![0; 4 << 20]].concat()).unwrap();
        let mut copy = File::from(picture(&path("a.png")).unwrap());
        let mut bytes = Vec::new();
        copy.read_to_end(&mut bytes).unwrap();
        assert_eq!(&bytes[8..], b"rest");
        assert!(copy.write_all_at(b"x", 0).is_err(), "it can be changed");
        for (wrong, why) in
            [("secret", "no PNG"), ("large.png", "4 MiB"), ("none", "No such"), (".", "no regular")]
        {
            let failure = picture(&path(wrong)).unwrap_err();
            assert!(failure.text.contains(why), "{wrong}: {failure}");
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        assert!(picture(&path("fifo")).unwrap_err().text.contains("no regular file"));
    }
}

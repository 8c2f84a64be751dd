//! Finds the Wayland socket of a compositor whose process id is known.
//!
//! A compositor takes the first free `wayland-N` and tells only its children. The kernel knows better: the peer of
//! a fresh connection is the process that listens there.

use std::{
    fs, io,
    os::unix::net::UnixStream as Connection,
    path::{Path, PathBuf},
};

use tokio::net::UnixStream;

/// A blocking connection to the Wayland socket of process `pid`, and the socket's path; `NotFound` if it has none
/// in `runtime`. A compositor that hangs with a full backlog is an error, never a wait.
pub async fn connect(runtime: &Path, pid: i32) -> io::Result<(PathBuf, Connection)> {
    for entry in fs::read_dir(runtime)?.flatten() {
        let name = entry.file_name();
        let is_socket =
            name.to_str().is_some_and(|name| name.starts_with("wayland-") && !name.ends_with(".lock"));
        if !is_socket {
            continue;
        }
        let Ok(stream) = UnixStream::connect(entry.path()).await else { continue };
        if stream.peer_cred()?.pid() == Some(pid) {
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            return Ok((entry.path(), stream));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("process {pid} listens on no Wayland socket")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[tokio::test]
    async fn socket_is_found_by_its_listener_among_others() {
        let folder = tempfile::tempdir().unwrap();
        let me = std::process::id() as i32;
        fs::write(folder.path().join("wayland-0.lock"), "").unwrap();
        drop(UnixListener::bind(folder.path().join("wayland-0")).unwrap());
        assert_eq!(connect(folder.path(), me).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(folder.path().join("wayland-1")).unwrap();
        assert_eq!(connect(folder.path(), me).await.unwrap().0, folder.path().join("wayland-1"));
        assert_eq!(connect(folder.path(), 1).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

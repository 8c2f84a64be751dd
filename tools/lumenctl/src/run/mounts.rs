//! The mount namespaces of a `run`. All mounts are made in them, so a killed `run` leaves none.
//!
//! The outer one (lumenctl itself and the command it runs) sees the unified cgroup hierarchy and the build's
//! binaries in their installed place; the inner one (the private manager and all it starts) also sees a machine
//! that systemd has booted, and of the hierarchy only its own part.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    unmount,
};
use rustix::thread::UnshareFlags;

use super::cgroup::HIERARCHY;

/// Where systemd keeps its own run-time state.
pub const SYSTEMD_RUN: &str = "/run/systemd";

const CONSOLE: &str = "/dev/console";

/// Makes the outer namespace: what the machine mounts later is seen, what we mount is not.
pub fn enter_outer() -> Result<()> {
    unshare(UnshareFlags::NEWNS).context(
        "no mount namespace: root without CAP_SYS_ADMIN cannot run a constellation; in a container, start it privileged",
    )?;
    propagate(MountPropagationFlags::DOWNSTREAM)?;
    // On a booted machine /run is a mount of its own. Where it is not, ProtectControlGroups and ProtectProc give a
    // unit an empty /run, and so no runtime directory.
    mount_bind_recursive("/run", "/run").context("cannot make /run a mount point")?;
    if !Path::new(HIERARCHY).is_dir() {
        mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None)
            .context("/sys is empty and cannot be mounted")?;
    }
    mount_hierarchy()
}

/// Makes the inner namespace. The caller is already in the cgroup that is to be the root of what it sees.
pub fn enter_inner(console: &Path) -> Result<()> {
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWCGROUP).context("no mount and cgroup namespace")?;
    propagate(MountPropagationFlags::PRIVATE)?;
    mount_tmpfs(Path::new(SYSTEMD_RUN))?;
    // system: sd_booted() looks for it. The others: without them every mount option of a unit fails with 226; where
    // a unit's root is put together is unit-root up to systemd 252 at least, and mount-rootfs in 257.
    for name in ["system", "unit-root", "mount-rootfs", "propagate"] {
        std::fs::create_dir(Path::new(SYSTEMD_RUN).join(name))?;
    }
    mount_hierarchy()?;
    // A console that is a link leads to a terminal in /dev/pts, and with something mounted in there PrivateDevices=
    // fails. The manager then has no log.
    if std::fs::symlink_metadata(CONSOLE).is_ok_and(|found| found.file_type().is_char_device()) {
        mount_bind(console, CONSOLE).context("the manager's console does not go over the machine's")?;
    }
    Ok(())
}

/// Does what PrivateUsers=yes and any mount option of a unit start with.
pub fn try_user_namespace() -> Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
    propagate(MountPropagationFlags::PRIVATE)
}

/// An empty directory that belongs to root and that others may look into.
pub fn mount_tmpfs(target: &Path) -> Result<()> {
    mount("lumen", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755"))
        .with_context(|| format!("no tmpfs over {}", target.display()))
}

/// Takes what [`mount_tmpfs`] made away again, if it did.
pub fn unmount_tmpfs(target: &Path) -> io::Result<()> {
    match unmount(target, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The pure unified hierarchy over whatever the machine has there.
fn mount_hierarchy() -> Result<()> {
    while unmount(HIERARCHY, UnmountFlags::DETACH).is_ok() {}
    mount("cgroup2", HIERARCHY, "cgroup2", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
        .with_context(|| {
            format!("no cgroup2 on {HIERARCHY}: the kernel must have it (5.14 or newer, for cgroup.kill)")
        })
}

fn propagate(flags: MountPropagationFlags) -> Result<()> {
    mount_change("/", flags | MountPropagationFlags::REC).context(
        "the root directory is not a mount point (a plain chroot?): `mount --bind DIR DIR` it before the chroot",
    )
}

#[expect(
    deprecated,
    reason = "its successor is unsafe because of CLONE_FILES, which is never asked for here"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    Ok(rustix::thread::unshare(flags)?)
}

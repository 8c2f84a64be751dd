//! The doors that a stage closes behind itself, because systemd cannot: its filters and mounts hold from before the stage's
//! own `execve`, and each mount that would forbid another one costs a restart milliseconds in which a picture waits
//! (`NoExecPaths=` and `PrivateIPC=`: 12 of 37 ms, measured with systemd 252).

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// What no stage does once it runs: become another program (vdisplayd asks systemd for programs), look into other
/// processes, or talk by System V IPC and message queues, which would reach every program of the user.
const CLOSED: [i64; 19] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_timedreceive,
];

/// Why a door stays open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The filter is not known for this processor.
    #[error("there is no seccomp filter for {0}")]
    Processor(&'static str),
    /// The filter cannot be made.
    #[error("the seccomp filter cannot be made: {0}")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel refuses it.
    #[error("the kernel refuses the seccomp filter: {0}")]
    Kernel(#[from] seccompiler::Error),
}

/// Closes the doors for this process and all its threads, for ever; what is behind them fails with EPERM.
///
/// # Errors
/// [`DoorError`]; the doors are then open.
pub fn close() -> Result<(), DoorError> {
    let arch = std::env::consts::ARCH;
    let target: TargetArch = arch.try_into().map_err(|_| DoorError::Processor(arch))?;
    let closed: BTreeMap<i64, _> = CLOSED.into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let program: BpfProgram = SeccompFilter::new(closed, SeccompAction::Allow, refuse, target)?.try_into()?;
    Ok(seccompiler::apply_filter_all_threads(&program)?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// In a process of its own, since it is for ever.
    ///
    /// Sabotage: leave execve out, or let `close` do nothing.
    #[test]
    fn behind_closed_doors_no_program_starts() {
        const INSIDE: &str = "LUMEN_TEST_DOORS";
        if std::env::var_os(INSIDE).is_some() {
            assert!(Command::new("/bin/true").status().is_ok());
            super::close().unwrap();
            let refused = Command::new("/bin/true").status().unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            return;
        }
        let test = "door::tests::behind_closed_doors_no_program_starts";
        let itself = std::env::current_exe().unwrap();
        let output = Command::new(itself).args(["--exact", test]).env(INSIDE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}

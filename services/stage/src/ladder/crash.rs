//! Writes down of what the process dies, if it dies of itself: the signals of a crash.
//!
//! A SIGKILL leaves nothing, and a signal that another process sent is not believed: whoever kills a stage does not judge
//! its backend. After its one line the handler steps aside, so that what was to happen happens.

use std::{mem::MaybeUninit, ptr, sync::OnceLock};

use libc::{SA_ONSTACK, SA_SIGINFO, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, c_int, c_void, siginfo_t};

use super::slots::{Slot, Slots};

/// Signals of a crash, and what they are called.
const CRASHES: [(c_int, &str); 5] =
    [(SIGSEGV, "SIGSEGV"), (SIGBUS, "SIGBUS"), (SIGILL, "SIGILL"), (SIGFPE, "SIGFPE"), (SIGABRT, "SIGABRT")];

/// What the handler writes into.
static SLOTS: OnceLock<Slots> = OnceLock::new();
/// What was done about each signal before: Rust's own handler tells of stacks that overflow.
static BEFORE: [OnceLock<libc::sigaction>; CRASHES.len()] = [const { OnceLock::new() }; CRASHES.len()];

/// The name of a signal.
pub fn name(signal: u64) -> &'static str {
    CRASHES.iter().find(|(known, _)| u64::try_from(*known) == Ok(signal)).map_or("a signal", |(_, name)| name)
}

/// From now on crashes are written down. Only the first call counts.
pub fn watch(slots: Slots) {
    if SLOTS.set(slots).is_err() {
        return;
    }
    for ((signal, _), before) in CRASHES.iter().zip(&BEFORE) {
        // SAFETY: all fields of a sigaction may be zero.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = on_crash as *const () as usize;
        // On the stack that Rust set aside, because one that overflowed has no room.
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        let mut old = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: both point to sigactions, and the handler calls only what is allowed in one.
        if unsafe { libc::sigaction(*signal, &raw const action, old.as_mut_ptr()) } == 0 {
            // SAFETY: filled by the call.
            let _ = before.set(unsafe { old.assume_init() });
        }
    }
}

/// Those in which crashes are written down; none before [`watch`].
pub fn watched() -> impl Iterator<Item = Slot> {
    SLOTS.get().into_iter().flat_map(|slots| slots.iter())
}

/// Only atomic loads and stores, sigaction, getpid and raise: all of them are allowed in a handler.
extern "C" fn on_crash(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel gives a valid siginfo, because of SA_SIGINFO; a signal that a thread sent has a sender.
    let (code, sender) = unsafe { ((*info).si_code, (*info).si_pid()) };
    // SAFETY: getpid has no preconditions.
    let is_own = code == libc::SI_TKILL && sender == unsafe { libc::getpid() };
    if code > 0 || is_own {
        let signal = u64::try_from(signal).unwrap_or(0);
        watched().for_each(|slot| slot.blow(signal));
    }
    let before = CRASHES.iter().zip(&BEFORE).find(|((known, _), _)| *known == signal);
    if let Some(before) = before.and_then(|(_, before)| before.get()) {
        // SAFETY: `before` is what the same call returned for the same signal.
        unsafe { libc::sigaction(signal, before, ptr::null_mut()) };
    }
    // A fault happens again when the handler returns; what was sent does not.
    if code <= 0 {
        // SAFETY: raise has no preconditions.
        unsafe { libc::raise(signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ladder::slots::BYTES, memory::SharedMemory};
    use rustix::process::{Signal, getpid, kill_process};
    use std::{
        env,
        os::{fd::AsFd, unix::process::ExitStatusExt},
        process::{Command, Stdio},
    };

    /// Says to a copy of this test that it is to die, and how.
    const DEATH: &str = "LUMEN_TEST_DEATH";

    /// Dies inside a call of a backend; the record is standard input.
    fn die(how: &str) {
        let fd = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let slots = Slots::over(SharedMemory::adopt(fd, BYTES).unwrap()).unwrap();
        watch(slots);
        let slot = slots.claim("best h264").unwrap();
        slot.hold(false);
        slot.enter();
        match how {
            "abort" => std::process::abort(),
            // SAFETY: none; a fault is what is wanted.
            "fault" => drop(unsafe { ptr::read_volatile(ptr::without_provenance::<u64>(8)) }),
            "thread" => drop(std::thread::spawn(|| std::process::abort()).join()),
            _ => {
                kill_process(getpid(), Signal::ABORT).unwrap();
                // Another thread may be the one that it reaches.
                std::thread::sleep(std::time::Duration::from_secs(10));
            }
        }
    }

    /// The signal of which a process dies `how`, and the strikes that the next one finds.
    fn death(how: &str) -> (Option<i32>, usize) {
        let memory = SharedMemory::new("test", BYTES).unwrap();
        let record = memory.as_fd().try_clone_to_owned().unwrap();
        let this = "ladder::crash::tests::only_a_crash_of_its_own_is_written_down";
        let mut child = Command::new(env::current_exe().unwrap());
        child.args([this, "--exact", "--nocapture"]).env(DEATH, how);
        let ended = child.stdin(Stdio::from(record)).stdout(Stdio::null()).stderr(Stdio::null()).status();
        (ended.unwrap().signal(), Slots::over(memory).unwrap().settle(1).len())
    }

    /// Sabotage: believe signals that were sent, do not install the handler, or let it swallow the signal.
    #[test]
    fn only_a_crash_of_its_own_is_written_down() {
        if let Ok(how) = env::var(DEATH) {
            return die(&how);
        }
        assert_eq!(death("abort"), (Some(SIGABRT), 1));
        assert_eq!(death("fault"), (Some(SIGSEGV), 1));
        assert_eq!(death("thread"), (Some(SIGABRT), 1), "a thread of the backend's own");
        assert_eq!(death("sent"), (Some(SIGABRT), 0));
    }
}

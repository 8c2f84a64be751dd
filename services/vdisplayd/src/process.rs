//! What /proc tells about the user's processes. Everything here is advisory: a process may be gone a moment later.

use std::fs;

/// Process ids of all visible processes.
pub fn all() -> Vec<i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The kernel's name of a process (at most 15 bytes).
pub fn name(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(text.trim_end().to_owned())
}

/// Process id of the parent.
pub fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields are counted from its end: state, ppid.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The lines of /proc/PID/cgroup.
pub fn cgroup(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()
}

/// Value of one variable in the environment that a process was started with.
pub fn environment_value(pid: i32, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_is_described() {
        let me = std::process::id() as i32;
        assert!(all().contains(&me));
        assert!(name(me).is_some_and(|name| !name.is_empty()));
        assert_eq!(parent(me), Some(std::os::unix::process::parent_id() as i32));
        assert!(cgroup(me).is_some());
        assert_eq!(environment_value(me, "PATH"), std::env::var("PATH").ok());
        assert_eq!(environment_value(me, "LUMEN_NO_SUCH_VARIABLE"), None);
    }
}

//! Whose constellation it is: an ordinary user's account, and becoming that user.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use serde::{Deserialize, Serialize};

/// One row of the password database and the user's groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Log-in name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All group ids.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: PathBuf,
}

/// Why a name leads to no account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The database does not know the name or number.
    #[error("there is no user {0:?} on this machine: `useradd --create-home NAME` makes one")]
    Unknown(String),
    /// The database answered something else than a passwd line.
    #[error("the user database answers {0:?}, which is no passwd line")]
    Malformed(String),
    /// getent or id would not run.
    #[error("the user database cannot be asked")]
    Database(#[from] io::Error),
}

impl Account {
    /// Looks a name or a decimal uid up through NSS, so that directory users work too.
    pub fn find(key: &str) -> Result<Self, AccountError> {
        let unknown = || AccountError::Unknown(key.to_owned());
        let line = answer("getent", &["passwd", "--", key])?.ok_or_else(unknown)?;
        let groups = answer("id", &["-G", "--", key])?.ok_or_else(unknown)?;
        parse(&line, &groups).ok_or(AccountError::Malformed(line))
    }

    /// The account this process runs as.
    pub fn own() -> Result<Self, AccountError> {
        Self::find(&rustix::process::getuid().as_raw().to_string())
    }

    /// Where systemd and everybody else expects this user's sockets. ProtectHome=tmpfs hides only this place.
    pub fn runtime_dir(&self) -> PathBuf {
        Path::new("/run/user").join(self.uid.to_string())
    }

    /// The variables a log-in would set.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let runtime_dir = self.runtime_dir();
        let mut bus = OsString::from("unix:path=");
        bus.push(runtime_dir.join("bus"));
        let pair = |name: &str, value: &OsStr| (OsString::from(name), value.to_owned());
        vec![
            pair("HOME", self.home.as_os_str()),
            pair("USER", OsStr::new(&self.name)),
            pair("LOGNAME", OsStr::new(&self.name)),
            pair("SHELL", OsStr::new("/bin/sh")),
            pair("PATH", OsStr::new("/usr/local/bin:/usr/bin:/bin")),
            pair("XDG_RUNTIME_DIR", runtime_dir.as_os_str()),
            pair("DBUS_SESSION_BUS_ADDRESS", &bus),
        ]
    }

    /// Turns the calling process into this user for good: groups, ids, no capability, no way back.
    ///
    /// The kernel keeps ids per thread, so this must come before the first second thread.
    pub fn assume(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        clear_ambient_capability_set()?;
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        let held = capabilities(None)?;
        set_capabilities(None, CapabilitySets { inheritable: CapabilitySet::empty(), ..held })?;
        Ok(set_no_new_privs(true)?)
    }
}

/// What a command prints, None if it says that there is no such entry.
fn answer(program: &str, arguments: &[&str]) -> io::Result<Option<String>> {
    let output = Command::new(program).args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((output.status.success() && !text.is_empty()).then_some(text))
}

fn parse(line: &str, groups: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = PathBuf::from(fields.nth(1)?);
    let groups = groups.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Account { name, uid, gid, groups, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passwd_line_becomes_an_account() {
        let account =
            parse("ada:x:1001:1002:Ada,,,:/home/ada:/bin/bash", "1002 44 27").expect("a whole line");
        assert_eq!((account.uid, account.gid), (1001, 1002));
        assert_eq!(account.home, Path::new("/home/ada"));
        assert_eq!(account.groups, [1002, 44, 27]);
        assert_eq!(account.runtime_dir(), Path::new("/run/user/1001"));
    }

    #[test]
    fn a_truncated_passwd_line_is_refused() {
        assert_eq!(parse("ada:x:1001:1002:Ada", "1002"), None);
        assert_eq!(parse("ada:x:minus:1002:Ada:/home/ada:/bin/sh", "1002"), None);
    }

    #[test]
    fn an_unknown_user_is_named_in_the_error() {
        let error = Account::find("nobody-of-this-name").expect_err("no such user");
        assert!(error.to_string().contains("nobody-of-this-name"), "{error}");
    }
}

//! Who is at the other end of the bus: decided by the process's cgroup, that is, by the unit that systemd
//! started it in.
//!
//! A stage's path must be exactly `…/lumen.slice/lumen-X.service` under the same manager as our own; a process in
//! a sub-cgroup of that name is somebody else. This holds only where no stage can write the cgroup tree, which
//! [`advisory`] tells.

use std::{fs, io, path::Path};

use lumen_ipc::Stage;
use zbus::{Connection, names::BusName};

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The main service of this stage.
    Stage(Stage),
    /// A process of the user outside of lumen's slice: the administrator's tools.
    Person,
    /// Something else inside lumen's slice.
    Stranger {
        /// Its cgroup.
        cgroup: String,
    },
}

/// Why it cannot be told who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The bus does not say which process it is.
    #[error("the bus does not tell the process behind {name}: {source}")]
    Credentials {
        /// Name on the bus.
        name: String,
        /// The bus's answer.
        source: zbus::Error,
    },
    /// The process has no readable cgroup; it may have ended.
    #[error("the cgroup of process {pid} behind {name} cannot be read: {source}")]
    Cgroup {
        /// Name on the bus.
        name: String,
        /// Process id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
}

/// Tells who owns `name` (unique or well-known) on `bus`.
pub async fn identify(bus: &Connection, name: &str) -> Result<Caller, CallerError> {
    let unknown = |source: zbus::Error| CallerError::Credentials { name: name.to_owned(), source };
    let dbus = zbus::fdo::DBusProxy::new(bus).await.map_err(unknown)?;
    let bus_name = || BusName::try_from(name).map_err(unknown);
    let credentials =
        dbus.get_connection_credentials(bus_name()?).await.map_err(|error| unknown(error.into()))?;
    let pid = credentials.process_id().unwrap_or(0);
    let cgroup = cgroup_of(&pid.to_string()).map_err(|source| CallerError::Cgroup {
        name: name.to_owned(),
        pid,
        source,
    })?;
    // The pid cannot have been given to another process while its connection lives.
    match dbus.name_has_owner(bus_name()?).await {
        Ok(true) => {}
        Ok(false) => return Err(unknown(zbus::Error::InvalidReply)),
        Err(error) => return Err(unknown(error.into())),
    }
    let own = cgroup_of("self").map_err(|source| CallerError::Cgroup {
        name: "this stage".into(),
        pid: std::process::id(),
        source,
    })?;
    Ok(classify(&cgroup, &own))
}

/// The path of a process in the unified cgroup hierarchy.
fn cgroup_of(pid: &str) -> io::Result<String> {
    let text = fs::read_to_string(Path::new("/proc").join(pid).join("cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    path.map(str::to_owned).ok_or_else(|| io::Error::other("it is in no unified hierarchy"))
}

const SLICE: &str = "/lumen.slice/";

/// Tells from the cgroup paths of a process and of ourselves who the process is.
fn classify(cgroup: &str, own: &str) -> Caller {
    let Some((above, unit)) = cgroup.split_once(SLICE) else {
        return Caller::Person;
    };
    let same_manager = own.split_once(SLICE).is_none_or(|(own_above, _)| own_above == above);
    match Stage::ALL.into_iter().find(|stage| stage.unit() == unit) {
        Some(stage) if same_manager => Caller::Stage(stage),
        _ => Caller::Stranger { cgroup: cgroup.to_owned() },
    }
}

/// Whether the check could be circumvented, and why: a stage that can write the cgroup tree can move itself into
/// another unit. `None` when it holds.
pub fn advisory() -> Option<&'static str> {
    let own = cgroup_of("self").ok()?;
    let file = Path::new("/sys/fs/cgroup").join(own.trim_start_matches('/')).join("cgroup.procs");
    let writable = fs::OpenOptions::new().write(true).open(file).is_ok();
    writable.then_some(
        "the check of callers is advisory: stages can write the cgroup tree, because this system forbids user \
         namespaces to user managers",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "/user.slice/user@1000.service/lumen.slice/lumen-captured.service";

    #[test]
    fn a_stage_is_known_by_its_whole_path() {
        let encoded = "/user.slice/user@1000.service/lumen.slice/lumen-encoded.service";
        assert_eq!(classify(encoded, OWN), Caller::Stage(Stage::Encoded));
        assert_eq!(
            classify("/lumen.slice/lumen-inputd.service", "/lumen.slice/x"),
            Caller::Stage(Stage::Inputd)
        );
    }

    /// Sabotage: compare with `ends_with`, or look for the unit's name anywhere in the path.
    #[test]
    fn forged_paths_are_strangers() {
        for path in [
            "/user.slice/user@1000.service/lumen.slice/lumen-captured.service/lumen-transportd.service",
            "/user.slice/user@1000.service/lumen.slice/lumen-transportd.service/sub",
            "/user.slice/user@1000.service/app.slice/lumen.slice/lumen-transportd.service",
            "/user.slice/user@1001.service/lumen.slice/lumen-transportd.service",
            "/user.slice/user@1000.service/lumen.slice/lumen-other.service",
        ] {
            assert!(matches!(classify(path, OWN), Caller::Stranger { .. }), "{path}");
        }
    }

    #[test]
    fn the_administrator_is_outside_of_the_slice() {
        assert_eq!(classify("/user.slice/user@1000.service/app.slice/foot.scope", OWN), Caller::Person);
        assert_eq!(classify("/../../lumen-transportd.service", OWN), Caller::Person);
    }
}

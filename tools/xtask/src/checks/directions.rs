//! Which package may depend on which.

use crate::{
    verdict::{Finding, Verdict},
    workspace::{Package, Room, Workspace},
};

/// Crates that open sockets, files or clocks: not for core and ipc-schema, whose code is handed bytes and `now`.
const IMPURE: [&str; 8] =
    ["tokio", "mio", "quinn", "quinn-udp", "socket2", "rustix", "memfd", "wayland-client"];

/// Looks at every dependency of every package, dev and build ones too.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        match Room::of(&package.folder) {
            Some(room) => findings.extend(judge(workspace, package, room)),
            None => {
                findings.push(Finding::new(&package.name, format!("{} is no room", package.folder.display())))
            }
        }
    }
    Ok(Verdict::of(findings, format!("{} packages", workspace.packages.len())))
}

fn judge(workspace: &Workspace, package: &Package, room: Room) -> Vec<Finding> {
    let wrong = |text: String| Finding::new(&package.name, text);
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let name = &dependency.name;
        let target = dependency.path.as_deref().and_then(|path| path.strip_prefix(&workspace.root).ok());
        if let Some(target) = target.and_then(Room::of)
            && let Some(why) = refusal(standing(room, dependency.kind.as_deref()), target)
        {
            findings.push(wrong(format!("depends on {name}: {why}")));
        }
        let pure = matches!(room, Room::Core | Room::Schema) && dependency.kind.is_none();
        if pure && IMPURE.contains(&name.as_str()) {
            findings.push(wrong(format!(
                "depends on {name}: core and ipc-schema have no sockets, files or clock"
            )));
        }
    }
    findings
}

/// Where the code stands that uses a dependency of this kind: a service's own tests are tests.
fn standing(room: Room, kind: Option<&str>) -> Room {
    match (room, kind) {
        (Room::Service, Some("dev")) => Room::Outer,
        (room, _) => room,
    }
}

/// Why code in the room `from` may not use code in the room `to`; `None` when it may.
fn refusal(from: Room, to: Room) -> Option<&'static str> {
    match (from, to) {
        (Room::Service, Room::Service) => Some("services meet only in ipc-schema"),
        (_, Room::Service) => Some("nothing depends on a service"),
        (Room::Outer, _) => None,
        (_, Room::Outer) => Some("nothing depends on clients, tools or tests but these themselves"),
        (Room::Core, Room::Core) | (Room::Schema, Room::Core | Room::Schema) => None,
        (Room::Core, _) => Some("core stands on nothing of ours"),
        (Room::Schema, Room::Stage) => Some("ipc-schema is below services/stage"),
        (Room::Stage | Room::Service, Room::Core | Room::Schema | Room::Stage) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// A workspace with one dependency: from the package in the folder `from` to `name` at `to`.
    fn workspace(from: &str, name: &str, to: Option<&str>, kind: Option<&str>) -> Workspace {
        let json = serde_json::json!({ "packages": [{
            "name": "from", "manifest_path": format!("/w/{from}/Cargo.toml"), "targets": [],
            "dependencies": [{ "name": name, "kind": kind, "path": to.map(|to| format!("/w/{to}")) }],
        }]});
        Workspace::from_metadata(PathBuf::from("/w"), json.to_string().as_bytes()).unwrap()
    }

    fn refused(from: &str, to: &str) -> bool {
        matches!(check(&workspace(from, "to", Some(to), None)).unwrap(), Verdict::Wrong(_))
    }

    #[test]
    fn dependencies_point_one_way() {
        for (from, to) in [
            ("ipc-schema", "core/lumen-core"),
            ("services/stage", "ipc-schema"),
            ("services/captured", "services/stage"),
            ("core/lumen-core", "core/netem"),
            ("tests", "tools/stamp"),
            ("clients/probe", "core/lumen-core"),
        ] {
            assert!(!refused(from, to), "{from} may use {to}");
        }
        for (from, to) in [
            ("core/lumen-core", "ipc-schema"),
            ("ipc-schema", "services/stage"),
            ("services/stage", "services/captured"),
            ("services/captured", "services/encoded"),
            ("services/captured", "tools/stamp"),
            ("tests", "services/captured"),
            ("tools/lumenctl", "services/vdisplayd"),
        ] {
            assert!(refused(from, to), "{from} must not use {to}");
        }
    }

    #[test]
    fn the_tests_of_a_service_may_use_tools_but_no_service() {
        let dev = |to| check(&workspace("services/captured", "to", Some(to), Some("dev"))).unwrap();
        assert!(matches!(dev("tools/stamp"), Verdict::Fine(_)));
        assert!(matches!(dev("services/encoded"), Verdict::Wrong(_)));
    }

    #[test]
    fn core_has_no_runtime_but_its_tests_may() {
        assert!(matches!(check(&workspace("core/x", "tokio", None, None)).unwrap(), Verdict::Wrong(_)));
        assert!(matches!(check(&workspace("core/x", "tokio", None, Some("dev"))).unwrap(), Verdict::Fine(_)));
        assert!(matches!(
            check(&workspace("services/stage", "tokio", None, None)).unwrap(),
            Verdict::Fine(_)
        ));
    }

    #[test]
    fn a_package_outside_the_house_is_named() {
        assert!(matches!(check(&workspace("attic", "serde", None, None)).unwrap(), Verdict::Wrong(_)));
        assert_eq!(Room::of(Path::new("services")), None);
    }
}

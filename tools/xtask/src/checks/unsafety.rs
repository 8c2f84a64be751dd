//! Where `unsafe` may stand.

use std::path::Path;

use crate::{
    text::{code_only, has_word},
    verdict::{Finding, Verdict},
    workspace::{Package, Workspace},
};

/// The rooms with `unsafe`, files or folders, and what it is for. A crate with one in its `src` denies it elsewhere.
const ROOMS: [(&str, &str); 5] = [
    ("services/stage/src", "maps shared memory, takes over inherited descriptors"),
    ("services/captured/src/backends", "calls libpipewire, whose buffers are C structures"),
    ("services/captured/tests/producer", "is such a library's other side, and asks devices for dmabufs"),
    ("services/transportd/tests/datagrams_are_marked.rs", "reads what the kernel says beside a datagram"),
    ("services/encoded/src/backends", "calls encoder libraries written in C, and vector instructions"),
];

const KEYWORD: &str = "unsafe";

/// Looks at the first lines of every crate, and for the keyword in every Rust file.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        for root in &package.roots {
            findings.extend(judge_root(root, &workspace.read(root)?, has_room(package)));
        }
    }
    let files = workspace.files(&[".rs"])?;
    for file in files.iter().filter(|file| !is_room(file)) {
        findings.extend(judge_file(file, &workspace.read(file)?));
    }
    let rooms: Vec<_> = ROOMS.iter().map(|(room, why)| format!("{room} ({why})")).collect();
    Ok(Verdict::of(findings, format!("only in {}", rooms.join(", "))))
}

fn has_room(package: &Package) -> bool {
    ROOMS.iter().any(|(room, _)| Path::new(room).starts_with(package.folder.join("src")))
}

fn is_room(file: &Path) -> bool {
    ROOMS.iter().any(|(room, _)| file.starts_with(room)) || counts_allocations(file)
}

/// A test that counts allocations is an allocator, and the trait for that is `unsafe`.
fn counts_allocations(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    file.iter().any(|part| part == "tests") && name.contains("allocation")
}

fn judge_root(root: &Path, source: &str, has_room: bool) -> Option<Finding> {
    let level =
        |level: &str| source.lines().any(|line| line.trim() == format!("#![{level}({KEYWORD}_code)]"));
    if has_room {
        // services/stage is a room as a whole: its lints still ask for a SAFETY comment each time.
        return (!level("deny") && !level("forbid") && !is_room(root)).then(|| {
            Finding::new(root.display().to_string(), format!("does not say #![deny({KEYWORD}_code)]"))
        });
    }
    (!level("forbid"))
        .then(|| Finding::new(root.display().to_string(), format!("does not say #![forbid({KEYWORD}_code)]")))
}

fn judge_file(file: &Path, source: &str) -> Vec<Finding> {
    let code = code_only(source);
    let lines = code.lines().enumerate().filter(|(_, line)| has_word(line, KEYWORD));
    lines
        .map(|(index, _)| {
            Finding::new(format!("{}:{}", file.display(), index + 1), format!("says `{KEYWORD}`"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_forbids_it_unless_it_has_a_room() {
        let root = Path::new("services/inputd/src/main.rs");
        let forbids = "//! x\n#![forbid(unsafe_code)]\n";
        let denies = "//! x\n#![deny(unsafe_code)]\n";
        assert_eq!(judge_root(root, forbids, false), None);
        assert!(judge_root(root, denies, false).is_some());
        assert!(judge_root(root, "// #![forbid(unsafe_code)]\n", false).is_some());
        assert_eq!(judge_root(Path::new("services/encoded/src/main.rs"), denies, true), None);
        assert_eq!(judge_root(Path::new("services/encoded/src/main.rs"), forbids, true), None);
        assert!(judge_root(Path::new("services/encoded/src/main.rs"), "", true).is_some());
    }

    #[test]
    fn a_test_may_count_allocations() {
        assert!(is_room(Path::new("services/captured/tests/no_allocation_after_the_hundredth_frame.rs")));
        assert!(!is_room(Path::new("services/captured/src/allocation.rs")));
        assert!(!is_room(Path::new("services/captured/tests/sway.rs")));
    }

    #[test]
    fn the_keyword_is_found_in_code_only() {
        let source = "// unsafe\nlet text = \"unsafe\";\nunsafe { read() }\n";
        let found = judge_file(Path::new("a.rs"), source);
        assert_eq!(found.iter().map(|finding| finding.place.as_str()).collect::<Vec<_>>(), ["a.rs:3"]);
    }
}

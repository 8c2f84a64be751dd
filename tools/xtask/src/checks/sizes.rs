//! How long a file may be.

use std::path::Path;

use crate::{
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

/// Lines of any Rust file: 90 % of the files of the projects we learnt from are shorter, and theirs that are longer
/// each hide a type that never got a name.
const LINES: usize = 400;

/// Lines of a service's main.rs, which only boots.
const BOOT_LINES: usize = 60;

/// Looks at every Rust file.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let files = workspace.files(&[".rs"])?;
    let mut findings = Vec::new();
    for file in &files {
        findings.extend(judge(file, workspace.read(file)?.lines().count()));
    }
    Ok(Verdict::of(findings, format!("{} Rust files, none over {LINES} lines", files.len())))
}

fn judge(file: &Path, lines: usize) -> Option<Finding> {
    let boots = file.starts_with("services") && file.ends_with("src/main.rs");
    let limit = if boots { BOOT_LINES } else { LINES };
    (lines > limit)
        .then(|| Finding::new(file.display().to_string(), format!("{lines} lines, at most {limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_400_lines_and_a_main_60() {
        let ordinary = Path::new("services/captured/src/newest.rs");
        let main = Path::new("services/captured/src/main.rs");
        assert_eq!(judge(ordinary, 400), None);
        assert!(judge(ordinary, 401).is_some());
        assert_eq!(judge(main, 60), None);
        assert!(judge(main, 61).is_some());
        assert_eq!(judge(Path::new("tools/lumenctl/src/main.rs"), 61), None);
    }
}

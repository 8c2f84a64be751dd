//! Links between the documents: a path that is named exists.

use std::path::{Path, PathBuf};

use crate::{
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

/// Looks at every relative link of every Markdown file.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let files = workspace.files(&[".md"])?;
    let mut findings = Vec::new();
    let mut seen = 0;
    for file in &files {
        for (index, line) in workspace.read(file)?.lines().enumerate() {
            for target in targets(line) {
                seen += 1;
                if let Some(what) = broken(&workspace.root, file, target) {
                    findings.push(Finding::new(format!("{}:{}", file.display(), index + 1), what));
                }
            }
        }
    }
    Ok(Verdict::of(findings, format!("{seen} in {} documents", files.len())))
}

/// What the `[text](target)` of a line point to, web addresses left out.
pub fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|tail| tail.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
}

/// Splits `../tests/a.rs#name` in `docs/x.md` into `tests/a.rs` and `name`.
pub fn resolve(document: &Path, target: &str) -> (PathBuf, Option<String>) {
    let (path, fragment) =
        target.split_once('#').map_or((target, None), |(path, name)| (path, Some(name.to_owned())));
    let mut resolved = document.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(path).iter() {
        match part.to_str() {
            Some("..") => drop(resolved.pop()),
            Some(".") => {}
            _ => resolved.push(part),
        }
    }
    (resolved, fragment)
}

/// What is wrong with a link, if anything. A fragment on a Rust file names a function in it.
pub fn broken(root: &Path, document: &Path, target: &str) -> Option<String> {
    let (path, fragment) = resolve(document, target);
    let at = root.join(&path);
    if !at.exists() {
        return Some(format!("links {}, which is not there", path.display()));
    }
    let function = fragment.filter(|_| path.extension().is_some_and(|extension| extension == "rs"))?;
    let source = std::fs::read_to_string(at).unwrap_or_default();
    let defined = source.contains(&format!("fn {function}("));
    (!defined)
        .then(|| format!("links the function {function} of {}, which has none of that name", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_searched_for_paths() {
        let line =
            "see [a](adr/0001.md), [b](https://example.org/x) and [c](../tests/x.rs#it_works) or [d](#below)";
        assert_eq!(targets(line).collect::<Vec<_>>(), ["adr/0001.md", "../tests/x.rs#it_works"]);
        assert_eq!(
            resolve(Path::new("docs/specification.md"), "../tests/x.rs#it_works"),
            (PathBuf::from("tests/x.rs"), Some("it_works".to_owned()))
        );
    }

    #[test]
    fn a_promised_file_or_function_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.rs"), "#[test]\nfn it_works() {}\n").unwrap();
        let judge = |target| broken(folder.path(), Path::new("docs.md"), target);
        assert_eq!(judge("x.rs"), None);
        assert_eq!(judge("x.rs#it_works"), None);
        assert!(judge("x.rs#it_fails").is_some());
        assert!(judge("y.rs").is_some());
    }
}

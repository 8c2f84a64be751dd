//! Words that sound unfinished, and names of places that only one machine has.

use crate::{
    text::has_word,
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

/// Written in halves, because this file is read too.
const UNFINISHED: [&str; 8] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
    concat!("to", "do!"),
    concat!("un", "implemented!"),
    concat!("st", "ub"),
    concat!("place", "holder"),
];

/// Where one developer's checkout lies is nobody else's business.
const PLACES: [&str; 3] = [concat!("/wo", "rk/"), concat!("/tmp/", "lumen/"), concat!("/ho", "me/runner")];

const ENDINGS: [&str; 9] =
    [".rs", ".md", ".toml", ".sh", ".service", ".target", ".conf", "Makefile", "packaging/lab/lab"];

/// Looks at every text that people read.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let files = workspace.files(&ENDINGS)?;
    let mut findings = Vec::new();
    for file in &files {
        for (index, line) in workspace.read(file)?.lines().enumerate() {
            if let Some(what) = judge(line) {
                findings.push(Finding::new(format!("{}:{}", file.display(), index + 1), what));
            }
        }
    }
    Ok(Verdict::of(findings, format!("{} texts", files.len())))
}

fn judge(line: &str) -> Option<String> {
    let unfinished = UNFINISHED.iter().find(|word| has_word(line, word)).map(|word| format!("says `{word}`"));
    let place = || PLACES.iter().find(|place| line.contains(*place)).map(|place| format!("names `{place}`"));
    unfinished.or_else(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_words_and_places_are_found() {
        assert!(judge(concat!("// TO", "DO: later")).is_some());
        assert!(judge(concat!("a st", "ub of it")).is_some());
        assert!(judge(concat!("cd /wo", "rk/main")).is_some());
        assert_eq!(judge("a stubborn todo-list at work"), None);
    }
}

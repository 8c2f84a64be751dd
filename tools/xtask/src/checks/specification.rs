//! docs/specification.md: each promise links what shows it, or says that nothing does.

use std::path::Path;

use crate::{
    checks::links::{resolve, targets},
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

const SPECIFICATION: &str = "docs/specification.md";
const README: &str = "README.md";
const PENDING: &str = "*pending*";

/// One promise: a table row whose first cell is a letter and a number.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    number: &'a str,
    /// The last cell: links, or *pending* and perhaps the `path` where the test will be.
    shown_by: &'a str,
    line: usize,
}

/// Looks at every row, and at the count that README publishes.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let text = workspace.read(Path::new(SPECIFICATION))?;
    let rows: Vec<_> = rows(&text).collect();
    let mut findings: Vec<_> =
        rows.iter().filter_map(|row| judge(row, |path| workspace.root.join(path).exists())).collect();
    for (index, row) in rows.iter().enumerate() {
        if rows.iter().take(index).any(|earlier| earlier.number == row.number) {
            findings.push(Finding::new(place(row), format!("{} is there twice", row.number)));
        }
    }
    let pending = rows.iter().filter(|row| row.shown_by.contains(PENDING)).count();
    let published = format!("{pending} of {} promises are pending", rows.len());
    if !workspace.read(Path::new(README))?.contains(&published) {
        findings.push(Finding::new(README, format!("does not say \"{published}\"")));
    }
    Ok(Verdict::of(findings, published))
}

fn place(row: &Row) -> String {
    format!("{SPECIFICATION}:{}", row.line)
}

fn rows(text: &str) -> impl Iterator<Item = Row<'_>> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let (number, shown_by) = (*cells.first()?, *cells.last()?);
        let (letter, digits) = number.split_at_checked(1)?;
        let numbered = letter.chars().all(|c| c.is_ascii_uppercase()) && digits.parse::<u16>().is_ok();
        numbered.then_some(Row { number, shown_by, line: index + 1 })
    })
}

/// Broken links are the business of the check `links`; here a row must have one or say *pending*, not both.
fn judge(row: &Row, exists: impl Fn(&Path) -> bool) -> Option<Finding> {
    let linked = targets(row.shown_by).next().is_some();
    let pending = row.shown_by.contains(PENDING);
    let what = match (linked, pending) {
        (false, false) => format!("{} neither links what shows it nor says {PENDING}", row.number),
        (true, true) => format!("{} links what shows it and says {PENDING}", row.number),
        (true, false) => return None,
        (false, true) => {
            let named = row.shown_by.split('`').nth(1)?;
            let (path, _) = resolve(Path::new(""), named);
            if !exists(&path) {
                return None;
            }
            format!("{} says {PENDING}, but {named} is there: link it", row.number)
        }
    };
    Some(Finding::new(place(row), what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "| # | promise | number | shown by |\n|---|---|---|---|\n\
        | C1 | kill | 0 | [it](../tests/a.rs) |\n| C2 | input | 0 | *pending* `tests/b.rs` |\n| C3 | x | 0 | soon |\n";

    #[test]
    fn rows_are_promises_and_nothing_else() {
        let numbers: Vec<_> = rows(TEXT).map(|row| (row.number, row.line)).collect();
        assert_eq!(numbers, [("C1", 3), ("C2", 4), ("C3", 5)]);
    }

    #[test]
    fn a_row_is_shown_or_pending() {
        let wrong = |exists: bool| {
            rows(TEXT)
                .filter(|row| judge(row, |_| exists).is_some())
                .map(|row| row.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(wrong(false), ["C3"]);
        assert_eq!(wrong(true), ["C2", "C3"], "a test that came is linked");
    }
}

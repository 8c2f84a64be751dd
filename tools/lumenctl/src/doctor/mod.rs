//! `lumenctl doctor`: what each stage needs, whether this machine has it, and the one command that mends it.

mod host;
mod stages;

pub use stages::Programs;

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use lumen_stage::Need;
use lumen_stage::needs::Grade;
use serde::Serialize;

use crate::account::Account;
use crate::{paper, table};

/// A need, and whose it is.
#[derive(Debug, Serialize)]
struct Finding {
    /// A stage, or `host`.
    whose: &'static str,
    #[serde(flatten)]
    need: Need,
}

/// Looks at everything and prints it. The exit code is 1 if something is missing.
pub async fn examine(account: &Account, programs: &Programs, as_json: bool) -> Result<ExitCode> {
    let mut findings = Vec::new();
    findings.extend(host::needs(account).into_iter().map(|need| Finding { whose: "host", need }));
    findings.extend(stages::needs(account, programs).await);
    let shown = if as_json { serde_json::to_string_pretty(&findings)? + "\n" } else { text(&findings) };
    paper::print(&shown)?;
    let is_missing = findings.iter().any(|finding| finding.need.grade == Grade::Missing);
    Ok(if is_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(findings: &[Finding]) -> String {
    let grade = |grade| match grade {
        Grade::Met => "ok",
        Grade::Worse => "better",
        Grade::Missing => "MISSING",
    };
    let rows: Vec<_> = findings
        .iter()
        .map(|Finding { whose, need }| table::row([grade(need.grade), whose, &need.of, &need.says]))
        .collect();
    let lines = table::lines(&rows);
    let mut text = String::new();
    for (line, finding) in lines.lines().zip(findings) {
        let _ = writeln!(text, "{line}");
        if finding.need.grade != Grade::Met {
            let _ = writeln!(text, "           {}", finding.need.mend);
        }
    }
    let count = |grade| findings.iter().filter(|finding| finding.need.grade == grade).count();
    let _ = match (count(Grade::Missing), count(Grade::Worse)) {
        (0, 0) => writeln!(text, "\nnothing is missing"),
        (0, worse) => {
            writeln!(text, "\nlumen can stream; {worse} of these could be better, each by the line below it")
        }
        (missing, _) => {
            writeln!(text, "\n{missing} of these keep lumen from streaming; the line below each mends it")
        }
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_followed_by_what_mends_it() {
        let finding = |need| Finding { whose: "transportd", need };
        let (met, bad) =
            (Need::met("ports", "free"), Need::missing("desktop", "none", "apt-get install sway"));
        let shown = text(&[finding(met.clone()), finding(bad)]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("ok") && lines[1].starts_with("MISSING"), "{shown}");
        assert_eq!(lines[2].trim(), "apt-get install sway");
        assert!(shown.contains("1 of these keep"), "{shown}");
        assert!(text(&[finding(met)]).ends_with("nothing is missing\n"));
    }
}

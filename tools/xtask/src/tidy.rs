//! The list of checks and the loop over it.

use std::process::ExitCode;

use anyhow::bail;

use crate::{
    checks::{cargo, directions, interfaces, links, manifests, sizes, specification, units, unsafety, words},
    verdict::Verdict,
    workspace::Workspace,
};

/// One rule of the house.
struct Check {
    name: &'static str,
    run: fn(&Workspace) -> anyhow::Result<Verdict>,
    /// What a person does about a finding.
    remedy: &'static str,
}

/// The cheap ones first: a wrong name should not wait for a compiler.
const CHECKS: [Check; 14] = [
    Check { name: "fmt", run: cargo::format, remedy: "run `cargo fmt --all`" },
    Check {
        name: "sizes",
        run: sizes::check,
        remedy: "a file that long hides a type: name it and give it a file",
    },
    Check { name: "words", run: words::check, remedy: "finish it, or say in an issue what is missing" },
    Check {
        name: "manifests",
        run: manifests::check,
        remedy: "the root Cargo.toml alone decides versions and lints",
    },
    Check {
        name: "directions",
        run: directions::check,
        remedy: "dependencies point one way: core <- ipc-schema <- services/stage <- services/*; move what is shared down",
    },
    Check {
        name: "unsafety",
        run: unsafety::check,
        remedy: "move it into one of the rooms that tools/xtask/src/checks/unsafety.rs names",
    },
    Check { name: "interfaces", run: interfaces::check, remedy: "mend the XML in ipc-schema/dbus" },
    Check { name: "links", run: links::check, remedy: "mend the link, or write the file that it promises" },
    Check {
        name: "specification",
        run: specification::check,
        remedy: "each row of docs/specification.md links its test or is *pending*",
    },
    Check {
        name: "units",
        run: units::check,
        remedy: "mend the unit; `man systemd.directives` finds each key's page",
    },
    Check {
        name: "licences",
        run: cargo::deny,
        remedy: "see deny.toml: another crate, or an exception with its reason",
    },
    Check {
        name: "advisories",
        run: cargo::advisories,
        remedy: "see deny.toml: update, or an `ignore` with its reason",
    },
    Check { name: "clippy", run: cargo::clippy, remedy: "mend it, or `#[expect(lint, reason = ...)]`" },
    Check { name: "rustdoc", run: cargo::rustdoc, remedy: "mend the comment" },
];

/// Makes the checks named in `only`, or all, and prints a line for each.
///
/// # Errors
/// A name that no check has, or a check that could not be made at all.
pub fn run(only: &[String]) -> anyhow::Result<ExitCode> {
    if let Some(unknown) = only.iter().find(|name| !CHECKS.iter().any(|check| check.name == **name)) {
        let known: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        bail!("no check is called `{unknown}`; there are {}", known.join(", "));
    }
    let workspace = Workspace::open()?;
    let mut wrong = 0;
    for check in CHECKS.iter().filter(|check| only.is_empty() || only.iter().any(|name| name == check.name)) {
        wrong += usize::from(!passes(check, &workspace)?);
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn passes(check: &Check, workspace: &Workspace) -> anyhow::Result<bool> {
    let name = check.name;
    match (check.run)(workspace)? {
        Verdict::Fine(looked_at) => println!("ok    {name:14} {looked_at}"),
        Verdict::Skipped(why) => println!("skip  {name:14} {why}"),
        Verdict::Wrong(findings) => {
            println!("FAIL  {name:14} {}", check.remedy);
            findings.iter().for_each(|finding| println!("      {finding}"));
            return Ok(false);
        }
    }
    Ok(true)
}

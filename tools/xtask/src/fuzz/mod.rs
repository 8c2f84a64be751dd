//! `cargo xtask fuzz`: the targets of tools/fuzz under libFuzzer, where a crate has changed since they were last run deeply.
//!
//! ```text
//! deep.txt: the SHA-256 of a crate's sources ──equal──► nothing here; `cargo test` runs its corpus
//!                                            └─changed─► instrumented build ─► libFuzzer, 10⁶ executions a target
//! ```

mod campaign;
mod corpus;
mod sources;

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use lumen_fuzz::{Target, target, targets};

use crate::workspace::Workspace;
use campaign::Campaign;
use sources::Deep;

/// What is asked for.
#[derive(Args)]
pub struct Options {
    /// Names of targets; without any, those of crates that have changed since the last deep run.
    names: Vec<String>,
    /// How often each is executed.
    #[arg(long, default_value_t = 1_000_000)]
    executions: u64,
    /// All targets; then keep what they found in the corpus, and that these sources had their run.
    #[arg(long, conflicts_with = "names")]
    deep: bool,
    /// Run one target with this input alone, in hexadecimal digits: how a crash is repeated.
    #[arg(long, requires = "names")]
    input: Option<String>,
}

/// Runs it.
///
/// # Errors
/// A target crashed, hung or broke a promise: its input stands above. Or something could not be built or run.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let workspace = Workspace::open()?;
    let deep = Deep::read(&workspace)?;
    let chosen = choose(options, &workspace, &deep)?;
    if chosen.is_empty() {
        return Ok(());
    }
    let campaign = Campaign::build(&workspace, options.executions)?;
    if let Some(hex) = &options.input {
        let [target] = chosen[..] else { bail!("--input is for one target") };
        return campaign.repeat(target, &unhex(hex).context("--input takes hexadecimal digits, two a byte")?);
    }
    let failed = campaign.run(&chosen)?;
    ensure!(failed.is_empty(), "{} failed: their inputs stand above", failed.join(", "));
    if options.deep {
        for target in chosen {
            campaign.keep(target)?;
        }
        Deep::of(&workspace)?.write(&workspace)?;
    }
    Ok(())
}

/// The targets to run; says of each crate why or why not.
fn choose(options: &Options, workspace: &Workspace, deep: &Deep) -> anyhow::Result<Vec<&'static Target>> {
    if !options.names.is_empty() {
        let known = || targets().map(|target| target.name).collect::<Vec<_>>().join(", ");
        let find = |name: &String| {
            target(name).with_context(|| format!("no target is {name}; there are {}", known()))
        };
        return options.names.iter().map(find).collect();
    }
    let now = Deep::of(workspace)?;
    let mut chosen = Vec::new();
    for (folder, hash) in now.crates() {
        let of_crate = targets().filter(|target| target.of == folder);
        if !options.deep && deep.has(folder, hash) {
            println!("same  {folder:18} since its last deep run: `cargo test` runs its corpus");
        } else {
            println!("fuzz  {folder:18} {}", if options.deep { "deeply" } else { "has changed" });
            chosen.extend(of_crate);
        }
    }
    Ok(chosen)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, []) = digits.as_ref()?.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of the targets' package.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("tools/fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_repeated_as_it_was_printed() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)), Some(all));
        assert_eq!((unhex("0"), unhex("zz"), unhex("")), (None, None, Some(Vec::new())));
    }
}

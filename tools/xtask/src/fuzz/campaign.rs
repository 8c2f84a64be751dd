//! libFuzzer, started once a target.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, ensure};
use lumen_fuzz::{Target, corpus::line};
use tempfile::TempDir;

use super::{corpus, folder, hex};
use crate::workspace::Workspace;

/// Because no input takes a hundredth of it.
const HANG_S: u32 = 10;
/// Because no target holds a tenth of it.
const MEMORY_MIB: u32 = 512;

/// The built targets, and where they work.
pub(super) struct Campaign {
    program: PathBuf,
    /// What earlier runs on this machine found, a folder a target.
    found: PathBuf,
    corpus: PathBuf,
    executions: u64,
}

/// What libFuzzer says at the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    executions: u64,
    features: u64,
}

impl Campaign {
    /// Builds the targets with coverage. Third-party crates are those of every other build: only ours are instrumented.
    ///
    /// # Errors
    /// cargo cannot be run, or fails: its own words went to stderr.
    pub(super) fn build(workspace: &Workspace, executions: u64) -> anyhow::Result<Self> {
        let arguments = [
            "build",
            "--release",
            "--quiet",
            "--workspace",
            "--bin",
            "lumen-fuzz",
            "--features",
            "lumen-fuzz/libfuzzer",
        ];
        let status = Command::new("cargo")
            .args(arguments)
            .current_dir(&workspace.root)
            .env("RUSTC_WORKSPACE_WRAPPER", folder(workspace).join("instrumented"))
            .status();
        ensure!(status.context("cargo cannot be run")?.success(), "cargo {} failed", arguments.join(" "));
        // This program lies where cargo puts that one.
        let own = env::current_exe().context("this program has no path")?;
        let built = own.parent().context("this program lies in no folder")?;
        Ok(Self {
            program: built.join("lumen-fuzz"),
            found: built.join("fuzz"),
            corpus: folder(workspace).join("corpus"),
            executions,
        })
    }

    /// Runs the targets, as many at once as there are processors, and tells of each. The names of those that failed.
    ///
    /// # Errors
    /// One could not be run at all.
    pub(super) fn run(&self, targets: &[&Target]) -> anyhow::Result<Vec<String>> {
        let (queue, failed) = (Mutex::new(targets.iter()), Mutex::new(Vec::new()));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || -> anyhow::Result<()> {
            while let Some(target) = next() {
                if !self.fuzz(target)? {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(target.name.to_owned());
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(1, usize::from);
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("workers do not panic"))
        })?;
        Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing was found.
    fn fuzz(&self, target: &Target) -> anyhow::Result<bool> {
        let (began, seeds, artifacts) = (Instant::now(), self.seeds(target)?, TempDir::new()?);
        let found = self.found.join(target.name);
        fs::create_dir_all(&found)?;
        let mut command = self.command(target);
        command.arg(format!("-runs={}", self.executions)).arg("-print_final_stats=1");
        command.arg(format!("-artifact_prefix={}/", artifacts.path().display()));
        let output = command.arg(&found).arg(seeds.path()).output().context("the fuzzer cannot be run")?;
        let words = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            tell(target, &words, artifacts.path())?;
            return Ok(false);
        }
        let Summary { executions, features } = Summary::of(&words);
        ensure!(
            executions >= self.executions,
            "{} ended after {executions} executions:\n{words}",
            target.name
        );
        let seconds = began.elapsed().as_secs();
        println!("ok    {:24} {executions:>9} executions {features:>6} features {seconds:>5} s", target.name);
        Ok(true)
    }

    fn command(&self, target: &Target) -> Command {
        let mut command = Command::new(&self.program);
        command.env("LUMEN_FUZZ_TARGET", target.name).env("RUST_BACKTRACE", "0");
        command.arg(format!("-max_len={}", target.max_len));
        command.arg(format!("-timeout={HANG_S}")).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
        command
    }

    /// The checked-in corpus as libFuzzer reads it: a file an input.
    fn seeds(&self, target: &Target) -> anyhow::Result<TempDir> {
        let folder = TempDir::new()?;
        for (index, input) in corpus::read(&self.corpus, target)?.iter().enumerate() {
            fs::write(folder.path().join(index.to_string()), input)?;
        }
        Ok(folder)
    }

    /// Adds to the checked-in corpus the shortest inputs that reach what it does not.
    ///
    /// # Errors
    /// They cannot be found or written.
    pub(super) fn keep(&self, target: &Target) -> anyhow::Result<()> {
        let folder = TempDir::new()?;
        for (index, input) in corpus::by_hand(&self.corpus, target)?.iter().enumerate() {
            fs::write(folder.path().join(format!("hand-{index}")), input)?;
        }
        let merge = self
            .command(target)
            .arg("-merge=1")
            .arg(folder.path())
            .arg(self.found.join(target.name))
            .output();
        ensure!(
            merge.context("the fuzzer cannot be run")?.status.success(),
            "{} cannot be merged",
            target.name
        );
        let mut found = Vec::new();
        for entry in fs::read_dir(folder.path())? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with("hand-") {
                found.push(fs::read(entry.path())?);
            }
        }
        corpus::write(&self.corpus, target, found)
    }

    /// Runs one input and shows what becomes of it.
    ///
    /// # Errors
    /// The target fails with it.
    pub(super) fn repeat(&self, target: &Target, input: &[u8]) -> anyhow::Result<()> {
        let folder = TempDir::new()?;
        let path = folder.path().join("input");
        fs::write(&path, input)?;
        let artifacts = format!("-artifact_prefix={}/", folder.path().display());
        let Output { status, stderr, .. } =
            self.command(target).env("RUST_BACKTRACE", "1").arg(artifacts).arg(path).output()?;
        print!("{}", String::from_utf8_lossy(&stderr));
        ensure!(status.success(), "{} fails with it", target.name);
        Ok(())
    }
}

/// What was found: the words of the panic, the input, and how to see it again.
fn tell(target: &Target, words: &str, artifacts: &Path) -> anyhow::Result<()> {
    let name = target.name;
    println!("FAIL  {name}");
    let begins = |said: &&str| said.contains("panicked at") || said.contains("ERROR: libFuzzer");
    for said in words.lines().skip_while(|said| !begins(said)).take(4) {
        println!("      {said}");
    }
    for entry in fs::read_dir(artifacts)? {
        let entry = entry?;
        let input = fs::read(entry.path())?;
        println!("      {}: {} bytes", entry.file_name().to_string_lossy(), input.len());
        println!("      repeat it: cargo xtask fuzz {name} --input {}", hex(&input));
        println!("      keep it, as a line of tools/fuzz/corpus/{name}.txt: {}", line(&input));
    }
    Ok(())
}

impl Summary {
    /// Of libFuzzer's words: `… cov: 1 ft: 2 …` and `stat::number_of_executed_units: 3`.
    fn of(words: &str) -> Self {
        let after = |mark: &str| {
            let (_, rest) = words.rsplit_once(mark)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        Self {
            executions: after("stat::number_of_executed_units:").unwrap_or(0),
            features: after(" ft: ").unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_the_fuzzer_are_understood() {
        let words = "#2\tINITED cov: 3 ft: 4 corp: 1/1b\n#9\tDONE   cov: 5 ft: 66 corp: 2/9b lim: 4 exec/s: 0 rss: 29Mb\n\
            Done 9 runs in 1 second(s)\nstat::number_of_executed_units: 9\nstat::average_exec_per_sec:     9\n";
        assert_eq!(Summary::of(words), Summary { executions: 9, features: 66 });
        assert_eq!(Summary::of("nothing"), Summary::default());
    }
}

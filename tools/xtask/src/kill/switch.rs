//! The switch of services/stage's failpoint: a drop-in for each stage, and the file that says who dies where.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation,
    constellation::{STAGES, USER, binaries, run, text},
};

/// In the runtime directory; `lumenctl run` takes it away at its end, when no stage is left that wants it.
const DIRECTORY: &str = "lumen-run/failpoint";

/// Switches for all stages of a host. What runs already has none before its next start.
pub struct Switches {
    directory: PathBuf,
}

impl Switches {
    /// Puts the drop-ins beside the shipped units of `host`.
    ///
    /// # Errors
    /// They cannot be written or loaded.
    pub fn install(host: &Constellation) -> Result<Self> {
        let directory = host.runtime_dir().join(DIRECTORY);
        fs::create_dir_all(&directory)?;
        run("chown", &[USER, &directory.to_string_lossy()])?;
        for stage in STAGES {
            let drop_ins = host.runtime_dir().join(format!("lumen-run/units/lumen-{stage}.service.d"));
            fs::create_dir_all(&drop_ins)?;
            // Only the part of the sandbox that needs user namespaces hides the directory.
            let is_masked = fs::symlink_metadata(drop_ins.join("50-userns.conf"))
                .is_ok_and(|file| file.file_type().is_symlink());
            let open = format!("BindPaths=%t/{DIRECTORY}\nReadWritePaths=%t/{DIRECTORY}\n");
            let sandbox = if is_masked { String::new() } else { open };
            let text = format!("[Service]\nEnvironment=LUMEN_FAILPOINT=%t/{DIRECTORY}/{stage}\n{sandbox}");
            fs::write(drop_ins.join("90-failpoint.conf"), text)?;
        }
        let output = host.systemctl(&["daemon-reload"])?;
        ensure!(output.status.success(), "daemon-reload: {}", text(&output));
        Ok(Self { directory })
    }

    /// The next incarnation of `stage` that is not `spared` shall `fate` (`die` or `hang`) at `step`.
    pub fn arm(&self, stage: &str, fate: &str, step: &str, spared: u32) -> Result<()> {
        let new = self.directory.join(format!(".{stage}"));
        fs::write(&new, format!("{fate} {step} {spared}\n"))?;
        fs::rename(new, self.file(stage)).map_err(Into::into)
    }

    /// Whether nobody of `stage` has come there yet.
    pub fn is_armed(&self, stage: &str) -> bool {
        self.file(stage).exists()
    }

    /// Takes the order back.
    pub fn disarm(&self, stage: &str) {
        // Carried out in this very moment: there is nothing to take back.
        let _ = fs::remove_file(self.file(stage));
    }

    fn file(&self, stage: &str) -> PathBuf {
        self.directory.join(stage)
    }
}

/// The steps of `stage`, as its own binary lists them.
///
/// # Errors
/// It is not built.
pub fn steps_of(stage: &str) -> Result<Vec<String>> {
    let program = binaries().join(format!("lumen-{stage}"));
    let output = run(&program, &["--steps"])?;
    let steps: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    ensure!(output.status.success() && !steps.is_empty(), "{} lists no step", program.display());
    Ok(steps)
}

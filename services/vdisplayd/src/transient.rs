//! Services that are made for a session: what they run, and the properties that say so to systemd.

use std::path::PathBuf;

use zbus::Variant;

/// Microseconds between SIGTERM and SIGKILL, because `systemctl --user stop lumen.target` must end within 2 s.
const STOP_LIMIT_US: u64 = 1_200_000;
/// Microseconds that all steps have, and each that is run after their stop, because a client gives a launch up after 30 s.
pub const STEPS_LIMIT_US: u64 = 10_000_000;

/// A service that exists until it is stopped, as its `Exec` line and properties say.
#[derive(Debug, Clone)]
pub struct TransientUnit {
    /// With its `.service`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// What it runs.
    pub work: Work,
    /// Programs (absolute paths) and arguments, run in this order after the unit stopped, however it did.
    pub after_stop: Vec<Vec<String>>,
    /// Where its programs start; the user's home if `None`.
    pub directory: Option<PathBuf>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Names taken out of the manager's own environment.
    pub unset: Vec<String>,
    /// Units whose stop or restart stops this one too. (PartOf would start it again at their restart.)
    pub stops_with: Vec<String>,
    /// Units that this one starts after and therefore stops before.
    pub after: Vec<String>,
    /// Where in the cgroup tree.
    pub slice: &'static str,
}

/// What a unit runs. Programs are absolute paths with their arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// This program: the unit ends with it.
    Program(Vec<String>),
    /// This program and all that it starts: the unit ends with the last of them, because launchers fork and end.
    Family(Vec<String>),
    /// These one after the other, before the unit counts as started; the first failure is the unit's.
    Steps(Vec<Vec<String>>),
    /// Nothing: it only holds what is run after its stop.
    Nothing,
}

impl TransientUnit {
    /// Properties as StartTransientUnit takes them.
    ///
    /// An app that crashes is no failure of lumen: every end of one counts as success and RemainAfterExit keeps the
    /// unit, so that its exit status can be read and `systemctl --user --failed` stays empty.
    pub fn properties(&self) -> Vec<(&'static str, Variant<'_>)> {
        type Exec = Vec<(String, Vec<String>, bool)>;
        let exec = |commands: &[Vec<String>], is_failure_fine: bool| -> Exec {
            let row = |argv: &Vec<String>| Some((argv.first()?.clone(), argv.clone(), is_failure_fine));
            commands.iter().filter_map(row).collect()
        };
        let mut properties: Vec<(&'static str, Variant<'_>)> = vec![
            ("Description", self.description.as_str().into()),
            ("RemainAfterExit", true.into()),
            ("Slice", self.slice.into()),
            ("Environment", self.environment.clone().into()),
            ("UnsetEnvironment", self.unset.clone().into()),
            ("StopPropagatedFrom", self.stops_with.clone().into()),
            ("After", self.after.clone().into()),
        ];
        let mut stop_limit = STOP_LIMIT_US;
        let mut stop = "ExecStopPost";
        match &self.work {
            Work::Program(argv) | Work::Family(argv) => {
                let every_end = ((0..=255).collect::<Vec<i32>>(), (1..=31).collect::<Vec<i32>>());
                properties.push(("SuccessExitStatus", every_end.into()));
                properties.push(("ExecStart", exec(std::slice::from_ref(argv), false).into()));
                let last = if matches!(self.work, Work::Family(_)) { "cgroup" } else { "main" };
                properties.push(("ExitType", last.into()));
            }
            Work::Steps(steps) => {
                properties.push(("Type", "oneshot".into()));
                properties.push(("ExecStart", exec(steps, false).into()));
                properties.push(("TimeoutStartUSec", STEPS_LIMIT_US.into()));
                stop_limit = STEPS_LIMIT_US;
            }
            Work::Nothing => {
                // systemd wants an ExecStart or an ExecStop; without a process that may die, both ends are the same.
                properties.push(("Type", "oneshot".into()));
                stop = "ExecStop";
            }
        }
        properties.push(("TimeoutStopUSec", stop_limit.into()));
        if let Some(directory) = &self.directory {
            properties.push(("WorkingDirectory", directory.display().to_string().into()));
        }
        if !self.after_stop.is_empty() {
            properties.push((stop, exec(&self.after_stop, true).into()));
        }
        properties
    }
}

//! Steps at which a test lets a stage die or hang, so that `cargo xtask kill` meets each of them and not only random phases.
//!
//! The switch is `LUMEN_FAILPOINT`, which only a test's drop-in sets: the path of a file that says `die STEP PID` or
//! `hang STEP PID`. The first process but PID that comes to STEP takes the file away and dies there, so that it happens once,
//! in the next incarnation, and the test sees that it did. Without the switch a step costs one branch.
//!
//! The boundaries of the messages on the links are steps as well: see [`at_message`].

use std::{
    any::type_name,
    env,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
};

use rustix::process::{Signal, getpid, kill_process};

static SWITCH: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| env::var_os("LUMEN_FAILPOINT").map(PathBuf::from));

/// A step in the life of a stage; [`steps!`](crate::steps) names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(&'static str);

impl Step {
    /// A step of this name, which has no space.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// What the switch calls it.
    pub fn name(self) -> &'static str {
        self.0
    }
}

/// Names the steps of a stage: a constant each, and all of them as `STEPS`.
#[macro_export]
macro_rules! steps {
    ($($(#[$doc:meta])+ $step:ident = $name:literal;)+) => {
        $($(#[$doc])+ pub const $step: $crate::failpoint::Step = $crate::failpoint::Step::new($name);)+
        /// All of them, in the order in which the stage comes to them.
        pub const STEPS: &[$crate::failpoint::Step] = &[$($step),+];
    };
}

/// What happens at a step.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Die,
    Hang,
}

/// This thread has come to `step`.
pub fn at(step: Step) {
    if let Some(switch) = &*SWITCH {
        meet(switch, step.0);
    }
}

/// This thread `does` something with a link's message: it `sends` it next, it has `sent` it, or it `took` it and has not
/// looked at it yet. The step is called like `sent-FromCapture-Frame`.
pub fn at_message<M: Debug>(does: &str, message: &M) {
    if let Some(switch) = &*SWITCH {
        meet(switch, &name_of(does, message));
    }
}

#[cold]
fn name_of<M: Debug>(does: &str, message: &M) -> String {
    let kind = type_name::<M>().rsplit("::").next().unwrap_or_default();
    let text = format!("{message:?}");
    match text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default() {
        variant if variant == kind => format!("{does}-{kind}"),
        variant => format!("{does}-{kind}-{variant}"),
    }
}

#[cold]
fn meet(switch: &Path, step: &str) {
    match take(switch, step) {
        // SIGKILL to itself is there before the call returns.
        Some(Fate::Die) => drop(kill_process(getpid(), Signal::KILL)),
        Some(Fate::Hang) => loop {
            thread::park();
        },
        None => {}
    }
}

/// What the switch holds for this process at `step`; of several threads one gets it.
fn take(switch: &Path, step: &str) -> Option<Fate> {
    let order = fs::read_to_string(switch).ok()?;
    let mut words = order.split_whitespace();
    let fate = match words.next()? {
        "die" => Fate::Die,
        "hang" => Fate::Hang,
        _ => return None,
    };
    let is_meant = words.next()? == step && words.next()? != getpid().as_raw_nonzero().to_string();
    (is_meant && fs::remove_file(switch).is_ok()).then_some(fate)
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::steps! {
        /// The first.
        ONE = "one";
        /// The second.
        TWO = "two";
    }

    /// Sabotage: leave the file, or heed neither step nor process.
    #[test]
    fn an_order_is_for_one_step_of_another_process_and_for_once() {
        let directory = tempfile::tempdir().unwrap();
        let switch = directory.path().join("switch");
        assert_eq!(take(&switch, ONE.0), None, "there is no order");
        fs::write(&switch, "die two 1\n").unwrap();
        assert_eq!(take(&switch, ONE.0), None, "another step");
        assert_eq!(take(&switch, TWO.0), Some(Fate::Die));
        assert_eq!(take(&switch, TWO.0), None, "it was carried out");
        fs::write(&switch, format!("hang one {}", std::process::id())).unwrap();
        assert_eq!(take(&switch, ONE.0), None, "this incarnation is not meant");
        fs::write(&switch, "hang one 1").unwrap();
        assert_eq!(take(&switch, ONE.0), Some(Fate::Hang));
    }

    /// Sabotage: name the whole of a message.
    #[test]
    fn messages_are_named_by_their_kind() {
        assert_eq!(name_of("sends", &Some(3)), "sends-Option<i32>-Some");
        assert_eq!(name_of("took", &Fate::Die), "took-Fate-Die");
        assert_eq!(name_of("sent", &ONE), "sent-Step");
    }

    #[test]
    fn all_steps_are_listed_in_their_order() {
        assert_eq!(STEPS.iter().map(|step| step.name()).collect::<Vec<_>>(), ["one", "two"]);
    }
}

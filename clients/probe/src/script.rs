//! What a person would do at this client, and when: a file of lines like `1500 press 30`.

use std::{fmt, fs::File, io::Write, path::Path, str::FromStr, sync::Arc, time::Duration};

use lumen_core::control::{Finger, Input};

use crate::clock::Clock;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// From the first picture on.
    pub at: Duration,
    /// What.
    pub deed: Deed,
}

/// What a person does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The host is told as much.
    Input(Input),
    /// A finger comes down, or moves.
    Touch(Finger),
    /// The finger of this number goes up.
    Lift(u32),
    /// No finger was a touch after all.
    Cancel,
}

/// A line that says nothing to do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "write MILLISECONDS and one of: press CODE, release CODE (evdev's codes, of keys and of buttons), move DX DY, \
     to X Y (1/65535 of the picture), scroll DX DY (1/120 of a notch), text WHATEVER, touch FINGER X Y (down, or moved), \
     lift FINGER, cancel touches"
)]
pub struct ActSyntax;

/// A script that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Not read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its times cannot be written down.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not understood. The line itself is not shown, since it may hold text that is typed.
    #[error("{path}:{line}: {source}")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What would be.
        source: ActSyntax,
    },
}

/// Evdev's codes of buttons begin and end here.
const BUTTONS: std::ops::Range<u16> = 0x100..0x160;

impl FromStr for Act {
    type Err = ActSyntax;

    fn from_str(line: &str) -> Result<Self, ActSyntax> {
        let (at, rest) = line.split_once(' ').ok_or(ActSyntax)?;
        let (verb, rest) = rest.split_once(' ').ok_or(ActSyntax)?;
        let at = Duration::from_millis(number(at)?);
        let input = match verb {
            "touch" | "lift" | "cancel" => return Ok(Self { at, deed: finger(verb, rest)? }),
            "text" => Input::Text(rest.to_owned()),
            "press" | "release" => {
                let (code, pressed) = (number(rest)?, verb == "press");
                match BUTTONS.contains(&code) {
                    true => Input::Button { code, pressed },
                    false => Input::Key { code, pressed },
                }
            }
            _ => {
                let (x, y) = rest.split_once(' ').ok_or(ActSyntax)?;
                match verb {
                    "move" => Input::Motion { dx: number(x)?, dy: number(y)? },
                    "to" => Input::MotionTo { x: number(x)?, y: number(y)? },
                    "scroll" => Input::Scroll { dx: number(x)?, dy: number(y)? },
                    _ => return Err(ActSyntax),
                }
            }
        };
        Ok(Self { at, deed: Deed::Input(input) })
    }
}

/// What a finger does.
fn finger(verb: &str, rest: &str) -> Result<Deed, ActSyntax> {
    let words: Vec<&str> = rest.split(' ').collect();
    match (verb, &words[..]) {
        ("touch", [id, x, y]) => {
            Ok(Deed::Touch(Finger { id: number(id)?, x: number(x)?, y: number(y)?, pressure: 0 }))
        }
        ("lift", [id]) => Ok(Deed::Lift(number(id)?)),
        ("cancel", ["touches"]) => Ok(Deed::Cancel),
        _ => Err(ActSyntax),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, ActSyntax> {
    text.parse().map_err(|_| ActSyntax)
}

/// All there is to do, in the order of the times.
#[derive(Clone, Default)]
pub struct Script {
    /// The next one last.
    acts: Vec<Act>,
    fingers: Vec<Finger>,
    /// Where the time of each goes, if it goes anywhere.
    log: Option<Arc<File>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({} acts)", self.acts.len())
    }
}

impl Script {
    /// Reads a file; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScriptError::Unreadable { path: shown.clone(), source })?;
        let mut acts = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            if line.starts_with('#') {
                continue;
            }
            let wrong = |source| ScriptError::Line { path: shown.clone(), line: index + 1, source };
            acts.push(line.parse().map_err(wrong)?);
        }
        // Stable, so that lines of one time stay in their order; the next one is the last of the list.
        acts.sort_by_key(|act: &Act| act.at);
        acts.reverse();
        Ok(Self { acts, ..Self::default() })
    }

    /// Writes the time of each act into a new file.
    ///
    /// # Errors
    /// [`ScriptError::Unwritable`].
    pub fn logging_to(mut self, path: &Path) -> Result<Self, ScriptError> {
        let file = File::create(path)
            .map_err(|source| ScriptError::Unwritable { path: path.display().to_string(), source })?;
        self.log = Some(Arc::new(file));
        Ok(self)
    }

    /// When the next one is due, from the first picture on.
    pub fn next(&self) -> Option<Duration> {
        self.acts.last().map(|act| act.at)
    }

    /// The next one, if it is due `since` the first picture.
    pub fn due(&mut self, since: Duration) -> Option<Input> {
        let act = self.acts.pop_if(|act| act.at <= since)?;
        if let Some(mut log) = self.log.as_deref() {
            // A full disk costs figures, not the stream.
            let _ = writeln!(log, "{}", Clock::ahead_by(0).now().as_ns());
        }
        let cancels = act.deed == Deed::Cancel;
        match act.deed {
            Deed::Input(input) => return Some(input),
            Deed::Touch(finger) => {
                self.fingers.retain(|other| other.id != finger.id);
                self.fingers.push(finger);
            }
            Deed::Lift(id) => self.fingers.retain(|finger| finger.id != id),
            Deed::Cancel => self.fingers.clear(),
        }
        Some(Input::Fingers { down: self.fingers.clone(), cancels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(fingers: &[(u32, u16, u16)], cancels: bool) -> Input {
        let finger = |&(id, x, y): &(u32, u16, u16)| Finger { id, x, y, pressure: 0 };
        Input::Fingers { down: fingers.iter().map(finger).collect(), cancels }
    }

    // Sabotage: sort the lines without keeping the order of those of one time, or trim what is typed.
    #[test]
    fn acts_come_in_the_order_of_their_times_and_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        let lines = "# a person\n20 release 30\n\n10 press 30\n20 press 272\n20 to 0 65535\n30 text  ß 中 \n\
            40 touch 1 2 3\n50 touch 4 5 6\n60 lift 1\n70 cancel touches\n";
        std::fs::write(&file, lines).unwrap();
        let mut script = Script::read(&file).unwrap();
        assert_eq!((script.next(), script.due(Duration::ZERO)), (Some(Duration::from_millis(10)), None));
        let acts: Vec<Input> = std::iter::from_fn(|| script.due(Duration::from_secs(1))).collect();
        let expected = [
            Input::Key { code: 30, pressed: true },
            Input::Key { code: 30, pressed: false },
            Input::Button { code: 272, pressed: true },
            Input::MotionTo { x: 0, y: 65_535 },
            Input::Text(" ß 中 ".into()),
            touched(&[(1, 2, 3)], false),
            touched(&[(1, 2, 3), (4, 5, 6)], false),
            touched(&[(4, 5, 6)], false),
            touched(&[], true),
        ];
        assert_eq!(acts, expected);
    }

    // Sabotage: show the line in the error.
    #[test]
    fn what_is_no_act_is_explained_without_what_would_be_typed() {
        for wrong in [
            "",
            "press 30",
            "x press 30",
            "1 press",
            "1 press -1",
            "1 to 0 65536",
            "1 jump 1 1",
            "1 touch 1 2",
            "1 lift x",
        ] {
            assert_eq!(wrong.parse::<Act>(), Err(ActSyntax), "{wrong}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, "1 press 30\n2 txt correct horse\n").unwrap();
        let told = Script::read(&file).unwrap_err().to_string();
        assert!(told.contains(":2: write MILLISECONDS") && !told.contains("horse"), "{told}");
    }
}

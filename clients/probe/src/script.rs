//! What a person would do at this client, and when: lines like `1500 press 30`, of a file or as they come on the standard input.

use std::{
    fmt,
    fs::File,
    future::pending,
    io::{Write, stdin},
    path::Path,
    str::FromStr,
    sync::Arc,
    thread,
    time::Duration,
};

use lumen_core::control::{Finger, Input};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::clock::Clock;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// From the first picture on; of the standard input, from the act before on, or from when it came.
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

/// What stands for the standard input.
const LIVE: &str = "-";

/// All there is to do, in the order of the times.
#[derive(Default)]
pub struct Script {
    /// The next one last.
    acts: Vec<Act>,
    /// Those of the standard input, for as long as it is open.
    live: Option<UnboundedReceiver<Result<Act, ScriptError>>>,
    /// What it said since the last look at what is due.
    heard: Vec<Act>,
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
    /// Reads a file, or with the path `-` the standard input along; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        if path == Path::new(LIVE) {
            return Ok(Self::live());
        }
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScriptError::Unreadable { path: shown.clone(), source })?;
        let lines = text.lines().zip(1..);
        let acts: Result<Vec<Act>, _> = lines.filter_map(|(line, n)| act(line, &shown, n)).collect();
        let mut acts = acts?;
        // Stable, so that lines of one time stay in their order; the next one is the last of the list.
        acts.sort_by_key(|act: &Act| act.at);
        acts.reverse();
        Ok(Self { acts, ..Self::default() })
    }

    /// What the standard input says, on a thread that ends with it.
    fn live() -> Self {
        let (says, live) = unbounded_channel();
        thread::spawn(move || {
            for (line, number) in stdin().lines().map_while(Result::ok).zip(1..) {
                // Once nobody listens any more the stream is over.
                if act(&line, LIVE, number).is_some_and(|act| says.send(act).is_err()) {
                    return;
                }
            }
        });
        Self { live: Some(live), ..Self::default() }
    }

    /// Takes the next act of the standard input in; never returns where none is read, or after its end.
    ///
    /// # Errors
    /// [`ScriptError::Line`].
    pub async fn heard(&mut self) -> Result<(), ScriptError> {
        if let Some(live) = &mut self.live
            && let Some(act) = live.recv().await
        {
            self.heard.push(act?);
            return Ok(());
        }
        self.live = None;
        pending().await
    }

    /// To be done so long after what is to be done last, or else after now, which is `since` the first picture.
    fn add(&mut self, act: Act, since: Duration) {
        let before = self.acts.first().map_or(since, |last| last.at.max(since));
        self.acts.insert(0, Act { at: before + act.at, ..act });
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
        std::mem::take(&mut self.heard).into_iter().for_each(|act| self.add(act, since));
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

/// What a line of `path` says to do, if it does.
fn act(line: &str, path: &str, number: usize) -> Option<Result<Act, ScriptError>> {
    let says = !line.is_empty() && !line.starts_with('#');
    says.then(|| {
        line.parse().map_err(|source| ScriptError::Line { path: path.to_owned(), line: number, source })
    })
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

    // Sabotage: count the pauses of what is heard from the first picture on.
    #[test]
    fn what_is_heard_is_done_after_what_was_heard_before() {
        let mut script = Script::default();
        let ms = Duration::from_millis;
        let mut hear = |line: &str, since: u64| {
            script.add(line.parse().unwrap(), ms(since));
            script.acts.iter().rev().map(|act| act.at).collect::<Vec<_>>()
        };
        assert_eq!(hear("20 press 30", 500), [ms(520)]);
        assert_eq!(hear("30 release 30", 500), [ms(520), ms(550)]);
        assert_eq!(hear("0 press 31", 900), [ms(520), ms(550), ms(900)]);
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

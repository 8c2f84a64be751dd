//! Reads what was written down.

use std::{collections::BTreeSet, path::Path};

use crate::Thing;

/// All that happened, in its order.
#[derive(Debug, Clone, Default)]
pub struct Seen(pub Vec<Thing>);

/// What a keyboard never does.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SeenError {
    /// The file is not there, or not lines of a time and JSON.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// It was down already.
    #[error("code {0} went down twice")]
    PressedTwice(u32),
    /// It was not down.
    #[error("code {0} went up without having been down")]
    ReleasedTwice(u32),
    /// It was down already.
    #[error("finger {0} came down twice")]
    TouchedTwice(i32),
    /// It was not down.
    #[error("finger {0} moved or went up without having been down")]
    NotDown(i32),
}

impl Seen {
    /// Reads a file; a last line that is not whole yet is left out.
    ///
    /// # Errors
    /// [`SeenError::Unreadable`].
    pub fn read(path: &Path) -> Result<Self, SeenError> {
        Ok(Self(lines(path)?.into_iter().map(|(_, thing)| thing).collect()))
    }

    /// All characters that were typed.
    pub fn text(&self) -> String {
        let typed = self.0.iter().filter_map(|thing| match thing {
            Thing::Key { pressed: true, text, .. } => Some(text.as_str()),
            _ => None,
        });
        typed.collect()
    }

    /// The keys and buttons that are down in the end, as a program knows it that heard all this.
    ///
    /// # Errors
    /// Something went down twice, or a key up.
    pub fn held(&self) -> Result<BTreeSet<u32>, SeenError> {
        let mut held = BTreeSet::new();
        self.0.iter().try_for_each(|thing| follow(&mut held, thing))?;
        Ok(held)
    }

    /// Codes that went down, in their order.
    pub fn presses(&self) -> Vec<u32> {
        let presses = self.0.iter().filter_map(|thing| match thing {
            Thing::Key { pressed: true, code, .. } | Thing::Button { pressed: true, code, .. } => Some(*code),
            _ => None,
        });
        presses.collect()
    }

    /// Where the pointer was, one place after the other.
    pub fn places(&self) -> Vec<(f64, f64)> {
        let places = self.0.iter().filter_map(|thing| match thing {
            Thing::Place { x, y } => Some((*x, *y)),
            _ => None,
        });
        places.collect()
    }

    /// What fingers did: where they came down or moved to, and [`None`] for each that went up.
    pub fn touches(&self) -> Vec<Option<(f64, f64)>> {
        let touches = self.0.iter().filter_map(|thing| match thing {
            Thing::Touch { x, y, .. } => Some(Some((*x, *y))),
            Thing::Lift(_) => Some(None),
            _ => None,
        });
        touches.collect()
    }

    /// The fingers that are down in the end.
    ///
    /// # Errors
    /// One came down twice, or moved or went up without being down.
    pub fn fingers(&self) -> Result<BTreeSet<i32>, SeenError> {
        let mut down = BTreeSet::new();
        for thing in &self.0 {
            match *thing {
                Thing::Touch { finger, is_down: true, .. } => {
                    down.insert(finger).then_some(()).ok_or(SeenError::TouchedTwice(finger))?;
                }
                Thing::Touch { finger, .. } => {
                    down.contains(&finger).then_some(()).ok_or(SeenError::NotDown(finger))?;
                }
                Thing::Lift(finger) => {
                    down.remove(&finger).then_some(()).ok_or(SeenError::NotDown(finger))?;
                }
                Thing::TouchCancel => down.clear(),
                _ => {}
            }
        }
        Ok(down)
    }

    /// Pixels and notches that were scrolled: down and up, and to the sides.
    pub fn scrolled(&self) -> [(f64, i32); 2] {
        let mut sums = [(0.0, 0), (0.0, 0)];
        for thing in &self.0 {
            if let Thing::Scroll { is_vertical, pixels, notches } = thing {
                let [vertical, horizontal] = &mut sums;
                let sum = if *is_vertical { vertical } else { horizontal };
                *sum = (sum.0 + pixels, sum.1 + notches);
            }
        }
        sums
    }
}

/// What was held from when on, in milliseconds of CLOCK_MONOTONIC: a set for each thing that happened.
///
/// # Errors
/// As [`Seen::read`] and [`Seen::held`].
pub fn held_from(path: &Path) -> Result<Vec<(u64, BTreeSet<u32>)>, SeenError> {
    let mut held = BTreeSet::new();
    let mut states = Vec::new();
    for (at_ms, thing) in lines(path)? {
        follow(&mut held, &thing)?;
        states.push((at_ms, held.clone()));
    }
    Ok(states)
}

/// When each thing happened, and what.
fn lines(path: &Path) -> Result<Vec<(u64, Thing)>, SeenError> {
    let told = |why: String| SeenError::Unreadable { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = |line: &str| {
        let (at_ms, thing) = line.split_once(' ').ok_or_else(|| told(format!("no time in {line}")))?;
        let at_ms = at_ms.parse().map_err(|_| told(format!("no time in {line}")))?;
        Ok((at_ms, serde_json::from_str(thing).map_err(|error| told(error.to_string()))?))
    };
    whole.lines().map(line).collect()
}

/// What is held after `thing`.
fn follow(held: &mut BTreeSet<u32>, thing: &Thing) -> Result<(), SeenError> {
    match *thing {
        Thing::Key { code, pressed: true, .. } | Thing::Button { code, pressed: true, .. } => {
            held.insert(code).then_some(()).ok_or(SeenError::PressedTwice(code))?;
        }
        Thing::Key { code, pressed: false, .. } => {
            held.remove(&code).then_some(()).ok_or(SeenError::ReleasedTwice(code))?;
        }
        // A pointer that succeeds one that died lets go of every button, to be sure; programs do nothing at it.
        Thing::Button { code, pressed: false, .. } => drop(held.remove(&code)),
        Thing::Enter(ref keys) => {
            held.retain(is_button);
            held.extend(keys);
        }
        Thing::Leave => held.retain(is_button),
        // It leaves no window while a button is down, save when the pointer itself is gone.
        Thing::PointerLeft => held.retain(|code| !is_button(code)),
        _ => {}
    }
    Ok(())
}

/// Evdev's codes of buttons begin here; those of keys that matter end before.
fn is_button(code: &u32) -> bool {
    *code >= 0x100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: u32, pressed: bool) -> Thing {
        Thing::Key { at_ms: 0, code, pressed, sym: String::new(), text: "a".into() }
    }

    // Sabotage: count a key that goes up as typed, or forget what went down twice.
    #[test]
    fn what_is_held_and_typed_is_told() {
        let seen = Seen(vec![key(30, true), key(31, true), key(30, false)]);
        assert_eq!((seen.held(), seen.text().as_str()), (Ok([31].into()), "aa"));
        let doubled = Seen(vec![key(30, true), key(30, true)]);
        assert_eq!(doubled.held(), Err(SeenError::PressedTwice(30)));
        assert_eq!(Seen(vec![key(30, false)]).held(), Err(SeenError::ReleasedTwice(30)));
        let entered = Seen(vec![key(30, true), Thing::Leave, Thing::Enter(vec![31])]);
        assert_eq!(entered.held(), Ok([31].into()));
    }

    // Sabotage: let a finger come down that is down.
    #[test]
    fn fingers_that_are_down_are_told() {
        let touch = |finger, is_down| Thing::Touch { finger, is_down, x: 1.0, y: 2.0 };
        let seen = Seen(vec![touch(0, true), touch(1, true), touch(0, false), Thing::Lift(0)]);
        assert_eq!(seen.fingers(), Ok([1].into()));
        assert_eq!(seen.touches(), [Some((1.0, 2.0)), Some((1.0, 2.0)), Some((1.0, 2.0)), None]);
        assert_eq!(Seen(vec![touch(0, true), touch(0, true)]).fingers(), Err(SeenError::TouchedTwice(0)));
        assert_eq!(Seen(vec![Thing::Lift(3)]).fingers(), Err(SeenError::NotDown(3)));
        assert_eq!(Seen(vec![touch(0, true), Thing::TouchCancel]).fingers(), Ok([].into()));
    }

    #[test]
    fn what_was_written_is_read_and_half_a_line_is_not() {
        let line = serde_json::to_string(&key(30, true)).unwrap();
        let path = std::env::temp_dir().join(format!("lumen-seen-{}", std::process::id()));
        std::fs::write(&path, format!("7 {line}\n8 \"leave\"\n9 {{\"key\"")).unwrap();
        let (seen, held) = (Seen::read(&path), held_from(&path));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(seen.unwrap().0, [key(30, true), Thing::Leave]);
        assert_eq!(held.unwrap(), [(7, [30].into()), (8, [].into())]);
    }
}

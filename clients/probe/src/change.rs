//! What is asked for in mid-stream, and when.

use std::{fmt, str::FromStr, time::Duration};

use crate::args::{Bitrate, BitrateSyntax, Mode, ModeSyntax};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Another bitrate.
    Bitrate(Bitrate),
    /// Another mode.
    Mode(Mode),
}

/// A wish and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// From the first picture on.
    pub at: Duration,
    /// What is then asked for.
    pub wish: Wish,
}

/// Not a change.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangeSyntax {
    /// No time, or no wish.
    #[error("write SECONDS:bitrate=BITS or SECONDS:mode=WxH@HZ, like 2:bitrate=2M or 4:mode=1920x1080@60")]
    Shape,
    /// A wrong bitrate.
    #[error(transparent)]
    Bitrate(#[from] BitrateSyntax),
    /// A wrong mode.
    #[error(transparent)]
    Mode(#[from] ModeSyntax),
}

impl FromStr for Change {
    type Err = ChangeSyntax;

    fn from_str(text: &str) -> Result<Self, ChangeSyntax> {
        let (at, wish) = text.split_once(':').ok_or(ChangeSyntax::Shape)?;
        let at = at.parse().ok().and_then(|at| Duration::try_from_secs_f64(at).ok());
        let wish = match wish.split_once('=') {
            Some(("bitrate", bitrate)) => Wish::Bitrate(bitrate.parse()?),
            Some(("mode", mode)) => Wish::Mode(mode.parse()?),
            _ => return Err(ChangeSyntax::Shape),
        };
        Ok(Self { at: at.ok_or(ChangeSyntax::Shape)?, wish })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wish {
            Wish::Bitrate(Bitrate(bps)) => write!(f, "bitrate={bps}"),
            Wish::Mode(mode) => write!(f, "mode={mode}"),
        }
    }
}

/// The changes to come, in the order of their times.
#[derive(Debug)]
pub struct Schedule(Vec<Change>);

impl Schedule {
    /// In whatever order they were given.
    pub fn new(mut changes: Vec<Change>) -> Self {
        changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        Self(changes)
    }

    /// When the next one is due, from the first picture on.
    pub fn next(&self) -> Option<Duration> {
        self.0.last().map(|change| change.at)
    }

    /// The next one, if it is due `since` the first picture.
    pub fn due(&mut self, since: Duration) -> Option<Change> {
        self.0.pop_if(|change| change.at <= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: take the changes in the order in which they were given, or each of them twice.
    #[test]
    fn changes_are_read_and_come_in_their_order() {
        let read = |text: &str| text.parse::<Change>();
        let mode = Mode { width: 1920, height: 1080, refresh_mhz: 59_940 };
        let (late, soon) = (read("4:mode=1920x1080@59.94").unwrap(), read("0.5:bitrate=2M").unwrap());
        assert_eq!(late, Change { at: Duration::from_secs(4), wish: Wish::Mode(mode) });
        assert_eq!(soon.to_string(), "bitrate=2000000");
        assert_eq!(late.to_string(), "mode=1920x1080@59.94");
        let mut schedule = Schedule::new(vec![late, soon]);
        assert_eq!(schedule.next(), Some(soon.at));
        assert_eq!(schedule.due(Duration::from_millis(499)), None);
        assert_eq!(schedule.due(Duration::from_secs(9)), Some(soon));
        assert_eq!(schedule.due(Duration::from_secs(9)), Some(late));
        assert_eq!((schedule.due(Duration::from_secs(9)), schedule.next()), (None, None));
    }

    #[test]
    fn what_is_no_change_is_explained() {
        for wrong in ["", "2", "2:", "2:colour=red", "x:bitrate=2M", "-1:bitrate=2M"] {
            assert_eq!(wrong.parse::<Change>(), Err(ChangeSyntax::Shape), "{wrong}");
        }
        assert_eq!("2:bitrate=ten".parse::<Change>(), Err(BitrateSyntax.into()));
        assert_eq!("2:mode=big".parse::<Change>(), Err(ModeSyntax.into()));
    }
}

//! `lumenctl pair`: the Moonlight clients that want to be paired, and their PINs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use crate::bus::Bus;
use crate::paper;
use crate::table;

/// How long a pairing may take once its PIN is typed; transportd says after 10 s that it took too long.
const PATIENCE: Duration = Duration::from_secs(15);

/// What `pair` is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Show who waits.
    List,
    /// Type the PIN of an attempt.
    Pin(u32, String),
    /// Say no to it.
    Refuse(u32),
}

impl Wish {
    /// What the arguments mean.
    pub fn of(attempt: Option<u32>, pin: Option<String>, refuse: bool) -> Result<Self> {
        match (attempt, pin) {
            (None, _) => Ok(Self::List),
            (Some(attempt), Some(pin)) => Ok(Self::Pin(attempt, pin)),
            (Some(attempt), None) if refuse => Ok(Self::Refuse(attempt)),
            (Some(attempt), None) => bail!(
                "type the PIN that the client shows as well: `lumenctl pair {attempt} PIN`, or say no: \
                 `lumenctl pair {attempt} --refuse`"
            ),
        }
    }
}

/// Does it.
pub async fn act(bus: &Bus, wish: &Wish, name: &str) -> Result<ExitCode> {
    match wish {
        Wish::List => list(&bus.pairings().await?)?,
        Wish::Pin(attempt, pin) => {
            bus.patient_transport::<_, ()>("Pair", &(attempt, pin.as_str(), name), PATIENCE).await?;
            paper::print("paired; `lumenctl clients` lists it\n")?;
        }
        Wish::Refuse(attempt) => {
            bus.transport::<_, ()>("RefusePairing", attempt).await?;
            paper::print(&format!("attempt {attempt} is refused\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(attempts: &[Map<String, Value>]) -> Result<()> {
    if attempts.is_empty() {
        eprintln!(
            "lumenctl: no client wants to be paired; add this host in Moonlight, which then shows a PIN"
        );
        return Ok(());
    }
    let mut rows = vec![table::row(["ATTEMPT", "NAME", "ADDRESS", "FINGERPRINT", "AGE", "WAITS FOR"])];
    rows.extend(attempts.iter().map(row));
    Ok(paper::print(&table::lines(&rows))?)
}

fn row(attempt: &Map<String, Value>) -> Vec<String> {
    let text = |key: &str| {
        let text = attempt.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.unwrap_or("-").to_owned()
    };
    let number = |key: &str| attempt.get(key).and_then(Value::as_u64).unwrap_or_default();
    let age = Duration::from_nanos(number("age_ns")).as_secs();
    let wants_pin = attempt.get("wants_pin").and_then(Value::as_bool).unwrap_or_default();
    let waits = if wants_pin { "its PIN" } else { "the client" };
    let attempt = number("attempt").to_string();
    vec![attempt, text("name"), text("address"), text("fingerprint"), format!("{age} s"), waits.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: list the attempts where a PIN was forgotten.
    #[test]
    fn an_attempt_without_a_pin_is_asked_for_it() {
        assert_eq!(Wish::of(None, None, false).unwrap(), Wish::List);
        assert_eq!(Wish::of(Some(3), Some("1234".into()), false).unwrap(), Wish::Pin(3, "1234".into()));
        assert_eq!(Wish::of(Some(3), None, true).unwrap(), Wish::Refuse(3));
        let error = Wish::of(Some(3), None, false).unwrap_err().to_string();
        assert!(error.contains("lumenctl pair 3 PIN"), "{error}");
    }

    #[test]
    fn an_attempt_is_shown_with_all_that_tells_it_from_another() {
        let attempt = serde_json::json!({"attempt": 2, "name": "", "address": "192.0.2.9", "fingerprint": "ab",
            "age_ns": 61_000_000_000u64, "wants_pin": true});
        let Value::Object(attempt) = attempt else { panic!("an object") };
        assert_eq!(row(&attempt), ["2", "-", "192.0.2.9", "ab", "61 s", "its PIN"]);
    }
}

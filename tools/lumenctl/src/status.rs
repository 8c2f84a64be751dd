//! `lumenctl status`: what runs, with which backends and why, and what is not as it should be.

use std::collections::HashMap;
use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use lumen_ipc::Stage;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::account::Account;
use crate::bus::{Bus, BusError};
use crate::logs;
use crate::paper;
use crate::refusal::{self, manager_is_live};
use crate::run::hold;
use crate::table;
use crate::units::{self, Unit};

/// systemctl's own code for "it does not run".
const NOT_RUNNING: u8 = 3;

/// All that is known of one constellation.
#[derive(Debug, Serialize)]
struct Overview {
    user: String,
    /// The `lumenctl run` whose private manager it is; none under an ordinary one.
    run_pid: Option<u32>,
    /// None if no user manager answers at all.
    bus: Option<Unit>,
    stages: Vec<StageLine>,
    sessions: Vec<Map<String, Value>>,
}

#[derive(Debug, Serialize)]
struct StageLine {
    stage: &'static str,
    unit: Unit,
    /// What it says of itself; empty if it does not answer.
    status: Map<String, Value>,
    /// Why it does not answer.
    trouble: Option<String>,
    /// What was logged last, if it has failed.
    reason: Option<String>,
}

/// Prints it; the exit code is 0 if all stages run, 3 if the constellation does not, 1 for anything between.
pub async fn show(account: &Account, as_json: bool) -> Result<ExitCode> {
    let overview = gather(account).await?;
    let shown =
        if as_json { serde_json::to_string_pretty(&overview)? + "\n" } else { text(&overview, account) };
    paper::print(&shown)?;
    Ok(overview.verdict())
}

async fn gather(account: &Account) -> Result<Overview> {
    let names: Vec<String> = Stage::ALL.iter().map(|stage| format!("lumen-{stage}")).collect();
    let mut overview = Overview {
        user: account.name.clone(),
        run_pid: hold::holder(account.uid),
        bus: None,
        stages: Vec::new(),
        sessions: Vec::new(),
    };
    if !manager_is_live(&account.runtime_dir()) {
        return Ok(overview);
    }
    let all: Vec<&str> = names.iter().map(String::as_str).chain(["lumen-bus"]).collect();
    let mut units = units::ask(account, &all)?;
    let bus = Bus::connect(account).await;
    overview.bus = Some(units.remove("lumen-bus").unwrap_or_default());
    for stage in Stage::ALL {
        let mut line = line(stage, &mut units, bus.as_ref()).await;
        if line.unit.active == "failed" {
            line.reason = logs::last_words(account, line.stage, line.unit.exit);
        }
        overview.stages.push(line);
    }
    if let Ok(bus) = &bus {
        // Without transportd there is none; its own line says what is wrong with it.
        overview.sessions = bus.sessions().await.unwrap_or_default();
    }
    Ok(overview)
}

async fn line(stage: Stage, units: &mut HashMap<String, Unit>, bus: Result<&Bus, &BusError>) -> StageLine {
    let unit = units.remove(&format!("lumen-{stage}")).unwrap_or_default();
    let answer = match bus {
        Ok(bus) => bus.status(stage).await.map_err(|error| error.to_string()),
        Err(_) => Err("the bus does not answer".to_owned()),
    };
    let trouble = answer.as_ref().err().cloned();
    StageLine { stage: stage.name(), unit, status: answer.unwrap_or_default(), trouble, reason: None }
}

impl Overview {
    fn verdict(&self) -> ExitCode {
        let running = self.stages.iter().filter(|line| line.runs()).count();
        match running {
            0 => ExitCode::from(NOT_RUNNING),
            all if all == Stage::ALL.len() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

impl StageLine {
    fn runs(&self) -> bool {
        self.unit.active == "active" && self.trouble.is_none()
    }

    fn said(&self, key: &str) -> &str {
        self.status.get(key).and_then(Value::as_str).unwrap_or("-")
    }

    /// `running`, or what stands in the way of it.
    fn state(&self) -> String {
        let unit = &self.unit;
        match unit.active.as_str() {
            "active" if self.trouble.is_none() => "running".to_owned(),
            "active" => "does not answer".to_owned(),
            "failed" if unit.result == "exit-code" => format!("failed (exit {})", unit.exit),
            "failed" => format!("failed ({})", unit.result),
            "inactive" => "stopped".to_owned(),
            other => other.to_owned(),
        }
    }

    /// Everything that a person may have to act on.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for key in ["notes", "set_aside"] {
            let own = self.status.get(key).and_then(Value::as_array).into_iter().flatten();
            notes.extend(own.filter_map(Value::as_str).map(str::to_owned));
        }
        notes.extend(
            self.status.get("failure").and_then(Value::as_str).map(|text| format!("failure: {text}")),
        );
        if self.unit.active == "failed" {
            let why = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let log = if self.unit.exit >= 200 { "manager" } else { self.stage };
            notes.push(format!("it is not started again by itself; `lumenctl logs {log}` tells why{why}"));
        } else if self.unit.active == "active" {
            notes.extend(self.trouble.clone());
        }
        notes
    }
}

fn text(overview: &Overview, account: &Account) -> String {
    let user = &overview.user;
    let Some(bus) = overview.bus.as_ref().filter(|bus| bus.active == "active") else {
        return not_running(overview, account);
    };
    let mut text = match overview.run_pid {
        Some(pid) => format!("lumen of {user}, in the private systemd of `lumenctl run` (pid {pid})\n\n"),
        None => format!("lumen of {user}, in the user's own systemd\n\n"),
    };
    let mut rows = vec![table::row(["STAGE", "STATE", "PID", "GENERATION", "RESTARTS", "BACKEND", "WHY"])];
    rows.push(table::row([
        "bus",
        "running",
        &bus.pid.to_string(),
        "-",
        &bus.restarts.to_string(),
        "dbus-daemon",
        "-",
    ]));
    rows.extend(overview.stages.iter().map(stage_row));
    text.push_str(&table::lines(&rows));
    for (note, stages) in notes(&overview.stages) {
        let _ = writeln!(text, "\n{}: {note}", stages.join(", "));
    }
    text.push_str(&sessions(&overview.sessions));
    text
}

/// Each note once, with the stages that say it.
fn notes(stages: &[StageLine]) -> Vec<(String, Vec<&'static str>)> {
    let mut notes: Vec<(String, Vec<&'static str>)> = Vec::new();
    for line in stages {
        for note in line.notes() {
            match notes.iter_mut().find(|(known, _)| *known == note) {
                Some((_, sayers)) => sayers.push(line.stage),
                None => notes.push((note, vec![line.stage])),
            }
        }
    }
    notes
}

fn stage_row(line: &StageLine) -> Vec<String> {
    let generation = line.status.get("generation").and_then(Value::as_u64);
    vec![
        line.stage.to_owned(),
        line.state(),
        line.unit.pid.to_string(),
        generation.map_or_else(|| "-".to_owned(), |number| format!("{number:x}")),
        line.unit.restarts.to_string(),
        line.said("backend").to_owned(),
        line.said("why").to_owned(),
    ]
}

/// Says that nothing runs, and how to change that here.
fn not_running(overview: &Overview, account: &Account) -> String {
    let user = &overview.user;
    match &overview.bus {
        Some(bus) if bus.active == "absent" => {
            format!(
                "lumen does not run for {user}: the user's systemd has no lumen.target; install lumen first\n"
            )
        }
        Some(bus) => format!(
            "lumen does not run for {user} (lumen-bus is {}); start it:\n  systemctl --user start lumen.target\n",
            bus.active
        ),
        None => format!("lumen does not run for {user}: {}\n", refusal::of_ordinary_user(account)),
    }
}

fn sessions(sessions: &[Map<String, Value>]) -> String {
    if sessions.is_empty() {
        return "\nno session\n".to_owned();
    }
    let mut rows =
        vec![table::row(["SESSION", "CLIENT", "PROTOCOL", "MODE", "FRAMES", "REPEATS", "STATE", "INPUT"])];
    for session in sessions {
        let text = |key: &str| session.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        let number = |key: &str| session.get(key).and_then(Value::as_u64).unwrap_or(0);
        let refresh = number("refresh_mhz") as f64 / 1000.0;
        let mode = format!("{}x{}@{refresh}", number("width"), number("height"));
        let (frames, repeats) = (number("frames").to_string(), number("repeats").to_string());
        let (session, client, protocol) = (text("session"), text("client"), text("protocol"));
        rows.push(vec![session, client, protocol, mode, frames, repeats, text("state"), text("input")]);
    }
    let microphones: String = sessions.iter().filter_map(microphone).collect();
    format!("\n{}{microphones}", table::lines(&rows))
}

/// Whether the session's programs can listen to its client, where that has asked for it.
fn microphone(session: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| session.get(key).and_then(Value::as_str);
    let is_asked = session.get("microphone_asked").and_then(Value::as_bool)?;
    let line = format!("\nmicrophone of {}: {}\n", text("session")?, text("microphone")?);
    is_asked.then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(active: &str) -> Overview {
        let unit = Unit { active: active.to_owned(), pid: 7, ..Unit::default() };
        let status = serde_json::json!({"backend": "sway", "why": "because", "generation": 255, "notes": ["watch out"], "set_aside": ["x265 is set aside"]});
        let Value::Object(status) = status else { panic!("an object") };
        let stages = Stage::ALL.map(|stage| StageLine {
            stage: stage.name(),
            unit: unit.clone(),
            status: status.clone(),
            trouble: None,
            reason: None,
        });
        Overview {
            user: "ada".into(),
            run_pid: None,
            bus: Some(unit),
            stages: stages.into(),
            sessions: Vec::new(),
        }
    }

    fn ada() -> Account {
        Account { name: "ada".into(), uid: 4_000_000, gid: 1, groups: vec![], home: "/nowhere".into() }
    }

    #[test]
    fn a_running_constellation_shows_backends_reasons_and_notes() {
        let shown = text(&overview("active"), &ada());
        for word in [
            "vdisplayd",
            "running",
            "ff",
            "sway",
            "because",
            "vdisplayd, captured, encoded, transportd, inputd: watch out",
            "vdisplayd, captured, encoded, transportd, inputd: x265 is set aside",
            "no session",
        ] {
            assert!(shown.contains(word), "no {word:?} in:\n{shown}");
        }
    }

    /// Sabotage: leave the protocol to be guessed from the client's name.
    #[test]
    fn a_session_is_shown_with_its_protocol() {
        let session = serde_json::json!({"session": "00ff", "client": "tv", "protocol": "GameStream", "width": 1280,
            "height": 720, "refresh_mhz": 59_940, "frames": 7, "state": "streams"});
        let Value::Object(session) = session else { panic!("an object") };
        let shown = sessions(&[session]);
        for word in ["tv", "GameStream", "1280x720@59.94", "streams"] {
            assert!(shown.contains(word), "no {word:?} in:\n{shown}");
        }
    }

    /// Sabotage: show nobody that a client is listened to.
    #[test]
    fn a_microphone_is_shown_where_it_was_asked_for() {
        let session = |is_asked| serde_json::json!({"session": "00ff", "microphone": "taken: 7 packets", "microphone_asked": is_asked});
        let shown = |is_asked| sessions(&[session(is_asked).as_object().unwrap().clone()]);
        assert!(shown(true).ends_with("\nmicrophone of 00ff: taken: 7 packets\n"), "{}", shown(true));
        assert!(!shown(false).contains("microphone"));
    }

    #[test]
    fn a_stopped_one_says_how_to_start_it() {
        let shown = text(&overview("inactive"), &ada());
        assert!(shown.contains("systemctl --user start lumen.target"), "{shown}");
        let nobody = Overview { bus: None, stages: Vec::new(), ..overview("active") };
        assert!(text(&nobody, &ada()).contains("lumen does not run for ada"));
        assert_eq!(nobody.verdict(), ExitCode::from(NOT_RUNNING));
    }

    #[test]
    fn a_failed_stage_is_a_failure_and_named() {
        let mut overview = overview("active");
        overview.stages[2].unit =
            Unit { active: "failed".into(), result: "exit-code".into(), exit: 78, ..Unit::default() };
        assert_eq!(overview.verdict(), ExitCode::FAILURE);
        overview.stages[2].reason = Some("encoded.toml:2: unknown field".into());
        let shown = text(&overview, &ada());
        assert!(shown.contains("failed (exit 78)") && shown.contains("encoded.toml:2"), "{shown}");
    }
}

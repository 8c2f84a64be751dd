//! Who may stream: `allow`, `clients`, `rename`, `revoke`, and the host's own `fingerprint`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Map, Value};

use crate::bus::Bus;
use crate::paper;
use crate::table;

/// Lets a client stream from now on.
pub async fn allow(bus: &Bus, client: &str, name: &str) -> Result<ExitCode> {
    bus.transport::<_, ()>("Allow", &(client, name)).await?;
    paper::print(&format!("{client} may stream\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Ends that, and the client's sessions.
pub async fn revoke(bus: &Bus, client: &str) -> Result<ExitCode> {
    if bus.transport("Revoke", &client).await? {
        paper::print(&format!("{client} may not stream any more; its sessions have ended\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("lumenctl: {client} was not allowed anyway; `lumenctl clients` lists who is");
    Ok(ExitCode::FAILURE)
}

/// Calls a client something else.
pub async fn rename(bus: &Bus, client: &str, name: &str) -> Result<ExitCode> {
    if bus.transport("Rename", &(client, name)).await? {
        paper::print(&format!("{client} is called {name:?} now\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("lumenctl: {client} is not known; `lumenctl clients` lists who is");
    Ok(ExitCode::FAILURE)
}

/// Lists all who may.
pub async fn clients(bus: &Bus) -> Result<ExitCode> {
    let clients = bus.allowed().await?;
    if clients.is_empty() {
        eprintln!(
            "lumenctl: nobody may stream yet; begin to pair in Moonlight and see `lumenctl pair`, or \
             `lumenctl allow FINGERPRINT` as a lumen/1 client shows it"
        );
    }
    let cell = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let protocols = |client: &Map<String, Value>| {
        let all = client.get("protocols").and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let rows: Vec<Vec<String>> = clients
        .iter()
        .map(|client| vec![cell(client.get("fingerprint")), protocols(client), cell(client.get("name"))])
        .collect();
    paper::print(&table::lines(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what clients pin, and nothing else, so that a script can read it.
pub async fn fingerprint(bus: &Bus) -> Result<ExitCode> {
    paper::print(&(bus.transport::<_, String>("Fingerprint", &()).await? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Ends a session, or `all`, those that are kept for their clients among them; a client that is there is told who did.
pub async fn end(bus: &Bus, session: &str) -> Result<ExitCode> {
    let mut sessions = vec![session.to_owned()];
    if session == "all" {
        let running = bus.sessions().await?;
        let ids = running.iter().filter_map(|session| session.get("session")?.as_str());
        sessions = ids.map(str::to_owned).collect();
    }
    for session in sessions {
        bus.transport::<_, ()>("End", &session.as_str()).await?;
        paper::print(&format!("session {session} has ended\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

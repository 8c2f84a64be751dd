//! What vdisplayd announces on lumen's bus, for the sessions it is about.

use std::{future::poll_fn, pin::Pin, time::Duration};

use lumen_ipc::{SessionId, Stage};
use lumen_stage::{
    Bus,
    caller::{Caller, identify},
};
use zbus::{Connection, MatchRule, Message, MessageStream, export::futures_core::Stream, message::Type};

use crate::peers::{Peers, mail::Mail};

/// Pause before a new look at a bus that died.
const RETRY: Duration = Duration::from_millis(50);

/// Longest text or advice that is passed on, in characters: as much as a person reads.
const MAX_TEXT: usize = 500;

/// Passes on what vdisplayd announces. Never ends.
pub async fn follow(bus: Bus, peers: &Peers) {
    loop {
        // An error means that the bus is gone; the stage's connection is then made anew.
        let _ = listen(&bus.connection(), peers).await;
        tokio::time::sleep(RETRY).await;
    }
}

async fn listen(bus: &Connection, peers: &Peers) -> Result<(), zbus::Error> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .path(Stage::Vdisplayd.object_path())
        .interface(Stage::Vdisplayd.bus_name())
        .build()?;
    let mut signals = MessageStream::for_match_rule(rule, bus, None).await?;
    while let Some(signal) = poll_fn(|context| Pin::new(&mut signals).poll_next(context)).await {
        let signal = signal?;
        if is_vdisplayds(bus, &signal).await {
            pass_on(&signal, peers);
        }
    }
    Ok(())
}

/// Whether the sender is vdisplayd's own unit: anybody on the bus can send a signal.
async fn is_vdisplayds(bus: &Connection, signal: &Message) -> bool {
    let header = signal.header();
    let Some(sender) = header.sender() else { return false };
    matches!(identify(bus, sender.as_str()).await, Ok(Caller::Stage(Stage::Vdisplayd)))
}

fn pass_on(signal: &Message, peers: &Peers) {
    match signal.header().member().map(|member| member.as_str()) {
        Some("AppEnded") => pass_on_end(signal, peers),
        Some("Sleeps") => {
            if let Ok(sleeps) = signal.body().deserialize() {
                peers.tell_sleep(sleeps);
            }
        }
        _ => {}
    }
}

fn pass_on_end(signal: &Message, peers: &Peers) {
    let Ok((session, text, advice, ends_session)) =
        signal.body().deserialize::<(String, String, String, bool)>()
    else {
        return;
    };
    if let Ok(session) = session.parse::<SessionId>() {
        let (text, advice) = (legible(&text), legible(&advice));
        peers.announce(session, Mail::AppEnded { text: text.clone(), advice });
        if ends_session {
            peers.end(session, &text);
        }
    }
}

fn legible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

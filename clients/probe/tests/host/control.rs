//! The host's control side: accepts, launches, resumes, stops.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lumen_core::{
    ChannelId, ChannelSecret, HostEvent, HostSession,
    control::{Codec, Launched, Notice, NoticeKind, SessionId},
    seal::{EXPORTER_LABEL, SECRET_LEN},
    session::Output,
};

use super::{Script, now, video};

const SESSION: SessionId = SessionId([7; 16]);
const CHANNEL: ChannelId = ChannelId(0x1234_5678);
pub const FIRST_FRAME: u64 = 100;

/// The one session of this host.
#[derive(Default)]
struct State {
    launched: Option<Launched>,
    wishes: Option<Arc<video::Wishes>>,
}

pub async fn serve(endpoint: quinn::Endpoint, script: Script) {
    let (script, state) = (Rc::new(script), Rc::new(RefCell::new(State::default())));
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            while let Some(incoming) = endpoint.accept().await {
                tokio::task::spawn_local(session(incoming, Rc::clone(&script), Rc::clone(&state)));
            }
        })
        .await;
}

/// One connection, to its end.
async fn session(incoming: quinn::Incoming, script: Rc<Script>, state: Rc<RefCell<State>>) {
    let Ok(connection) = incoming.await else { return };
    let Ok((mut send, mut receive)) = connection.accept_bi().await else {
        return;
    };
    let mut session = HostSession::new("a host in a test", now());
    let lost = Arc::new(AtomicBool::new(false));
    loop {
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(bytes) => drop(send.write_all(&bytes).await),
                Output::Event(event) => handle(&event, &mut session, &connection, &script, &state, &lost),
                Output::Close(_) => {
                    if let Some(wishes) = &state.borrow().wishes {
                        wishes.stop.store(true, Ordering::Relaxed);
                    }
                    drop(send.finish());
                    drop(send.stopped().await);
                    return connection.close(0u32.into(), b"over");
                }
            }
        }
        tokio::select! {
            chunk = receive.read_chunk(4096, true) => match chunk {
                Ok(Some(chunk)) => session.handle_bytes(&chunk.bytes, now()),
                _ => return,
            },
            () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {
                if lost.swap(false, Ordering::Relaxed) {
                    return connection.close(1u32.into(), b"an accident");
                }
            }
        }
    }
}

fn handle(
    event: &HostEvent,
    session: &mut HostSession,
    connection: &quinn::Connection,
    script: &Script,
    state: &RefCell<State>,
    lost: &Arc<AtomicBool>,
) {
    match (event, &script.refuses_launch) {
        (HostEvent::Launch(_), Some(refused)) => session.refuse(refused.clone()),
        (HostEvent::Launch(launch), None) => {
            let mut secret = [0; SECRET_LEN];
            connection.export_keying_material(&mut secret, EXPORTER_LABEL, &SESSION.0).unwrap();
            let channel = video::Channel {
                id: CHANNEL,
                secret: ChannelSecret::from_bytes(secret),
                parity_percent: launch.parity_percent,
            };
            let (video_port, wishes) = video::start(channel, script.clone(), Arc::clone(lost));
            let launched = Launched {
                session: SESSION,
                channel: CHANNEL,
                video_port,
                mode: launch.mode,
                codec: Codec::H264,
                next_frame: FIRST_FRAME,
                microphone: lumen_core::control::Microphone::None,
            };
            *state.borrow_mut() = State { launched: Some(launched.clone()), wishes: Some(wishes) };
            session.launched(launched);
        }
        (HostEvent::Resume(SESSION), _) => session.launched(state.borrow().launched.clone().unwrap()),
        (HostEvent::RequestIdr { after_frame }, _) => {
            state.borrow().wishes.as_ref().unwrap().idr_after.store(*after_frame, Ordering::Relaxed);
        }
        (HostEvent::SetBitrate { bps }, _) => {
            session.notice(notice(NoticeKind::AppEnded, format!("asked for {bps} bit/s")));
        }
        (HostEvent::SetMode(mode), _) => {
            let text = format!("asked for {}x{} at {} mHz", mode.width, mode.height, mode.refresh_mhz);
            session.notice(notice(NoticeKind::Running, text));
        }
        _ => {}
    }
}

fn notice(kind: NoticeKind, text: String) -> Notice {
    Notice { kind, text, advice: String::new() }
}

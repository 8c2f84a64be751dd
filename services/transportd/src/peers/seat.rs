//! A session's input: what the client sends, on its way to inputd.
//!
//! The set of held keys is State and owned here: it is sent whole on every new link, so that inputd's death leaves no
//! key stuck. Motion and text that come while there is no link are lost, which is what Sample and Once allow.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Arc, PoisonError},
    time::Duration,
};

use arrayvec::ArrayVec;
use lumen_core::control::Input;
use lumen_ipc::{
    Generation, Stage,
    bus::SeatSpec,
    input::{FromInput, MAX_HELD, MAX_TEXT, ToInput},
};
use lumen_stage::{Link, LinkError};
use tokio::{
    io::unix::AsyncFd,
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
    time::sleep,
};

use super::Live;
use crate::upstream::Upstream;

/// Messages that may wait for inputd: a second of a fast mouse.
const QUEUE: usize = 1024;

/// Pause between two attempts at a link that hangs up or fails.
const PAUSE: Duration = Duration::from_millis(200);

/// Turns what a client sends into what inputd is told. Sans-IO.
#[derive(Debug, Default)]
pub struct Hands {
    held: ArrayVec<u16, MAX_HELD>,
    texts: u64,
}

impl Hands {
    /// The message for one input; `None` if it changes nothing or cannot be passed on.
    pub fn handle(&mut self, input: Input) -> Option<ToInput> {
        Some(match input {
            Input::Key { code, pressed } | Input::Button { code, pressed } => {
                return self.hold(code, pressed).then(|| self.held());
            }
            Input::Motion { dx, dy } => {
                ToInput::Motion { dx: dx.saturating_mul(256), dy: dy.saturating_mul(256) }
            }
            Input::MotionTo { x, y } => ToInput::Position { x, y },
            Input::Scroll { dx, dy } => ToInput::Scroll { dx, dy },
            Input::Text(text) if text.len() <= MAX_TEXT => {
                self.texts += 1;
                ToInput::Text { number: self.texts, text }
            }
            Input::Text(_) => return None,
        })
    }

    /// All that is down now.
    pub fn held(&self) -> ToInput {
        ToInput::Held(self.held.clone())
    }

    fn hold(&mut self, code: u16, pressed: bool) -> bool {
        match (pressed, self.held.iter().position(|held| *held == code)) {
            (true, None) => self.held.try_push(code).is_ok(),
            (false, Some(place)) => {
                self.held.remove(place);
                true
            }
            _ => false,
        }
    }
}

/// The session's handle; dropping it ends the task and closes the link, upon which inputd lets go of everything.
#[derive(Debug)]
pub struct Seat {
    inputs: Sender<Input>,
    task: JoinHandle<()>,
}

impl Seat {
    /// Starts to open the link.
    pub fn start<U: Upstream>(upstream: U, generation: Generation, live: Arc<Live>) -> Self {
        let (inputs, queue) = channel(QUEUE);
        let task = tokio::spawn(keep(upstream, generation, live, queue));
        Self { inputs, task }
    }

    /// Passes an input on; whether there was room.
    pub fn handle(&self, input: Input) -> bool {
        self.inputs.try_send(input).is_ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep<U: Upstream>(upstream: U, generation: Generation, live: Arc<Live>, mut queue: Receiver<Input>) {
    let spec = SeatSpec { width: live.mode.width, height: live.mode.height };
    let mut hands = Hands::default();
    loop {
        match open(&upstream, generation, &live, &spec, &mut hands, &mut queue).await {
            Ok(link) => {
                if forward(link, &live, &mut hands, &mut queue).await.is_none() {
                    return;
                }
                say(&live, "waiting for inputd");
            }
            Err(text) => say(&live, &text),
        }
        sleep(PAUSE).await;
    }
}

/// Opens a link; what the client sends meanwhile changes the held set only.
async fn open<U: Upstream>(
    upstream: &U,
    generation: Generation,
    live: &Live,
    spec: &SeatSpec,
    hands: &mut Hands,
    queue: &mut Receiver<Input>,
) -> Result<Pollable, String> {
    let opened = upstream.open_seat(live.session, spec);
    tokio::pin!(opened);
    let fd: OwnedFd = loop {
        tokio::select! {
            fd = &mut opened => break fd.map_err(|failure| failure.to_string())?,
            Some(input) = queue.recv() => drop(hands.handle(input)),
        }
    };
    let link = Link::start(fd, Stage::Transportd, generation, Stage::Inputd);
    let link = link.and_then(|link| link.send(&hands.held(), &[]).map(|()| link));
    link.map(Pollable).map_err(|error| error.to_string())
}

/// Passes inputs on until the link hangs up; `None` when the session is over.
async fn forward(link: Pollable, live: &Live, hands: &mut Hands, queue: &mut Receiver<Input>) -> Option<()> {
    #[allow(
        deprecated,
        reason = "its successor is an unsafe function, because an AsRawFd may lie; a Link's descriptor is its own for life"
    )]
    let mut link = AsyncFd::new(link).ok()?;
    // A held set that inputd, which did not read, has not got yet.
    let mut is_owed = false;
    loop {
        let message = tokio::select! {
            input = queue.recv() => hands.handle(input?),
            () = sleep(PAUSE), if is_owed => Some(hands.held()),
            ready = link.readable_mut() => {
                let mut ready = ready.ok()?;
                match ready.get_inner_mut().0.receive::<FromInput>() {
                    Ok(Some(message)) => hear(live, message.message),
                    Ok(None) => ready.clear_ready(),
                    Err(_) => return Some(()),
                }
                None
            }
        };
        if let Some(message) = message {
            match link.get_ref().0.send(&message, &[]) {
                Ok(()) => is_owed &= !matches!(message, ToInput::Held(_)),
                Err(LinkError::Full) => is_owed |= matches!(message, ToInput::Held(_)),
                Err(_) => return Some(()),
            }
        }
    }
}

fn hear(live: &Live, message: FromInput) {
    match message {
        FromInput::Ready => say(live, "ready"),
        FromInput::Failed(failure) => say(live, &failure.to_string()),
        FromInput::Closing => say(live, "inputd restarts"),
    }
}

fn say(live: &Live, text: &str) {
    let mut input = live.input.lock().unwrap_or_else(PoisonError::into_inner);
    text.clone_into(&mut input);
}

/// A link as tokio polls it.
struct Pollable(Link);

impl AsRawFd for Pollable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: u16, pressed: bool) -> Input {
        Input::Key { code, pressed }
    }

    fn held(codes: &[u16]) -> Option<ToInput> {
        Some(ToInput::Held(codes.iter().copied().collect()))
    }

    /// Sabotage: pass key events on instead of the set.
    #[test]
    fn keys_and_buttons_become_the_set_that_is_down() {
        let mut hands = Hands::default();
        assert_eq!(hands.handle(key(30, true)), held(&[30]));
        assert_eq!(hands.handle(key(30, true)), None);
        let button = Input::Button { code: 272, pressed: true };
        assert_eq!(hands.handle(button), held(&[30, 272]));
        assert_eq!(hands.handle(key(30, false)), held(&[272]));
        assert_eq!(hands.handle(key(30, false)), None);
    }

    #[test]
    fn texts_are_numbered_and_too_long_ones_left_out() {
        let mut hands = Hands::default();
        assert_eq!(hands.handle(Input::Text("x".repeat(MAX_TEXT + 1))), None);
        let text = "ü".to_owned();
        assert_eq!(hands.handle(Input::Text(text.clone())), Some(ToInput::Text { number: 1, text }));
    }

    #[test]
    fn more_keys_than_fit_are_not_held() {
        let mut hands = Hands::default();
        for code in 0..MAX_HELD as u16 {
            assert!(hands.handle(key(code, true)).is_some());
        }
        assert_eq!(hands.handle(key(999, true)), None);
    }
}

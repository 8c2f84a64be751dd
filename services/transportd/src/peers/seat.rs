//! A session's input: what the client sends, on its way to inputd.
//!
//! The set of held keys is State and owned here: it is sent whole on every new link, so that inputd's death leaves no
//! key stuck. Motion and text that come while there is no link are lost, which is what Sample and Once allow.

use std::{
    io,
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
use lumen_stage::{Link, LinkError, failpoint};
use tokio::{
    io::unix::{AsyncFd, AsyncFdReadyMutGuard},
    sync::{
        mpsc::{Receiver, Sender, channel},
        watch,
    },
    task::JoinHandle,
    time::sleep,
};

use super::{Live, pipeline::Grounds};
use crate::{recover, upstream::Upstream};

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
    /// These codes are down, and so many texts told already.
    pub fn holding(held: ArrayVec<u16, MAX_HELD>, texts: u64) -> Self {
        Self { held, texts }
    }

    /// What is down now.
    pub fn down(&self) -> ArrayVec<u16, MAX_HELD> {
        self.held.clone()
    }

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

    /// Nothing is down any more; the message for it if something was.
    pub fn let_go(&mut self) -> Option<ToInput> {
        let was_held = !self.held.is_empty();
        self.held.clear();
        was_held.then(|| self.held())
    }

    /// All that is down now.
    pub fn held(&self) -> ToInput {
        ToInput::Held(self.down())
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

/// The session's handle; dropping it ends the task and closes the link, upon which inputd lets go of everything after its
/// lease.
#[derive(Debug)]
pub struct Seat {
    words: Sender<Word>,
    sizes: watch::Sender<SeatSpec>,
    task: JoinHandle<()>,
}

/// What the task is told, in its order.
enum Word {
    /// The client's person did something.
    Input(Input),
    /// The client is gone and holds nothing any more.
    LetGo,
}

/// What reaches the task.
struct Wishes {
    words: Receiver<Word>,
    sizes: watch::Receiver<SeatSpec>,
}

/// Why a link is read no more.
enum Parting {
    /// The session is over.
    Over,
    /// The Output has another size.
    Resized,
    /// The link is of no use, and why.
    Broken(String),
}

impl Seat {
    /// Starts to open the link.
    pub fn start<U: Upstream>(grounds: &Grounds<U>, live: Arc<Live>, spec: SeatSpec) -> Self {
        let (words, queue) = channel(QUEUE);
        let (sizes, size) = watch::channel(spec);
        let wishes = Wishes { words: queue, sizes: size };
        let task = tokio::spawn(keep(grounds.upstream.clone(), grounds.generation, live, wishes));
        Self { words, sizes, task }
    }

    /// Passes an input on; whether there was room.
    pub fn handle(&self, input: Input) -> bool {
        self.words.try_send(Word::Input(input)).is_ok()
    }

    /// Lets go of everything, after what was passed on before; never lost, whatever waits.
    pub fn let_go(&self) {
        if self.words.try_send(Word::LetGo).is_err() {
            let words = self.words.clone();
            // Fails only where the task has ended, and with it the link.
            tokio::spawn(async move { words.send(Word::LetGo).await });
        }
    }

    /// The Output has another size: opens the link again with it.
    pub fn resize(&self, spec: &SeatSpec) {
        self.sizes.send_if_modified(|size| {
            let is_news = size != spec;
            size.clone_from(spec);
            is_news
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep<U: Upstream>(upstream: U, generation: Generation, live: Arc<Live>, mut wishes: Wishes) {
    let mut hands = Hands::holding(live.record.held(), live.record.texts());
    loop {
        let parting = match open(&upstream, generation, &live, &mut hands, &mut wishes).await {
            Ok(link) => forward(link, &live, &mut hands, &mut wishes).await,
            Err(text) => Parting::Broken(text),
        };
        match parting {
            Parting::Over => return,
            Parting::Resized => {}
            Parting::Broken(text) => {
                say(&live, &text);
                sleep(PAUSE).await;
            }
        }
    }
}

/// The message for one word, whose number the next incarnation then knows.
fn take(live: &Live, hands: &mut Hands, word: Word) -> Option<ToInput> {
    let message = match word {
        Word::Input(input) => hands.handle(input),
        Word::LetGo => hands.let_go(),
    };
    if let Some(ToInput::Text { number, .. }) = &message {
        live.record.set_texts(*number);
    }
    message
}

/// Opens a link; what the client sends meanwhile changes the held set only.
async fn open<U: Upstream>(
    upstream: &U,
    generation: Generation,
    live: &Live,
    hands: &mut Hands,
    wishes: &mut Wishes,
) -> Result<Pollable, String> {
    let spec = wishes.sizes.borrow_and_update().clone();
    let opened = upstream.open_seat(live.session, &spec);
    tokio::pin!(opened);
    let fd: OwnedFd = loop {
        tokio::select! {
            fd = &mut opened => break fd.map_err(|failure| failure.to_string())?,
            Some(word) = wishes.words.recv() => drop(take(live, hands, word)),
        }
    };
    let link = Link::start(fd, Stage::Transportd, generation, Stage::Inputd);
    let link = link.and_then(|link| link.send(&hands.held(), &[]).map(|()| link));
    failpoint::at(recover::SEAT_LINKED);
    link.map(Pollable).map_err(|error| error.to_string())
}

/// Passes inputs on until the link is of no use.
async fn forward(link: Pollable, live: &Live, hands: &mut Hands, wishes: &mut Wishes) -> Parting {
    #[allow(
        deprecated,
        reason = "its successor is an unsafe function, because an AsRawFd may lie; a Link's descriptor is its own for life"
    )]
    let mut link = match AsyncFd::new(link) {
        Ok(link) => link,
        Err(error) => return Parting::Broken(format!("the link to inputd cannot be polled: {error}")),
    };
    let mut owed = Owed::default();
    loop {
        let message = tokio::select! {
            word = wishes.words.recv() => match word {
                Some(word) => take(live, hands, word),
                None => return Parting::Over,
            },
            changed = wishes.sizes.changed() => {
                return if changed.is_ok() { Parting::Resized } else { Parting::Over };
            }
            () = sleep(PAUSE), if owed.0 => Some(hands.held()),
            ready = link.readable_mut() => match read(ready, live) {
                Ok(()) => None,
                Err(text) => return Parting::Broken(text),
            },
        };
        if let Some(message) = message
            && owed.deliver(&link.get_ref().0, &message, hands).is_err()
        {
            return Parting::Broken("waiting for inputd".into());
        }
    }
}

/// Takes what inputd says.
fn read(ready: io::Result<AsyncFdReadyMutGuard<'_, Pollable>>, live: &Live) -> Result<(), String> {
    let mut ready = ready.map_err(|error| format!("the link to inputd cannot be polled: {error}"))?;
    match ready.get_inner_mut().0.receive::<FromInput>() {
        Ok(Some(message)) => hear(live, message.message),
        Ok(None) => ready.clear_ready(),
        Err(_) => return Err("waiting for inputd".into()),
    }
    Ok(())
}

/// Whether there is a held set that inputd, which did not read, has not got yet. It goes before anything else, so that a
/// mouse that never rests does not keep a key down.
#[derive(Debug, Default)]
struct Owed(bool);

impl Owed {
    fn deliver(&mut self, link: &Link, message: &ToInput, hands: &Hands) -> Result<(), LinkError> {
        if self.0 && !matches!(message, ToInput::Held(_)) {
            self.send(link, &hands.held())?;
        }
        self.send(link, message)
    }

    fn send(&mut self, link: &Link, message: &ToInput) -> Result<(), LinkError> {
        let is_held = matches!(message, ToInput::Held(_));
        match link.send(message, &[]) {
            Ok(()) => self.0 &= !is_held,
            Err(LinkError::Full) => self.0 |= is_held,
            Err(error) => return Err(error),
        }
        Ok(())
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

    /// Sabotage: keep the set when the client goes.
    #[test]
    fn client_that_is_gone_holds_nothing() {
        let mut hands = Hands::default();
        assert_eq!(hands.let_go(), None);
        hands.handle(key(30, true));
        assert_eq!(hands.let_go(), held(&[]));
        assert_eq!(hands.handle(key(30, true)), held(&[30]));
    }

    #[test]
    fn texts_are_numbered_and_too_long_ones_left_out() {
        let mut hands = Hands::default();
        assert_eq!(hands.handle(Input::Text("x".repeat(MAX_TEXT + 1))), None);
        let text = "ü".to_owned();
        assert_eq!(hands.handle(Input::Text(text.clone())), Some(ToInput::Text { number: 1, text }));
    }

    /// Sabotage: number the texts of each incarnation from 0.
    #[test]
    fn texts_go_on_where_the_incarnation_before_was() {
        let mut hands = Hands::holding(ArrayVec::new(), 7);
        let text = "a".to_owned();
        assert_eq!(hands.handle(Input::Text(text.clone())), Some(ToInput::Text { number: 8, text }));
    }

    /// Sabotage: send the held set again only when nothing else is to be sent.
    #[test]
    fn a_held_set_that_did_not_fit_goes_before_the_mouse() {
        let (ours, theirs) = lumen_stage::link::pair().unwrap();
        let peer =
            std::thread::spawn(|| Link::start(theirs, Stage::Inputd, Generation(1), Stage::Transportd));
        let link = Link::start(ours, Stage::Transportd, Generation(1), Stage::Inputd).unwrap();
        let mut peer = peer.join().unwrap().unwrap();
        let motion = ToInput::Motion { dx: 1, dy: 0 };
        while link.send(&motion, &[]).is_ok() {}
        let (mut owed, mut hands) = (Owed::default(), Hands::default());
        let message = hands.handle(key(30, true)).unwrap();
        owed.deliver(&link, &message, &hands).unwrap();
        assert!(owed.0, "it did not fit");
        while peer.receive::<ToInput>().unwrap().is_some() {}
        owed.deliver(&link, &motion, &hands).unwrap();
        assert_eq!(peer.receive::<ToInput>().unwrap().map(|got| got.message), held(&[30]));
        assert!(!owed.0);
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

//! What a client's person does, turned into what inputd is told, and in which order that waits. Sans-IO.
//!
//! ```text
//!  Input ──► Hands: what is down now ──► waiting: Held, Motion, … ──► taken: what inputd knows to be down
//! ```
//! Of what waits nothing that counts is lost: motion and scrolling become one with what waits already, of the rest of the
//! samples none is kept once [`LIMIT`] wait, and of the held sets and fingers the newest then, which says all that went up. So a
//! key's way up is never lost; what can be is a tap of which neither end was told yet.
//!
//! While there is no link all of it waits as well, but for [`STALE`] at most: a restart of inputd costs no key, and nothing is
//! typed that a person did at a desktop of long ago.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use arrayvec::ArrayVec;
use lumen_core::control::Input;
use lumen_ipc::input::{MAX_HELD, MAX_TEXT, ToInput};

use super::{
    fingers::Fingers,
    merging::{absorb, is_state},
};

/// Messages that may wait for inputd: a second of a fast mouse.
const LIMIT: usize = 1024;

/// How long they may wait for a link. Because inputd is back in some 50 ms, or in a second after many deaths.
const STALE: Duration = Duration::from_millis(1500);

/// Keys and buttons that are down.
pub type Held = ArrayVec<u16, MAX_HELD>;

/// Which keys a client holds.
#[derive(Debug, Default)]
pub struct Hands {
    held: Held,
}

impl Hands {
    /// These codes are down.
    pub fn holding(held: Held) -> Self {
        Self { held }
    }

    /// What is down now.
    pub fn down(&self) -> Held {
        self.held.clone()
    }

    /// A key goes down or up; whether that is news. More keys than [`MAX_HELD`] are not held.
    pub fn hold(&mut self, code: u16, pressed: bool) -> bool {
        match (pressed, self.held.iter().position(|held| *held == code)) {
            (true, None) => self.held.try_push(code).is_ok(),
            (false, Some(place)) => {
                self.held.remove(place);
                true
            }
            _ => false,
        }
    }

    /// All that is down is `codes`; whether that is news.
    fn set(&mut self, codes: impl IntoIterator<Item = u16>) -> bool {
        let wanted: BTreeSet<u16> = codes.into_iter().take(MAX_HELD).collect();
        let is_news = wanted != self.held.iter().copied().collect();
        self.held = wanted.into_iter().collect();
        is_news
    }
}

/// What one session's inputd is to be told.
#[derive(Default)]
pub struct Backlog {
    hands: Hands,
    /// What is down once all that was taken is done: a fresh link begins with it.
    taken: Held,
    fingers: Fingers,
    /// Texts numbered so far.
    texts: u64,
    /// With the time at which it came, CLOCK_MONOTONIC ns.
    waiting: VecDeque<(u64, ToInput)>,
    dropped: u64,
}

/// How much there is, and nothing of what is typed.
impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backlog({} wait, {} dropped)", self.waiting.len(), self.dropped)
    }
}

impl Backlog {
    /// inputd knows that these codes are down, and was told so many texts already.
    pub fn holding(held: Held, texts: u64) -> Self {
        let (hands, fingers) = (Hands::holding(held.clone()), Fingers::unknown());
        Self { hands, fingers, taken: held, texts, ..Self::default() }
    }

    /// What the client holds.
    pub fn held(&self) -> Held {
        self.hands.down()
    }

    /// Number of the last text.
    pub fn texts(&self) -> u64 {
        self.texts
    }

    /// Samples and texts that were dropped because too many waited, or for too long.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The client's person did something.
    pub fn handle(&mut self, input: Input, now_ns: u64) {
        let message = match input {
            Input::Key { code, pressed } | Input::Button { code, pressed } => {
                match self.hands.hold(code, pressed) {
                    true => ToInput::Held(self.hands.down()),
                    false => return,
                }
            }
            Input::Held(codes) => match self.hands.set(codes) {
                true => ToInput::Held(self.hands.down()),
                false => return,
            },
            Input::Motion { dx, dy } => {
                ToInput::Motion { dx: dx.saturating_mul(256), dy: dy.saturating_mul(256) }
            }
            Input::MotionTo { x, y } => ToInput::Position { x, y },
            Input::Scroll { dx, dy } => ToInput::Scroll { dx, dy },
            Input::Text(text) => return self.text(&text, now_ns),
            Input::Fingers { down, cancels } => match self.fingers.set(&down, cancels) {
                Some(message) => message,
                None => return,
            },
        };
        self.push(message, now_ns);
    }

    /// The client is gone and holds nothing any more, after what it did before.
    pub fn let_go(&mut self, now_ns: u64) {
        self.handle(Input::Held(Vec::new()), now_ns);
        self.handle(Input::Fingers { down: Vec::new(), cancels: true }, now_ns);
    }

    /// The next message, which is then told, or put back.
    pub fn take(&mut self) -> Option<(u64, ToInput)> {
        let next = self.waiting.pop_front()?;
        match &next {
            (_, ToInput::Held(held)) => self.taken = held.clone(),
            (_, ToInput::Fingers { down, .. }) => self.fingers.take(down),
            _ => {}
        }
        Some(next)
    }

    /// The message taken last could not be told.
    pub fn put_back(&mut self, message: (u64, ToInput)) {
        self.waiting.push_front(message);
    }

    /// There is a fresh link; what it begins with, and then the fingers, which wait. Of what came before and was not told, keys
    /// and what is too old are gone into it, and keys that have gone up since: inputd let go of all of them when it died, and
    /// must not press them again.
    pub fn begin(&mut self, now_ns: u64) -> ToInput {
        let stale = u64::try_from(STALE.as_nanos()).unwrap_or(u64::MAX);
        while self.waiting.front().is_some_and(|(at_ns, _)| now_ns.saturating_sub(*at_ns) > stale) {
            if let Some((_, message)) = self.take() {
                self.dropped += u64::from(!is_state(&message));
            }
        }
        for code in self.taken.clone() {
            let lacks = |message: &ToInput| matches!(message, ToInput::Held(held) if !held.contains(&code));
            let Some(up) = self.waiting.iter().position(|(_, message)| lacks(message)) else { continue };
            self.taken.retain(|held| *held != code);
            for (_, message) in self.waiting.iter_mut().take(up) {
                if let ToInput::Held(held) = message {
                    held.retain(|held| *held != code);
                }
            }
        }
        if let Some(fingers) = self.fingers.begin(&mut self.waiting)
            && self.waiting.front().is_none_or(|(_, first)| *first != fingers)
        {
            self.waiting.push_front((now_ns, fingers));
        }
        ToInput::Held(self.taken.clone())
    }

    /// Text in pieces that a message holds, each of whole characters.
    fn text(&mut self, text: &str, now_ns: u64) {
        let mut rest = text;
        while !rest.is_empty() {
            let whole = |end: &usize| rest.is_char_boundary(*end);
            let end = (0..=MAX_TEXT.min(rest.len())).rev().find(whole).unwrap_or(rest.len());
            let (piece, left) = rest.split_at(end);
            rest = left;
            self.texts += 1;
            self.push(ToInput::Text { number: self.texts, text: piece.to_owned() }, now_ns);
        }
    }

    fn push(&mut self, message: ToInput, now_ns: u64) {
        if self.waiting.back_mut().is_some_and(|(_, last)| absorb(last, &message)) {
            return;
        }
        if self.waiting.len() >= LIMIT {
            self.thin_out(&message);
        }
        if self.waiting.len() < LIMIT || is_state(&message) {
            self.waiting.push_back((now_ns, message));
        } else {
            self.dropped += 1;
        }
    }

    /// Makes room: the samples go, and then what a newer state that follows takes the place of.
    fn thin_out(&mut self, next: &ToInput) {
        let before = self.waiting.len();
        self.waiting.retain(|(_, message)| is_state(message) || matches!(message, ToInput::Text { .. }));
        self.dropped += (before - self.waiting.len()) as u64;
        if self.waiting.len() >= LIMIT && is_state(next) {
            let kind = std::mem::discriminant(next);
            self.waiting.retain(|(_, message)| std::mem::discriminant(message) != kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: u16, pressed: bool) -> Input {
        Input::Key { code, pressed }
    }

    fn held(codes: &[u16]) -> ToInput {
        ToInput::Held(codes.iter().copied().collect())
    }

    fn rest(backlog: &mut Backlog) -> Vec<ToInput> {
        std::iter::from_fn(|| backlog.take()).map(|(_, message)| message).collect()
    }

    fn told(inputs: impl IntoIterator<Item = Input>) -> Vec<ToInput> {
        let mut backlog = Backlog::default();
        inputs.into_iter().for_each(|input| backlog.handle(input, 0));
        rest(&mut backlog)
    }

    /// Sabotage: pass key events on instead of the set, or say again what is so.
    #[test]
    fn keys_and_buttons_become_the_set_that_is_down() {
        let button = Input::Button { code: 272, pressed: true };
        let inputs = [key(30, true), key(30, true), button, key(30, false), key(30, false)];
        assert_eq!(told(inputs), [held(&[30]), held(&[30, 272]), held(&[272])]);
        let all = Input::Held(vec![272, 30, 30]);
        assert_eq!(told([key(30, true), all.clone(), all]), [held(&[30]), held(&[30, 272])]);
    }

    /// Sabotage: keep the set when the client goes.
    #[test]
    fn client_that_is_gone_holds_nothing() {
        let mut backlog = Backlog::default();
        backlog.let_go(0);
        backlog.handle(key(30, true), 0);
        backlog.let_go(0);
        backlog.handle(key(31, true), 0);
        assert_eq!(rest(&mut backlog), [held(&[30]), held(&[]), held(&[31])]);
    }

    /// Sabotage: leave long texts out, cut inside a character, or number the texts of each incarnation from 0.
    #[test]
    fn texts_are_cut_into_numbered_pieces_of_whole_characters() {
        let text = "x".to_owned() + &"ü€😀".repeat(100);
        let mut backlog = Backlog::holding(Held::new(), 7);
        backlog.handle(Input::Text(text.clone()), 0);
        let mut joined = String::new();
        for (message, expected) in rest(&mut backlog).into_iter().zip(8..) {
            let ToInput::Text { number, text } = message else { panic!("{message:?}") };
            assert!(number == expected && text.len() <= MAX_TEXT);
            joined += &text;
        }
        assert_eq!((joined, backlog.texts()), (text, 11));
        assert_eq!(told([Input::Text(String::new())]), []);
    }

    /// Sabotage: drop what does not fit, whatever it is; a key then stays down.
    #[test]
    fn way_up_is_never_lost_and_motion_goes_first() {
        let mut backlog = Backlog::default();
        backlog.handle(key(30, true), 0);
        for n in 0..LIMIT {
            backlog.handle(Input::MotionTo { x: n as u16, y: 0 }, 0);
            backlog.handle(Input::Scroll { dx: 1, dy: 0 }, 0);
            backlog.handle(Input::Text("a".into()), 0);
        }
        assert!(backlog.waiting.len() <= LIMIT && backlog.dropped() > 0, "{backlog:?}");
        for n in 0..4 * LIMIT {
            backlog.handle(key(31, n % 2 == 0), 0);
            assert!(backlog.waiting.len() <= LIMIT + 1, "{backlog:?}");
        }
        backlog.handle(key(30, false), 0);
        let messages = rest(&mut backlog);
        let last = messages.iter().rfind(|message| matches!(message, ToInput::Held(_)));
        assert_eq!(last, Some(&held(&[])));
        assert!(
            messages.iter().any(|message| matches!(message, ToInput::Text { .. })),
            "texts go after motion"
        );
    }

    /// Sabotage: keep each motion by itself; a mouse of 8,000 Hz fills the queue.
    #[test]
    fn motion_is_added_up_while_it_waits_and_never_across_a_key() {
        let motion = |dx, dy| Input::Motion { dx, dy };
        let inputs = [motion(1, 2), motion(3, -5), key(272, true), motion(1, 1)];
        let waits =
            [ToInput::Motion { dx: 1024, dy: -768 }, held(&[272]), ToInput::Motion { dx: 256, dy: 256 }];
        assert_eq!(told(inputs), waits);
    }

    /// Sabotage: begin a link with what is held in the end, or forget what waited.
    #[test]
    fn fresh_link_begins_where_the_last_one_was_and_goes_on_with_what_waited() {
        let mut backlog = Backlog::default();
        backlog.handle(key(42, true), 0);
        assert!(backlog.take().is_some());
        backlog.handle(key(30, true), 1_000_000);
        backlog.handle(key(30, false), 2_000_000);
        backlog.handle(Input::Text("a".into()), 3_000_000);
        assert_eq!(backlog.begin(50_000_000), held(&[42]));
        let text = ToInput::Text { number: 1, text: "a".into() };
        assert_eq!(rest(&mut backlog), [held(&[42, 30]), held(&[42]), text]);
    }

    /// Sabotage: begin a link with what was told last, whatever has gone up since.
    #[test]
    fn key_that_went_up_meanwhile_is_not_pressed_again() {
        let mut backlog = Backlog::default();
        backlog.handle(key(30, true), 0);
        assert!(backlog.take().is_some());
        backlog.handle(key(42, true), 1_000_000);
        backlog.handle(key(30, false), 2_000_000);
        backlog.handle(Input::Text("a".into()), 2_000_000);
        backlog.handle(key(30, true), 3_000_000);
        assert_eq!(backlog.begin(50_000_000), held(&[]));
        let text = ToInput::Text { number: 1, text: "a".into() };
        assert_eq!(rest(&mut backlog), [held(&[42]), held(&[42]), text, held(&[42, 30])]);
    }

    /// Sabotage: keep what waits however old it is.
    #[test]
    fn nothing_is_typed_of_long_ago_and_what_is_held_is() {
        let mut backlog = Backlog::default();
        backlog.handle(key(30, true), 0);
        backlog.handle(Input::Text("a".into()), 0);
        backlog.handle(key(30, false), 0);
        backlog.handle(key(31, true), 0);
        let late = u64::try_from(STALE.as_nanos()).unwrap() + 1;
        backlog.handle(Input::Scroll { dx: 0, dy: 1 }, late);
        assert_eq!(backlog.begin(late), held(&[31]));
        assert_eq!(rest(&mut backlog), [ToInput::Scroll { dx: 0, dy: 1 }]);
        assert_eq!(backlog.dropped(), 1);
    }

    #[test]
    fn more_keys_than_fit_are_not_held() {
        let mut hands = Hands::default();
        assert!((0..MAX_HELD as u16).all(|code| hands.hold(code, true)));
        assert!(!hands.hold(999, true));
        assert!(!hands.set(0..100), "the first of them are down");
        assert_eq!(hands.down().len(), MAX_HELD);
    }

    /// Sabotage: derive Debug.
    #[test]
    fn what_is_typed_is_not_shown() {
        let mut backlog = Backlog::default();
        backlog.handle(Input::Text("horse".into()), 0);
        assert!(!format!("{backlog:?}").contains("horse"));
    }
}

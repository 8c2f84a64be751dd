//! From messages to events, without a kernel.
//!
//! The held set and the fingers are State: whatever was lost, the next one makes it right, because only the difference is
//! played. Nothing is played for a set that says what is so already, so a lone modifier is never tapped.
//!
//! More than [`EVENTS_PER_SECOND`] wait, and what waits becomes one: motion and scrolling are added up, texts are joined, of
//! positions the newest counts, and of held sets the newest once [`QUEUE`] events wait. So a flood costs its own session time and
//! nobody memory, and what is held in the end is what the client holds.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use lumen_ipc::input::{Finger, ToInput};

use crate::{
    event::Event,
    fingers::{Fingers, Touch},
    quota::Quota,
};

/// Events a second that a session may play. Because the fastest hands and a mouse of 1,000 Hz stay below it, and a compositor
/// wakes a program for each of them.
pub const EVENTS_PER_SECOND: u32 = 2000;

/// Events at once after a rest: all keys of a full held set go down and up.
const BURST: u32 = 100;

/// Bytes of text a second that a session may type, and at once after a rest. Because nobody speaks faster, and each byte is
/// two events for the program that reads it.
pub const TEXT_BYTES_PER_SECOND: u32 = 4096;

/// Events that wait before held sets are skipped.
const QUEUE: usize = 256;

/// What one session holds down, and what is to be played.
#[derive(Debug)]
pub struct Hands {
    /// What is held once all that waits is played.
    held: BTreeSet<u16>,
    /// The newest held set, while more waits than it may be added to.
    skipped: Option<BTreeSet<u16>>,
    fingers: Fingers,
    /// The newest fingers, likewise.
    skipped_fingers: Option<Touching>,
    last_text: u64,
    losses: Losses,
    events: VecDeque<Event>,
    event_quota: Quota,
    text_quota: Quota,
}

impl Default for Hands {
    fn default() -> Self {
        Self {
            held: BTreeSet::new(),
            skipped: None,
            fingers: Fingers::default(),
            skipped_fingers: None,
            last_text: 0,
            losses: Losses::default(),
            events: VecDeque::new(),
            event_quota: Quota::new(EVENTS_PER_SECOND, BURST),
            text_quota: Quota::new(TEXT_BYTES_PER_SECOND, TEXT_BYTES_PER_SECOND),
        }
    }
}

/// Fingers that are down, and whether those that are not among them were none after all.
type Touching = (Vec<Finger>, bool);

/// What was not passed on as it came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Losses {
    /// Texts that never came, seen by the gaps between the numbers of those that did.
    pub texts: u64,
    /// Texts that were not typed because there were too many.
    pub texts_over_quota: u64,
    /// Events that became one with another one.
    pub coalesced: u64,
    /// Fingers that were down on an Output of before.
    pub fingers: u64,
}

impl Hands {
    /// transportd says something.
    pub fn handle_message(&mut self, message: ToInput, now_ns: u64) {
        match message {
            ToInput::Held(held) => self.wish(held.into_iter().collect()),
            ToInput::Motion { dx, dy } => self.push(Event::Motion { dx, dy }),
            ToInput::Position { x, y } => self.push(Event::Position { x, y }),
            ToInput::Scroll { dx, dy } => self.push(Event::Scroll { dx, dy }),
            ToInput::Text { number, text } => self.text(number, text, now_ns),
            ToInput::Fingers { down, cancels, again } => {
                if again {
                    self.losses.fingers += self.fingers.lose_unknown(&down);
                }
                self.touch((down.to_vec(), cancels));
            }
        }
    }

    /// There is a fresh Output, on which nothing is held: what waits is of the older one and thrown away, and what the
    /// client holds goes down; fingers do not, until they come down anew.
    pub fn handle_output(&mut self) {
        let wished = self.skipped.take().unwrap_or_else(|| std::mem::take(&mut self.held));
        self.held.clear();
        self.events.clear();
        self.converge(wished);
        if let Some((down, cancels)) = self.skipped_fingers.take() {
            self.fingers.converge(down, cancels);
        }
        self.losses.fingers += self.fingers.lose_all();
    }

    /// The session is over: everything goes up, and nothing else happens any more.
    pub fn handle_end(&mut self) {
        (self.skipped, self.skipped_fingers) = (None, None);
        // What waits to go down never does, so that its release below is the last of it.
        let is_up = |event: &Event| {
            matches!(event, Event::Release(_) | Event::Touch(Touch::Up(_) | Touch::Cancel(_)))
        };
        self.events.retain(is_up);
        self.converge(BTreeSet::new());
        self.touch((Vec::new(), true));
        self.event_quota = Quota::new(EVENTS_PER_SECOND, u32::MAX);
    }

    /// The next event to play, if it may be played now.
    pub fn poll_event(&mut self, now_ns: u64) -> Option<Event> {
        if self.events.len() < QUEUE
            && let Some(wished) = self.skipped.take()
        {
            self.converge(wished);
        }
        if self.events.len() < QUEUE
            && let Some(touching) = self.skipped_fingers.take()
        {
            self.touch(touching);
        }
        if self.events.is_empty() || !self.event_quota.take(1, now_ns) {
            return None;
        }
        self.events.pop_front()
    }

    /// Time until [`poll_event`](Self::poll_event) has something; `None` if nothing waits.
    pub fn poll_timeout(&self, now_ns: u64) -> Option<Duration> {
        (!self.events.is_empty()).then(|| self.event_quota.left(now_ns))
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    fn wish(&mut self, wished: BTreeSet<u16>) {
        if self.events.len() < QUEUE {
            self.skipped = None;
            self.converge(wished);
        } else {
            self.losses.coalesced += u64::from(self.skipped.replace(wished).is_some());
        }
    }

    fn touch(&mut self, (down, cancels): Touching) {
        if self.events.len() >= QUEUE {
            let skipped = self.skipped_fingers.replace((down, cancels));
            self.losses.coalesced += u64::from(skipped.is_some());
            return;
        }
        self.skipped_fingers = None;
        for touch in self.fingers.converge(down, cancels) {
            match touch {
                Touch::Move(_) => self.push(Event::Touch(touch)),
                _ => self.events.push_back(Event::Touch(touch)),
            }
        }
    }

    /// Releases come first, so that Ctrl of the last shortcut never colours the next key. Modifiers go down before other keys
    /// and up after them, because a set does not tell in which order a person pressed them.
    fn converge(&mut self, wished: BTreeSet<u16>) {
        let (modifiers, keys): (Vec<u16>, Vec<u16>) =
            self.held.difference(&wished).copied().partition(is_modifier);
        self.events.extend(keys.into_iter().chain(modifiers).map(Event::Release));
        let (modifiers, keys): (Vec<u16>, Vec<u16>) =
            wished.difference(&self.held).copied().partition(is_modifier);
        self.events.extend(modifiers.into_iter().chain(keys).map(Event::Press));
        self.held = wished;
    }

    /// Appends an event, or makes it one with the last that waits; with any of its kind once too many wait.
    fn push(&mut self, event: Event) {
        // Fingers move at once: what waits of one is among the moves of the others.
        let moves = self.events.iter().rev().take_while(|waiting| waiting.is_move()).count();
        let reach = if self.events.len() < QUEUE { moves.max(1) } else { self.events.len() };
        let merged = self.events.iter_mut().rev().take(reach).any(|waiting| waiting.absorb(&event));
        if merged {
            self.losses.coalesced += 1;
        } else {
            self.events.push_back(event);
        }
    }

    /// A text is typed once: one whose number does not rise was typed already. Numbers start at 1.
    fn text(&mut self, number: u64, text: String, now_ns: u64) {
        if number <= self.last_text {
            return;
        }
        self.losses.texts += number - self.last_text - 1;
        self.last_text = number;
        if self.text_quota.take(text.len() as u64, now_ns) {
            self.push(Event::Text(text));
        } else {
            self.losses.texts_over_quota += 1;
        }
    }
}

/// Control, Shift, Alt and Meta of both sides, by evdev's codes.
fn is_modifier(code: &u16) -> bool {
    matches!(*code, 29 | 42 | 54 | 56 | 97 | 100 | 125 | 126)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(codes: &[u16]) -> ToInput {
        ToInput::Held(codes.iter().copied().collect())
    }

    fn play(hands: &mut Hands, messages: impl IntoIterator<Item = ToInput>) -> Vec<Event> {
        messages.into_iter().for_each(|message| hands.handle_message(message, 0));
        std::iter::from_fn(|| hands.poll_event(0)).collect()
    }

    /// Sabotage: play every code of a held set instead of the difference.
    #[test]
    fn only_the_difference_is_played() {
        let mut hands = Hands::default();
        assert_eq!(play(&mut hands, [held(&[29])]), [Event::Press(29)]);
        assert_eq!(play(&mut hands, [held(&[29]), held(&[29])]), []);
        assert_eq!(play(&mut hands, [held(&[29, 46])]), [Event::Press(46)]);
        assert_eq!(
            play(&mut hands, [held(&[30])]),
            [Event::Release(46), Event::Release(29), Event::Press(30)]
        );
    }

    #[test]
    fn lost_key_up_is_mended_by_the_next_set() {
        let mut hands = Hands::default();
        let lost_one = [held(&[30]), held(&[30, 31]), /* lost: held(&[31]), */ held(&[])];
        let events = play(&mut hands, lost_one);
        assert_eq!(events, [Event::Press(30), Event::Press(31), Event::Release(30), Event::Release(31)]);
    }

    #[test]
    fn end_of_the_session_leaves_nothing_held() {
        let mut hands = Hands::default();
        play(&mut hands, [held(&[30, 272])]);
        hands.handle_end();
        let events: Vec<_> = std::iter::from_fn(|| hands.poll_event(0)).collect();
        assert_eq!(events, [Event::Release(30), Event::Release(272)]);
    }

    /// Sabotage: count or type a text whose number came before.
    #[test]
    fn text_is_typed_once_and_lost_ones_are_counted() {
        let mut hands = Hands::default();
        let text = |number| ToInput::Text { number, text: number.to_string() };
        let events = play(&mut hands, [text(1), text(1), held(&[30]), text(4), text(3), text(5)]);
        assert_eq!(events, [Event::Text("1".into()), Event::Press(30), Event::Text("45".into())]);
        assert_eq!((hands.take_losses().texts, hands.take_losses().texts), (2, 0));
    }

    /// Sabotage: press in the order of the codes; Shift and A is then an "a".
    #[test]
    fn modifiers_go_down_first_and_up_last() {
        let mut hands = Hands::default();
        let down = play(&mut hands, [held(&[30, 42])]);
        assert_eq!(down, [Event::Press(42), Event::Press(30)]);
        assert_eq!(play(&mut hands, [held(&[])]), [Event::Release(30), Event::Release(42)]);
    }

    /// Sabotage: leave the held set as it is when a fresh Output comes.
    #[test]
    fn fresh_output_gets_what_is_held_and_nothing_of_the_past() {
        let mut hands = Hands::default();
        play(&mut hands, [held(&[30, 42])]);
        hands.handle_message(ToInput::Motion { dx: 1, dy: 1 }, 0);
        hands.handle_output();
        assert_eq!(play(&mut hands, []), [Event::Press(42), Event::Press(30)]);
    }

    /// Sabotage: drop motion over the quota, or play it without one.
    #[test]
    fn fast_mouse_is_added_up_and_a_key_goes_after_what_came_before_it() {
        let mut hands = Hands::default();
        let (mut events, mut sum) = (0, 0);
        for n in 0..8000 {
            let now_ns = n * 125_000;
            hands.handle_message(ToInput::Motion { dx: 256, dy: 0 }, now_ns);
            if let Some(Event::Motion { dx, .. }) = hands.poll_event(now_ns) {
                (events, sum) = (events + 1, sum + dx / 256);
            }
        }
        hands.handle_message(held(&[272]), 1_000_000_000);
        let late: Vec<_> = std::iter::from_fn(|| hands.poll_event(2_000_000_000)).collect();
        let Some((Event::Press(272), rest)) = late.split_last() else { panic!("{late:?}") };
        let rest = rest.iter().map(|event| if let Event::Motion { dx, .. } = event { dx / 256 } else { 0 });
        assert_eq!(sum + rest.sum::<i32>(), 8000, "no way is lost");
        assert!((1900..=2101).contains(&events), "{events} events in a second");
    }

    /// Sabotage: queue each held set whatever waits.
    #[test]
    fn flood_of_held_sets_is_bounded_and_ends_where_the_client_is() {
        let mut hands = Hands::default();
        for n in 0..100_000 {
            hands.handle_message(if n % 2 == 0 { held(&[30, 31]) } else { held(&[]) }, 0);
            assert!(hands.events.len() < 2 * QUEUE);
        }
        hands.handle_message(held(&[57]), 0);
        let mut down = BTreeSet::new();
        for n in 1..100 {
            while let Some(event) = hands.poll_event(n * 100_000_000) {
                match event {
                    Event::Press(code) => assert!(down.insert(code), "{code} went down twice"),
                    Event::Release(code) => assert!(down.remove(&code), "{code} went up twice"),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(down, [57].into());
    }

    #[test]
    fn text_over_the_quota_is_counted_and_the_rate_is_kept() {
        let mut hands = Hands::default();
        for number in 1..=100 {
            hands.handle_message(ToInput::Text { number, text: "x".repeat(256) }, 0);
        }
        let bytes = |hands: &Hands| -> usize {
            let texts =
                hands.events.iter().map(|event| if let Event::Text(text) = event { text.len() } else { 0 });
            texts.sum()
        };
        assert_eq!((hands.events.len(), bytes(&hands)), (4, 4096));
        assert_eq!(hands.take_losses(), Losses { texts_over_quota: 84, coalesced: 12, ..Losses::default() });
        hands.handle_message(ToInput::Text { number: 101, text: "x".repeat(256) }, 62_500_000);
        assert_eq!(bytes(&hands), 4096 + 256);
    }
}

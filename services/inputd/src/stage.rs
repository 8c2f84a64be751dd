//! From messages to events, without a kernel.
//!
//! The held set is State: whatever was lost, the next one makes it right, because only the difference is played.
//! Nothing is played for a set that says what is so already, so a lone modifier is never tapped.

use std::collections::{BTreeSet, VecDeque};

use lumen_ipc::input::ToInput;

/// One thing that happens at a Seat. Keys and buttons are Linux evdev codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key or button goes down.
    Press(u16),
    /// A key or button goes up.
    Release(u16),
    /// The pointer moves by pixels × 256.
    Motion {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// The pointer is at 1/65,535 of the Output.
    Position {
        /// From the left edge.
        x: u16,
        /// From the top edge.
        y: u16,
    },
    /// Scrolling in 1/120 of a wheel click.
    Scroll {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// Text is typed.
    Text(String),
}

/// What one session holds down, and what is to be played.
#[derive(Debug, Default)]
pub struct Hands {
    held: BTreeSet<u16>,
    last_text: u64,
    lost_texts: u64,
    events: VecDeque<Event>,
}

impl Hands {
    /// transportd says something.
    pub fn handle_message(&mut self, message: ToInput) {
        match message {
            ToInput::Held(held) => self.converge(held.into_iter().collect()),
            ToInput::Motion { dx, dy } => self.events.push_back(Event::Motion { dx, dy }),
            ToInput::Position { x, y } => self.events.push_back(Event::Position { x, y }),
            ToInput::Scroll { dx, dy } => self.events.push_back(Event::Scroll { dx, dy }),
            ToInput::Text { number, text } => self.text(number, text),
        }
    }

    /// The session is over: everything goes up.
    pub fn handle_end(&mut self) {
        self.converge(BTreeSet::new());
    }

    /// The next event to play.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Texts that never came since the last call, seen by the gaps between the numbers of those that did.
    pub fn take_lost_texts(&mut self) -> u64 {
        std::mem::take(&mut self.lost_texts)
    }

    /// Releases come first, so that Ctrl of the last shortcut never colours the next key.
    fn converge(&mut self, wished: BTreeSet<u16>) {
        self.events.extend(self.held.difference(&wished).copied().map(Event::Release));
        self.events.extend(wished.difference(&self.held).copied().map(Event::Press));
        self.held = wished;
    }

    /// A text is typed once: one whose number does not rise was typed already. Numbers start at 1.
    fn text(&mut self, number: u64, text: String) {
        if number <= self.last_text {
            return;
        }
        self.lost_texts += number - self.last_text - 1;
        self.last_text = number;
        self.events.push_back(Event::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(codes: &[u16]) -> ToInput {
        ToInput::Held(codes.iter().copied().collect())
    }

    fn play(hands: &mut Hands, messages: impl IntoIterator<Item = ToInput>) -> Vec<Event> {
        messages.into_iter().for_each(|message| hands.handle_message(message));
        std::iter::from_fn(|| hands.poll_event()).collect()
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
            [Event::Release(29), Event::Release(46), Event::Press(30)]
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
        let events: Vec<_> = std::iter::from_fn(|| hands.poll_event()).collect();
        assert_eq!(events, [Event::Release(30), Event::Release(272)]);
    }

    /// Sabotage: count or type a text whose number came before.
    #[test]
    fn text_is_typed_once_and_lost_ones_are_counted() {
        let mut hands = Hands::default();
        let text = |number| ToInput::Text { number, text: number.to_string() };
        let events = play(&mut hands, [text(1), text(1), text(4), text(3)]);
        assert_eq!(events, [Event::Text("1".into()), Event::Text("4".into())]);
        assert_eq!((hands.take_lost_texts(), hands.take_lost_texts()), (2, 0));
    }
}

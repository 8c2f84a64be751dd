//! Which messages for inputd become one while they wait. Sans-IO.

use lumen_ipc::input::ToInput;

use super::fingers;

/// What the newest of its kind says whole.
pub fn is_state(message: &ToInput) -> bool {
    matches!(message, ToInput::Held(_) | ToInput::Fingers { .. })
}

/// Takes `next` into `last` if both can be one; whether they could.
pub fn absorb(last: &mut ToInput, next: &ToInput) -> bool {
    match (last, next) {
        (ToInput::Motion { dx, dy }, ToInput::Motion { dx: more_x, dy: more_y })
        | (ToInput::Scroll { dx, dy }, ToInput::Scroll { dx: more_x, dy: more_y }) => {
            (*dx, *dy) = (dx.saturating_add(*more_x), dy.saturating_add(*more_y));
        }
        (ToInput::Position { x, y }, ToInput::Position { x: new_x, y: new_y }) => (*x, *y) = (*new_x, *new_y),
        (ToInput::Fingers { down, .. }, ToInput::Fingers { down: newer, .. }) => {
            return fingers::absorb(down, newer);
        }
        _ => return false,
    }
    true
}

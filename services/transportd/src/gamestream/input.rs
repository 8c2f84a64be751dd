//! What a person does at a Moonlight client, in the words of lumen's seats.

use arrayvec::ArrayVec;
use lumen_core::control::Input;
use lumen_gamestream::input::{Button, Event, Key};
use lumen_ipc::input::BY_MEANING;

use super::keys::evdev;

/// Linux' codes of pointer buttons.
const LEFT: u16 = 0x110;
const RIGHT: u16 = 0x111;
const MIDDLE: u16 = 0x112;
const BACK: u16 = 0x113;
const FORWARD: u16 = 0x114;

/// Linux' codes of Shift, Ctrl and Alt, left and right.
const MODIFIERS: [[u16; 2]; 3] = [[42, 54], [29, 97], [56, 100]];

/// What is printed on no keyboard of the US and has a code of Windows nevertheless, `KEY_RO`.
const RO: u16 = 89;

/// The key beside the left Shift.
const BESIDE_SHIFT: u16 = 86;

/// Most inputs that one event is: three modifiers before and after a key.
const MOST: usize = 2 * MODIFIERS.len() + 1;

/// The inputs that an event is while `held` is down; none for what a seat cannot be told: pens, Pads, and keys that Linux has
/// not; and none for fingers, which [`Touches`](super::touches::Touches) tells of.
pub fn translate(event: &Event, held: &[u16]) -> ArrayVec<Input, MOST> {
    let mut inputs = ArrayVec::new();
    match event {
        Event::Motion { dx, dy } => inputs.push(Input::Motion { dx: (*dx).into(), dy: (*dy).into() }),
        Event::Position { x, y } => inputs.push(Input::MotionTo { x: *x, y: *y }),
        Event::Button { button, pressed } => {
            inputs.push(Input::Button { code: button_code(*button), pressed: *pressed });
        }
        // Clients count upwards, seats downwards.
        Event::Scroll { dx, dy } => inputs.push(Input::Scroll { dx: (*dx).into(), dy: -i32::from(*dy) }),
        Event::Key(key) => stroke(key, held, &mut inputs),
        Event::Text(text) => inputs.push(Input::Text(text.as_str().to_owned())),
        Event::Touch(_)
        | Event::Pen(_)
        | Event::EnableHaptics
        | Event::Pad(_)
        | Event::PadArrival(_)
        | Event::PadTouch(_)
        | Event::PadMotion(_)
        | Event::PadBattery { .. } => {}
    }
    inputs
}

/// A key, with the modifiers around it that the client says are down and never pressed: on-screen keyboards do so.
fn stroke(key: &Key, held: &[u16], inputs: &mut ArrayVec<Input, MOST>) {
    let Some(code) = code(key, held) else { return };
    let is_modifier = MODIFIERS.iter().flatten().any(|modifier| *modifier == code);
    let is_news = key.pressed && !held.contains(&code);
    let said = [key.shift, key.ctrl, key.alt];
    let borrowed = MODIFIERS.iter().zip(said).filter(|(sides, said)| {
        *said && is_news && !is_modifier && !sides.iter().any(|side| held.contains(side))
    });
    let borrowed: ArrayVec<u16, 3> = borrowed.map(|([left, _], _)| *left).collect();
    inputs.extend(borrowed.iter().map(|code| Input::Key { code: *code, pressed: true }));
    inputs.push(Input::Key { code, pressed: key.pressed });
    inputs.extend(borrowed.iter().rev().map(|code| Input::Key { code: *code, pressed: false }));
}

/// Linux' code of a key. It goes up, and is pressed again, by the code by which it went down, whatever the client then says
/// of its place.
fn code(key: &Key, held: &[u16]) -> Option<u16> {
    let place = evdev(key.code)?;
    let meant = match place {
        // By its meaning no key of the US is meant.
        BESIDE_SHIFT => RO,
        _ if prints(key.code) => place | BY_MEANING,
        _ => place,
    };
    let (said, other) = if key.by_place { (place, meant) } else { (meant, place) };
    let is_other = !held.contains(&said) && held.contains(&other);
    Some(if is_other { other } else { said })
}

/// Whether Windows names the key by what it types: digits, letters, and what is beside them.
fn prints(code: u8) -> bool {
    matches!(code, b'0'..=b'9' | b'A'..=b'Z' | 0xba..=0xc0 | 0xdb..=0xde)
}

fn button_code(button: Button) -> u16 {
    match button {
        Button::Left => LEFT,
        Button::Middle => MIDDLE,
        Button::Right => RIGHT,
        Button::Back => BACK,
        Button::Forward => FORWARD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key =
        Key { code: b'A', pressed: true, shift: false, ctrl: false, alt: false, meta: false, by_place: true };
    const UP: Key = Key { pressed: false, ..A };

    fn alone(event: &Event) -> Option<Input> {
        let mut inputs = translate(event, &[]);
        inputs.pop().filter(|_| inputs.is_empty())
    }

    /// Codes that go down (positive) or up.
    fn strokes(key: Key, held: &[u16]) -> Vec<i32> {
        let inputs = translate(&Event::Key(key), held);
        let strokes = inputs.into_iter().map(|input| match input {
            Input::Key { code, pressed } => {
                if pressed {
                    i32::from(code)
                } else {
                    -i32::from(code)
                }
            }
            other => panic!("{other:?}"),
        });
        strokes.collect()
    }

    /// Sabotage: pass the wheel on as it comes, or take the buttons in the client's order.
    #[test]
    fn mouse_and_keys_are_what_linux_calls_them() {
        assert_eq!(alone(&Event::Scroll { dx: 3, dy: 120 }), Some(Input::Scroll { dx: 3, dy: -120 }));
        let press = |button| alone(&Event::Button { button, pressed: true });
        assert_eq!(press(Button::Right), Some(Input::Button { code: 273, pressed: true }));
        assert_eq!(press(Button::Middle), Some(Input::Button { code: 274, pressed: true }));
        assert_eq!(press(Button::Back), Some(Input::Button { code: 275, pressed: true }));
        assert_eq!(alone(&Event::Motion { dx: -1, dy: 2 }), Some(Input::Motion { dx: -1, dy: 2 }));
        assert_eq!(translate(&Event::EnableHaptics, &[]).len(), 0);
    }

    /// Sabotage: do not look at the modifiers that a key says, press one that is down, or let go of one that the client holds.
    #[test]
    fn modifier_that_was_never_pressed_is_down_for_the_press() {
        let shifted = Key { shift: true, ..A };
        assert_eq!(strokes(shifted, &[]), [42, 30, -42]);
        assert_eq!(strokes(Key { ctrl: true, alt: true, ..shifted }, &[54]), [29, 56, 30, -56, -29]);
        assert_eq!(strokes(shifted, &[54]), [30]);
        assert_eq!(strokes(shifted, &[30]), [30], "it repeats");
        assert_eq!(strokes(Key { shift: true, ..UP }, &[30]), [-30]);
        assert_eq!(strokes(Key { code: 0xa0, ..shifted }, &[]), [42], "Shift itself");
        assert_eq!(strokes(Key { meta: true, ..A }, &[]), [30]);
    }

    /// Sabotage: take every code for a place, or let a key go up by another code than that by which it went down.
    #[test]
    fn key_that_is_not_by_its_place_is_by_its_meaning() {
        let meant = i32::from(BY_MEANING | 30);
        assert_eq!(strokes(Key { by_place: false, ..A }, &[]), [meant]);
        assert_eq!(strokes(UP, &[BY_MEANING | 30]), [-meant]);
        assert_eq!(strokes(Key { by_place: false, ..UP }, &[30]), [-30]);
        assert_eq!(strokes(Key { by_place: false, ..A }, &[30]), [30], "it is down already");
        assert_eq!(strokes(Key { by_place: false, code: 0x0d, ..A }, &[]), [28]);
        assert_eq!(strokes(Key { by_place: false, code: 0xe2, ..A }, &[]), [i32::from(RO)]);
        assert_eq!(strokes(Key { code: 0x0c, ..A }, &[]).len(), 1);
        assert_eq!(strokes(Key { code: 0x88, ..A }, &[]).len(), 0);
    }
}

//! What a person does at a Moonlight client, in the words of lumen's seats.

use lumen_core::control::Input;
use lumen_gamestream::input::{Button, Event};

use super::keys::evdev;

/// Linux' codes of pointer buttons.
const LEFT: u16 = 0x110;
const RIGHT: u16 = 0x111;
const MIDDLE: u16 = 0x112;
const BACK: u16 = 0x113;
const FORWARD: u16 = 0x114;

/// The input that an event is; `None` for what a seat cannot be told: touch, pens, Pads, and keys that Linux has not.
pub fn translate(event: &Event) -> Option<Input> {
    Some(match event {
        Event::Motion { dx, dy } => Input::Motion { dx: (*dx).into(), dy: (*dy).into() },
        Event::Position { x, y } => Input::MotionTo { x: *x, y: *y },
        Event::Button { button, pressed } => Input::Button { code: button_code(*button), pressed: *pressed },
        // Clients count upwards, seats downwards.
        Event::Scroll { dx, dy } => Input::Scroll { dx: (*dx).into(), dy: -i32::from(*dy) },
        Event::Key(key) => Input::Key { code: evdev(key.code)?, pressed: key.pressed },
        Event::Text(text) => Input::Text(text.as_str().to_owned()),
        Event::Touch(_)
        | Event::Pen(_)
        | Event::EnableHaptics
        | Event::Pad(_)
        | Event::PadArrival(_)
        | Event::PadTouch(_)
        | Event::PadMotion(_)
        | Event::PadBattery { .. } => return None,
    })
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

    /// Sabotage: pass the wheel on as it comes, or take the buttons in the client's order.
    #[test]
    fn mouse_and_keys_are_what_linux_calls_them() {
        assert_eq!(translate(&Event::Scroll { dx: 3, dy: 120 }), Some(Input::Scroll { dx: 3, dy: -120 }));
        let press = |button| translate(&Event::Button { button, pressed: true });
        assert_eq!(press(Button::Right), Some(Input::Button { code: 273, pressed: true }));
        assert_eq!(press(Button::Middle), Some(Input::Button { code: 274, pressed: true }));
        assert_eq!(press(Button::Back), Some(Input::Button { code: 275, pressed: true }));
        assert_eq!(translate(&Event::Motion { dx: -1, dy: 2 }), Some(Input::Motion { dx: -1, dy: 2 }));
        assert_eq!(translate(&Event::EnableHaptics), None);
    }
}

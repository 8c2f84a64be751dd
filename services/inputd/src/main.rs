//! lumen's input stage: makes the client's keyboard, mouse, touch, pen and gamepads real

fn main() {}

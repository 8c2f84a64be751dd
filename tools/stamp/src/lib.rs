//! A picture that says which picture it is: every frame is a pure function of one 32-bit number.
//!
//! A program that streams a screen is judged by what arrives. [`render()`] draws frame *n*, [`read()`] finds *n* in a
//! decoded picture or says that it cannot, and [`Reference`] draws the same frame again so that what arrived is
//! compared with what was shown, and not with a recording of it.
//!
//! A frame is at least 320x180 and holds, see [`Layout`]: the number in black and white blocks with a checksum, the
//! number in digits, scrolling text, a panning patch of noise, a text that never changes, and red, green, blue and
//! grey patches.
#![forbid(unsafe_code)]

mod code;
mod compare;
mod font;
mod layout;
mod read;
mod render;
pub mod tones;

pub use compare::{PatchError, Plane, Reference, patch_error, ycbcr};
pub use layout::{Content, Layout, Patch, Region, TooSmall};
pub use read::{ReadError, read};
pub use render::{RenderError, render, render_in, render_moving, render_moving_in};

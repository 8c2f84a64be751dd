//! lumen's encoder stage: Frames in, AccessUnits out
#![deny(unsafe_code)]

mod backends;
mod canvas;
mod change;
mod convert;
mod picture;
mod ratecontrol;
#[cfg(test)]
mod synthetic;

fn main() {}

//! lumen's capture stage: takes a compositor's pictures and passes them on as Frames

fn main() {}

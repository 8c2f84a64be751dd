//! lumen's virtual displays: one Output per session at the client's own mode

fn main() {}

//! The administrator's tool: status, top, allow, run

fn main() {}

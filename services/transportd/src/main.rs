//! lumen's network stage: speaks to the clients

fn main() {}

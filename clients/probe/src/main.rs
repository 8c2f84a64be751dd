//! Headless reference client of lumen/1: receives, recovers, decrypts, decodes, records

fn main() {}

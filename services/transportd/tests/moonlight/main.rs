//! Who may come over GameStream: the shipped doors on loopback, and a client of our own that makes the checks Moonlight makes.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod a_client_asks_for_its_own;
mod a_pin_pairs_one_client;
mod clients_survive_a_kill_at_every_write;
mod scene;
mod strangers_learn_next_to_nothing;
mod visitors_who_waste_time;

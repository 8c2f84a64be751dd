//! Two cores and a network between them, in virtual time.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but does not see that helpers of an integration test are tests"
)]

mod any_loss_within_parity_is_recovered;
mod changed_datagrams_are_forged;
mod control_messages_survive_the_wire;
mod five_percent_loss_is_mended_by_parity;
mod frames_come_in_order_whatever_happens;
mod losses_are_told_and_an_idr_is_asked_for;
mod nonces_never_repeat;
mod only_the_exact_certificate_is_trusted;
mod parsers_survive_any_bytes;
mod plaintext_never_travels;
mod sessions_open_resume_and_close;
mod the_last_frame_number_is_refused;
mod the_wire_is_what_the_specification_says;

mod pair;

//! The probe against a host in miniature: real sockets, real TLS, real H.264; one behaviour per file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod host;
mod probe;

mod a_lost_frame_costs_one_idr;
mod a_session_outlives_its_connection;
mod parity_mends_what_the_network_loses;
mod recordings_hold_the_stream;
mod the_clock_offset_changes_no_figure;
mod what_goes_wrong_is_said_and_has_its_exit_code;
mod what_the_host_tells_is_kept_and_shown;

//! `lumenctl run` as root, with toys for stages: the shipped units, a real systemd, a real user.
//!
//! All tests share one user, so they run one after the other (`--test-threads=1`), and they need root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod a_command_runs_as_the_user_beside_the_stages;
mod a_second_run_is_refused_with_the_holder_named;
mod a_stage_that_cannot_start_is_named_and_not_tried_again;
mod an_ordinary_user_is_told_what_to_do;
mod nothing_is_left_even_after_kill_9;
mod place;

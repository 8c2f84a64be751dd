//! System tests: the release binaries under the shipped unit files, driven from outside. Run as root with
//! `make test`, or alone with `cargo test --release --workspace --test system -- --test-threads=1`.
#![allow(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, which is what it is for")]

mod a_booted_machine_streams;
mod a_restart_is_a_blink_in_the_recording;
mod a_still_screen_is_sharp_and_quiet;
mod backends_that_crash_are_set_aside;
mod bad_state_is_told_and_no_storm;
mod changes_in_mid_stream;
mod counters_agree_from_capture_to_picture;
mod desktop_life_locks_and_goes_on;
mod desktop_life_sleeps_and_goes_on;
mod desktop_life_the_desktop_of_the_moment_is_used;
mod dmabufs_reach_the_encoder;
mod forged_datagrams_change_no_picture;
mod gnome_changes_in_mid_stream;
mod gnome_comes_back_after_a_crash;
mod gnome_keeps_the_output_across_kills;
mod gnome_puts_the_users_monitors_back;
mod gnome_serves_two_clients_at_their_modes;
mod gnome_streams_sharp_and_true;
mod gnome_tells_the_pointer_apart;
mod hostile_stages_disturb_nobody;
mod hung_stages_come_back_and_slow_readers_are_spared;
mod idle_stages_sleep;
mod impossible_wishes_are_explained;
mod moonlight_comes_back;
mod moonlight_pairs_by_its_pin;
mod moonlight_streams_whole;
mod no_key_sticks_when_a_stage_or_the_client_dies;
mod nothing_is_left_after_stop;
mod parity_mends_what_the_network_drops;
mod sessions_are_kept_for_their_client;
mod sessions_end_when_they_end;
mod sessions_outlive_a_restart;
mod sessions_tell_when_their_app_ends;
mod several_clients_stream_at_once;
mod silent_connections_hold_nobody_up;
mod stamps_arrive_rising_sharp_and_true;
mod strangers_are_refused;
mod the_bus_refuses_whom_it_does_not_know;
mod the_clients_clock_does_not_matter;
mod the_interfaces_are_those_checked_in;
mod the_users_own_sway_is_used;
mod the_wire_shows_nothing;
mod what_is_typed_arrives_in_the_program;
mod wrong_settings_are_told_and_not_restarted;

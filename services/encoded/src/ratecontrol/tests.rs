//! The rate control with the real encoder and decoder, on dense scrolling text with a panning noise patch.

use super::*;
use crate::synthetic::{Bench, Outcome, Scene};

const RATE: f64 = 60.0;

fn scene(noise: usize) -> Scene {
    Scene { width: 1280, height: 720, seed: 1, noise }
}

fn run(bench: &mut Bench, numbers: impl IntoIterator<Item = usize>) -> Vec<Outcome> {
    numbers.into_iter().map(|number| bench.step(number, false)).collect()
}

/// Every picture within its limit at `bitrate`.
fn assert_limits(outcomes: &[Outcome], bitrate: f64) {
    let frame = bitrate / RATE;
    for (index, outcome) in outcomes.iter().enumerate() {
        let limit = if outcome.idr { IDR_LIMIT } else { FRAME_LIMIT };
        assert!(
            outcome.bits <= limit * frame,
            "picture {index}: {:.2} frames' worth, {outcome:?}",
            outcome.bits / frame
        );
    }
}

/// Every two seconds have the bits of `bitrate` within 10 %.
fn assert_bitrate(outcomes: &[Outcome], bitrate: f64) {
    for (start, window) in outcomes.windows(120).enumerate() {
        let share = window.iter().map(|outcome| outcome.bits).sum::<f64>() / 2.0 / bitrate;
        let course: Vec<_> = outcomes
            .chunks(10)
            .map(|ten| {
                (
                    ten[0].grain,
                    (ten.iter().map(|outcome| outcome.bits).sum::<f64>() / bitrate * 6.0 * 100.0) as u32,
                )
            })
            .collect();
        assert!(
            (0.9..=1.1).contains(&share),
            "two seconds from picture {start} have {share:.3} of {bitrate} bit/s; grain and percent of each ten: {course:?}"
        );
    }
}

// Sabotage: let `SHARPEN_FRAMES` be 0.
#[test]
fn moving_content_has_the_asked_bitrate_in_small_frames_and_is_sharp_at_once() {
    let mut bench = Bench::new(scene(25), 10_000_000);
    let outcomes = run(&mut bench, 0..360);
    assert_limits(&outcomes, 10e6);
    assert_bitrate(&outcomes, 10e6);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.idr).count(), 1);
    for (index, outcome) in outcomes.iter().enumerate().skip(9) {
        assert!(outcome.psnr >= 35.0, "picture {index}: {outcome:?}");
    }
}

// Sabotage: leave `set_bitrate` without effect.
#[test]
fn another_bitrate_is_met_at_once() {
    let mut bench = Bench::new(scene(60), 10_000_000);
    let mut number = 0;
    for mbit in [10, 3, 20, 6] {
        bench.rc.set_bitrate(mbit * 1_000_000);
        let outcomes = run(&mut bench, number..number + 200);
        number += 200;
        let bitrate = f64::from(mbit) * 1e6;
        // The first half second pays what the bitrate before left.
        assert_limits(&outcomes, bitrate);
        assert_bitrate(&outcomes[30..], bitrate);
    }
}

// Sabotage: let `judge` always answer `Send`.
#[test]
fn a_new_page_keeps_the_limits_and_gets_sharp() {
    for (mbit, psnr) in [(5, 24.0), (10, 32.0), (20, 38.0)] {
        let mut bench = Bench::new(scene(20), mbit * 1_000_000);
        run(&mut bench, 0..40);
        bench.scene.seed = 2;
        let outcomes = run(&mut bench, 40..80);
        assert_limits(&outcomes, f64::from(mbit) * 1e6);
        let last = outcomes.last().unwrap();
        assert!(last.psnr > psnr, "{mbit} Mbit/s: {last:?}");
    }
}

// Sabotage: let `wants_refinement` be true while the reference is fine, or never.
#[test]
fn a_still_picture_gets_sharp_and_is_left_alone() {
    let mut bench = Bench::new(scene(20), 10_000_000);
    let mut outcomes = Vec::new();
    while outcomes.is_empty() || bench.rc.wants_refinement() {
        outcomes.push(bench.step(0, false));
        assert!(outcomes.len() < 30, "no end after {:?}", outcomes.last());
    }
    assert_limits(&outcomes, 10e6);
    let tenth = outcomes.get(9).or(outcomes.last()).unwrap();
    assert!(tenth.psnr >= 36.0, "{tenth:?}");
    assert!(outcomes.last().unwrap().psnr >= 38.0, "{:?}", outcomes.last());
}

// Sabotage: let `Grain::block` be `None` for all grains.
#[test]
fn even_a_dense_page_at_a_low_bitrate_keeps_the_limits() {
    let mut bench = Bench::new(scene(0), 1_500_000);
    let mut outcomes = run(&mut bench, std::iter::repeat_n(0, 100));
    assert_limits(&outcomes, 1.5e6);
    assert!(outcomes[0].grain > 51, "this page fits without being softened: {:?}", outcomes[0]);
    let last = outcomes.pop().unwrap();
    assert!(last.psnr > outcomes[0].psnr + 2.0 && last.grain <= 51, "{last:?}");
}

#[test]
fn an_idr_on_request_keeps_the_limit_and_needs_no_second_try() {
    let mut bench = Bench::new(scene(20), 10_000_000);
    run(&mut bench, 0..60);
    let outcome = bench.step(60, true);
    assert!(outcome.idr && outcome.tries == 1, "{outcome:?}");
    assert_limits(&[outcome], 10e6);
}

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
    assert_limits_at(outcomes, bitrate, RATE);
}

fn assert_limits_at(outcomes: &[Outcome], bitrate: f64, rate: f64) {
    let frame = bitrate / rate;
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
    assert_bitrate_at(outcomes, bitrate, 60);
}

fn assert_bitrate_at(outcomes: &[Outcome], bitrate: f64, rate: usize) {
    for (start, window) in outcomes.windows(2 * rate).enumerate() {
        let share = window.iter().map(|outcome| outcome.bits).sum::<f64>() / 2.0 / bitrate;
        let course: Vec<_> = outcomes
            .chunks(10)
            .map(|ten| {
                (
                    ten[0].grain,
                    (ten.iter().map(|outcome| outcome.bits).sum::<f64>() / bitrate / 10.0
                        * rate as f64
                        * 100.0) as u32,
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

// Sabotage: let `Model::known` know every change, or let a caret's blink count as movement.
#[test]
fn what_a_caret_costs_says_nothing_of_a_page_that_scrolls() {
    // On a page that is sharp, as when somebody types and then scrolls; and on an empty one, before there is anything else.
    for (still, idrs, sharp_from) in [(60, 1, 20), (0, 2, 70)] {
        let mut bench = Bench::new(scene(25), 10_000_000);
        let mut outcomes = run(&mut bench, std::iter::repeat_n(0, still));
        outcomes.extend((0..60).map(|number| bench.blink(number)));
        outcomes.extend(run(&mut bench, 0..180));
        assert_limits(&outcomes, 10e6);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.idr).count(), idrs);
        for (index, outcome) in outcomes.iter().enumerate().skip(sharp_from) {
            assert!(outcome.psnr >= 35.0, "picture {index}: {outcome:?}");
        }
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

// Sabotage: as above, or let a debt of the bitrate before grow with the new one.
#[test]
fn a_bitrate_that_falls_to_a_fifth_and_rises_tenfold_is_met() {
    let mut bench = Bench::new(scene(40), 10_000_000);
    let mut number = 0;
    for mbit in [10, 2, 20] {
        bench.rc.set_bitrate(mbit * 1_000_000);
        let outcomes = run(&mut bench, number..number + 180);
        number += 180;
        assert_limits(&outcomes, f64::from(mbit) * 1e6);
        // The first half second pays what the bitrate before left.
        assert_bitrate(&outcomes[30..], f64::from(mbit) * 1e6);
    }
}

// Sabotage: take every rate for 60 a second.
#[test]
fn slow_and_fast_outputs_keep_the_limits_and_the_bitrate() {
    for rate in [30, 240] {
        let small = Scene { width: 640, height: 360, seed: 1, noise: 60 };
        let mut bench = Bench::at_rate(small, 4_000_000, rate);
        let outcomes = run(&mut bench, 0..rate as usize * 3);
        assert_limits_at(&outcomes, 4e6, rate.into());
        assert_bitrate_at(&outcomes[rate as usize / 2..], 4e6, rate as usize);
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

// Sabotage: try the pass that went over its limit again after the IDR that replaced it.
#[test]
fn a_still_picture_too_dear_to_be_sharp_is_left_alone_too() {
    let change = Change { texture: 3e7, texture_before: 3e7, ..Change::default() };
    // Of noise: finer is dearer than usual, and a pass costs twice what an IDR of its grain has more.
    let idr = |grain: f64| 5e5 * ((28.0 - grain) / 6.0).exp2();
    let (mut reference, mut passes, mut idrs) = (51.0_f64, 0, 0);
    let mut rc = RateControl::new(5_000_000, RATE);
    while passes == 0 || rc.wants_refinement() {
        passes += 1;
        let mut plan = rc.plan(&change, false, passes * 16_666_667);
        loop {
            let grain = plan.grain.value();
            let finer = (idr(grain + 2.5) - idr(reference)).max(100.0);
            let bits = if plan.coding == Coding::Idr { idr(grain) } else { 2.0 * finer };
            reference = if plan.coding == Coding::Idr { grain } else { reference.min(grain + 2.5) };
            idrs += u32::from(plan.coding == Coding::Idr);
            match rc.judge((bits / 8.0) as usize) {
                Verdict::Send => break,
                Verdict::Again(next) => plan = next,
            }
        }
        assert!(passes < 120, "no end; {idrs} IDRs, coded at {reference}");
    }
    assert!(idrs > 1, "no pass went over its limit");
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

// Sabotage: learn what is usually new only from pictures that are not taken for new pages.
#[test]
fn pictures_of_which_half_is_always_new_have_the_asked_bitrate() {
    let (difference, texture) = (2e7, 3e7);
    let change = Change { fraction: 0.5, novelty: 0.5, difference, texture, texture_before: texture };
    // As noise costs: twice the bits for six quantisers less, whether predicted or not.
    let bits = |plan: Plan| 4e5 * ((28.0 - plan.grain.value()) / 6.0).exp2();
    let mut rc = RateControl::new(10_000_000, RATE);
    let mut sent = Vec::new();
    for number in 0..300 {
        let mut plan = rc.plan(&change, false, number * 16_666_667);
        while let Verdict::Again(next) = rc.judge((bits(plan) / 8.0) as usize) {
            plan = next;
        }
        sent.push(bits(plan));
    }
    let share = sent[60..].iter().sum::<f64>() / 4.0 / 10e6;
    assert!((0.9..=1.1).contains(&share), "{share:.3} of the bitrate");
}

//! Recovery from pictures that are kept, as a client sees it that loses some.

use super::{ffmpeg::shown, *};
use crate::{ratecontrol::Grain, references::References};

const QP: u8 = 30;

/// An encoder and its references, still pictures between, and a network that loses.
struct Scene {
    encoder: OpenH264,
    references: References,
    /// All that was made, and what the client hands to its decoder.
    all: Vec<u8>,
    kept: Vec<u8>,
    /// Which units those are, from 0 on, and which show what the one before showed.
    units: Vec<usize>,
    stills: Vec<usize>,
    lost: Option<u64>,
    /// The newest picture is kept: a still follows, whatever chance says.
    is_kept: bool,
    recovered: usize,
    random: u64,
}

impl Scene {
    fn new(threads: u16) -> Self {
        let shape = Shape { keeps: true, ..SHAPE };
        Self {
            encoder: OpenH264::new(&Library::open().unwrap(), shape, threads).unwrap(),
            references: References::new(SHAPE.width, SHAPE.height),
            all: Vec::new(),
            kept: Vec::new(),
            units: Vec::new(),
            stills: Vec::new(),
            lost: None,
            is_kept: false,
            recovered: 0,
            random: 7,
        }
    }

    fn is_one_in(&mut self, count: u64) -> bool {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33).is_multiple_of(count)
    }

    /// How `unit` is to be coded if it `answers` a loss.
    fn coding(&mut self, unit: u64, answers: Option<u64>) -> Coding {
        if unit % 150 == 1 {
            return Coding::Idr;
        }
        let Some(first) = answers else { return Coding::Predicted };
        if self.references.lose(first) {
            self.encoder.settle(false).unwrap();
        }
        if self.references.recovery().is_some() { Coding::Recovered } else { Coding::Idr }
    }

    /// `unit` of picture `number`, for a client that lost all from `answers` on.
    fn encode(&mut self, unit: u64, number: usize, answers: Option<u64>) -> Vec<u8> {
        let coding = self.coding(unit, answers);
        let settles = coding == Coding::Predicted && self.references.is_due(unit);
        if settles {
            self.encoder.settle(true).unwrap();
        }
        let encoded = self.encoder.encode(&picture(number), coding, Qp::new(QP)).unwrap();
        assert_eq!(encoded.idr, coding == Coding::Idr);
        self.references.handle_unit(unit, Grain::from_const(QP), encoded.idr, encoded.kept);
        self.is_kept = encoded.kept.is_some();
        let bytes = encoded.chunks.concat();
        if settles {
            self.references.settle();
        }
        self.recovered += usize::from(coding == Coding::Recovered);
        bytes
    }

    /// The client hears of a loss some units later, and throws away what comes until it is mended.
    fn run(&mut self, units: u64) {
        let (mut number, mut hears_in) = (0, 0);
        for unit in 1..=units {
            let is_chosen = std::mem::take(&mut self.is_kept) || self.is_one_in(3);
            let is_still = unit % 150 != 1 && self.lost.is_none() && is_chosen;
            let answers = self.lost.filter(|_| hears_in == 0);
            let bytes = if is_still {
                self.stills.push(unit as usize - 1);
                self.encoder.repeat().unwrap().chunks.concat()
            } else {
                number += 1;
                self.encode(unit, number, answers)
            };
            self.all.extend(&bytes);
            if answers.is_some() || unit % 150 == 1 {
                self.lost = None;
            }
            if self.lost.is_some() {
                hears_in -= 1;
            } else if unit > 1 && self.is_one_in(30) {
                (self.lost, hears_in) = (Some(unit), unit % 5);
            } else {
                self.kept.extend(&bytes);
                self.units.push(unit as usize - 1);
            }
        }
    }
}

// Sabotage: name another picture as kept, recover from one that was kept with the lost unit, number a still by openh264's number,
// or let a still after a long-term reference refer to what comes first in a decoder's order.
#[test]
fn nobody_who_goes_on_after_a_recovery_misses_what_was_lost() {
    for threads in [1, 3] {
        let mut scene = Scene::new(threads);
        scene.run(900);
        assert!(scene.recovered >= 10, "{} recoveries", scene.recovered);
        let all = shown(scene.all);
        assert_eq!(all.len(), 900);
        let changed = scene.stills.iter().find(|still| all[**still] != all[**still - 1]);
        assert_eq!(changed, None, "a still picture shows another");
        let kept = shown(scene.kept);
        assert_eq!(kept.len(), scene.units.len());
        let wrong = kept.iter().zip(&scene.units).find(|(picture, unit)| **picture != all[**unit]);
        assert_eq!(wrong.map(|(_, unit)| unit), None, "with {threads} slices");
    }
}

// Sabotage: keep pictures for whoever has no room for them.
#[test]
fn only_who_has_room_for_them_gets_references() {
    let references = |keeps: bool| {
        let shape = Shape { keeps, ..SHAPE };
        let mut encoder = OpenH264::new(&Library::open().unwrap(), shape, 1).unwrap();
        let mut kept = Vec::new();
        for number in 0..40 {
            let coding = if number == 0 { Coding::Idr } else { Coding::Predicted };
            kept.extend(encoder.encode(&picture(number), coding, Qp::new(QP)).unwrap().kept);
        }
        kept.len()
    };
    assert_eq!((references(false), references(true)), (0, 2));
}

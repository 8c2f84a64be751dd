//! A reader that lost pictures gets one that refers to an older picture, where that is cheaper than to begin anew.

mod neighbours;

use std::time::Duration;

use lumen_ipc::{
    Rect,
    bus::StreamSpec,
    encode::{AccessUnit, Control, ToEncode, UnitKind},
};
use neighbours::{Captured, Reader, Street, spec};

/// Units until a still screen is sharp and what is kept of it counts as received.
const SETTLED: u64 = 120;
/// Within so many units a loss is answered; one may have been on its way.
const SOON: usize = 2;

const CONTROL: Control = Control { bitrate_bps: 10_000_000, idr_wanted: 0, losses: 0, lost_from: 0 };

struct Scene {
    _street: Street,
    reader: Reader,
    captured: Captured,
    losses: u32,
    newest: AccessUnit,
}

impl Scene {
    /// A still screen that has been read for a while.
    fn new(references: Option<bool>) -> Self {
        let street = Street::new(Duration::from_secs(10), || ());
        let spec = StreamSpec { references, repeat_mhz: Some(60_000), ..spec(640, 360) };
        let mut reader = street.reader(spec);
        let mut captured = street.captured(640, 360);
        reader.say(ToEncode::Control(CONTROL));
        captured.frame();
        let (newest, _) = reader.unit();
        assert_eq!(newest.kind, UnitKind::Idr);
        let mut scene = Self { _street: street, reader, captured, losses: 0, newest };
        while scene.newest.number < SETTLED {
            scene.go_on();
            assert_ne!(scene.newest.kind, UnitKind::Idr, "unit {}", scene.newest.number);
        }
        scene
    }

    fn go_on(&mut self) {
        self.reader.sent(self.newest.number);
        self.newest = self.reader.unit().0;
    }

    /// The newest unit but one was lost; what answers it.
    fn lose(&mut self) -> Option<AccessUnit> {
        self.losses += 1;
        let lost_from = self.newest.number - 1;
        self.reader.say(ToEncode::Control(Control { losses: self.losses, lost_from, ..CONTROL }));
        (0..=SOON).find_map(|_| {
            self.go_on();
            matches!(self.newest.kind, UnitKind::Idr | UnitKind::Recovered).then_some(self.newest)
        })
    }
}

// Sabotage: answer each loss with an IDR, keep the IDR alone, or leave a still screen's reference unsettled.
#[test]
fn a_loss_on_a_desktop_costs_a_small_picture() {
    let mut scene = Scene::new(Some(true));
    for typed in 0..3 {
        scene.captured.blacken(Rect { x: 16 * typed, y: 200, width: 10, height: 14 });
        scene.captured.send_damaged(&[Rect { x: 16 * typed, y: 200, width: 10, height: 14 }]);
        (0..10).for_each(|_| scene.go_on());
        let answer = scene.lose().expect("an answer");
        assert_eq!(answer.kind, UnitKind::Recovered, "loss {typed}");
        // Nearly all of it is skipped, since its reference was sharp.
        assert!(answer.len < 1_000, "{} bytes", answer.len);
        (0..10).for_each(|_| scene.go_on());
    }
}

#[test]
fn a_loss_amidst_a_new_picture_or_of_a_reader_without_references_costs_an_idr() {
    let mut scene = Scene::new(Some(true));
    scene.captured.frame();
    (0..4).for_each(|_| scene.go_on());
    assert_eq!(scene.lose().map(|unit| unit.kind), Some(UnitKind::Idr), "half of the screen is new");
    let mut plain = Scene::new(None);
    assert_eq!(plain.lose().map(|unit| unit.kind), Some(UnitKind::Idr), "nothing is kept");
}

use super::*;
use crate::{canvas::Canvas, convert::Source, synthetic::Scene};
use lumen_ipc::Damage;

const SHAPE: Shape = Shape { width: 320, height: 180, rate: 60.0 };

fn picture(number: usize) -> Picture {
    let scene = Scene { width: 320, height: 192, seed: 1, noise: 20 };
    let mut pixels = vec![0; 320 * 192 * 4];
    scene.draw(number, &mut pixels);
    let (mut canvas, layout) = (Canvas::new(320, 180), scene.layout());
    canvas.paint(Source { pixels: &pixels, layout: &layout }, &Damage::full(320, 180)).unwrap();
    canvas.into_picture()
}

/// Types of the NAL units of an Annex B stream.
fn nal_types(bytes: &[u8]) -> Vec<u8> {
    bytes.windows(4).filter(|window| window[..3] == [0, 0, 1]).map(|window| window[3] & 31).collect()
}

fn encoder() -> OpenH264 {
    OpenH264::new(&Library::open().unwrap(), SHAPE, 1).unwrap()
}

// Sabotage: set `uiIntraPeriod` to 30, or turn scene change detection on.
#[test]
fn idrs_come_when_asked_and_never_else() {
    let mut encoder = encoder();
    for number in 0..100 {
        let asked = matches!(number, 0 | 70);
        let coding = if asked { Coding::Idr } else { Coding::Predicted };
        // A new scene every 20 pictures.
        let unit = encoder.encode(&picture(number + number / 20 * 1000), coding, Qp::new(30)).unwrap();
        let types = nal_types(&unit.chunks.concat());
        assert_eq!(unit.idr, asked, "picture {number}");
        assert_eq!(types, if asked { vec![7, 8, 5] } else { vec![1] }, "picture {number}");
    }
}

#[test]
fn every_encoder_of_a_size_has_the_same_parameter_sets() {
    let sets = |encoder: &mut OpenH264, qp| {
        let unit = encoder.encode(&picture(0), Coding::Idr, Qp::new(qp)).unwrap();
        unit.chunks[0].to_vec()
    };
    let (mut one, mut other) = (encoder(), encoder());
    let first = sets(&mut one, 20);
    assert_eq!(nal_types(&first), [7, 8]);
    assert_eq!(first, sets(&mut one, 40));
    assert_eq!(first, sets(&mut other, 30));
}

// Sabotage: let `set_qp` return before it sets anything.
#[test]
fn each_picture_has_its_own_quantiser() {
    let mut encoder = encoder();
    let mut size = |number, coding, qp| encoder.encode(&picture(number), coding, Qp::new(qp)).unwrap().size();
    let sizes = [
        size(0, Coding::Idr, 20),
        size(0, Coding::Idr, 30),
        size(0, Coding::Idr, 44),
        size(0, Coding::Idr, 20),
    ];
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    assert!(sizes[3].abs_diff(sizes[0]) < 8, "{sizes:?}");
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let mut encoder = encoder();
    let wrong = encoder.encode(&Picture::new(640, 360), Coding::Idr, Qp::new(30));
    assert!(matches!(wrong, Err(EncodeError::WrongSize { width: 320, height: 180, .. })));
    assert!(
        OpenH264::new(&Library::open().unwrap(), Shape { width: 9000, height: 9000, ..SHAPE }, 1).is_err()
    );
}

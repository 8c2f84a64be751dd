use super::*;
use crate::{canvas::Canvas, convert::Source, synthetic::Scene};
use lumen_ipc::Damage;

mod ffmpeg;
mod losses;

const SHAPE: Shape = Shape { width: 320, height: 180, rate: 60.0, keeps: false };

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

/// A decoder's picture: luma and both chroma planes, without the columns beyond them.
fn decoded(decoder: &mut openh264::decoder::Decoder, bytes: &[u8]) -> Vec<u8> {
    use openh264::formats::YUVSource;
    let yuv = decoder.decode(bytes).unwrap().expect("a picture without delay");
    let ((width, height), (luma, blue, red)) = (yuv.dimensions(), yuv.strides());
    let rows = |plane: &[u8], stride: usize, width: usize, height: usize| -> Vec<u8> {
        plane.chunks(stride).take(height).flat_map(|row| row[..width].to_vec()).collect()
    };
    let (half, low) = (width / 2, height / 2);
    [rows(yuv.y(), luma, width, height), rows(yuv.u(), blue, half, low), rows(yuv.v(), red, half, low)]
        .concat()
}

// Sabotage: count still pictures on through an IDR, leave the number of the second slice as it is, begin the context at another
// state, or forget an escape.
#[test]
fn still_pictures_show_what_the_one_before_showed_and_others_go_on_after_them() {
    for threads in [1, 3] {
        let mut encoder = OpenH264::new(&Library::open().unwrap(), SHAPE, threads).unwrap();
        let mut plain = OpenH264::new(&Library::open().unwrap(), SHAPE, threads).unwrap();
        let [mut decoder, mut other] = [(); 2].map(|()| openh264::decoder::Decoder::new().unwrap());
        assert!(encoder.repeat().is_none(), "there is nothing to show again");
        for number in 0..60 {
            let coding = if matches!(number, 0 | 40) { Coding::Idr } else { Coding::Predicted };
            let shown = picture(number);
            let unit = encoder.encode(&shown, coding, Qp::new(30)).unwrap().chunks.concat();
            let expected = plain.encode(&shown, coding, Qp::new(30)).unwrap().chunks.concat();
            let expected = decoded(&mut other, &expected);
            assert!(decoded(&mut decoder, &unit) == expected, "picture {number}");
            for again in 0..number % 7 {
                let still = encoder.repeat().unwrap();
                assert!(!still.idr && still.size() < 40, "{} bytes", still.size());
                let still = still.chunks.concat();
                assert!(decoded(&mut decoder, &still) == expected, "{again} after picture {number}");
            }
        }
    }
}

// Sabotage: let the numbers of still pictures grow beyond the bits that they have.
#[test]
fn still_pictures_go_round_their_numbers() {
    let mut encoder = encoder();
    let mut decoder = openh264::decoder::Decoder::new().unwrap();
    let mut shown = Vec::new();
    for number in 0..3 {
        let coding = if number == 0 { Coding::Idr } else { Coding::Predicted };
        let unit = encoder.encode(&picture(number), coding, Qp::new(30)).unwrap().chunks.concat();
        shown = decoded(&mut decoder, &unit);
    }
    // An hour of them at 30 a second would be more; `frame_num` has 15 bits.
    for _ in 0..40_000 {
        let still = encoder.repeat().unwrap().chunks.concat();
        decoder.decode(&still).unwrap();
    }
    let still = encoder.repeat().unwrap().chunks.concat();
    assert!(decoded(&mut decoder, &still) == shown);
    let unit = encoder.encode(&picture(2), Coding::Predicted, Qp::new(20)).unwrap().chunks.concat();
    assert_ne!(decoded(&mut decoder, &unit), shown, "it is made better");
}

//! What is left behind is what was seen.

use std::fs;

use openh264::{decoder::Decoder, formats::YUVSource, nal_units};
use serde_json::Value;

use crate::{
    host::{Host, Script},
    probe::summary,
};

// Sabotage: write the units before decoding without their order, or convert the PNG with BT.601.
#[test]
fn recordings_hold_the_stream() {
    let host = Host::start(Script::default());
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (h264, mp4, png, log) = (path("a.h264"), path("a.mp4"), path("a.png"), path("a.jsonl"));
    let files = ["--h264", &h264, "--mp4", &mp4, "--png", &png, "--frames-log", &log];
    let summary = summary(home.path(), &host.address, &[&["--frames", "30"], &files[..]].concat());
    let pictures = summary["frames"].as_u64().unwrap() as usize;

    let stream = fs::read(&h264).unwrap();
    assert_eq!(stream.len() as u64, summary["bytes"].as_u64().unwrap());
    assert_eq!(last_stamp(&stream), summary["stamp"]["last"].as_u64().map(|n| n as u32));

    let lines: Vec<Value> =
        fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), pictures);
    assert!(lines.iter().all(|line| line["number"] == line["stamp"]), "{:?}", lines.first());

    let movie = fs::read(&mp4).unwrap();
    assert_eq!(movie.get(4..8), Some(&b"ftyp"[..]));
    assert_eq!(samples(&movie), pictures);

    // The middles of the red and the grey patch, in RGB.
    let picture = decode_png(&png);
    for (x, rgb) in [(172, [255, 0, 0]), (292, [128, 128, 128])] {
        let at = (24 * 320 + x) * 3;
        let got = &picture[at..at + 3];
        assert!(got.iter().zip(rgb).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 8), "{got:?} is not {rgb:?}");
    }
}

/// The number in the last picture of a raw stream.
fn last_stamp(stream: &[u8]) -> Option<u32> {
    let mut decoder = Decoder::new().unwrap();
    let mut last = None;
    for unit in nal_units(stream) {
        if let Some(picture) = decoder.decode(unit).unwrap() {
            last = Some(lumen_stamp::read(picture.y(), picture.strides().0, 320, 180).unwrap());
        }
    }
    last
}

/// How many samples the MP4's size table has.
fn samples(movie: &[u8]) -> usize {
    let at = movie.windows(4).position(|w| w == b"stsz").unwrap();
    u32::from_be_bytes(movie[at + 12..at + 16].try_into().unwrap()) as usize
}

fn decode_png(path: &str) -> Vec<u8> {
    let file = std::io::BufReader::new(fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (320, 180));
    pixels
}

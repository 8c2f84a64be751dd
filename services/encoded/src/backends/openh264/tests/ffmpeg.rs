//! What ffmpeg shows of a stream, and what it says of it: the decoder of most clients.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
};

use super::*;

/// Bytes of one decoded picture.
const PICTURE: usize = SHAPE.width * SHAPE.height * 3 / 2;

/// The pictures of an Annex B stream, each with its luma and both chroma planes. ffmpeg must not say a word.
pub(super) fn shown(stream: Vec<u8>) -> Vec<Vec<u8>> {
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-flags", "+low_delay", "-f", "h264", "-r", "60", "-i", "pipe:0"])
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg can be run: install it, or run `make test`, which does");
    let (mut into, mut said) = (ffmpeg.stdin.take().unwrap(), ffmpeg.stderr.take().unwrap());
    let feeding = thread::spawn(move || into.write_all(&stream));
    let listening = thread::spawn(move || {
        let mut words = String::new();
        said.read_to_string(&mut words).map(|_| words)
    });
    let mut pictures = Vec::new();
    ffmpeg.stdout.take().unwrap().read_to_end(&mut pictures).unwrap();
    feeding.join().unwrap().unwrap();
    assert_eq!(listening.join().unwrap().unwrap(), "", "ffmpeg complains");
    assert!(ffmpeg.wait().unwrap().success());
    assert_eq!(pictures.len() % PICTURE, 0);
    pictures.chunks(PICTURE).map(<[u8]>::to_vec).collect()
}

// Sabotage: count still pictures on through an IDR, leave the number of the second slice as it is, begin the context at another
// state, let stills be no references, or let them be deblocked where the encoder's pictures are not.
#[test]
fn ffmpeg_shows_still_pictures_and_what_follows_them_without_a_word() {
    for threads in [1, 3] {
        let mut encoder = OpenH264::new(&Library::open().unwrap(), SHAPE, threads).unwrap();
        let mut plain = OpenH264::new(&Library::open().unwrap(), SHAPE, threads).unwrap();
        let (mut stream, mut bare, mut stills) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..120 {
            let coding = if matches!(number, 0 | 40 | 41 | 90) { Coding::Idr } else { Coding::Predicted };
            let scene = picture(number + number / 30 * 1000);
            let qp = Qp::new([20, 30, 44][number % 3]);
            stream.extend(encoder.encode(&scene, coding, qp).unwrap().chunks.concat());
            bare.extend(plain.encode(&scene, coding, qp).unwrap().chunks.concat());
            let count = [0, 1, 2, 5, 0, 40, 0][number % 7];
            (0..count).for_each(|_| stream.extend(encoder.repeat().unwrap().chunks.concat()));
            stills.push(count);
        }
        let expected = shown(bare);
        assert_eq!(expected.len(), 120);
        let expected: Vec<_> =
            expected.iter().zip(&stills).flat_map(|(picture, count)| vec![picture; count + 1]).collect();
        let got = shown(stream);
        assert_eq!(got.len(), expected.len());
        let wrong = got.iter().zip(expected).position(|(got, expected)| got != expected);
        assert_eq!(wrong, None, "with {threads} slices");
    }
}

//! Eight tones through every layout, also those that no client asks for with packets of 10 ms: each comes out of the decoder
//! that a client has in the channel where it went in.
//!
//! Sabotage: give libopus another mapping, fewer streams than channels need, or more bits than a packet takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is part of tests")]

use lumen_encoded::sound::packer::Packer;
use lumen_ipc::{
    bus::SoundSpec,
    sound::{PCM_FRAMES, Pcm, RATE},
};
use lumen_stamp::tones;
use opus::MSDecoder;

const TONES: [f64; 8] = [440.0, 620.0, 1000.0, 130.0, 810.0, 1270.0, 1530.0, 710.0];

/// What a client of this layout decodes of a second of tones.
fn heard(spec: &SoundSpec) -> Vec<i16> {
    let channels = spec.channels as usize;
    let mapping: Vec<u8> = (0..spec.channels as u8).collect();
    let mut decoder = MSDecoder::new(RATE, spec.streams as u8, spec.coupled as u8, &mapping).unwrap();
    let (mut packer, mut heard) = (Packer::new(spec).unwrap(), Vec::new());
    for piece in 0..200 {
        let frames = piece * PCM_FRAMES..(piece + 1) * PCM_FRAMES;
        let sample = |frame: usize, hertz: f64| {
            let phase = std::f64::consts::TAU * hertz * frame as f64 / f64::from(RATE);
            (10_000.0 * phase.sin()) as i16
        };
        let tones = TONES.iter().take(channels);
        let samples =
            frames.flat_map(|frame| tones.clone().map(move |hertz| sample(frame, *hertz))).collect();
        if let Some(packet) = packer.take(&Pcm { pts_ns: 0, samples }).unwrap() {
            let mut room = vec![0; 2 * PCM_FRAMES * channels];
            let frames = decoder.decode(&packet.bytes, &mut room, false).unwrap();
            heard.extend(room.into_iter().take(frames * channels));
        }
    }
    heard
}

#[test]
fn each_channel_is_encoded_in_its_place() {
    let layouts = [
        (2, 1, 1, 96_000),
        (2, 1, 1, 512_000),
        (6, 4, 2, 256_000),
        (6, 6, 0, 1_536_000),
        (8, 5, 3, 450_000),
        (8, 8, 0, 2_048_000),
    ];
    for (channels, streams, coupled, bitrate_bps) in layouts {
        for packet_ms in [5, 10] {
            let spec = SoundSpec { channels, streams, coupled, packet_ms, bitrate_bps, microphone: None };
            let heard = heard(&spec);
            let tones = &TONES[..channels as usize];
            for (which, &own) in tones.iter().enumerate() {
                let channel = tones::channel(&heard, tones.len(), which);
                let loudness = tones::loudness(&channel, own);
                for &other in tones.iter().filter(|&&other| (other - own).abs() > 1.0) {
                    let leaked = tones::loudness(&channel, other);
                    assert!(
                        loudness > leaked + 20.0,
                        "{spec:?}: {which} has {own} {loudness}, {other} {leaked}"
                    );
                }
            }
        }
    }
}

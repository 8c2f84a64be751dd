//! Tones to be played and to be found again: one in each channel, told apart by their frequency.

use std::{f64::consts::TAU, io};

/// Samples a second of each channel.
pub const RATE: u32 = 48_000;

/// How loud the tones are that [`wav`] has, of 1.
const LOUDNESS: f64 = 0.3;

/// The same of a [`click`].
const CLICK: f64 = 0.8;

/// Bytes before the first sample of such a file.
pub const HEAD_LEN: usize = 68;

/// Microsoft's KSDATAFORMAT_SUBTYPE_PCM.
const PCM: [u8; 16] = [1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113];

/// Which speakers so many channels are for, in the order FL FR C LFE BL BR SL SR: bits of Microsoft's channel mask.
fn speakers(channels: u16) -> u32 {
    match channels {
        1 => 0x4,
        6 => 0x3f,
        8 => 0x63f,
        _ => 0x3,
    }
}

/// A file of `seconds` with a tone of so many hertz in each channel, 16 bits a sample, that says which speaker each is for.
///
/// # Errors
/// Longer than such a file may be.
pub fn wav(hertz: &[f64], seconds: u32) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let channels = u16::try_from(hertz.len()).map_err(too_long)?;
    let len = u64::from(seconds) * u64::from(RATE) * u64::from(channels) * 2;
    let len = u32::try_from(len).map_err(too_long)?;
    let row = channels * 2;
    let mut file = Vec::with_capacity(HEAD_LEN + len as usize);
    file.extend(b"RIFF");
    file.extend((HEAD_LEN as u32 - 8 + len).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(40u32.to_le_bytes());
    file.extend([0xfe, 0xff]);
    file.extend(channels.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * u32::from(row)).to_le_bytes());
    file.extend(row.to_le_bytes());
    file.extend([16, 0, 22, 0, 16, 0]);
    file.extend(speakers(channels).to_le_bytes());
    file.extend(PCM);
    file.extend(b"data");
    file.extend(len.to_le_bytes());
    for frame in 0..seconds * RATE {
        for hertz in hertz {
            let sample = LOUDNESS * (TAU * hertz * f64::from(frame) / f64::from(RATE)).sin();
            file.extend(((sample * f64::from(i16::MAX)) as i16).to_le_bytes());
        }
    }
    Ok(file)
}

/// A click: 2 ms of 3 kHz, loud from its second sample on.
pub fn click() -> impl Iterator<Item = i16> + use<> {
    (0..RATE / 500).map(|n| {
        let sample = CLICK * (TAU * 3000.0 * f64::from(n) / f64::from(RATE)).sin();
        (sample * f64::from(i16::MAX)) as i16
    })
}

/// Where clicks begin in one channel: samples louder than a third of one, after 50 ms without such.
pub fn clicks(channel: &[i16]) -> Vec<usize> {
    let loud = (CLICK / 3.0 * f64::from(i16::MAX)) as u16;
    let quiet = RATE as usize / 20;
    let (mut found, mut last) = (Vec::new(), None);
    for (place, _) in channel.iter().enumerate().filter(|(_, sample)| sample.unsigned_abs() > loud) {
        if last.is_none_or(|last| place - last > quiet) {
            found.push(place);
        }
        last = Some(place);
    }
    found
}

/// How loud a tone of so many hertz is in `samples`, in decibels below the loudest there can be. (Goertzel)
pub fn loudness(samples: &[i16], hertz: f64) -> f64 {
    let turn = 2.0 * (TAU * hertz / f64::from(RATE)).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for (place, sample) in samples.iter().enumerate() {
        // A window, because a tone that does not fit the samples exactly would leak into all others.
        let window = 0.5 - 0.5 * (TAU * place as f64 / samples.len() as f64).cos();
        let next = window * f64::from(*sample) / f64::from(i16::MAX) + turn * one - two;
        (one, two) = (next, one);
    }
    let power = one * one + two * two - turn * one * two;
    let amplitude = 4.0 * power.max(0.0).sqrt() / samples.len().max(1) as f64;
    20.0 * amplitude.max(1e-9).log10()
}

/// One channel of interleaved samples.
pub fn channel(samples: &[i16], channels: usize, which: usize) -> Vec<i16> {
    samples.iter().skip(which).step_by(channels.max(1)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: mix up the channels, or take the window for the tone.
    #[test]
    fn a_tone_is_found_where_it_was_written_and_nowhere_else() {
        let file = wav(&[440.0, 660.0], 1).unwrap();
        let samples: Vec<i16> =
            file[HEAD_LEN..].as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
        for (which, (own, other)) in [(440.0, 660.0), (660.0, 440.0)].into_iter().enumerate() {
            let channel = channel(&samples, 2, which);
            let expected = 20.0 * LOUDNESS.log10();
            assert!((loudness(&channel, own) - expected).abs() < 0.2, "{}", loudness(&channel, own));
            assert!(loudness(&channel, other) < expected - 60.0);
        }
        assert!(loudness(&[0; 4800], 440.0) < -100.0);
    }

    /// Sabotage: find each wave of a click.
    #[test]
    fn clicks_are_found_where_they_begin() {
        let mut samples = vec![0i16; 48_000];
        for place in [100, 2_000, 30_000] {
            samples.splice(place..place + 96, click());
        }
        assert_eq!(clicks(&samples), [101, 30_001], "the second comes too soon");
        assert!(clicks(&[0; 480]).is_empty());
    }
}

//! How sharp pictures are at the start of a stream and later, beside those that ffmpeg's libx264 makes of the same frames at the
//! same bitrate.

use std::path::Path;

use anyhow::{Context, Result};
use lumen_stamp::{Layout, Plane, Reference, Region};
use lumen_tests::{film, moonlight::Played};
use tempfile::TempDir;

use super::super::cpu::{self, Case, RATE};

/// Pictures that are looked at, counted from the first that shows anything.
const AT: [usize; 3] = [1, 10, 40];
/// From this one on every `EACH`th counts for the mean.
const STEADY: usize = 240;
const EACH: usize = 20;

/// PSNR of the luma in decibels.
#[derive(Debug)]
pub struct Sharpness {
    at: [f64; AT.len()],
    steady: f64,
    /// Bits of a picture, on average over all.
    bits: f64,
}

/// Prints both, and what a frame costs ffmpeg beside what it costs `lumen` (milliseconds of CPU).
///
/// # Errors
/// ffmpeg is not installed, or does not decode one of both.
pub fn beside_x264(played: &Played, case: Case, seconds: u32, lumen: f64) -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("x264.h264");
    let path = file.to_str().context("a path that is no text")?;
    let frames = (seconds * RATE).max((STEADY + 4 * EACH) as u32);
    let cost = cpu::of_ffmpeg(case, frames, &cpu::x264(), &["-f", "h264", path])?;
    println!("CPU a frame, ms: ffmpeg with libx264 superfast {cost:.2}; lumen / ffmpeg {:.2}", lumen / cost);
    heading();
    for (name, dump) in [("lumen", played.dump()), ("libx264 superfast", &file)] {
        judge(dump, case)?.print(name);
    }
    Ok(())
}

/// The head of the table that [`Sharpness::print`] prints a row of.
pub fn heading() {
    print!("{:<24}{:>10}{:>10}{:>10}", "PSNR-Y, dB, of picture", AT[0], AT[1], AT[2]);
    println!("{:>10}{:>16}", "steady", "kbit a picture");
}

impl Sharpness {
    /// A row of the table.
    pub fn print(&self, name: &str) {
        let Self { at: [first, tenth, fortieth], steady, bits } = self;
        println!("{name:<24}{first:>10.1}{tenth:>10.1}{fortieth:>10.1}{steady:>10.1}{:>16.0}", bits / 1e3);
    }
}

/// Of the stream in `dump`, against what lumen-stamp drew.
///
/// # Errors
/// ffmpeg does not decode it.
pub fn judge(dump: &Path, case: Case) -> Result<Sharpness> {
    let (width, height) = case.size;
    let mut reference = Reference::new(Layout::of(width, height)?.showing(case.content));
    let whole = Region { x: 0, y: 0, width, height };
    let (mut pictures, mut place, mut at, mut steady) = (0_u32, 0, [f64::NAN; AT.len()], Vec::new());
    film::show(dump, width, height, |luma| {
        let stride = width as usize;
        pictures += 1;
        let stamp = lumen_stamp::read(luma, stride, width, height).ok();
        place += usize::from(place > 0 || stamp.is_some());
        let is_steady = place >= STEADY && place.is_multiple_of(EACH);
        let Some(stamp) = stamp.filter(|_| is_steady || AT.contains(&place)) else { return };
        reference.draw(stamp);
        let psnr = reference.psnr_y(whole, Plane { bytes: luma, stride }).min(99.0);
        at.iter_mut().zip(AT).filter(|(_, wanted)| *wanted == place).for_each(|(seen, _)| *seen = psnr);
        steady.extend(is_steady.then_some(psnr));
    })?;
    let steady = steady.iter().sum::<f64>() / steady.len() as f64;
    let bits = dump.metadata()?.len() as f64 * 8.0 / f64::from(pictures);
    Ok(Sharpness { at, steady, bits })
}

//! A dumped H.264 stream, decoded by ffmpeg, and the numbers in its pictures.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// The number in each picture; `None` where there is none.
pub struct Film {
    stamps: Vec<Option<u32>>,
}

/// Decodes the Annex B stream in `dump`, whose pictures are all `width` times `height`.
///
/// # Errors
/// ffmpeg says anything at all, or the pictures have another size.
pub fn develop(dump: &Path, width: u32, height: u32) -> Result<Film> {
    let mut stamps = Vec::new();
    show(dump, width, height, |luma| {
        stamps.push(lumen_stamp::read(luma, width as usize, width, height).ok())
    })?;
    Ok(Film { stamps })
}

/// Decodes the Annex B stream in `dump` and hands over the luma of each picture, `width` bytes a row.
///
/// # Errors
/// ffmpeg says anything at all, or the pictures have another size.
pub fn show(dump: &Path, width: u32, height: u32, mut picture: impl FnMut(&[u8])) -> Result<()> {
    // To a file, because a pipe that nobody reads meanwhile would stop ffmpeg.
    let complaints = dump.with_extension("ffmpeg");
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "h264", "-i"])
        .arg(dump)
        .args(["-fps_mode", "passthrough", "-vf", "extractplanes=y", "-f", "rawvideo", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&complaints)?)
        .spawn()
        .context("cannot run ffmpeg: install it, or run `make test`, which does")?;
    let mut pictures = ffmpeg.stdout.take().context("no pipe")?;
    let mut luma = vec![0; width as usize * height as usize];
    let mut left = 0;
    loop {
        let got = fill(&mut pictures, &mut luma)?;
        if got < luma.len() {
            left += got;
            break;
        }
        picture(&luma);
    }
    let status = ffmpeg.wait()?;
    let complaints = fs::read_to_string(complaints)?;
    ensure!(
        status.success() && complaints.is_empty(),
        "ffmpeg cannot decode the dump, {status}: {complaints}"
    );
    ensure!(left == 0, "the pictures are not {width}x{height}: {left} bytes too many");
    Ok(())
}

/// Reads until `bytes` are full or the pipe has ended; how many were read.
fn fill(pipe: &mut impl Read, bytes: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pipe.read(rest)? {
            0 => break,
            got => filled += got,
        }
    }
    Ok(filled)
}

impl Film {
    /// Pictures in all.
    pub fn pictures(&self) -> usize {
        self.stamps.len()
    }

    /// The numbers, in order.
    pub fn numbers(&self) -> Vec<u32> {
        self.stamps.iter().copied().flatten().collect()
    }

    /// From the first number on every picture has one, and they rise strictly, save that the newest is shown again at most
    /// `repeats` times.
    ///
    /// # Errors
    /// Which does not.
    pub fn rises(&self, repeats: u64) -> Result<()> {
        let blank =
            self.stamps.iter().skip_while(|stamp| stamp.is_none()).filter(|stamp| stamp.is_none()).count();
        ensure!(blank == 0, "{blank} pictures of {} have no number", self.pictures());
        let numbers = self.numbers();
        ensure!(!numbers.is_empty(), "no picture of {} has a number", self.pictures());
        let pairs = || numbers.iter().zip(numbers.iter().skip(1));
        let fallen = pairs().find(|(before, after)| after < before);
        ensure!(fallen.is_none(), "an older picture came again: {fallen:?}");
        let same = pairs().filter(|(before, after)| after == before).count() as u64;
        ensure!(same <= repeats, "{same} pictures came again, of which {repeats} may");
        Ok(())
    }
}

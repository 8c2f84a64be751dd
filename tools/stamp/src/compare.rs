//! Compares what arrived with what was shown. All samples are BT.709, limited range, 8 bits.

use crate::{
    layout::{Layout, Patch, Region},
    render::{draw_moving, draw_still},
};

/// A plane of 8-bit samples.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The samples, row by row.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// The samples of one row of `region`; empty beyond the plane.
    fn row(&self, region: Region, y: u32) -> &'a [u8] {
        let start = (region.y + y) as usize * self.stride + region.x as usize;
        self.bytes.get(start..start + region.width as usize).unwrap_or_default()
    }

    /// Mean of a region's samples; 0 where the plane has none.
    pub fn mean(&self, region: Region) -> f64 {
        let (mut sum, mut count) = (0u64, 0usize);
        for y in 0..region.height {
            let row = self.row(region, y);
            sum += row.iter().map(|&v| u64::from(v)).sum::<u64>();
            count += row.len();
        }
        if count == 0 { 0.0 } else { sum as f64 / count as f64 }
    }
}

/// Y, Cb, Cr of a colour: BT.709, limited range, unrounded.
pub fn ycbcr([r, g, b]: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = [r, g, b].map(|v| f64::from(v) / 255.0);
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
}

/// How far a patch's mean is from its colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatchError {
    /// Which patch.
    pub name: &'static str,
    /// Mean Y, Cb, Cr as decoded.
    pub mean: [f64; 3],
    /// The largest distance of the three from the true colour, in levels.
    pub worst: f64,
}

/// Judges one patch of a 4:2:0 picture by the middle of it.
pub fn patch_error(patch: &Patch, y: Plane<'_>, cb: Plane<'_>, cr: Plane<'_>) -> PatchError {
    let region = patch.region.core();
    let half = Region {
        x: region.x.div_ceil(2),
        y: region.y.div_ceil(2),
        width: (region.width / 2).saturating_sub(1).max(1),
        height: (region.height / 2).saturating_sub(1).max(1),
    };
    let mean = [y.mean(region), cb.mean(half), cr.mean(half)];
    let worst = mean.iter().zip(ycbcr(patch.rgb)).map(|(got, true_)| (got - true_).abs()).fold(0.0, f64::max);
    PatchError { name: patch.name, mean, worst }
}

/// Draws frames again to compare with; keeps its buffer and redraws only what moves.
#[derive(Debug)]
pub struct Reference {
    layout: Layout,
    pixels: Vec<u8>,
    weights: Weights,
}

impl Reference {
    /// A reference for frames of one size.
    pub fn new(layout: Layout) -> Self {
        let mut pixels = vec![0; layout.bytes()];
        draw_still(&layout, &mut pixels);
        Self { layout, pixels, weights: Weights::new() }
    }

    /// The size and places of its frames.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Draws frame `number`.
    pub fn draw(&mut self, number: u32) {
        draw_moving(number, &self.layout, &mut self.pixels);
    }

    /// The luma of the drawn frame, `width` bytes a row.
    pub fn luma(&self) -> Vec<u8> {
        self.pixels.as_chunks().0.iter().map(|p| self.weights.luma(*p)).collect()
    }

    /// PSNR of the luma of `region` in decibels against the drawn frame; infinite when equal.
    pub fn psnr_y(&self, region: Region, decoded: Plane<'_>) -> f64 {
        let mut squares = 0u64;
        for y in 0..region.height {
            let start = ((region.y + y) * self.layout.width + region.x) as usize * 4;
            let row = self.pixels.get(start..start + region.width as usize * 4).unwrap_or_default();
            let shown = row.as_chunks().0.iter().map(|p| self.weights.luma(*p));
            let apart = shown.zip(decoded.row(region, y)).map(|(a, &b)| u64::from(a.abs_diff(b)).pow(2));
            squares += apart.sum::<u64>();
        }
        let samples = f64::from(region.width) * f64::from(region.height);
        10.0 * (255.0 * 255.0 * samples / squares as f64).log10()
    }
}

/// Luma weights of blue, green and red in 1/65536, the halves for rounding included in blue's offset.
#[derive(Debug)]
struct Weights([u32; 3]);

impl Weights {
    fn new() -> Self {
        let weight = |share: f64| (share * 219.0 / 255.0 * 65536.0).round() as u32;
        Self([weight(0.0722), weight(0.7152), weight(0.2126)])
    }

    fn luma(&self, [b, g, r, _]: [u8; 4]) -> u8 {
        let [wb, wg, wr] = self.0;
        ((u32::from(b) * wb + u32::from(g) * wg + u32::from(r) * wr + (16 << 16) + (1 << 15)) >> 16) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: use BT.601's weights.
    #[test]
    fn colours_are_bt709_limited() {
        let near = |rgb, want: [f64; 3]| {
            let got = ycbcr(rgb);
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 0.6), "{got:?} {want:?}");
        };
        // ITU-R BT.709-6 primaries in 8-bit limited range.
        near([255, 255, 255], [235.0, 128.0, 128.0]);
        near([0, 0, 0], [16.0, 128.0, 128.0]);
        near([255, 0, 0], [63.0, 102.0, 240.0]);
        near([0, 255, 0], [173.0, 42.0, 26.0]);
        near([0, 0, 255], [32.0, 240.0, 118.0]);
    }

    // Sabotage: compare with frame number + 1.
    #[test]
    fn psnr_tells_frames_apart() {
        let layout = Layout::of(640, 360).unwrap();
        let mut reference = Reference::new(layout.clone());
        reference.draw(41);
        let luma = reference.luma();
        let plane = Plane { bytes: &luma, stride: 640 };
        assert_eq!(reference.psnr_y(layout.text, plane), f64::INFINITY);
        reference.draw(42);
        assert!(reference.psnr_y(layout.text, plane) < 20.0);
        assert!(reference.psnr_y(layout.noise, plane) < 30.0);
        assert_eq!(reference.psnr_y(layout.still, plane), f64::INFINITY);
        let one_off: Vec<u8> = luma.iter().map(|y| y + 1).collect();
        reference.draw(41);
        let psnr = reference.psnr_y(layout.text, Plane { bytes: &one_off, stride: 640 });
        assert!((psnr - 48.13).abs() < 0.01, "{psnr}");
    }

    // Sabotage: take the patch's whole region and let neighbours in.
    #[test]
    fn a_patch_off_by_four_levels_is_seen() {
        let layout = Layout::of(320, 180).unwrap();
        let [red, ..] = layout.patches;
        let mut reference = Reference::new(layout);
        reference.draw(0);
        let luma = reference.luma();
        let [_, cb, cr] = ycbcr(red.rgb).map(|v| v.round() as u8);
        let (cb, cr) = (vec![cb; 160 * 90], vec![cr; 160 * 90]);
        let plane = |bytes, stride| Plane { bytes, stride };
        let good = patch_error(&red, plane(&luma, 320), plane(&cb, 160), plane(&cr, 160));
        assert!(good.worst < 1.0, "{good:?}");
        let darker: Vec<u8> = luma.iter().map(|y| y.saturating_sub(4)).collect();
        let bad = patch_error(&red, plane(&darker, 320), plane(&cb, 160), plane(&cr, 160));
        assert!(bad.worst > 3.0, "{bad:?}");
    }
}

//! Moving pictures for tests, each a function of one number: scrolling text, a panning noise patch, a still part.

use lumen_ipc::Damage;
use lumen_ipc::pool::{Layout, PixelFormat};

use crate::backends::openh264::{Library, OpenH264};
use crate::backends::{Encoder, Shape};
use crate::canvas::Canvas;
use crate::convert::Source;
use crate::ratecontrol::{RateControl, Verdict};

/// A picture source of one size.
pub struct Scene {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Another seed is another text and another noise.
    pub seed: u32,
    /// Part of the height that has noise, in percent.
    pub noise: usize,
}

fn hash(a: u32, b: u32, seed: u32) -> u32 {
    let mut x = a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA77) ^ seed.wrapping_mul(0xC2B2_AE3D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x2C1B_3C6D);
    x ^= x >> 12;
    x = x.wrapping_mul(0x297A_2D39);
    x ^ (x >> 15)
}

impl Scene {
    /// The layout of its pictures.
    pub fn layout(&self) -> Layout {
        Layout {
            width: self.width as u32,
            height: self.height as u32,
            stride: self.width as u32 * 4,
            format: PixelFormat::Bgrx,
        }
    }

    /// One glyph-like stroke pattern: cells of 8x14 with three strokes, thin and of high contrast.
    fn ink(&self, x: usize, y: usize) -> bool {
        let (column, line) = (x / 8, y / 16);
        let (dx, dy) = (x % 8, y % 16);
        if dx >= 7 || !(2..14).contains(&dy) {
            return false;
        }
        let glyph = hash(column as u32, line as u32, self.seed);
        if glyph.is_multiple_of(6) {
            return false;
        }
        let bar = |n: u32| (glyph >> n) & 1 == 1;
        (dx <= 1 && bar(3))
            || (dx >= 5 && bar(4))
            || (dy == 2 && bar(5))
            || (dy == 7 && bar(6))
            || (dy == 13 && bar(7))
            || (dx == dy / 2 && bar(8))
    }

    fn pixel(&self, x: usize, y: usize, number: usize) -> [u8; 4] {
        let noise_top = self.height - self.height * self.noise / 100;
        let half = self.width / 2;
        if y >= noise_top && x < half {
            let value = hash(((x + number * 3) / 2) as u32, (y / 2) as u32, self.seed) as u8;
            return [value, value.wrapping_mul(3), value.wrapping_add(60), 0];
        }
        if y >= noise_top {
            return [(x * 255 / self.width) as u8, 40, (y * 255 / self.height) as u8, 0];
        }
        // The left part scrolls, the right part is a still page.
        let line = if x < self.width * 3 / 4 { y + number * 2 } else { y };
        if self.ink(x, line) { [30, 30, 30, 0] } else { [240, 238, 232, 0] }
    }

    /// Draws picture `number` into `pixels` (BGRX, tight rows).
    pub fn draw(&self, number: usize, pixels: &mut [u8]) {
        for (y, row) in pixels.chunks_exact_mut(self.width * 4).enumerate() {
            for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
                pixel.copy_from_slice(&self.pixel(x, y, number));
            }
        }
    }
}

/// PSNR of luma in dB over rows `rows` and columns `columns`.
pub fn psnr(
    a: (&[u8], usize),
    b: (&[u8], usize),
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
) -> f64 {
    let mut sum = 0.0;
    let count = (columns.len() * rows.len()) as f64;
    for y in rows {
        for x in columns.clone() {
            let d = f64::from(a.0[y * a.1 + x]) - f64::from(b.0[y * b.1 + x]);
            sum += d * d;
        }
    }
    if sum == 0.0 { 99.0 } else { 10.0 * (255.0 * 255.0 * count / sum).log10() }
}

/// A test picture source, encoder, rate control and decoder in one.
pub struct Bench {
    pub scene: Scene,
    pub rc: RateControl,
    pub decoder: openh264::decoder::Decoder,
    encoder: OpenH264,
    canvas: Canvas,
    pixels: Vec<u8>,
    number: u64,
    rate: u32,
}

/// What became of one picture.
#[derive(Debug)]
pub struct Outcome {
    pub bits: f64,
    pub grain: u8,
    pub idr: bool,
    pub tries: u32,
    /// Of the text's luma, in dB.
    pub psnr: f64,
}

impl Bench {
    pub fn new(scene: Scene, bitrate: u32) -> Self {
        Self::at_rate(scene, bitrate, 60)
    }

    /// With another number of pictures a second.
    pub fn at_rate(scene: Scene, bitrate: u32, rate: u32) -> Self {
        let (width, height) = (scene.width, scene.height);
        let shape = Shape { width, height, rate: rate as f32, keeps: false };
        Self {
            rate,
            rc: RateControl::new(bitrate, rate.into()),
            decoder: openh264::decoder::Decoder::new().unwrap(),
            encoder: OpenH264::new(&Library::open().unwrap(), shape, 1).unwrap(),
            canvas: Canvas::new(width, height),
            pixels: vec![0; width * height * 4],
            number: 0,
            scene,
        }
    }

    /// Encodes, judges and decodes picture `number` of the scene, one interval after the one before.
    pub fn step(&mut self, number: usize, idr: bool) -> Outcome {
        self.scene.draw(number, &mut self.pixels);
        self.encode(idr)
    }

    /// As [`Bench::step`], with a bar of 8x14 pixels over the picture's middle: black, white, black and so on.
    pub fn blink(&mut self, number: usize) -> Outcome {
        let (left, top) = (self.scene.width / 2, self.scene.height / 2);
        for row in self.pixels.chunks_exact_mut(self.scene.width * 4).skip(top).take(14) {
            row[left * 4..][..8 * 4].fill(if number.is_multiple_of(2) { 0 } else { 255 });
        }
        self.encode(false)
    }

    fn encode(&mut self, idr: bool) -> Outcome {
        let layout = self.scene.layout();
        let source = Source { pixels: &self.pixels, layout: &layout };
        self.canvas.paint(source, &Damage::full(layout.width, layout.height)).unwrap();
        let change = self.canvas.take_change();
        self.number += 1;
        let mut plan = self.rc.plan(&change, idr, self.number * 1_000_000_000 / u64::from(self.rate));
        let mut tries = 1;
        let (bytes, is_idr) = loop {
            let unit = self.encoder.encode(self.canvas.at(plan), plan.coding, plan.grain.qp()).unwrap();
            match self.rc.judge(unit.size()) {
                Verdict::Send => break (unit.chunks.concat(), unit.idr),
                Verdict::Again(next) => (plan, tries) = (next, tries + 1),
            }
        };
        let psnr = self.decode(&bytes);
        Outcome { bits: bytes.len() as f64 * 8.0, grain: plan.grain.number(), idr: is_idr, tries, psnr }
    }

    fn decode(&mut self, bytes: &[u8]) -> f64 {
        use openh264::formats::YUVSource;
        let yuv = self.decoder.decode(bytes).unwrap().expect("a picture without delay");
        let picture = self.canvas.picture();
        let rows = 0..self.scene.height * (100 - self.scene.noise) / 100;
        psnr((yuv.y(), yuv.strides().0), (picture.luma(), picture.stride()), 0..self.scene.width, rows)
    }
}

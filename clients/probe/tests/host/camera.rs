//! Encoded stamps: frame n shows number n.

use lumen_stamp::{render, ycbcr};
use openh264::{
    OpenH264API,
    encoder::{BitRate, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, RateControlMode},
    formats::YUVSlices,
};

pub const SIZE: (usize, usize) = (320, 180);

pub struct Camera(Encoder);

impl Camera {
    pub fn new() -> Self {
        let config = EncoderConfig::new()
            .rate_control_mode(RateControlMode::Off)
            .skip_frames(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .scene_change_detect(false)
            .intra_frame_period(IntraFramePeriod::from_num_frames(0))
            .max_frame_rate(FrameRate::from_hz(60.0))
            .bitrate(BitRate::from_bps(5_000_000));
        Self(Encoder::with_api_config(OpenH264API::from_source(), config).unwrap())
    }

    /// The access unit of stamp `number`.
    pub fn shoot(&mut self, number: u32, idr: bool) -> Vec<u8> {
        let (width, height) = SIZE;
        let mut pixels = vec![0; width * height * 4];
        render(number, width as u32, height as u32, &mut pixels).unwrap();
        let [y, cb, cr] = planes(&pixels);
        if idr {
            self.0.force_intra_frame();
        }
        let picture = YUVSlices::new((&y, &cb, &cr), SIZE, (width, width / 2, width / 2));
        self.0.encode(&picture).unwrap().to_vec()
    }
}

/// BT.709 limited 4:2:0, in plain words and not fast.
fn planes(pixels: &[u8]) -> [Vec<u8>; 3] {
    let (width, height) = SIZE;
    let colour = |x: usize, y: usize| {
        let at = (y * width + x) * 4;
        ycbcr([pixels[at + 2], pixels[at + 1], pixels[at]])
    };
    let luma = (0..width * height).map(|i| colour(i % width, i / width)[0].round() as u8).collect();
    let chroma = |which: usize| {
        let mean = |i: usize| {
            let (x, y) = (i % (width / 2) * 2, i / (width / 2) * 2);
            let sum: f64 =
                [(0, 0), (1, 0), (0, 1), (1, 1)].iter().map(|(dx, dy)| colour(x + dx, y + dy)[which]).sum();
            (sum / 4.0).round() as u8
        };
        (0..width * height / 4).map(mean).collect()
    };
    [luma, chroma(1), chroma(2)]
}

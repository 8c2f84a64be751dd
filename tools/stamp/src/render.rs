//! Draws a frame. XRGB8888, little endian (bytes B, G, R, unused), rows without padding.

use crate::{
    code, font,
    layout::{Content, Layout, Region, TooSmall},
};

/// Why nothing was drawn.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RenderError {
    /// The frame cannot hold a stamp.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// The buffer is not width x height x 4 bytes.
    #[error("the buffer holds {got} bytes where the frame has {need}")]
    WrongSize {
        /// Bytes of the frame.
        need: usize,
        /// Bytes of the buffer.
        got: usize,
    },
}

const BACKGROUND: [u8; 3] = [36, 44, 60];
const PAPER: [u8; 3] = [20, 22, 26];
const INK: [u8; 3] = [222, 222, 216];

/// Rows that the text moves up from one number to the next.
const SCROLL: u64 = 2;

/// Columns that the noise moves left from one number to the next.
const PAN: u64 = 2;

/// Levels of the grain that lies on the noise and is new with each number. Because a picture that only pans costs an
/// H.264 encoder 1 Mbit/s at 720p60 whatever the quantiser, and no rate control can be judged by that; with this grain
/// 10 Mbit/s mean QP 27.
const GRAIN: u64 = 32;

/// Words of the scrolling text: short and long ones, with strokes in every direction.
const WORDS: [&str; 16] = [
    "light", "window", "frame", "kernel", "a", "pixel", "of", "stream", "quick", "vector", "jigsaw", "the",
    "cipher", "shard", "output", "maximum",
];

const STILL: [&str; 6] = [
    "This text never changes.",
    "What changes here was",
    "added on the way.",
    "",
    "0123456789 ABCDEFGHIJKLM",
    "nopqrstuvwxyz .,:-/#()",
];

/// Draws frame `number` into `pixels` of `width` x `height`; the same number gives the same bytes.
pub fn render(number: u32, width: u32, height: u32, pixels: &mut [u8]) -> Result<(), RenderError> {
    render_in(&Layout::of(width, height)?, number, pixels)
}

/// As [`render`], in a layout of the caller's.
pub fn render_in(layout: &Layout, number: u32, pixels: &mut [u8]) -> Result<(), RenderError> {
    check(layout, pixels)?;
    draw_still(layout, pixels);
    draw_moving(number, layout, pixels);
    Ok(())
}

/// Turns any other frame of the same size in `pixels` into frame `number`; says what it touched.
pub fn render_moving(
    number: u32,
    width: u32,
    height: u32,
    pixels: &mut [u8],
) -> Result<[Region; 4], RenderError> {
    render_moving_in(&Layout::of(width, height)?, number, pixels)
}

/// As [`render_moving`], in a layout of the caller's.
pub fn render_moving_in(layout: &Layout, number: u32, pixels: &mut [u8]) -> Result<[Region; 4], RenderError> {
    check(layout, pixels)?;
    draw_moving(number, layout, pixels);
    Ok(layout.moving())
}

fn check(layout: &Layout, pixels: &[u8]) -> Result<(), RenderError> {
    if pixels.len() == layout.bytes() {
        Ok(())
    } else {
        Err(RenderError::WrongSize { need: layout.bytes(), got: pixels.len() })
    }
}

/// Draws what is the same in each frame.
pub(crate) fn draw_still(layout: &Layout, pixels: &mut [u8]) {
    let mut canvas = Canvas { pixels, width: layout.width };
    canvas.fill(Region { x: 0, y: 0, width: layout.width, height: layout.height }, BACKGROUND);
    for patch in &layout.patches {
        canvas.fill(patch.region, patch.rgb);
    }
    canvas.fill(layout.still, PAPER);
    let pitch = line_pitch(layout.dot);
    for (line, text) in (0..).zip(STILL) {
        let mut row = layout.still;
        row.x += 4 * layout.dot;
        row.width = row.width.saturating_sub(4 * layout.dot);
        row.y += 2 * layout.dot + line * pitch;
        row.height = (layout.still.y + layout.still.height).saturating_sub(row.y).min(pitch);
        canvas.line(row, text, layout.dot);
    }
}

/// Draws what differs between frames.
pub(crate) fn draw_moving(number: u32, layout: &Layout, pixels: &mut [u8]) {
    let mut canvas = Canvas { pixels, width: layout.width };
    let blocks = code::encode(number);
    for index in 0..code::COLUMNS * code::ROWS {
        let white = blocks >> (63 - index) & 1 == 1;
        canvas.fill(code::block(layout.code, index), if white { [255; 3] } else { [0; 3] });
    }
    canvas.fill(layout.title, PAPER);
    canvas.line(layout.title, &format!("frame {number}"), layout.dot);
    for (region, usual) in [(layout.text, Content::Text), (layout.noise, Content::Noise)] {
        match if layout.content == Content::Both { usual } else { layout.content } {
            Content::Noise => draw_noise(number, region, &mut canvas),
            Content::Both | Content::Text => draw_text(number, region, layout.dot, &mut canvas),
        }
    }
}

/// Pixels from one line of text to the next.
fn line_pitch(dot: u32) -> u32 {
    (font::HEIGHT + 2) * dot
}

/// The window on an endless text, `SCROLL` rows further down with each number.
fn draw_text(number: u32, region: Region, dot: u32, canvas: &mut Canvas<'_>) {
    let pitch = u64::from(line_pitch(dot));
    let columns = (region.width / (font::WIDTH * dot)) as usize;
    let (mut shown, mut text) = (u64::MAX, String::new());
    for y in 0..region.height {
        let down = u64::from(number) * SCROLL + u64::from(y);
        let (line, inside) = (down / pitch, (down % pitch) as u32);
        if line != shown {
            shown = line;
            text = words(line, columns);
        }
        canvas.scan(region, y, &text, inside / dot, dot);
    }
}

/// Line `line` of the endless text.
fn words(line: u64, columns: usize) -> String {
    let mut text = format!("{line:>6} ");
    for word in 0.. {
        if text.len() >= columns {
            break;
        }
        let pick = mix(line << 16 | word) as usize % WORDS.len();
        text.push_str(WORDS.get(pick).copied().unwrap_or_default());
        text.push(' ');
    }
    text
}

/// The window on an endless plane of noise, `PAN` columns further right with each number, under fresh grain.
fn draw_noise(number: u32, region: Region, canvas: &mut Canvas<'_>) {
    let left = u64::from(number) * PAN;
    for y in 0..region.height {
        let (lattice, grain) = (u64::from(y / 2) << 40, u64::from(number) << 32 | u64::from(y) << 16);
        let row = canvas.row(region, y);
        for (x, pixel) in (0..).zip(row.as_chunks_mut().0) {
            let panning = mix(lattice | ((left + x) / 2)) % 64;
            let grey = (80 + panning + mix(!(grain | x)) % GRAIN) as u8;
            *pixel = [grey, grey, grey, 0];
        }
    }
}

/// A bijection of 64 bits in which each input bit moves each output bit (the finaliser of MurmurHash3, public domain).
fn mix(mut v: u64) -> u64 {
    v ^= v >> 33;
    v = v.wrapping_mul(0xff51_afd7_ed55_8ccd);
    v ^= v >> 33;
    v = v.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    v ^ v >> 33
}

/// A frame being drawn.
struct Canvas<'a> {
    pixels: &'a mut [u8],
    width: u32,
}

impl Canvas<'_> {
    /// The pixels of one row of `region`; empty beyond the frame.
    fn row(&mut self, region: Region, y: u32) -> &mut [u8] {
        let start = ((region.y + y) as usize * self.width as usize + region.x as usize) * 4;
        self.pixels.get_mut(start..start + region.width as usize * 4).unwrap_or_default()
    }

    fn fill(&mut self, region: Region, [r, g, b]: [u8; 3]) {
        for y in 0..region.height {
            self.row(region, y).as_chunks_mut().0.fill([b, g, r, 0]);
        }
    }

    /// One line of text from the top left of `region`, cut where the region ends.
    fn line(&mut self, region: Region, text: &str, dot: u32) {
        for y in 0..region.height {
            self.scan(region, y, text, y / dot, dot);
        }
    }

    /// One row of pixels of a line of text: ink where the glyphs' row `glyph_row` has dots, paper elsewhere.
    fn scan(&mut self, region: Region, y: u32, text: &str, glyph_row: u32, dot: u32) {
        let row = self.row(region, y);
        let ([r, g, b], [ir, ig, ib]) = (PAPER, INK);
        row.as_chunks_mut().0.fill([b, g, r, 0]);
        let cell = (font::WIDTH * dot) as usize * 4;
        for (glyph, cell) in text.bytes().zip(row.chunks_mut(cell)) {
            let dots = font::row(glyph, glyph_row);
            if dots == 0 {
                continue;
            }
            for (column, dot) in (0..font::WIDTH).zip(cell.chunks_mut(dot as usize * 4)) {
                if dots >> (font::WIDTH - 1 - column) & 1 == 1 {
                    dot.as_chunks_mut().0.fill([ib, ig, ir, 0]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u32) -> Vec<u8> {
        let mut pixels = vec![0xaa; 640 * 360 * 4];
        render(number, 640, 360, &mut pixels).unwrap();
        pixels
    }

    // Sabotage: leave the noise out of Layout::moving, or read a clock in render.
    #[test]
    fn only_the_moving_places_differ() {
        let layout = Layout::of(640, 360).unwrap();
        let (a, b) = (frame(99), frame(100));
        assert_eq!(a, frame(99));
        let inside = |x: u32, y: u32, r: &Region| {
            (r.x..r.x + r.width).contains(&x) && (r.y..r.y + r.height).contains(&y)
        };
        let mut moved = [false; 4];
        for (i, (p, q)) in a.chunks(4).zip(b.chunks(4)).enumerate() {
            let (x, y) = (i as u32 % 640, i as u32 / 640);
            if p != q {
                let place = layout.moving().iter().position(|r| inside(x, y, r));
                moved[place.expect("a still place differs")] = true;
            }
        }
        assert_eq!(moved, [true; 4]);
    }

    // Sabotage: let draw_moving forget a place, so that the older frame shows through.
    #[test]
    fn moving_on_equals_drawing_anew() {
        let mut pixels = frame(5);
        let touched = render_moving(u32::MAX, 640, 360, &mut pixels).unwrap();
        assert_eq!(touched, Layout::of(640, 360).unwrap().moving());
        assert!(pixels == frame(u32::MAX));
    }

    // Sabotage: scroll the text by a row too many.
    #[test]
    fn text_and_noise_move_by_whole_pixels() {
        let layout = Layout::of(640, 360).unwrap();
        let (a, b) = (frame(7), frame(8));
        let at = |f: &[u8], x: u32, y: u32| f[((y * 640 + x) * 4) as usize];
        let text = layout.text;
        for y in text.y..text.y + text.height - SCROLL as u32 {
            assert_eq!(at(&b, text.x + 60, y), at(&a, text.x + 60, y + SCROLL as u32));
        }
        let noise = layout.noise;
        for x in noise.x..noise.x + noise.width - PAN as u32 {
            let (then, now) = (at(&a, x + PAN as u32, noise.y + 9), at(&b, x, noise.y + 9));
            assert!(u64::from(now.abs_diff(then)) < GRAIN);
        }
    }

    // Sabotage: show noise in one place whatever was asked for.
    #[test]
    fn what_moves_may_be_all_text_or_all_noise() {
        let is_grey = |content, region: Region| {
            let layout = Layout::of(640, 360).unwrap().showing(content);
            let mut pixels = vec![0; 640 * 360 * 4];
            render_in(&layout, 7, &mut pixels).unwrap();
            let row = &pixels[((region.y + 5) * 640 + region.x) as usize * 4..][..region.width as usize * 4];
            row.chunks(4).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
        };
        let Layout { text, noise, .. } = Layout::of(640, 360).unwrap();
        let found = [Content::Both, Content::Text, Content::Noise]
            .map(|content| (is_grey(content, text), is_grey(content, noise)));
        assert_eq!(found, [(false, true), (false, false), (true, true)]);
    }

    #[test]
    fn a_wrong_buffer_is_refused() {
        let wrong = render(0, 320, 180, &mut [0; 16]);
        assert_eq!(wrong, Err(RenderError::WrongSize { need: 320 * 180 * 4, got: 16 }));
    }
}

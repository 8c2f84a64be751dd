//! A source without a compositor: a picture that is a function of its number, for tests of what lies
//! downstream. It is never chosen by itself.
//!
//! Eight colour bars stand still, a white bar of an eighth of the width moves 8 pixels a picture over the
//! lower half, and the picture's number stands in the upper left corner as 32 squares of 8 × 8 pixels, white
//! for 1, most significant bit first.

use super::{Event, Source, SourceError};
use crate::newest::Picture;
use lumen_ipc::{
    Damage, Mode, Rect,
    pool::{Layout, PixelFormat},
};
use lumen_stage::clock::now_ns;
use rustix::{
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Pixels that the white bar moves from one picture to the next.
const STEP: u32 = 8;
/// Side of the squares that spell the number, pixels.
const SQUARE: u32 = 8;
/// Blue, green, red of the eight bars.
const BARS: [[u8; 3]; 8] = [
    [180, 180, 180],
    [16, 180, 180],
    [180, 180, 16],
    [16, 180, 16],
    [180, 16, 180],
    [16, 16, 180],
    [180, 16, 16],
    [16, 16, 16],
];

/// The moving picture, paced by a timer at the mode's rate.
pub struct Pattern {
    timer: OwnedFd,
    mode: Mode,
    layout: Layout,
    announced: u8,
    buffers: Vec<OwnedFd>,
    waiting: Option<u32>,
    scratch: Vec<u8>,
    number: u32,
}

impl Pattern {
    /// A picture of this mode.
    ///
    /// # Errors
    /// The kernel gives no timer, or the mode is impossible.
    pub fn new(mode: Mode) -> Result<Self, SourceError> {
        let system = |errno| SourceError::System { what: "making a timer", errno };
        let layout = Layout {
            width: mode.width,
            height: mode.height,
            stride: mode.width * 4,
            format: PixelFormat::Bgrx,
        };
        let bytes = layout.bytes()?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(system)?;
        let period = mode.frame_ns();
        let spec = Timespec {
            tv_sec: (period / 1_000_000_000).cast_signed(),
            tv_nsec: (period % 1_000_000_000).cast_signed(),
        };
        let spec = Itimerspec { it_interval: spec, it_value: spec };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec).map_err(system)?;
        let scratch = vec![0; usize::try_from(bytes).unwrap_or(0)];
        Ok(Self { timer, mode, layout, announced: 0, buffers: Vec::new(), waiting: None, scratch, number: 0 })
    }

    fn ticked(&self) -> bool {
        let mut expirations = [0; 8];
        rustix::io::read(&self.timer, &mut expirations).is_ok()
    }

    fn write(&mut self, buffer: u32) -> Result<(), SourceError> {
        draw(&mut self.scratch, &self.layout, self.number);
        let Some(memfd) = self.buffers.get(buffer as usize) else {
            return Ok(());
        };
        let mut rest = self.scratch.as_slice();
        while !rest.is_empty() {
            let offset = (self.scratch.len() - rest.len()) as u64;
            match rustix::io::pwrite(memfd, rest, offset) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(SourceError::System { what: "writing a picture", errno });
                }
            }
        }
        Ok(())
    }

    /// The number and the bar's way since the picture before; all of the first one.
    fn damage(&self) -> Damage {
        let Mode { width, height, .. } = self.mode;
        if self.number == 1 {
            return Damage::full(width, height);
        }
        let mut damage = Damage::default();
        let number = Rect { x: 0, y: 0, width: 32 * SQUARE, height: SQUARE };
        let way = Rect { x: 0, y: height / 2, width, height: height - height / 2 };
        [number, way]
            .into_iter()
            .filter_map(|rect| rect.clip(width, height))
            .for_each(|rect| damage.add(rect));
        damage
    }
}

/// Draws picture `number` into `pixels`, rows of `layout.stride` bytes.
pub fn draw(pixels: &mut [u8], layout: &Layout, number: u32) {
    let bar = layout.width / 8;
    let left = number.wrapping_mul(STEP) % layout.width.max(1);
    for (row, y) in pixels.chunks_exact_mut(layout.stride as usize).zip(0u32..) {
        for (pixel, x) in row.as_chunks_mut::<4>().0.iter_mut().zip(0..layout.width) {
            let in_bar = y >= layout.height / 2 && (x + layout.width - left) % layout.width < bar;
            let [b, g, r] = match (y < SQUARE).then(|| bit(number, x / SQUARE)).flatten() {
                Some(true) => [255; 3],
                Some(false) => [0; 3],
                None if in_bar => [255; 3],
                None => BARS.get((x / bar.max(1)) as usize % 8).copied().unwrap_or_default(),
            };
            *pixel = [b, g, r, 255];
        }
    }
}

/// The bit of `number` that the square with this index shows; `None` beyond the last.
fn bit(number: u32, square: u32) -> Option<bool> {
    (square < 32).then(|| number >> (31 - square) & 1 == 1)
}

impl Source for Pattern {
    fn name(&self) -> &'static str {
        "pattern"
    }

    fn why(&self) -> &'static str {
        "the configuration asks for it"
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SourceError> {
        match self.announced {
            0 => {
                self.announced = 1;
                return Ok(Some(Event::Mode(self.mode)));
            }
            1 => {
                self.announced = 2;
                return Ok(Some(Event::Layout(self.layout)));
            }
            _ => {}
        }
        if !self.ticked() {
            return Ok(None);
        }
        // Without a buffer the picture of this tick is nobody's.
        let Some(buffer) = self.waiting.take() else {
            return Ok(None);
        };
        self.number = self.number.wrapping_add(1);
        self.write(buffer)?;
        let picture = Picture { damage: self.damage(), dequeued_ns: now_ns(), spot: None };
        Ok(Some(Event::Filled { buffer, picture, upside_down: false }))
    }

    fn use_pool(&mut self, _: Layout, buffers: &[BorrowedFd<'_>]) -> Result<(), SourceError> {
        let system = |errno| SourceError::System { what: "keeping a buffer", errno };
        self.waiting = None;
        self.buffers.clear();
        for memfd in buffers {
            self.buffers.push(rustix::io::fcntl_dupfd_cloexec(memfd, 0).map_err(system)?);
        }
        Ok(())
    }

    fn wants_buffer(&self) -> bool {
        !self.buffers.is_empty() && self.waiting.is_none()
    }

    fn fill(&mut self, buffer: u32) -> Result<(), SourceError> {
        self.waiting = Some(buffer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { width: 320, height: 64, stride: 1280, format: PixelFormat::Bgrx };

    fn drawn(number: u32) -> Vec<u8> {
        let mut pixels = vec![0; 1280 * 64];
        draw(&mut pixels, &LAYOUT, number);
        pixels
    }

    // Sabotage: draw the same picture whatever the number, or report less damage than the bar's way.
    #[test]
    fn pictures_differ_only_where_damage_says_and_spell_their_number() {
        let mode = Mode { width: 320, height: 64, refresh_mhz: 60_000 };
        let mut source = Pattern::new(mode).unwrap();
        for number in 2..60u32 {
            source.number = number;
            let (before, after, damage) = (drawn(number - 1), drawn(number), source.damage());
            assert_ne!(before, after);
            for (index, _) in before.iter().zip(&after).enumerate().filter(|(_, (a, b))| a != b) {
                let (x, y) = (index as u32 % 1280 / 4, index as u32 / 1280);
                let inside = |r: &Rect| r.x <= x && x < r.x + r.width && r.y <= y && y < r.y + r.height;
                assert!(damage.rects().iter().any(inside), "{x},{y} changed unsaid");
            }
            let spelled = (0..32).fold(0u32, |n, square| n << 1 | u32::from(after[square * 8 * 4] == 255));
            assert_eq!(spelled, number);
        }
    }
}

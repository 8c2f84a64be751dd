//! The window: full screen, driven by frame callbacks.

use std::{
    fmt,
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use lumen_stamp::{Content, Layout};
use rustix::time::{ClockId, clock_gettime};
use wayland_client::{
    Connection, Dispatch, QueueHandle, WEnum, delegate_noop,
    globals::{GlobalListContents, registry_queue_init},
    protocol::{
        wl_buffer::{self, WlBuffer},
        wl_callback::{self, WlCallback},
        wl_compositor::WlCompositor,
        wl_keyboard::{self, KeyState, WlKeyboard},
        wl_registry::{self, WlRegistry},
        wl_seat::{self, Capability, WlSeat},
        wl_shm::WlShm,
        wl_shm_pool::WlShmPool,
        wl_surface::WlSurface,
    },
};
use wayland_protocols::xdg::shell::client::{
    xdg_surface::{self, XdgSurface},
    xdg_toplevel::{self, XdgToplevel},
    xdg_wm_base::{self, XdgWmBase},
};

use crate::{click::Clicker, pool::Pool};

/// The size where the compositor leaves the choice to the window.
const OWN_SIZE: (u32, u32) = (1280, 720);

/// Which numbers are shown, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first number.
    pub first: u32,
    /// When the next number is shown.
    pub moves: Moves,
    /// What moves.
    pub content: Content,
    /// Frames a second at most.
    pub most_per_second: Option<u32>,
}

/// When the next number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// As often as the compositor asks for a frame.
    Always,
    /// When a key goes down.
    OnKey,
    /// Never.
    Never,
}

/// Why the window is no more, and that is fine.
#[derive(Debug)]
pub enum End {
    /// The compositor hung up.
    CompositorGone,
    /// The user or the compositor closed the window.
    Closed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CompositorGone => "the compositor is gone, so am I",
            Self::Closed => "the window was closed",
        })
    }
}

/// Shows frames until the compositor goes or closes the window, and writes into `drawn` when each was given to it; `clicker` is told
/// of each.
pub fn show(pace: Pace, drawn: Option<&Path>, clicker: Option<Clicker>) -> anyhow::Result<End> {
    let drawn =
        drawn.map(|path| File::create(path).with_context(|| format!("cannot write {}", path.display())));
    let drawn = drawn.transpose()?;
    let connection = Connection::connect_to_env()
        .context("no Wayland compositor; start me inside one, or set WAYLAND_DISPLAY")?;
    let (globals, mut events) = registry_queue_init::<Window>(&connection)?;
    let queue = events.handle();
    let compositor: WlCompositor = globals.bind(&queue, 4..=5, ())?;
    let shell: XdgWmBase = globals.bind(&queue, 1..=3, ())?;
    let surface = compositor.create_surface(&queue, ());
    let role = shell.get_xdg_surface(&surface, &queue, ());
    let toplevel = role.get_toplevel(&queue, ());
    toplevel.set_title("lumen stamp".into());
    toplevel.set_app_id("org.lumen.Stamp".into());
    toplevel.set_fullscreen(None);
    surface.commit();
    if pace.moves == Moves::OnKey {
        // Kept by the connection; it is told when there is a keyboard.
        let _seat: WlSeat = globals.bind(&queue, 1..=1, ())?;
    }
    let mut window = Window {
        shm: globals.bind(&queue, 1..=1, ())?,
        surface,
        pool: None,
        size: OWN_SIZE,
        pace,
        keyboard: None,
        next: Next::Draw { number: pace.first },
        last: None,
        drawn,
        clicker,
        ended: None,
    };
    loop {
        if events.blocking_dispatch(&mut window).is_err() {
            return Ok(End::CompositorGone);
        }
        if let Some(end) = window.ended.take() {
            return end;
        }
    }
}

/// What comes next on the screen.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// This number, as soon as there is a size and a free buffer.
    Draw { number: u32 },
    /// The number after this one, when the compositor asks for it.
    Shown { number: u32 },
}

#[derive(Debug)]
struct Window {
    shm: WlShm,
    surface: WlSurface,
    pool: Option<Pool>,
    size: (u32, u32),
    pace: Pace,
    keyboard: Option<WlKeyboard>,
    next: Next,
    last: Option<Instant>,
    drawn: Option<File>,
    clicker: Option<Clicker>,
    ended: Option<anyhow::Result<End>>,
}

impl Window {
    /// Draws what is due, if it can be drawn now; a failure ends the window.
    fn draw(&mut self, queue: &QueueHandle<Self>) {
        if let Err(error) = self.try_draw(queue) {
            self.ended = Some(Err(error));
        }
    }

    fn try_draw(&mut self, queue: &QueueHandle<Self>) -> anyhow::Result<()> {
        let (Next::Draw { number }, Some(pool)) = (self.next, &mut self.pool) else {
            return Ok(());
        };
        let Some(drawn) = pool.draw(number)? else {
            return Ok(());
        };
        self.surface.attach(Some(drawn.buffer), 0, 0);
        for r in drawn.damage {
            self.surface.damage_buffer(r.x as i32, r.y as i32, r.width as i32, r.height as i32);
        }
        if self.pace.moves == Moves::Always {
            self.surface.frame(queue, ());
        }
        self.surface.commit();
        self.last = Some(Instant::now());
        if let Some(clicker) = &self.clicker {
            clicker.shown(number);
        }
        if let Some(log) = &mut self.drawn {
            let now = clock_gettime(ClockId::Monotonic);
            writeln!(log, "{number} {}", now.tv_sec * 1_000_000_000 + now.tv_nsec)?;
        }
        self.next = Next::Shown { number };
        Ok(())
    }

    /// The compositor's size for the window: a new pool if it differs.
    fn resize(&mut self, queue: &QueueHandle<Self>) {
        let (width, height) = self.size;
        if self.pool.as_ref().is_some_and(|p| p.fits(width, height)) {
            return;
        }
        let pool = Layout::of(width, height)
            .context("the output is too small")
            .and_then(|layout| Pool::new(&self.shm, queue, layout.showing(self.pace.content)));
        match pool {
            Ok(pool) => self.pool = Some(pool),
            Err(error) => self.ended = Some(Err(error)),
        }
        let (Next::Draw { number } | Next::Shown { number }) = self.next;
        self.next = Next::Draw { number };
    }

    /// The next number, now.
    fn go_on(&mut self, queue: &QueueHandle<Self>) {
        if let Next::Shown { number } = self.next {
            self.next = Next::Draw { number: number.wrapping_add(1) };
            self.draw(queue);
        }
    }

    /// Waits until the next frame may be shown.
    fn hold(&self) {
        let (Some(fps), Some(last)) = (self.pace.most_per_second, self.last) else {
            return;
        };
        let due = last + Duration::from_secs(1) / fps;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

impl Dispatch<XdgSurface, ()> for Window {
    fn event(
        state: &mut Self,
        role: &XdgSurface,
        event: xdg_surface::Event,
        _: &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            role.ack_configure(serial);
            state.resize(queue);
            state.draw(queue);
        }
    }
}

impl Dispatch<XdgToplevel, ()> for Window {
    fn event(
        state: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            xdg_toplevel::Event::Configure { width: width @ 1.., height: height @ 1.., .. } => {
                state.size = (width.unsigned_abs(), height.unsigned_abs());
            }
            xdg_toplevel::Event::Close => state.ended = Some(Ok(End::Closed)),
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, ()> for Window {
    fn event(
        state: &mut Self,
        _: &WlCallback,
        event: wl_callback::Event,
        _: &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        if let (wl_callback::Event::Done { .. }, Next::Shown { .. }) = (event, state.next) {
            state.hold();
            state.go_on(queue);
        }
    }
}

impl Dispatch<WlSeat, ()> for Window {
    fn event(
        state: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        _: &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities: WEnum::Value(has) } = event else { return };
        // A client's keyboard comes and goes with inputd.
        let has = has.contains(Capability::Keyboard);
        state.keyboard = has.then(|| state.keyboard.take().unwrap_or_else(|| seat.get_keyboard(queue, ())));
    }
}

impl Dispatch<WlKeyboard, ()> for Window {
    fn event(
        state: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        _: &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        if let wl_keyboard::Event::Key { state: WEnum::Value(KeyState::Pressed), .. } = event {
            state.go_on(queue);
        }
    }
}

impl Dispatch<WlBuffer, ()> for Window {
    fn event(
        state: &mut Self,
        buffer: &WlBuffer,
        event: wl_buffer::Event,
        _: &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        if let (wl_buffer::Event::Release, Some(pool)) = (event, &mut state.pool) {
            pool.released(buffer);
            state.draw(queue);
        }
    }
}

impl Dispatch<XdgWmBase, ()> for Window {
    fn event(
        _: &mut Self,
        shell: &XdgWmBase,
        event: xdg_wm_base::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            shell.pong(serial);
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Window {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(Window: WlCompositor);
delegate_noop!(Window: ignore WlSurface);
delegate_noop!(Window: ignore WlShm);
delegate_noop!(Window: WlShmPool);

//! The window: full screen, one grey picture, shown once for each size.

use std::os::fd::AsFd;

use anyhow::Context;
use wayland_client::{
    Connection, Dispatch, QueueHandle, delegate_noop,
    globals::{GlobalListContents, registry_queue_init},
    protocol::{
        wl_buffer::WlBuffer,
        wl_compositor::WlCompositor,
        wl_registry::{self, WlRegistry},
        wl_seat::WlSeat,
        wl_shm::{self, WlShm},
        wl_shm_pool::WlShmPool,
        wl_surface::WlSurface,
    },
};
use wayland_protocols::xdg::shell::client::{
    xdg_surface::{self, XdgSurface},
    xdg_toplevel::{self, XdgToplevel},
    xdg_wm_base::{self, XdgWmBase},
};

use lumen_see::{Journal, Thing};

use crate::hands::Hands;

/// The size where the compositor leaves the choice to the window.
const OWN_SIZE: (u32, u32) = (1280, 720);

/// Grey, four bytes a pixel.
const GREY: u8 = 0x60;

/// What the queue works on.
pub struct Window {
    shm: WlShm,
    surface: WlSurface,
    size: (u32, u32),
    shown: Option<(u32, u32)>,
    journal: Journal,
    pub(crate) hands: Hands,
    ended: Option<anyhow::Result<()>>,
}

/// Shows the window until the compositor goes or closes it.
pub fn show(journal: Journal) -> anyhow::Result<()> {
    let connection = Connection::connect_to_env()
        .context("no Wayland compositor; start me inside one, or set WAYLAND_DISPLAY")?;
    let (globals, mut events) = registry_queue_init::<Window>(&connection)?;
    let queue = events.handle();
    let compositor: WlCompositor = globals.bind(&queue, 4..=5, ())?;
    let shell: XdgWmBase = globals.bind(&queue, 1..=3, ())?;
    // Not a later version: from 8 on, notches come in another event.
    let _seat: WlSeat = globals.bind(&queue, 5..=7, ())?;
    let surface = compositor.create_surface(&queue, ());
    let role = shell.get_xdg_surface(&surface, &queue, ());
    let toplevel = role.get_toplevel(&queue, ());
    toplevel.set_title("lumen see".into());
    toplevel.set_app_id("org.lumen.See".into());
    toplevel.set_fullscreen(None);
    surface.commit();
    let mut window = Window {
        shm: globals.bind(&queue, 1..=1, ())?,
        surface,
        size: OWN_SIZE,
        shown: None,
        journal,
        hands: Hands::default(),
        ended: None,
    };
    loop {
        if events.blocking_dispatch(&mut window).is_err() {
            return Ok(());
        }
        if let Some(end) = window.ended.take() {
            return end;
        }
    }
}

impl Window {
    /// Writes it down; a failure ends the window.
    pub(crate) fn write(&mut self, thing: Option<Thing>) {
        if let Some(Err(error)) = thing.map(|thing| self.journal.write(&thing)) {
            self.ended = Some(Err(error));
        }
    }

    /// Shows the picture in the size of the moment, unless it is shown.
    fn draw(&mut self, queue: &QueueHandle<Self>) -> anyhow::Result<()> {
        let (width, height) = self.size;
        if self.shown == Some(self.size) {
            return Ok(());
        }
        let (wide, high) = (i32::try_from(width)?, i32::try_from(height)?);
        let bytes = wide.checked_mul(high).and_then(|pixels| pixels.checked_mul(4)).context("too large")?;
        let memory = memfd::MemfdOptions::default().close_on_exec(true).create("lumen-see")?.into_file();
        let pixels = vec![GREY; usize::try_from(bytes)?];
        std::os::unix::fs::FileExt::write_all_at(&memory, &pixels, 0).context("no room for a picture")?;
        let pool = self.shm.create_pool(memory.as_fd(), bytes, queue, ());
        let buffer = pool.create_buffer(0, wide, high, wide * 4, wl_shm::Format::Xrgb8888, queue, ());
        pool.destroy();
        self.surface.attach(Some(&buffer), 0, 0);
        self.surface.damage_buffer(0, 0, wide, high);
        self.surface.commit();
        self.shown = Some(self.size);
        self.journal.write(&Thing::Shown { width, height })
    }
}

impl Dispatch<XdgSurface, ()> for Window {
    fn event(
        window: &mut Self,
        role: &XdgSurface,
        event: xdg_surface::Event,
        _: &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            role.ack_configure(serial);
            if let Err(error) = window.draw(queue) {
                window.ended = Some(Err(error));
            }
        }
    }
}

impl Dispatch<XdgToplevel, ()> for Window {
    fn event(
        window: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            xdg_toplevel::Event::Configure { width: width @ 1.., height: height @ 1.., .. } => {
                window.size = (width.unsigned_abs(), height.unsigned_abs());
            }
            xdg_toplevel::Event::Close => window.ended = Some(Ok(())),
            _ => {}
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
delegate_noop!(Window: ignore WlBuffer);

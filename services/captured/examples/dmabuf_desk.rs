//! A fake vdisplayd. Its only Output is a PipeWire node whose buffers are real dmabufs that show lumen-stamp's frames, as a
//! compositor with a GPU would give them. The emulated machine of packaging/lab/vm runs it in vdisplayd's place.
//!
//! `vdisplayd.toml` names the device: `memory = "udmabuf"` or `memory = "vgem"`; with `plain = true` each picture is of one
//! colour, which may be of any size and takes no time to draw; with `also_memfds = true` whoever takes no dmabuf gets memfds;
//! with `timelines = true` its buffers have timelines, and each picture is drawn some milliseconds after it was given.

#![allow(clippy::unwrap_used, reason = "it is part of a test")]

#[path = "../tests/producer/mod.rs"]
mod producer;

use lumen_ipc::{
    Stage,
    bus::{OutputSpec, Source},
};
use lumen_stage::{Boot, Exit, boot, bus::CallError, pool::LINEAR};
use producer::{Manner, Memory, Picture, Producer};
use serde::Deserialize;
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use zbus::interface;

/// Between two pictures: the emulated machine draws and encodes few a second, but for plain ones.
const PAUSE: Duration = Duration::from_millis(20);
const PLAIN_PAUSE: Duration = Duration::from_millis(2);
/// Bytes by which a row is longer than its pixels, so that a reader that ignores the stride shows a slanted picture.
const PADDING: u32 = 256;

#[derive(Clone, Copy, Deserialize)]
struct Config {
    memory: Device,
    #[serde(default)]
    plain: bool,
    #[serde(default)]
    also_memfds: bool,
    #[serde(default)]
    timelines: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Device {
    Udmabuf,
    Vgem,
}

fn main() -> ExitCode {
    boot::run(Stage::Vdisplayd, &[], |_| Vec::new(), serve)
}

/// The one Output, drawn from the first Acquire on.
#[derive(Clone)]
struct Desk {
    manner: Manner,
    plain: bool,
    producer: Arc<Mutex<Option<u32>>>,
}

fn pipewire() -> PathBuf {
    PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default()).join("pipewire-0")
}

/// Draws rising numbers for ever; the answer is the node.
fn draw(manner: Manner, plain: bool) -> u32 {
    let producer = Producer::start_at(pipewire(), manner);
    let node = producer.node();
    let pause = if plain { PLAIN_PAUSE } else { PAUSE };
    thread::spawn(move || {
        let mut number = 0_u32;
        loop {
            // Neighbours differ by more than an encoder takes for the same.
            let byte = (number.wrapping_mul(97) % 256) as u8;
            let stamp = (!plain).then_some(number);
            let picture = Picture { stamp, byte, later: true, ..Picture::default() };
            // Without a free buffer, or without a reader, the number stays for the next try.
            if producer.is_streaming() && producer.give(picture) {
                number += 1;
            }
            thread::sleep(pause);
            producer.draw(0);
        }
    });
    node
}

#[interface(name = "org.lumen.Display1")]
impl Desk {
    async fn acquire(&self, _session: &str, spec: OutputSpec) -> Result<Source, CallError> {
        let draw = || draw(self.manner.clone(), self.plain);
        let node = *self.producer.lock().unwrap().get_or_insert_with(draw);
        let fd = UnixStream::connect(pipewire()).map_err(|error| CallError::Temporary(error.to_string()))?;
        Ok(Source {
            kind: "pipewire".to_owned(),
            fd: Some(OwnedFd::from(fd).into()),
            node: Some(node),
            serial: None,
            detour: None,
            output: None,
            users: None,
            width: spec.width,
            height: spec.height,
            refresh_mhz: spec.refresh_mhz,
        })
    }

    async fn release(&self, _session: &str) {}
}

async fn serve(boot: Boot<Config>) -> Result<(), Exit> {
    let Config { memory, plain, also_memfds, timelines } = boot.config;
    let memory = match memory {
        Device::Udmabuf => Memory::Udmabuf,
        Device::Vgem => Memory::Vgem,
    };
    let modifiers = if also_memfds { vec![LINEAR] } else { Vec::new() };
    let manner = Manner { memory, modifiers, timelines, padding: PADDING, ..Manner::default() };
    let desk = Desk { manner, plain, producer: Arc::default() };
    let path = boot.stage.object_path();
    let bus = boot.bus(move |builder| builder.serve_at(path, desk.clone())).await?;
    boot::serve(&bus, &boot.pulses, std::future::pending(), async {}).await
}

//! Clicks into whatever sink PipeWire gives this program, and writes down when each was there.

use std::{
    fs::File,
    io::{Cursor, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

use anyhow::Context as _;
use lumen_stamp::tones;
use pipewire::{
    context::ContextRc,
    main_loop::MainLoopRc,
    properties::properties,
    spa::{
        param::{
            ParamType,
            audio::{AudioFormat, AudioInfoRaw},
        },
        pod::{Object, Pod, Value, serialize::PodSerializer},
        sys,
        utils::Direction,
    },
    stream::{StreamFlags, StreamRc},
};

/// Stereo, 16 bits.
const CHANNELS: usize = 2;
const FRAME: usize = CHANNELS * size_of::<i16>();
/// Samples of PipeWire's shortest usual cycle, 5 ms.
const CYCLE: usize = 240;

/// Makes a click where it is told to.
#[derive(Debug)]
pub struct Clicker {
    /// One more than the number that is wanted; 0: none.
    wanted: Arc<AtomicU64>,
    each: u32,
}

impl Clicker {
    /// One that clicks with each number that `each` divides, and writes it into `log`, with the moment at which the sink got the
    /// click's first sample (CLOCK_MONOTONIC, ns).
    pub fn start(each: u32, log: &Path) -> anyhow::Result<Self> {
        let mut log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let wanted = Arc::<AtomicU64>::default();
        let (clicks, clicked) = mpsc::channel::<(u64, i64)>();
        let asked = wanted.clone();
        thread::Builder::new().name("clicks".into()).spawn(move || {
            if let Err(error) = play(asked, clicks) {
                eprintln!("lumen-stamp: no clicks: {error:#}");
            }
        })?;
        thread::Builder::new().name("log".into()).spawn(move || {
            for (number, at_ns) in clicked {
                if let Err(error) = writeln!(log, "{number} {at_ns}") {
                    eprintln!("lumen-stamp: cannot write when it clicked: {error}");
                    return;
                }
            }
        })?;
        Ok(Self { wanted, each })
    }

    /// The picture with this number was given to the compositor.
    pub fn shown(&self, number: u32) {
        if number.is_multiple_of(self.each) {
            self.wanted.store(u64::from(number) + 1, Relaxed);
        }
    }
}

/// Plays until PipeWire is gone.
fn play(wanted: Arc<AtomicU64>, clicks: mpsc::Sender<(u64, i64)>) -> anyhow::Result<()> {
    pipewire::init();
    let main = MainLoopRc::new(None)?;
    let core = ContextRc::new(&main, None)?.connect_rc(None).context("PipeWire does not answer")?;
    let properties = properties! {
        "media.type" => "Audio",
        "media.category" => "Playback",
        "media.role" => "Game",
        "node.name" => "lumen-stamp",
        "node.latency" => format!("{CYCLE}/{}", tones::RATE),
    };
    let stream = StreamRc::new(core, "clicks", properties)?;
    let mut playing = None;
    let _listener = stream
        .add_local_listener::<()>()
        .process(move |stream, ()| {
            // What is given in a cycle is at the sink in the same one, of which this is the time.
            let cycle = stream.time().map(|time| time.now());
            let Some(mut buffer) = stream.dequeue_buffer() else { return };
            let frames =
                usize::try_from(buffer.requested()).ok().filter(|&frames| frames > 0).unwrap_or(CYCLE);
            let Some(data) = buffer.datas_mut().first_mut() else { return };
            if let (number @ 1.., Ok(at_ns)) = (wanted.swap(0, Relaxed), cycle) {
                playing = Some(tones::click());
                // A log that is gone has said so.
                let _ = clicks.send((number - 1, at_ns));
            }
            let mut given = 0;
            for frame in data.data().unwrap_or_default().chunks_exact_mut(FRAME).take(frames) {
                let sample = playing.as_mut().and_then(Iterator::next).unwrap_or_default().to_le_bytes();
                frame.chunks_exact_mut(sample.len()).for_each(|place| place.copy_from_slice(&sample));
                given += FRAME;
            }
            let chunk = data.chunk_mut();
            (*chunk.offset_mut(), *chunk.stride_mut(), *chunk.size_mut()) = (0, FRAME as i32, given as u32);
        })
        .register()?;
    let format = format()?;
    let mut formats: Vec<&Pod> = Pod::from_bytes(&format).into_iter().collect();
    let flags = StreamFlags::AUTOCONNECT | StreamFlags::MAP_BUFFERS | StreamFlags::RT_PROCESS;
    stream.connect(Direction::Output, None, flags, &mut formats)?;
    main.run();
    Ok(())
}

fn format() -> anyhow::Result<Vec<u8>> {
    let mut info = AudioInfoRaw::new();
    info.set_format(AudioFormat::S16LE);
    info.set_rate(tones::RATE);
    info.set_channels(CHANNELS as u32);
    let object = Object {
        type_: sys::SPA_TYPE_OBJECT_Format,
        id: ParamType::EnumFormat.as_raw(),
        properties: info.into(),
    };
    let (bytes, _) = PodSerializer::serialize(Cursor::new(Vec::new()), &Value::Object(object))
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(bytes.into_inner())
}

//! One connection to PipeWire that sees to a session's source and plays into it what the client's microphone heard.
//!
//! ```text
//!  Listing ─ all nodes are told ─► Making ─ the source is told ─► Linking ─ both ports are told, and linked by us ─► Playing
//! ```
//! The source is PipeWire's, as a sink is: programs that listen to it hear silence while no captured is there.

use std::{
    cell::RefCell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use lumen_ipc::{SessionId, bus::source_name};
use lumen_stage::clock::now_ns;
use pipewire::{
    link::Link,
    loop_::{Loop, Timeout},
    node::Node,
    spa::{pod, utils::Direction},
    stream::{StreamFlags, StreamListener, StreamRc, StreamState},
};

use super::{
    buffer::{Buffer, Counts},
    error::SoundError,
    wire::{self, Connection, Said},
};
use crate::backends::{
    SourceError,
    pipewire::context::{data_loop, readable},
};

/// How long the daemon may take to make a source, and the session manager to give it ports.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a source may take to go.
const GOODBYE: Duration = Duration::from_millis(100);
/// After which silence PipeWire need not run for us.
const SILENCE_NS: u64 = 2_000_000_000;
/// Bytes of a sample.
const SAMPLE: usize = size_of::<i16>();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Listing,
    Making { until_ns: u64 },
    Linking { until_ns: u64 },
    Playing,
}

/// A port of a node.
#[derive(Debug, Clone, Copy)]
struct Port {
    id: u32,
    node: u32,
    is_input: bool,
}

/// Everything of one connection. Fields are dropped from the first to the last: libpipewire wants listeners gone before
/// what they listen to.
pub struct Microphone {
    listeners: Vec<StreamListener<()>>,
    stream: Option<StreamRc>,
    link: Option<Link>,
    /// What the daemon was asked to make; it lingers without us.
    made: Option<Node>,
    connection: Connection,
    readable: OwnedFd,
    session: SessionId,
    phase: Phase,
    /// Id of the session's source.
    source: Option<u32>,
    ports: Vec<Port>,
    buffer: Rc<RefCell<Buffer>>,
    /// When the client spoke last; 0: PipeWire rests.
    spoken_ns: u64,
}

impl Microphone {
    /// Over a fresh connection to the daemon.
    ///
    /// # Errors
    /// libpipewire is incomplete on this machine, or the kernel refuses.
    pub fn open(socket: OwnedFd, session: SessionId) -> Result<Self, SoundError> {
        let connection = Connection::greet(socket)?;
        let readable = readable(&connection.main, data_loop(&connection.context))?;
        Ok(Self {
            listeners: Vec::new(),
            stream: None,
            link: None,
            made: None,
            connection,
            readable,
            session,
            phase: Phase::Listing,
            source: None,
            ports: Vec::new(),
            buffer: Rc::default(),
            spoken_ns: 0,
        })
    }

    /// Readable when [`Self::dispatch`] has something to do.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    /// Whether what is spoken can be heard.
    pub fn is_playing(&self) -> bool {
        self.phase == Phase::Playing
    }

    /// What happened until now.
    pub fn counts(&self) -> Counts {
        self.buffer.borrow().counts()
    }

    /// Plays what the client's microphone heard.
    pub fn speak(&mut self, samples: &[i16]) {
        self.buffer.borrow_mut().take(samples);
        if self.spoken_ns == 0 {
            self.watch(true);
        }
        self.spoken_ns = now_ns();
    }

    /// Does what is to be done, without waiting.
    ///
    /// # Errors
    /// It is of no use any more.
    pub fn dispatch(&mut self) -> Result<(), SoundError> {
        self.connection.main.iterate(Timeout::None);
        if let Some(data) = data_loop(&self.connection.context) {
            Loop::iterate(data, Timeout::None);
        }
        for said in self.connection.said() {
            self.hear(said)?;
        }
        if self.spoken_ns > 0 && self.spoken_ns + SILENCE_NS < now_ns() {
            self.spoken_ns = 0;
            self.watch(false);
        }
        match self.phase {
            Phase::Making { until_ns } | Phase::Linking { until_ns } if until_ns < now_ns() => {
                Err(SoundError::NoSource { ms: PATIENCE.as_millis() })
            }
            _ => Ok(()),
        }
    }

    /// Takes the session's source away.
    pub fn destroy(mut self) {
        let Some(source) = self.source else { return };
        let _ = self.connection.registry.destroy_global(source).into_result();
        let until = now_ns() + GOODBYE.as_nanos() as u64;
        while self.source.is_some() && now_ns() < until {
            self.connection.main.iterate(Timeout::Finite(GOODBYE / 10));
            // What is told of the stream at its end is of no matter.
            self.connection.said().into_iter().for_each(|said| drop(self.hear(said)));
        }
    }

    /// Plays, or lets the source rest.
    fn watch(&self, watched: bool) {
        if let Some(stream) = &self.stream {
            // One that broke says so by its state.
            let _ = stream.set_active(watched);
        }
    }

    fn hear(&mut self, said: Said) -> Result<(), SoundError> {
        match said {
            Said::Node { id, name } if name == source_name(self.session) => {
                self.source = Some(id);
                if matches!(self.phase, Phase::Making { .. }) {
                    return self.connect();
                }
            }
            Said::Port { id, node, is_input } => {
                self.ports.push(Port { id, node, is_input });
                return self.link();
            }
            Said::Gone(id) if self.source == Some(id) => {
                self.source = None;
                return Err(SoundError::SourceGone);
            }
            Said::Gone(id) => self.ports.retain(|port| port.id != id),
            Said::Listed if self.phase == Phase::Listing => return self.listed(),
            Said::Refused { object: 0, message } => return Err(SoundError::Gone { message }),
            Said::State(StreamState::Error(message)) => return Err(SoundError::Stream { message }),
            // Its node has an id by now.
            Said::State(StreamState::Paused) => return self.link(),
            _ => {}
        }
        Ok(())
    }

    fn listed(&mut self) -> Result<(), SoundError> {
        if self.source.is_some() {
            return self.connect();
        }
        let made = self.connection.core.create_object::<Node>("adapter", &wire::source(self.session));
        self.made = Some(made.map_err(|_| SourceError::PipeWire { what: "making a source" })?);
        self.phase = Phase::Making { until_ns: later(PATIENCE) };
        Ok(())
    }

    fn connect(&mut self) -> Result<(), SoundError> {
        let failed = |what| move |_| SourceError::PipeWire { what };
        let stream = StreamRc::new(self.connection.core.clone(), "lumen", wire::speech());
        let stream = stream.map_err(failed("making a stream"))?;
        let states = wire::listen_stream(&stream, &self.connection.heard);
        let buffer = self.buffer.clone();
        let listener = stream.add_local_listener::<()>();
        let plays = listener.process(move |stream, ()| fill(stream, &buffer)).register();
        for listener in [states, plays] {
            self.listeners.push(listener.map_err(failed("listening to the stream"))?);
        }
        let format = wire::format(1);
        let mut formats: Vec<&pod::Pod> = pod::Pod::from_bytes(&format).into_iter().collect();
        let flags = StreamFlags::MAP_BUFFERS | StreamFlags::RT_PROCESS | StreamFlags::INACTIVE;
        let connected = stream.connect(Direction::Output, None, flags, &mut formats);
        connected.map_err(failed("connecting the stream"))?;
        self.stream = Some(stream);
        self.phase = Phase::Linking { until_ns: later(PATIENCE) };
        Ok(())
    }

    /// Links the stream to the source, once both have ports.
    fn link(&mut self) -> Result<(), SoundError> {
        let (Phase::Linking { .. }, Some(stream), Some(source)) = (self.phase, &self.stream, self.source)
        else {
            return Ok(());
        };
        let port = |node, is_input| {
            self.ports.iter().find(|port| port.node == node && port.is_input == is_input).map(|port| port.id)
        };
        let (Some(output), Some(input)) = (port(stream.node_id(), false), port(source, true)) else {
            return Ok(());
        };
        let link = self.connection.core.create_object::<Link>("link-factory", &wire::link(output, input));
        self.link = Some(link.map_err(|_| SourceError::PipeWire { what: "linking a source" })?);
        self.phase = Phase::Playing;
        self.watch(self.spoken_ns > 0);
        Ok(())
    }
}

/// Gives PipeWire what it asks for.
fn fill(stream: &pipewire::stream::Stream, buffer: &RefCell<Buffer>) {
    let Some(mut room) = stream.dequeue_buffer() else { return };
    let asked = room.requested() as usize;
    let Some(data) = room.datas_mut().first_mut() else { return };
    let mut len = 0;
    if let Some(bytes) = data.data() {
        let (samples, _) = bytes.as_chunks_mut::<SAMPLE>();
        let count = if asked == 0 { samples.len() } else { samples.len().min(asked) };
        let samples = samples.get_mut(..count).unwrap_or_default();
        buffer.borrow_mut().give(samples);
        len = count * SAMPLE;
    }
    let chunk = data.chunk_mut();
    *chunk.offset_mut() = 0;
    *chunk.stride_mut() = SAMPLE as i32;
    *chunk.size_mut() = len as u32;
}

fn later(pause: Duration) -> u64 {
    now_ns() + pause.as_nanos() as u64
}

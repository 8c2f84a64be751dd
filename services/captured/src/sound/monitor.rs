//! One connection to PipeWire that sees to a session's sink and reads its monitor.
//!
//! ```text
//!  Listing ─ all nodes are told ─► Making ─ the sink is told ─► Linking ─ the session manager linked ─► Reading
//! ```

use super::{
    chopper::Chopper,
    error::SoundError,
    wire::{self, Heard, Said},
};
use crate::backends::{
    SourceError,
    pipewire::context::{context, data_loop, readable},
};
use lumen_ipc::{SessionId, bus::sink_name, sound::Pcm};
use lumen_stage::clock::now_ns;
use pipewire::{
    context::ContextRc,
    core::{self, CoreRc},
    loop_::{Loop, LoopRc, Timeout},
    node::Node,
    registry::{self, RegistryRc},
    spa::{pod, utils::Direction},
    stream::{StreamFlags, StreamListener, StreamRc, StreamState},
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// How long the daemon may take to make a sink, and the session manager to link it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a sink may take to go: what is asked leaves with the loop's next turns.
const GOODBYE: Duration = Duration::from_millis(100);

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The sink of this session, made unless it is there; `None`: whatever sink is the default.
    pub sink: Option<SessionId>,
    /// How many channels.
    pub channels: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Listing,
    Making { until_ns: u64 },
    Linking { until_ns: u64 },
    Reading,
}

/// Everything of one connection. Fields are dropped from the first to the last: libpipewire wants listeners gone before
/// what they listen to.
pub struct Monitor {
    stream_listener: Option<StreamListener<()>>,
    stream: Option<StreamRc>,
    _core_listener: core::Listener,
    _registry_listener: registry::Listener,
    /// What the daemon was asked to make; it lingers without us.
    made: Option<Node>,
    registry: RegistryRc,
    core: CoreRc,
    context: ContextRc,
    main: LoopRc,
    heard: Heard,
    readable: OwnedFd,
    wish: Wish,
    phase: Phase,
    /// Id of the session's sink.
    sink: Option<u32>,
    chopper: Chopper,
}

impl Monitor {
    /// Over a fresh connection to the daemon.
    ///
    /// # Errors
    /// libpipewire is incomplete on this machine, or the kernel refuses.
    pub fn open(socket: OwnedFd, wish: Wish) -> Result<Self, SoundError> {
        pipewire::init();
        let failed = |what| move |_| SourceError::PipeWire { what };
        let main = LoopRc::new(None).map_err(failed("making a loop"))?;
        let context = context(&main)?;
        let core = context.connect_fd_rc(socket, None).map_err(failed("greeting the daemon"))?;
        let registry = core.get_registry_rc().map_err(failed("asking for the objects"))?;
        let heard = Heard::default();
        let (core_listener, registry_listener) = wire::listen(&core, &registry, &heard);
        core.sync(0).map_err(failed("asking for the objects"))?;
        let readable = readable(&main, data_loop(&context))?;
        Ok(Self {
            stream_listener: None,
            stream: None,
            _core_listener: core_listener,
            _registry_listener: registry_listener,
            made: None,
            registry,
            core,
            context,
            main,
            heard,
            readable,
            wish,
            phase: Phase::Listing,
            sink: None,
            chopper: Chopper::new(wish.channels),
        })
    }

    /// What it was made for.
    pub fn wish(&self) -> Wish {
        self.wish
    }

    /// Whether the sink is there that programs play into.
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Linking { .. } | Phase::Reading)
    }

    /// Whether samples come.
    pub fn is_reading(&self) -> bool {
        self.phase == Phase::Reading
    }

    /// Readable when [`Self::dispatch`] has something to do.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    /// Does what is to be done, without waiting; [`Self::pop`] then has what came.
    ///
    /// # Errors
    /// It is of no use any more.
    pub fn dispatch(&mut self) -> Result<(), SoundError> {
        self.iterate();
        loop {
            let said = self.heard.borrow_mut().pop_front();
            match said {
                Some(said) => self.hear(said)?,
                None => break,
            }
        }
        self.drain();
        match self.phase {
            Phase::Making { until_ns } if until_ns < now_ns() => {
                Err(SoundError::NoSink { ms: PATIENCE.as_millis() })
            }
            Phase::Linking { until_ns } if until_ns < now_ns() => {
                Err(SoundError::NotLinked { ms: PATIENCE.as_millis() })
            }
            _ => Ok(()),
        }
    }

    /// The next samples.
    pub fn pop(&mut self) -> Option<Pcm> {
        self.chopper.pop()
    }

    /// Reads, or lets the sink rest.
    pub fn watch(&self, watched: bool) {
        if let Some(stream) = &self.stream {
            // One that broke says so by its state.
            let _ = stream.set_active(watched);
        }
    }

    /// Takes the session's sink away.
    pub fn destroy(mut self) {
        let Some(sink) = self.sink else { return };
        let _ = self.registry.destroy_global(sink).into_result();
        let until = now_ns() + GOODBYE.as_nanos() as u64;
        while self.sink.is_some() && now_ns() < until {
            self.main.iterate(Timeout::Finite(GOODBYE / 10));
            let said: Vec<Said> = self.heard.borrow_mut().drain(..).collect();
            // What is told of the stream at its end is of no matter.
            said.into_iter().for_each(|said| drop(self.hear(said)));
        }
    }

    fn iterate(&self) {
        self.main.iterate(Timeout::None);
        if let Some(data) = data_loop(&self.context) {
            Loop::iterate(data, Timeout::None);
        }
    }

    fn hear(&mut self, said: Said) -> Result<(), SoundError> {
        match said {
            Said::Node { id, name, nick } => return self.found(id, &name, &nick),
            Said::Gone(id) if self.sink == Some(id) => {
                self.sink = None;
                return Err(SoundError::SinkGone);
            }
            Said::Listed if self.phase == Phase::Listing => return self.listed(),
            Said::Refused { object: 0, message } => return Err(SoundError::Gone { message }),
            Said::State(StreamState::Error(message)) => return Err(SoundError::Stream { message }),
            Said::State(StreamState::Streaming) => self.phase = Phase::Reading,
            Said::Gone(_) | Said::Listed | Said::Refused { .. } | Said::State(_) => {}
        }
        Ok(())
    }

    fn found(&mut self, id: u32, name: &str, nick: &str) -> Result<(), SoundError> {
        let is_ours = self.wish.sink.is_some_and(|session| sink_name(session) == name);
        if !is_ours {
            return Ok(());
        }
        if nick != wire::nick(self.wish.channels) {
            // One with other channels, of before: what plays into it moves to the new one.
            let _ = self.registry.destroy_global(id).into_result();
            return Ok(());
        }
        self.sink = Some(id);
        match self.phase {
            Phase::Making { .. } => self.connect(),
            _ => Ok(()),
        }
    }

    fn listed(&mut self) -> Result<(), SoundError> {
        let Some(session) = self.wish.sink.filter(|_| self.sink.is_none()) else { return self.connect() };
        let properties = wire::sink(session, self.wish.channels);
        let made = self.core.create_object::<Node>("adapter", &properties);
        self.made = Some(made.map_err(|_| SourceError::PipeWire { what: "making a sink" })?);
        self.phase = Phase::Making { until_ns: later(PATIENCE) };
        Ok(())
    }

    fn connect(&mut self) -> Result<(), SoundError> {
        let failed = |what| move |_| SourceError::PipeWire { what };
        let target = self.wish.sink.map(sink_name);
        let stream = StreamRc::new(self.core.clone(), "lumen", wire::stream(target.as_deref()));
        let stream = stream.map_err(failed("making a stream"))?;
        let listener = wire::listen_stream(&stream, &self.heard);
        self.stream_listener = Some(listener.map_err(failed("listening to the stream"))?);
        let format = wire::format(self.wish.channels);
        let mut formats: Vec<&pod::Pod> = pod::Pod::from_bytes(&format).into_iter().collect();
        let flags = StreamFlags::AUTOCONNECT | StreamFlags::MAP_BUFFERS | StreamFlags::RT_PROCESS;
        let connected = stream.connect(Direction::Input, None, flags, &mut formats);
        connected.map_err(failed("connecting the stream"))?;
        self.stream = Some(stream);
        self.phase = Phase::Linking { until_ns: later(PATIENCE) };
        Ok(())
    }

    fn drain(&mut self) {
        let Some(stream) = &self.stream else { return };
        while let Some(mut buffer) = stream.dequeue_buffer() {
            let Some(data) = buffer.datas_mut().first_mut() else { continue };
            let (offset, size) = (data.chunk().offset() as usize, data.chunk().size() as usize);
            let bytes = data.data().and_then(|bytes| bytes.get(offset..offset.checked_add(size)?));
            let cycle = stream.time().ok().and_then(|time| u64::try_from(time.now()).ok());
            let at_ns = cycle.filter(|&at| at > 0).unwrap_or_else(now_ns);
            self.chopper.take(bytes.unwrap_or_default(), at_ns);
        }
    }
}

fn later(pause: Duration) -> u64 {
    now_ns() + pause.as_nanos() as u64
}

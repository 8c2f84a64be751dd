//! One connection to PipeWire that sees to a session's sink and reads its monitor.
//!
//! ```text
//!  Listing ─ all nodes are told ─► Making ─ the sink is told ─► Linking ─ the session manager linked ─► Reading
//! ```

use super::{
    chopper::Chopper,
    error::SoundError,
    lead::Lead,
    output::DefaultOutput,
    wire::{self, Connection, Said},
};
use crate::backends::{
    SourceError,
    pipewire::context::{data_loop, readable},
};
use lumen_ipc::{SessionId, bus::sink_name, sound::Pcm};
use lumen_stage::clock::now_ns;
use pipewire::{
    loop_::{Loop, Timeout},
    node::Node,
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
    default: Option<DefaultOutput>,
    /// What the daemon was asked to make; it lingers without us.
    made: Option<Node>,
    connection: Connection,
    readable: OwnedFd,
    wish: Wish,
    phase: Phase,
    /// Id of the session's sink.
    sink: Option<u32>,
    chopper: Chopper,
    /// Set where the default output is to be this session's sink.
    lead: Option<Lead>,
    /// Why it is not.
    is_not_led: Option<String>,
}

impl Monitor {
    /// Over a fresh connection to the daemon.
    ///
    /// # Errors
    /// libpipewire is incomplete on this machine, or the kernel refuses.
    pub fn open(socket: OwnedFd, wish: Wish) -> Result<Self, SoundError> {
        let connection = Connection::greet(socket)?;
        let readable = readable(&connection.main, data_loop(&connection.context))?;
        Ok(Self {
            stream_listener: None,
            stream: None,
            default: None,
            made: None,
            connection,
            readable,
            wish,
            phase: Phase::Listing,
            sink: None,
            chopper: Chopper::new(wish.channels),
            lead: None,
            is_not_led: None,
        })
    }

    /// What it was made for.
    pub fn wish(&self) -> Wish {
        self.wish
    }

    /// The default output is to be the session's sink; it is put back by [`Self::destroy`]. Why it is not, if something is
    /// in the way: then the session has to do with the output that is the default.
    pub fn lead(&mut self, lead: &Lead) -> Option<&str> {
        if self.lead.is_none() {
            self.lead = Some(lead.clone());
            self.move_default();
        }
        self.is_not_led.as_deref()
    }

    fn move_default(&mut self) {
        if let (true, Some(lead), Some(default), Some(session)) =
            (self.is_settled(), &self.lead, &mut self.default, self.wish.sink)
        {
            self.is_not_led = default.lead(session, lead);
        }
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
            let said = self.connection.heard.borrow_mut().pop_front();
            match said {
                Some(said) => self.hear(said)?,
                None => break,
            }
        }
        self.move_default();
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

    /// Takes the session's sink away, and before it the default output.
    pub fn destroy(mut self) {
        let Some(sink) = self.sink else { return };
        let lead = self.lead.take();
        let record = lead.as_ref().and_then(Lead::record);
        let moved = self.default.as_mut().zip(record);
        let moved = moved.and_then(|(default, record)| default.put_back(&record).then_some(record.session));
        let _ = self.connection.registry.destroy_global(sink).into_result();
        let until = now_ns() + GOODBYE.as_nanos() as u64;
        while self.sink.is_some() && now_ns() < until {
            self.connection.main.iterate(Timeout::Finite(GOODBYE / 10));
            // What is told of the stream at its end is of no matter.
            self.connection.said().into_iter().for_each(|said| drop(self.hear(said)));
        }
        // Done in the order in which it was asked.
        if let (Some(lead), Some(session), None) = (lead, moved, self.sink) {
            lead.forget(session);
        }
    }

    fn iterate(&self) {
        self.connection.main.iterate(Timeout::None);
        if let Some(data) = data_loop(&self.connection.context) {
            Loop::iterate(data, Timeout::None);
        }
    }

    fn hear(&mut self, said: Said) -> Result<(), SoundError> {
        let failed = |what| move |_| SourceError::PipeWire { what };
        match said {
            Said::Node { id, name } => return self.found(id, &name),
            Said::Gone(id) if self.sink == Some(id) => {
                self.sink = None;
                return Err(SoundError::SinkGone);
            }
            Said::Listed if self.phase == Phase::Listing => return self.listed(),
            Said::Listed => self.default.iter_mut().for_each(DefaultOutput::settle),
            Said::Defaults(global) => {
                let bound = DefaultOutput::bind(&self.connection.registry, &global, &self.connection.heard);
                self.default = Some(bound.map_err(failed("asking for the default output"))?);
                self.connection.sync()?;
            }
            Said::Chosen(chosen) => self.default.iter_mut().for_each(|default| default.hear(chosen.clone())),
            Said::Gone(id) if self.default.as_ref().is_some_and(|default| default.id() == id) => {
                self.default = None;
            }
            Said::Refused { object: 0, message } => return Err(SoundError::Gone { message }),
            Said::State(StreamState::Error(message)) => return Err(SoundError::Stream { message }),
            Said::State(StreamState::Streaming) => self.phase = Phase::Reading,
            Said::Gone(_) | Said::Port { .. } | Said::Refused { .. } | Said::State(_) => {}
        }
        Ok(())
    }

    fn found(&mut self, id: u32, name: &str) -> Result<(), SoundError> {
        let is_ours = self.wish.sink.is_some_and(|session| sink_name(session) == name);
        if !is_ours {
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
        let made = self.connection.core.create_object::<Node>("adapter", &properties);
        self.made = Some(made.map_err(|_| SourceError::PipeWire { what: "making a sink" })?);
        self.phase = Phase::Making { until_ns: later(PATIENCE) };
        Ok(())
    }

    fn connect(&mut self) -> Result<(), SoundError> {
        let failed = |what| move |_| SourceError::PipeWire { what };
        let target = self.wish.sink.map(sink_name);
        let stream = StreamRc::new(self.connection.core.clone(), "lumen", wire::stream(target.as_deref()));
        let stream = stream.map_err(failed("making a stream"))?;
        let listener = wire::listen_stream(&stream, &self.connection.heard);
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

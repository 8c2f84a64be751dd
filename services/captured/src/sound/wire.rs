//! What PipeWire is told of sinks and streams, and what it says of them.

use crate::backends::{SourceError, pipewire::context::context};
use lumen_ipc::{
    SessionId,
    bus::{sink_name, source_name},
    sound::RATE,
};
use pipewire::{
    context::ContextRc,
    core::{self, CoreRc},
    loop_::LoopRc,
    properties::{PropertiesBox, properties},
    registry::{self, GlobalObject, RegistryRc},
    spa::{
        param::{
            ParamType,
            audio::{AudioFormat, AudioInfoRaw},
        },
        pod::{Object, Value, serialize::PodSerializer},
        sys,
    },
    stream::{StreamListener, StreamRc, StreamState},
    types::ObjectType,
};
use std::{cell::RefCell, collections::VecDeque, io::Cursor, os::fd::OwnedFd, rc::Rc};

/// The channels of 7.1, of which 5.1 and stereo have the first; as clients have them.
const CHANNELS: [(u32, &str); 8] = [
    (sys::SPA_AUDIO_CHANNEL_FL, "FL"),
    (sys::SPA_AUDIO_CHANNEL_FR, "FR"),
    (sys::SPA_AUDIO_CHANNEL_FC, "FC"),
    (sys::SPA_AUDIO_CHANNEL_LFE, "LFE"),
    (sys::SPA_AUDIO_CHANNEL_RL, "RL"),
    (sys::SPA_AUDIO_CHANNEL_RR, "RR"),
    (sys::SPA_AUDIO_CHANNEL_SL, "SL"),
    (sys::SPA_AUDIO_CHANNEL_SR, "SR"),
];

/// What was said.
#[derive(Debug)]
pub(super) enum Said {
    /// There is a node.
    Node { id: u32, name: String },
    /// The node with an id has a port, into which or out of which sound goes.
    Port { id: u32, node: u32, is_input: bool },
    /// There is the metadata that says which sink is the default.
    Defaults(GlobalObject<PropertiesBox>),
    /// This is chosen as the default sink.
    Chosen(Option<String>),
    /// The object with this id is gone.
    Gone(u32),
    /// All that was asked before has been told.
    Listed,
    /// The daemon refused something; `object` 0 is the connection itself.
    Refused { object: u32, message: String },
    /// The stream is in this state.
    State(StreamState),
}

/// Where callbacks put what they hear.
pub(super) type Heard = Rc<RefCell<VecDeque<Said>>>;

/// A connection that lists what there is, and answers [`Said::Listed`] when it has. Fields are dropped from the first to the
/// last: libpipewire wants listeners gone before what they listen to.
pub(super) struct Connection {
    _listeners: (core::Listener, registry::Listener),
    pub registry: RegistryRc,
    pub core: CoreRc,
    pub context: ContextRc,
    pub main: LoopRc,
    pub heard: Heard,
}

impl Connection {
    /// Greets the daemon behind `socket`.
    pub fn greet(socket: OwnedFd) -> Result<Self, SourceError> {
        pipewire::init();
        let failed = |what| move |_| SourceError::PipeWire { what };
        let main = LoopRc::new(None).map_err(failed("making a loop"))?;
        let context = context(&main)?;
        let core = context.connect_fd_rc(socket, None).map_err(failed("greeting the daemon"))?;
        let registry = core.get_registry_rc().map_err(failed("asking for the objects"))?;
        let heard = Heard::default();
        let listeners = listen(&core, &registry, &heard);
        let this = Self { _listeners: listeners, registry, core, context, main, heard };
        this.sync()?;
        Ok(this)
    }

    /// Asks for one more [`Said::Listed`], which comes when all that was asked before is done.
    pub fn sync(&self) -> Result<(), SourceError> {
        let asked = self.core.sync(0).map(drop);
        asked.map_err(|_| SourceError::PipeWire { what: "asking for the objects" })
    }

    /// What was said since the last time.
    pub fn said(&self) -> Vec<Said> {
        self.heard.borrow_mut().drain(..).collect()
    }
}

/// Hears a connection and what it lists.
fn listen(core: &CoreRc, registry: &RegistryRc, heard: &Heard) -> (core::Listener, registry::Listener) {
    let [listed, refused, found, gone] = std::array::from_fn(|_| heard.clone());
    let core = core
        .add_listener_local()
        .done(move |_, _| listed.borrow_mut().push_back(Said::Listed))
        .error(move |object, _, _, message| {
            refused.borrow_mut().push_back(Said::Refused { object, message: message.to_owned() });
        })
        .register();
    let registry = registry
        .add_listener_local()
        .global(move |object| {
            let Some(properties) = object.props else { return };
            let [name, metadata] =
                ["node.name", "metadata.name"].map(|key| properties.get(key).unwrap_or_default().to_owned());
            let said = match object.type_ {
                ObjectType::Port => match properties.get("node.id").and_then(|node| node.parse().ok()) {
                    Some(node) => {
                        let is_input = properties.get("port.direction") == Some("in");
                        Said::Port { id: object.id, node, is_input }
                    }
                    None => return,
                },
                ObjectType::Node => Said::Node { id: object.id, name },
                ObjectType::Metadata if metadata == "default" => Said::Defaults(object.to_owned()),
                _ => return,
            };
            found.borrow_mut().push_back(said);
        })
        .global_remove(move |id| gone.borrow_mut().push_back(Said::Gone(id)))
        .register();
    (core, registry)
}

/// Hears a stream.
pub(super) fn listen_stream(stream: &StreamRc, heard: &Heard) -> Result<StreamListener<()>, pipewire::Error> {
    let heard = heard.clone();
    let push = move |_: &_, (): &mut (), _, new| heard.borrow_mut().push_back(Said::State(new));
    stream.add_local_listener::<()>().state_changed(push).register()
}

/// What makes a session's sink.
pub(super) fn sink(session: SessionId, channels: usize) -> PropertiesBox {
    let positions: Vec<&str> = CHANNELS.iter().take(channels).map(|(_, name)| *name).collect();
    properties! {
        "factory.name" => "support.null-audio-sink",
        "node.name" => sink_name(session),
        "node.nick" => "lumen",
        "node.description" => "Sound of a stream (lumen)",
        "media.class" => "Audio/Sink",
        "object.linger" => "true",
        "audio.rate" => RATE.to_string(),
        "audio.channels" => channels.to_string(),
        "audio.position" => positions.join(","),
        // What a person turns down here is quieter at the client.
        "monitor.channel-volumes" => "true",
        // Never the default one of a machine that has another.
        "priority.session" => "0",
        "priority.driver" => "0",
        // WirePlumber 0.4.13, of Debian 12, suspends a sink 5 s after it fell idle, and crashes where it is gone by then: all
        // programs of all sessions, and the user's, are silent until it runs again.
        "session.suspend-timeout-seconds" => "0",
    }
}

/// What makes a session's source, into which we play what its client's microphone hears.
pub(super) fn source(session: SessionId) -> PropertiesBox {
    properties! {
        "factory.name" => "support.null-audio-sink",
        "node.name" => source_name(session),
        "node.description" => "Microphone of a stream (lumen)",
        "media.class" => "Audio/Source/Virtual",
        "object.linger" => "true",
        "audio.rate" => RATE.to_string(),
        "audio.channels" => "1",
        "audio.position" => "MONO",
        // As of a sink.
        "priority.session" => "0",
        "priority.driver" => "0",
        "session.suspend-timeout-seconds" => "0",
    }
}

/// What makes the stream that plays into a source. Session managers link no stream to a source, so we do it.
pub(super) fn speech() -> PropertiesBox {
    properties! {
        "media.type" => "Audio",
        "media.category" => "Playback",
        "media.role" => "Communication",
        "node.name" => "lumen-captured-microphone",
        // Neither too many turns nor a whole quantum of 21 ms.
        "node.latency" => "480/48000",
    }
}

/// What links a port to another one, for as long as we are there.
pub(super) fn link(output: u32, input: u32) -> PropertiesBox {
    properties! {
        "link.output.port" => output.to_string(),
        "link.input.port" => input.to_string(),
    }
}

/// What makes the stream that reads a monitor: that of `sink`, or of the default sink.
pub(super) fn stream(sink: Option<&str>) -> PropertiesBox {
    let mut properties = properties! {
        "media.type" => "Audio",
        "media.category" => "Capture",
        "media.role" => "Production",
        "node.name" => "lumen-captured-sound",
        "stream.capture.sink" => "true",
        // Because what waits for a whole quantum of 21 ms is late by it.
        "node.latency" => "240/48000",
    };
    if let Some(sink) = sink {
        properties.insert("target.object", sink);
        // Without its sink it must not hear somebody else's.
        properties.insert("node.dont-reconnect", "true");
    }
    properties
}

/// Interleaved samples of 16 bits: what Opus takes.
pub(super) fn format(channels: usize) -> Vec<u8> {
    let mut info = AudioInfoRaw::new();
    info.set_format(AudioFormat::S16LE);
    info.set_rate(RATE);
    info.set_channels(channels as u32);
    let mut positions = [0; sys::SPA_AUDIO_MAX_CHANNELS as usize];
    let mono = [(sys::SPA_AUDIO_CHANNEL_MONO, "MONO")];
    let channels = if channels == 1 { &mono[..] } else { CHANNELS.get(..channels).unwrap_or_default() };
    positions.iter_mut().zip(channels).for_each(|(to, (channel, _))| *to = *channel);
    info.set_position(positions);
    info.set_flags(pipewire::spa::param::audio::AudioInfoRawFlags::empty());
    let object = Object {
        type_: sys::SPA_TYPE_OBJECT_Format,
        id: ParamType::EnumFormat.as_raw(),
        properties: info.into(),
    };
    let written = PodSerializer::serialize(Cursor::new(Vec::new()), &Value::Object(object));
    written.map(|(bytes, _)| bytes.into_inner()).expect("a list of bytes takes all")
}

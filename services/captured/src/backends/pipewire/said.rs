//! What libpipewire says, put in a list by callbacks that do nothing else.

use super::{format::Pod, memory::BufferRef};
use crate::backends::SourceError;
use pipewire::{
    core::{self, CoreRc},
    link::{Link, LinkListener, LinkState},
    node::{Node, NodeListener, NodeState},
    registry::{self, RegistryRc},
    spa::param::ParamType,
    stream::{StreamListener, StreamRc, StreamState},
    types::ObjectType,
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ptr::NonNull,
    rc::Rc,
};

/// Room for what is said at once, so that the list does not grow later.
const SAID: usize = 64;

/// What was said.
#[derive(Debug)]
pub(super) enum Said {
    /// The stream is in this state.
    State(StreamState),
    /// The other side set this format, or took it back.
    Format(Option<Pod>),
    /// A buffer is there.
    Added(BufferRef),
    /// A buffer is gone.
    Removed(BufferRef),
    /// The daemon refused something; `object` 0 is the connection itself.
    Refused { object: u32, message: String },
    /// The node is there.
    Found { serial: Option<u64> },
    /// The node is known better, or became another.
    Known,
    /// One of the formats that the node offers.
    Offers(Pod),
    /// The link cannot be.
    LinkBroke(String),
    /// The object with this id is gone.
    Gone(u32),
    /// All that was there at the connection's start has been told.
    Listed,
}

/// Where callbacks put what they hear.
pub(super) type Heard = Rc<RefCell<VecDeque<Said>>>;

/// An empty list.
pub(super) fn list() -> Heard {
    Rc::new(RefCell::new(VecDeque::with_capacity(SAID)))
}

/// Hears a core.
pub(super) fn listen_core(core: &CoreRc, heard: &Heard) -> core::Listener {
    let (listed, refused) = (heard.clone(), heard.clone());
    core.add_listener_local()
        .done(move |_, _| listed.borrow_mut().push_back(Said::Listed))
        .error(move |object, _, _, message| {
            refused.borrow_mut().push_back(Said::Refused { object, message: message.to_owned() });
        })
        .register()
}

/// Hears a registry.
pub(super) fn listen_registry(registry: &RegistryRc, target: u32, heard: &Heard) -> registry::Listener {
    let (found, gone) = (heard.clone(), heard.clone());
    registry
        .add_listener_local()
        .global(move |object| {
            if object.id == target && object.type_ == ObjectType::Node {
                let serial = object.props.and_then(|properties| properties.get("object.serial"));
                let serial = serial.and_then(|serial| serial.parse().ok());
                found.borrow_mut().push_back(Said::Found { serial });
            }
        })
        .global_remove(move |id| gone.borrow_mut().push_back(Said::Gone(id)))
        .register()
}

/// Hears a stream.
pub(super) fn listen_stream(stream: &StreamRc, heard: &Heard) -> Result<StreamListener<()>, SourceError> {
    let [state, format, added, removed] = std::array::from_fn(|_| heard.clone());
    let push = |heard: &Heard, said| heard.borrow_mut().push_back(said);
    let builder = stream
        .add_local_listener::<()>()
        .state_changed(move |_, (), _, new| push(&state, Said::State(new)))
        .param_changed(move |_, (), id, pod| {
            if id == ParamType::Format.as_raw() {
                push(&format, Said::Format(pod.map(|pod| pod.as_bytes().to_vec())));
            }
        })
        .add_buffer(move |_, (), buffer| {
            added.borrow_mut().extend(NonNull::new(buffer).map(BufferRef::new).map(Said::Added));
        })
        .remove_buffer(move |_, (), buffer| {
            removed.borrow_mut().extend(NonNull::new(buffer).map(BufferRef::new).map(Said::Removed));
        });
    builder.register().map_err(|_| SourceError::PipeWire { what: "listening to the stream" })
}

/// Hears a link: only that it cannot be matters.
pub(super) fn listen_link(link: &Link, heard: &Heard) -> LinkListener {
    let heard = heard.clone();
    let listener = link.add_listener_local().info(move |info| {
        if let LinkState::Error(message) = info.state() {
            heard.borrow_mut().push_back(Said::LinkBroke(message.to_owned()));
        }
    });
    listener.register()
}

/// Hears a node: `idle` is whether it is known and nobody reads it.
pub(super) fn listen_node(node: &Node, idle: &Rc<Cell<bool>>, heard: &Heard) -> NodeListener {
    let (heard, known, idle) = (heard.clone(), heard.clone(), idle.clone());
    let listener = node
        .add_listener_local()
        .info(move |info| {
            idle.set(matches!(info.state(), NodeState::Idle));
            known.borrow_mut().push_back(Said::Known);
        })
        .param(move |_, _, _, _, pod| {
            let bytes = pod.map(|pod| pod.as_bytes().to_vec());
            heard.borrow_mut().extend(bytes.map(Said::Offers));
        });
    listener.register()
}

//! One connection to PipeWire with one stream: what libpipewire says is put in a list, and read when it has said all.
//!
//! The link between node and stream is made here too, and is ours: a session manager would take its links with it when it
//! dies, and choose another node when this one does.
//!
//! **Invariant:** no thread but the session's own runs here. libpipewire starts one for its data loop; it is stopped at
//! once and its loop run by [`Connection::iterate`], so that a picture is dequeued on the thread that sends it on.
#![allow(unsafe_code, reason = "libpipewire is C, and its Rust layer has no raw buffers")]

use super::{
    context::{context, data_loop, readable},
    format::Pod,
    memory::BufferRef,
    said::{self, Heard, Said},
};
use crate::backends::SourceError;
use pipewire::{
    context::ContextRc,
    core::{self, CoreRc},
    link::{Link, LinkListener},
    loop_::{LoopRc, Timeout},
    node::{Node, NodeListener},
    permissions::PermissionFlags,
    properties::{PropertiesBox, properties},
    registry::{self, GlobalObject, RegistryRc},
    spa::{
        node::command::{NodeCommand, NodeCommandId},
        param::ParamType,
        pod,
        utils::Direction,
    },
    stream::{StreamFlags, StreamListener, StreamRc},
    sys,
    types::ObjectType,
};
use rustix::event::epoll;
use std::{
    cell::Cell,
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    rc::Rc,
};

/// Everything of one connection. Fields are dropped from the first to the last: libpipewire wants listeners gone before
/// what they listen to.
pub(super) struct Connection {
    link_listener: Option<LinkListener>,
    link: Option<Link>,
    stream_listener: Option<StreamListener<()>>,
    _node_listener: Option<NodeListener>,
    _registry_listener: registry::Listener,
    _core_listener: core::Listener,
    stream: StreamRc,
    /// The node; also whether it is known and nobody reads it.
    node: Option<Node>,
    idle: Rc<Cell<bool>>,
    /// What there is to know before linking is known.
    ready: bool,
    /// The node was asked to let its buffers go.
    suspends: bool,
    registry: RegistryRc,
    core: CoreRc,
    context: ContextRc,
    main: LoopRc,
    heard: Heard,
    readable: OwnedFd,
    target: u32,
}

impl Connection {
    /// Connects over `socket` to a stream from the node `target` with these parameters.
    ///
    /// # Errors
    /// libpipewire is incomplete on this machine, or the kernel refuses.
    pub fn open(socket: OwnedFd, target: u32, params: &[Pod]) -> Result<Self, SourceError> {
        pipewire::init();
        let failed = |what| move |_| SourceError::PipeWire { what };
        let main = LoopRc::new(None).map_err(failed("making a loop"))?;
        let context = context(&main)?;
        let core = context.connect_fd_rc(socket, None).map_err(failed("greeting the daemon"))?;
        let heard = said::list();
        let registry = core.get_registry_rc().map_err(failed("asking for the objects"))?;
        let stream =
            StreamRc::new(core.clone(), "lumen", stream_properties()).map_err(failed("making a stream"))?;
        let core_listener = said::listen_core(&core, &heard);
        let registry_listener = said::listen_registry(&registry, target, &heard);
        core.sync(0).map_err(failed("asking for the objects"))?;
        let readable = readable(&main, data_loop(&context))?;
        let mut this = Self {
            link_listener: None,
            link: None,
            stream_listener: None,
            _node_listener: None,
            _registry_listener: registry_listener,
            _core_listener: core_listener,
            stream,
            node: None,
            idle: Rc::default(),
            ready: false,
            suspends: false,
            registry,
            core,
            context,
            main,
            heard,
            readable,
            target,
        };
        this.connect(params)?;
        Ok(this)
    }

    fn connect(&mut self, params: &[Pod]) -> Result<(), SourceError> {
        self.stream_listener = Some(said::listen_stream(&self.stream, &self.heard)?);
        // Buffers are not mapped, because they are only handed on; nothing is converted, because that would copy.
        let flags = StreamFlags::DONT_RECONNECT | StreamFlags::NO_CONVERT | StreamFlags::RT_PROCESS;
        let connected = self.stream.connect(Direction::Input, Some(self.target), flags, &mut pods(params));
        connected.map_err(|_| SourceError::PipeWire { what: "connecting the stream" })
    }

    /// The daemon has told what was asked of it: the stream can be linked.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub fn prepared(&mut self) -> Result<(), SourceError> {
        self.ready |= self.node.is_some();
        self.link()
    }

    /// Links the node to the stream, as soon as the daemon knows both and the node has no buffers left of before.
    ///
    /// # Errors
    /// libpipewire refuses; what the daemon refuses is said later.
    pub fn link(&mut self) -> Result<(), SourceError> {
        let ours = self.stream.node_id();
        if !self.ready || self.link.is_some() || ours == pipewire::constants::ID_ANY {
            return Ok(());
        }
        if let Some(node) = self.node.as_ref().filter(|_| self.idle.get()) {
            // A producer keeps its buffers from one reader to the next and never sees those again that a reader held when
            // it was killed: after a few it has none. Suspended, it makes new ones. It is waited for, since 0.3.65 hands
            // out buffers without memory where a link comes while that goes on.
            if !std::mem::replace(&mut self.suspends, true) {
                node.send_command(&NodeCommand::new(NodeCommandId::SUSPEND));
            }
            return Ok(());
        }
        let properties = properties! {
            "link.output.node" => self.target.to_string(),
            "link.input.node" => ours.to_string(),
        };
        let link = self.core.create_object::<Link>("link-factory", &properties);
        let link = link.map_err(|_| SourceError::PipeWire { what: "linking the stream" })?;
        self.link_listener = Some(said::listen_link(&link, &self.heard));
        self.link = Some(link);
        Ok(())
    }

    /// Gives the stream up and connects another one with these parameters.
    ///
    /// # Errors
    /// libpipewire refuses.
    pub fn reconnect(&mut self, params: &[Pod]) -> Result<(), SourceError> {
        let failed = |what| move |_| SourceError::PipeWire { what };
        (self.link_listener, self.link, self.stream_listener) = (None, None, None);
        // Linked again only when the daemon has seen the end of the stream before, and so knows whether the node idles.
        (self.suspends, self.ready) = (false, false);
        self.stream = StreamRc::new(self.core.clone(), "lumen", stream_properties())
            .map_err(failed("making another stream"))?;
        self.heard.borrow_mut().retain(|said| {
            !matches!(
                said,
                Said::State(_) | Said::Format(_) | Said::Added(_) | Said::Removed(_) | Said::LinkBroke(_)
            )
        });
        self.core.sync(0).map_err(failed("making another stream"))?;
        self.connect(params)
    }

    /// Asks the node which formats it has; they are said before the next [`Said::Listed`].
    pub fn ask_node(&mut self) {
        let object = GlobalObject::<PropertiesBox> {
            id: self.target,
            permissions: PermissionFlags::empty(),
            type_: ObjectType::Node,
            version: sys::PW_VERSION_NODE,
            props: None,
        };
        // It is gone again: the daemon says so.
        let Ok(node) = self.registry.bind::<Node, _>(&object) else { return };
        self._node_listener = Some(said::listen_node(&node, &self.idle, &self.heard));
        node.enum_params(0, Some(ParamType::EnumFormat), 0, u32::MAX);
        self.node = Some(node);
        // Answered after the formats; a failure is that of the whole connection, which is said by itself.
        let _ = self.core.sync(0);
    }

    /// Runs what is ready in both loops, without waiting.
    pub fn iterate(&self) {
        self.main.iterate(Timeout::None);
        if let Some(data) = data_loop(&self.context) {
            data.iterate(Timeout::None);
        }
    }

    /// The next thing that was said.
    pub fn next(&self) -> Option<Said> {
        self.heard.borrow_mut().pop_front()
    }

    /// Asks for other parameters.
    pub fn ask(&self, params: &[Pod]) -> Result<(), SourceError> {
        let asked = self.stream.update_params(&mut pods(params));
        asked.map_err(|_| SourceError::PipeWire { what: "asking for another format" })
    }

    /// Takes the oldest picture that came.
    pub fn dequeue(&self) -> Option<BufferRef> {
        // SAFETY: the stream lives as long as `self`; the pointer is null or one that the stream made, and is given back
        // by `queue` or forgotten when the stream says that the buffer is removed.
        NonNull::new(unsafe { self.stream.dequeue_raw_buffer() }).map(BufferRef::new)
    }

    /// Gives a buffer back to be filled again.
    pub fn queue(&self, buffer: BufferRef) {
        // SAFETY: `buffer` came from `dequeue` of this stream and the caller drops those that were removed.
        unsafe { self.stream.queue_raw_buffer(buffer.as_ptr()) };
    }

    /// Lets the producer draw or rest.
    pub fn activate(&self, active: bool) -> Result<(), SourceError> {
        self.stream.set_active(active).map_err(|_| SourceError::PipeWire { what: "pausing the stream" })
    }

    /// Makes [`Self::descriptor`] readable with `other` too.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn watch(&self, other: BorrowedFd<'_>) -> Result<(), SourceError> {
        let added = epoll::add(&self.readable, other, epoll::EventData::new_u64(0), epoll::EventFlags::IN);
        added.map_err(|errno| SourceError::System { what: "watching PipeWire", errno })
    }

    /// Readable when [`Self::iterate`] has something to do.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

/// Major and minor version of the libpipewire that runs; 0.0 if it says something else.
pub(super) fn library() -> (u32, u32) {
    // SAFETY: the library's own constant string.
    let version = unsafe { CStr::from_ptr(sys::pw_get_library_version()) };
    version_of(version.to_str().unwrap_or_default())
}

fn version_of(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn stream_properties() -> PropertiesBox {
    properties! {
        "media.type" => "Video",
        "media.category" => "Capture",
        "media.role" => "Screen",
        "node.name" => "lumen-captured",
        // A node that is gone must not be replaced by another one: that would show somebody else's screen.
        "node.dont-reconnect" => "true",
    }
}

/// Whether libpipewire has all of its modules that are used.
///
/// # Errors
/// [`SourceError::PipeWireModule`] names the first that is missing.
pub fn check_library() -> Result<(), SourceError> {
    pipewire::init();
    let main = LoopRc::new(None).map_err(|_| SourceError::PipeWire { what: "making a loop" })?;
    context(&main).map(drop)
}

fn pods(params: &[Pod]) -> Vec<&pod::Pod> {
    params.iter().filter_map(|bytes| pod::Pod::from_bytes(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: compare versions as texts, or take 0.3.65 for one that knows of timelines.
    #[test]
    fn versions_are_numbers() {
        assert!(
            version_of("0.3.65") < (1, 2) && version_of("1.10.0") > (1, 2) && version_of("1.4.2") == (1, 4)
        );
        assert_eq!((version_of(""), version_of("git")), ((0, 0), (0, 0)));
        assert!(library() > (0, 0));
    }
}

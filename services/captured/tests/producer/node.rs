//! The producer: a stream of its own on a thread of its own, which takes one order after the other.

#![allow(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "buffers are C structures; this is a test"
)]

use super::{
    Chunk, Daemon, Manner, Memory, Picture, SESSION,
    daemon::until,
    memory,
    pods::{buffer_params, format_param, modifier, read_format, write_meta, write_points},
    timeline::{self, Releases, Timelines, UNDRAWN},
};
use lumen_captured::board::{Board, Line};
use pipewire::{
    context::ContextRc,
    loop_::Timeout,
    main_loop::MainLoopRc,
    properties::properties,
    spa::{param::ParamType, pod::Pod, sys, utils::Direction},
    stream::{StreamFlags, StreamRc, StreamState},
    sys as pw,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::{
    cell::RefCell,
    os::fd::{IntoRawFd, OwnedFd},
    os::unix::net::UnixStream,
    path::PathBuf,
    ptr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

enum Order {
    Give(Picture, Sender<bool>),
    Burst(u8),
    Draw(usize),
    Look(Sender<Releases>),
    Resize((u32, u32)),
    End,
}

/// What everybody may know of a producer.
#[derive(Default)]
pub struct Known {
    /// 0 until it is known.
    pub node: AtomicU32,
    /// Whether somebody reads.
    pub streaming: AtomicU32,
    /// Width and height of the format that was set.
    pub size: AtomicU64,
    /// Those of the format that was set first.
    pub first_size: AtomicU64,
    /// Thousandths of a hertz of its maxFramerate.
    pub rate_mhz: AtomicU32,
    /// How many buffers there are.
    pub buffers: AtomicU32,
    /// Times somebody began to read.
    pub starts: AtomicU32,
    /// Formats with a modifier to be chosen, and with one that was chosen.
    pub choices: AtomicU32,
    pub chosen: AtomicU32,
    /// Buffers that came back before their release point was reached.
    pub unreleased: AtomicU32,
}

/// A node of PipeWire's.
pub struct Producer {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    pub known: Arc<Known>,
}

impl Producer {
    pub fn start(daemon: &Daemon, manner: Manner) -> Self {
        Self::start_at(daemon.socket(), manner)
    }

    /// In the daemon that listens at `socket`.
    pub fn start_at(socket: PathBuf, manner: Manner) -> Self {
        let (orders, inbox) = channel();
        let known = Arc::new(Known::default());
        let theirs = known.clone();
        let thread = std::thread::spawn(move || {
            let fd = UnixStream::connect(socket).unwrap().into();
            run(fd, manner, &inbox, &theirs);
        });
        let this = Self { orders, thread: Some(thread), known };
        until("the node is there", || this.node() != 0);
        this
    }

    pub fn node(&self) -> u32 {
        self.known.node.load(Relaxed)
    }

    pub fn is_streaming(&self) -> bool {
        self.known.streaming.load(Relaxed) == 1
    }

    /// Waits until captured reads, as its board says, and for some frames' time more. PipeWire tells a producer to start before it told it
    /// of its reader; what is given in between is delivered with the next picture only. Compositors draw at their next
    /// refresh, when it is told.
    pub fn wait_for(&self, board: &Board) {
        self.wait_for_start(board, 1);
    }

    /// Waits until captured reads after so many starts.
    pub fn wait_for_start(&self, board: &Board, starts: u64) {
        until("captured reads", || {
            let mut line = Line::default();
            board.write(SESSION, |now| line = now.clone());
            self.is_streaming() && line.source.starts >= starts
        });
        std::thread::sleep(Duration::from_millis(60));
    }

    pub fn size(&self) -> (u32, u32) {
        let size = self.known.size.load(Relaxed);
        ((size >> 32) as u32, size as u32)
    }

    /// Gives a picture; whether there was a buffer for it.
    pub fn give(&self, picture: Picture) -> bool {
        let (answer, answered) = channel();
        self.orders.send(Order::Give(picture, answer)).unwrap();
        answered.recv_timeout(Duration::from_secs(5)).unwrap()
    }

    /// Gives a picture that all changed in; waits for a buffer.
    pub fn give_whole(&self, byte: u8) {
        let (known, streaming) = (&self.known, self.is_streaming());
        until(&format!("a buffer of {:?} is free, {streaming}", known.buffers), || {
            self.give(Picture { byte, ..Picture::default() })
        });
    }

    /// Gives so many pictures at once, faster than anybody takes them.
    pub fn burst(&self, count: u8) {
        self.orders.send(Order::Burst(count)).unwrap();
    }

    /// Draws the picture that was given and is not drawn yet, `place` of them after the oldest.
    pub fn draw(&self, place: usize) {
        self.orders.send(Order::Draw(place)).unwrap();
    }

    /// How the buffers are.
    pub fn releases(&self) -> Releases {
        let (answer, answered) = channel();
        self.orders.send(Order::Look(answer)).unwrap();
        answered.recv_timeout(Duration::from_secs(5)).unwrap()
    }

    /// Offers another size, as KWin does when its output changes.
    pub fn resize(&self, size: (u32, u32)) {
        self.orders.send(Order::Resize(size)).unwrap();
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// What the stream's listeners change.
pub struct Inner {
    pub manner: Manner,
    pub size: (u32, u32),
    dmabuf: bool,
    /// The mappings of buffers by the address of their structure.
    maps: Vec<(*mut pw::pw_buffer, *mut u8, usize)>,
    timelines: Timelines,
}

fn run(fd: OwnedFd, manner: Manner, inbox: &Receiver<Order>, known: &Arc<Known>) {
    pipewire::init();
    let main = MainLoopRc::new(None).unwrap();
    let context = ContextRc::new(&main, None).unwrap();
    let core = context.connect_fd_rc(fd, None).unwrap();
    let properties = properties! { "media.class" => "Video/Source", "node.name" => "lumen-test" };
    let stream = StreamRc::new(core, "test", properties).unwrap();
    let inner = Rc::new(RefCell::new(Inner {
        manner: manner.clone(),
        size: (0, 0),
        dmabuf: false,
        maps: Vec::new(),
        timelines: Timelines::default(),
    }));
    let [format, add, remove] = std::array::from_fn(|_| inner.clone());
    let [on_state, on_format, on_add, on_remove] = std::array::from_fn(|_| known.clone());
    let listener = stream
        .add_local_listener::<()>()
        .state_changed(move |stream, (), _, new| {
            on_state.node.store(stream.node_id().wrapping_add(1).max(1) - 1, Relaxed);
            on_state.starts.fetch_add(u32::from(new == StreamState::Streaming), Relaxed);
            on_state.streaming.store(u32::from(new == StreamState::Streaming), Relaxed);
        })
        .param_changed(move |stream, (), id, pod| {
            if let (true, Some(pod)) = (id == ParamType::Format.as_raw(), pod) {
                let mut inner = format.borrow_mut();
                let (size, rate) = read_format(pod.as_bytes());
                inner.size = size;
                match modifier(pod.as_bytes()) {
                    None => inner.dmabuf = false,
                    Some(None) => {
                        // As Mutter does: no buffers before one modifier is fixed.
                        on_format.choices.fetch_add(1, Relaxed);
                        return;
                    }
                    Some(Some(_)) => {
                        on_format.chosen.fetch_add(1, Relaxed);
                        inner.dmabuf = true;
                    }
                }
                let packed = u64::from(size.0) << 32 | u64::from(size.1);
                on_format.size.store(packed, Relaxed);
                // Only the first one finds a 0.
                let _ = on_format.first_size.compare_exchange(0, packed, Relaxed, Relaxed);
                on_format.rate_mhz.store(rate, Relaxed);
                let params = buffer_params(&inner);
                let mut pods: Vec<&Pod> =
                    params.iter().map(|bytes| Pod::from_bytes(bytes).unwrap()).collect();
                stream.update_params(&mut pods).unwrap();
            }
        })
        .add_buffer(move |_, (), buffer| {
            unsafe { make(&mut add.borrow_mut(), buffer) };
            on_add.buffers.fetch_add(1, Relaxed);
        })
        .remove_buffer(move |_, (), buffer| {
            unsafe { unmake(&mut remove.borrow_mut(), buffer) };
            on_remove.buffers.fetch_sub(1, Relaxed);
        })
        .register()
        .unwrap();
    let offer = |size| {
        let dmabufs = (!manner.modifiers.is_empty()).then(|| format_param(&manner, size, &manner.modifiers));
        dmabufs.into_iter().chain([format_param(&manner, size, &[])]).collect::<Vec<_>>()
    };
    let flags = StreamFlags::DRIVER | StreamFlags::ALLOC_BUFFERS;
    let first = offer(manner.size);
    let mut pods: Vec<&Pod> = first.iter().map(|bytes| Pod::from_bytes(bytes).unwrap()).collect();
    stream.connect(Direction::Output, None, flags, &mut pods).unwrap();
    loop {
        main.loop_().iterate(Timeout::Finite(Duration::from_millis(1)));
        match inbox.try_recv() {
            Ok(Order::Give(picture, answer)) => {
                let given = unsafe { give(&stream, &mut inner.borrow_mut(), picture, known) };
                answer.send(given).unwrap();
            }
            Ok(Order::Burst(count)) => {
                for byte in 1..=count {
                    let picture = Picture { byte, ..Picture::default() };
                    unsafe { give(&stream, &mut inner.borrow_mut(), picture, known) };
                }
            }
            Ok(Order::Draw(place)) => {
                let inner = &mut *inner.borrow_mut();
                // Its buffer may be gone with the reader.
                if place < inner.timelines.undrawn.len() {
                    let (buffer, picture) = inner.timelines.undrawn.remove(place);
                    unsafe { draw(inner, buffer, &picture) };
                    inner.timelines.drawn(buffer);
                }
            }
            Ok(Order::Look(answer)) => answer.send(inner.borrow().timelines.releases()).unwrap(),
            Ok(Order::Resize(size)) => {
                let offer = offer(Some(size));
                let mut pods: Vec<&Pod> = offer.iter().map(|bytes| Pod::from_bytes(bytes).unwrap()).collect();
                stream.update_params(&mut pods).unwrap();
            }
            Ok(Order::End) => break,
            Err(_) => {}
        }
    }
    drop(listener);
}

pub fn stride(inner: &Inner) -> u32 {
    inner.size.0 * 4 + inner.manner.padding
}

/// What it calls its buffers.
pub fn kind(inner: &Inner) -> u32 {
    if inner.dmabuf { sys::SPA_DATA_DmaBuf } else { memory(inner).kind() }
}

/// What its buffers are.
fn memory(inner: &Inner) -> Memory {
    match inner.manner.modifiers.is_empty() || inner.dmabuf {
        true => inner.manner.memory,
        false => Memory::Memfd,
    }
}

unsafe fn make(inner: &mut Inner, buffer: *mut pw::pw_buffer) {
    let bytes = stride(inner) * inner.size.1 - inner.manner.lacking;
    let fd = match memory(inner) {
        Memory::Memfd => memory::memfd(bytes, inner.manner.sealed),
        memory => memory.dmabuf(stride(inner), inner.size.1).unwrap(),
    };
    unsafe {
        let map = mmap(
            ptr::null_mut(),
            bytes as usize,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &fd,
            0,
        );
        inner.maps.push((buffer, map.unwrap().cast(), bytes as usize));
        let data = (*(*buffer).buffer).datas;
        (*data).type_ = kind(inner);
        (*data).flags = sys::SPA_DATA_FLAG_READWRITE;
        (*data).fd = fd.into_raw_fd().into();
        (*data).mapoffset = 0;
        (*data).maxsize = bytes;
        inner.timelines.make(buffer);
    }
}

unsafe fn unmake(inner: &mut Inner, buffer: *mut pw::pw_buffer) {
    let Some(at) = inner.maps.iter().position(|(known, ..)| *known == buffer) else { return };
    let (_, map, bytes) = inner.maps.swap_remove(at);
    unsafe {
        inner.timelines.unmake(buffer);
        munmap(map.cast(), bytes).unwrap();
        rustix::io::close((*(*(*buffer).buffer).datas).fd as i32);
    }
}

/// Draws a picture.
unsafe fn draw(inner: &Inner, buffer: *mut pw::pw_buffer, picture: &Picture) {
    let Some((_, map, bytes)) = inner.maps.iter().find(|(known, ..)| *known == buffer) else { return };
    let pixels = unsafe { std::slice::from_raw_parts_mut(*map, *bytes) };
    match picture.stamp {
        Some(number) => memory::draw(number, inner.size, stride(inner) as usize, pixels),
        None => pixels.fill(picture.byte),
    }
}

unsafe fn give(stream: &StreamRc, inner: &mut Inner, picture: Picture, known: &Known) -> bool {
    unsafe {
        let buffer = inner.timelines.dequeue(stream, &known.unreleased);
        let Some((_, map, bytes)) = inner.maps.iter().find(|(known, ..)| *known == buffer) else {
            return false;
        };
        let is_later = picture.later && inner.timelines.has(buffer);
        if is_later {
            std::slice::from_raw_parts_mut(*map, *bytes).fill(UNDRAWN);
        } else if picture.chunk != Chunk::None {
            draw(inner, buffer, &picture);
        }
        let spa = &*(*buffer).buffer;
        let chunk = &mut *(*spa.datas).chunk;
        let whole = *bytes as u32;
        chunk.offset = 0;
        chunk.stride = stride(inner).cast_signed();
        chunk.size = match picture.chunk {
            Chunk::Whole | Chunk::Corrupted => whole,
            Chunk::Half => whole / 2,
            Chunk::Unsaid | Chunk::None => 0,
        };
        let corrupted = matches!(picture.chunk, Chunk::None | Chunk::Corrupted);
        chunk.flags = if corrupted { sys::SPA_CHUNK_FLAG_CORRUPTED.cast_signed() } else { 0 };
        // As Mutter: a buffer without a picture keeps the points of before.
        let points = if picture.chunk == Chunk::None { None } else { inner.timelines.next(buffer) };
        for meta in std::slice::from_raw_parts(spa.metas, spa.n_metas as usize) {
            let bytes = std::slice::from_raw_parts_mut(meta.data.cast::<u8>(), meta.size as usize);
            match (meta.type_, points) {
                (timeline::SYNC_TIMELINE, Some(points)) => write_points(bytes, points),
                (kind, _) => write_meta(kind, bytes, &picture),
            }
        }
        match is_later {
            true => inner.timelines.undrawn.push((buffer, picture)),
            false => points.into_iter().for_each(|_| inner.timelines.drawn(buffer)),
        }
        stream.queue_raw_buffer(buffer);
        true
    }
}

//! The video thread: datagrams from the network into whole frames, and the hellos that open the way for them.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use lumen_core::{
    ChannelId, ChannelSecret, Direction, Opened, Opener, Output, Reassembler, ReassemblerConfig,
    ReceivedFrame, Sealer, Timestamp,
    reassembler::ReassemblyCounters,
    seal::{LocalCounter, OpenCounters, SealError},
};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::{clock::Clock, notice::Notice};

/// Until the first datagram came, because the first hello may be lost.
const EAGER_HELLO: Duration = Duration::from_millis(100);

/// After it, because a NAT forgets a silent path, the shortest after half a minute, and a host that restarted needs it soon.
const STEADY_HELLO: Duration = Duration::from_secs(1);

/// Because an IDR of 8 MiB may come in one burst; the kernel gives what its limit allows.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Because the kernel joins at most 64 datagrams, up to 64 KiB, into one.
const BATCH_BYTES: usize = 1 << 16;

/// Hellos answered by *port unreachable* in a row after which the host counts as stopped: one that restarts keeps its socket.
const REFUSALS: u32 = 3;

/// Longest time in poll(), so that `stop` is seen.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// Why no video can be received.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The kernel said no.
    #[error("the video socket failed ({act}): {source}")]
    Socket {
        /// What was tried.
        act: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// All numbers of this direction were used.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl VideoError {
    fn at(act: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Socket { act, source }
    }
}

/// What the host said about the channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Where the host listens for hellos.
    pub host: SocketAddr,
    /// Whose datagrams these are.
    pub id: ChannelId,
    /// What they are sealed with.
    pub secret: ChannelSecret,
    /// The first frame to come.
    pub next_frame: u64,
}

/// What came over the network.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct NetworkSummary {
    /// Datagrams that the host sealed and that came for the first time.
    pub datagrams: u64,
    /// Datagrams that the host did not seal.
    pub forged: u64,
    /// Datagrams that came before.
    pub replayed: u64,
    /// Datagrams that make no sense.
    pub malformed: u64,
    /// Bytes of all datagrams, headers and parity included.
    pub wire_bytes: u64,
    /// Frames that came whole.
    pub whole: u64,
    /// Frames that never became whole.
    pub lost: u64,
    /// Frames made whole by parity.
    pub recovered: u64,
    /// Data shards that parity brought back.
    pub recovered_shards: u64,
    /// Shards of frames that needed them no more.
    pub late_shards: u64,
    /// Times that an IDR was asked for.
    pub idr_requests: u64,
    /// Hellos sent.
    pub hellos: u64,
}

/// Where frames and wishes go.
pub struct VideoContext {
    /// This client's clock.
    pub clock: Clock,
    /// To the decoder.
    pub frames: mpsc::Sender<ReceivedFrame>,
    /// How many frames wait there.
    pub backlog: Arc<AtomicUsize>,
    /// Frames whose memory can be used again.
    pub spent: mpsc::Receiver<ReceivedFrame>,
    /// To the control thread.
    pub notices: UnboundedSender<Notice>,
    /// Set by the control thread at the end.
    pub stop: Arc<AtomicBool>,
}

/// Receives until told to stop, or until nobody takes frames any more.
///
/// # Errors
/// [`VideoError`].
pub fn receive(channel: &Channel, context: VideoContext) -> Result<NetworkSummary, VideoError> {
    let mut thread = Thread::new(channel, context)?;
    while !thread.context.stop.load(Ordering::Relaxed) && !thread.deaf {
        thread.step()?;
    }
    Ok(thread.summary())
}

struct Thread {
    context: VideoContext,
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<Vec<u8>>,
    opener: Opener,
    reassembler: Reassembler,
    sealer: Sealer,
    counter: LocalCounter,
    next_hello: Timestamp,
    wire_bytes: u64,
    idr_requests: u64,
    hellos: u64,
    /// Hellos refused since the last datagram.
    refusals: u32,
    /// The decoder is gone.
    deaf: bool,
}

impl Thread {
    fn new(channel: &Channel, context: VideoContext) -> Result<Self, VideoError> {
        let any: SocketAddr =
            if channel.host.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).map_err(VideoError::at("bind"))?;
        socket.connect(channel.host).map_err(VideoError::at("connect"))?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).map_err(VideoError::at("prepare"))?;
        state
            .set_recv_buffer_size(UdpSockRef::from(&socket), RECEIVE_BUFFER)
            .map_err(VideoError::at("enlarge the buffer"))?;
        let now = context.clock.now();
        Ok(Self {
            context,
            socket,
            state,
            buffers: vec![vec![0; BATCH_BYTES]; quinn_udp::BATCH_SIZE],
            opener: Opener::new(&channel.secret, channel.id, Direction::HostToClient),
            reassembler: Reassembler::new(ReassemblerConfig::starting_at(channel.next_frame)),
            sealer: Sealer::new(&channel.secret, channel.id, Direction::ClientToHost),
            counter: LocalCounter::default(),
            next_hello: now,
            wire_bytes: 0,
            idr_requests: 0,
            hellos: 0,
            refusals: 0,
            deaf: false,
        })
    }

    /// Waits for datagrams or the next deadline, and does what is due.
    fn step(&mut self) -> Result<(), VideoError> {
        let now = self.context.clock.now();
        if now >= self.next_hello {
            self.hello(now)?;
        }
        let deadline = self.reassembler.poll_timeout().map_or(self.next_hello, |t| t.min(self.next_hello));
        if wait(&self.socket, deadline.since(now).min(LONGEST_WAIT))? {
            self.drain()?;
        }
        self.reassembler.handle_timeout(self.context.clock.now());
        self.hand_out();
        Ok(())
    }

    fn hello(&mut self, now: Timestamp) -> Result<(), VideoError> {
        let datagram = self.sealer.seal_hello(now, &mut self.counter)?;
        match self.socket.send(&datagram) {
            Ok(_) => self.hellos += 1,
            Err(error) if is_passing(&error) => self.count_refusal(&error),
            Err(error) => return Err(VideoError::at("send")(error)),
        }
        let came = self.opener.counters().opened > 0;
        self.next_hello = now + if came { STEADY_HELLO } else { EAGER_HELLO };
        self.deaf |= self.context.notices.send(Notice::Network(self.summary())).is_err();
        Ok(())
    }

    /// A host that never sent anything may have another port blocked, and is not said to have stopped.
    fn count_refusal(&mut self, error: &io::Error) {
        if error.kind() != io::ErrorKind::ConnectionRefused || self.opener.counters().opened == 0 {
            return;
        }
        self.refusals += 1;
        if self.refusals == REFUSALS {
            self.deaf |= self.context.notices.send(Notice::HostStopped).is_err();
        }
    }

    /// Takes all datagrams that wait, up to a batch at a time.
    fn drain(&mut self) -> Result<(), VideoError> {
        let mut metas = [RecvMeta::default(); quinn_udp::BATCH_SIZE];
        loop {
            let mut slices: Vec<IoSliceMut<'_>> =
                self.buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
            let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_passing(&error) => {
                    self.count_refusal(&error);
                    continue;
                }
                Err(error) => return Err(VideoError::at("receive")(error)),
            };
            let now = self.context.clock.now();
            for (buffer, meta) in self.buffers.iter_mut().zip(&metas).take(count) {
                let joined = buffer.get_mut(..meta.len).unwrap_or_default();
                for datagram in joined.chunks_mut(meta.stride.max(1)) {
                    self.wire_bytes += datagram.len() as u64;
                    // A datagram that is not opened is counted by the opener; hellos never come this way.
                    if let Ok(Opened::Video(shard)) = self.opener.open(datagram) {
                        self.refusals = 0;
                        self.reassembler.handle_shard(&shard, now);
                    }
                }
            }
            self.hand_out();
        }
    }

    /// Passes on what the reassembler has to say, and gives it back memory.
    fn hand_out(&mut self) {
        while let Ok(frame) = self.context.spent.try_recv() {
            self.reassembler.recycle(frame);
        }
        while let Some(output) = self.reassembler.poll_output() {
            match output {
                Output::Frame(frame) => {
                    self.context.backlog.fetch_add(1, Ordering::Relaxed);
                    self.deaf |= self.context.frames.send(frame).is_err();
                }
                // Counted by the reassembler; the wish for an IDR comes apart.
                Output::Lost { .. } => {}
                Output::NeedIdr { after_frame } => {
                    self.idr_requests += 1;
                    self.deaf |= self.context.notices.send(Notice::NeedIdr { after_frame }).is_err();
                }
            }
        }
    }

    fn summary(&self) -> NetworkSummary {
        let opened: OpenCounters = self.opener.counters();
        let frames: ReassemblyCounters = self.reassembler.counters();
        NetworkSummary {
            datagrams: opened.opened,
            forged: opened.forged,
            replayed: opened.replayed,
            malformed: opened.malformed + frames.malformed,
            wire_bytes: self.wire_bytes,
            whole: frames.frames,
            lost: frames.lost_frames,
            recovered: frames.recovered_frames,
            recovered_shards: frames.recovered_shards,
            late_shards: frames.late_shards,
            idr_requests: self.idr_requests,
            hellos: self.hellos,
        }
    }
}

/// Whether an error says only that nobody listens at the moment: a host that restarts is back soon.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

/// Waits until the socket can be read; false when the time was over first.
fn wait(socket: &UdpSocket, time: Duration) -> Result<bool, VideoError> {
    let timeout = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(VideoError::at("wait")(error.into())),
    }
}

//! The two threads of a stream: one receives, one decodes.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use lumen_core::ClockEstimator;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    change::Change,
    clock::Clock,
    decode::{DecodeContext, DecodeError, DecodeSummary, decode},
    failure::Failure,
    notice::Notice,
    record::Recording,
    video::{Channel, NetworkSummary, VideoContext, VideoError, receive},
};

/// What the threads brought.
#[derive(Clone, Debug, Default)]
pub struct Yield {
    /// From the network.
    pub network: NetworkSummary,
    /// From the decoder.
    pub decoded: DecodeSummary,
}

/// What the threads work with.
pub struct Setup {
    /// This client's clock.
    pub clock: Clock,
    /// The host's clock, as the control thread learns it.
    pub host_clock: Arc<Mutex<ClockEstimator>>,
    /// Where pictures and units are kept.
    pub recording: Recording,
    /// Whether pictures are lumen-stamp's.
    pub stamped: bool,
    /// What is asked for in mid-stream.
    pub changes: Vec<Change>,
    /// To the control thread.
    pub notices: UnboundedSender<Notice>,
}

/// Both threads at work.
pub struct Workers {
    stop: Arc<AtomicBool>,
    video: JoinHandle<Result<NetworkSummary, VideoError>>,
    decoder: JoinHandle<Result<DecodeSummary, DecodeError>>,
}

impl Workers {
    /// Starts them on a channel.
    ///
    /// # Errors
    /// [`Failure::System`] if there can be no more threads.
    pub fn start(channel: Channel, setup: Setup) -> Result<Self, Failure> {
        let Setup { clock, host_clock, recording, stamped, changes, notices } = setup;
        let (frames, to_decode) = mpsc::channel();
        let (spent, to_reuse) = mpsc::channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let context = VideoContext {
            clock,
            frames,
            backlog: Arc::clone(&backlog),
            spent: to_reuse,
            notices: notices.clone(),
            stop: Arc::clone(&stop),
        };
        let video = spawn("video", {
            let notices = notices.clone();
            move || {
                let result = receive(&channel, context);
                // The control thread may be gone already, and then need not know.
                let _ = notices.send(Notice::VideoEnded);
                result
            }
        })?;
        let context =
            DecodeContext { clock, host_clock, recording, stamped, changes, backlog, spent, notices };
        let decoder = spawn("decoder", move || decode(&to_decode, context))?;
        Ok(Self { stop, video, decoder })
    }

    /// Stops receiving, decodes what came, and joins both.
    ///
    /// # Errors
    /// The first thread's that failed.
    pub fn finish(self) -> Result<Yield, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let network = join(self.video);
        let decoded = join(self.decoder);
        Ok(Yield { network: network?, decoded: decoded? })
    }
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    spawned.map_err(|source| Failure::System { act: "start a thread", source })
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

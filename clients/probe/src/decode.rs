//! The decoder's thread: access units into pictures, which are timed, judged and recorded.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use lumen_core::{ClockEstimator, ReceivedFrame, Timestamp};
use lumen_stamp::Plane;
use openh264::{decoder::Decoder, formats::YUVSource};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    change::Change,
    clock::Clock,
    intervals::{IntervalSummary, Intervals, Seen, SizeSummary},
    judge::{Judge, StampSummary, Verdict},
    latency::{Latency, LatencySummary, Moments},
    notice::Notice,
    picture::Picture,
    record::{RecordError, Recording},
};

/// Why the decoder's thread ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No decoder.
    #[error("cannot make an H.264 decoder: {0}")]
    Decoder(#[from] openh264::Error),
    /// A file could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What was decoded.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DecodeSummary {
    /// Pictures that are no repeats.
    pub frames: u64,
    /// Pictures marked as repeats.
    pub repeats: u64,
    /// IDR pictures, also counted above.
    pub idrs: u64,
    /// Whole frames that refer to a lost one.
    pub undecodable: u64,
    /// Units that the decoder refused.
    pub decode_errors: u64,
    /// Bytes of all access units.
    pub bytes: u64,
    /// Bytes of the largest access unit.
    pub largest_unit: usize,
    /// Bytes of the first access unit.
    pub first_unit: usize,
    /// The sizes that came, in their order.
    pub modes: Vec<SizeSummary>,
    /// What came between the changes that were asked for.
    pub intervals: Vec<IntervalSummary>,
    /// Size of the last picture.
    pub width: u32,
    /// Size of the last picture.
    pub height: u32,
    /// From the first picture's capture to the last one's, in seconds, on the host's clock.
    pub span_s: f64,
    /// Most frames that ever waited for the decoder.
    pub backlog_max: usize,
    /// What frames took.
    pub latency_us: LatencySummary,
    /// What the pictures showed, if they were to be judged.
    pub stamp: Option<StampSummary>,
}

/// A line of the frames' log.
#[derive(Serialize)]
struct LogLine<'a> {
    number: u64,
    idr: bool,
    repeat: bool,
    width: u32,
    height: u32,
    bytes: usize,
    recovered_shards: usize,
    #[serde(flatten)]
    verdict: Option<&'a Verdict>,
    moments: Option<&'a Moments>,
}

/// What the decoder's thread works with.
pub struct DecodeContext {
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
    /// How many frames wait; counted up by the sender.
    pub backlog: Arc<AtomicUsize>,
    /// Takes frames back whose memory can be used again.
    pub spent: mpsc::Sender<ReceivedFrame>,
    /// Told of each step.
    pub notices: UnboundedSender<Notice>,
}

/// Decodes until the sender of `frames` is gone.
///
/// # Errors
/// [`DecodeError`]; [`Notice::DecoderEnded`] is then sent too.
pub fn decode(
    frames: &mpsc::Receiver<ReceivedFrame>,
    context: DecodeContext,
) -> Result<DecodeSummary, DecodeError> {
    let notices = context.notices.clone();
    let result = Thread::new(context).and_then(|thread| thread.run(frames));
    // The control thread may be gone already, and then need not know.
    let _ = notices.send(Notice::DecoderEnded);
    result
}

struct Thread {
    context: DecodeContext,
    decoder: Decoder,
    judge: Option<Judge>,
    latency: Latency,
    intervals: Intervals,
    summary: DecodeSummary,
    /// When the first and the last picture were taken from the compositor.
    span: Option<(Timestamp, Timestamp)>,
}

impl Thread {
    fn new(mut context: DecodeContext) -> Result<Self, DecodeError> {
        let intervals = Intervals::new(std::mem::take(&mut context.changes));
        let judge = context.stamped.then(Judge::default);
        let (latency, summary) = (Latency::default(), DecodeSummary::default());
        Ok(Self { decoder: Decoder::new()?, judge, latency, intervals, summary, span: None, context })
    }

    fn run(mut self, frames: &mpsc::Receiver<ReceivedFrame>) -> Result<DecodeSummary, DecodeError> {
        for frame in frames {
            let waiting = self.context.backlog.fetch_sub(1, Ordering::Relaxed);
            self.summary.backlog_max = self.summary.backlog_max.max(waiting);
            self.take(&frame)?;
            // The receiver may be gone already, and then needs no memory.
            let _ = self.context.spent.send(frame);
        }
        self.context.recording.finish()?;
        self.summary.latency_us = self.latency.summary();
        (self.summary.modes, self.summary.intervals) = self.intervals.summary();
        self.summary.stamp = self.judge.map(|judge| judge.summary());
        self.summary.span_s = self.span.map_or(0.0, |(first, last)| last.since(first).as_secs_f64());
        Ok(self.summary)
    }

    fn take(&mut self, frame: &ReceivedFrame) -> Result<(), DecodeError> {
        let bytes = frame.unit().len();
        self.summary.bytes += bytes as u64;
        self.summary.largest_unit = self.summary.largest_unit.max(bytes);
        if self.summary.first_unit == 0 {
            self.summary.first_unit = bytes;
        }
        if !frame.decodable {
            self.summary.undecodable += 1;
            return Ok(());
        }
        let Ok(Some(decoded)) = self.decoder.decode(frame.unit()) else {
            self.summary.decode_errors += 1;
            // The control thread may be gone already, and then asks for no IDR.
            let _ = self.context.notices.send(Notice::NeedIdr { after_frame: frame.number });
            return Ok(());
        };
        let decoded_at = self.context.clock.now();
        let picture = picture(&decoded);
        let verdict = self.judge.as_mut().map(|judge| judge.judge(&picture, frame.repeat));
        self.context.recording.keep(frame, &picture)?;
        let size = (picture.width, picture.height);
        (self.summary.width, self.summary.height) = size;
        let (number, repeat) = (frame.number, frame.repeat);
        self.intervals.add(Seen { frame: number, at: decoded_at, size, repeat, bytes });
        self.count(frame, decoded_at, verdict.as_ref())
    }

    /// Counts, times and logs a decoded frame.
    fn count(
        &mut self,
        frame: &ReceivedFrame,
        at: Timestamp,
        verdict: Option<&Verdict>,
    ) -> Result<(), DecodeError> {
        let moments = {
            let host_clock = self.context.host_clock.lock().unwrap_or_else(PoisonError::into_inner);
            Moments::of(frame, at, |host| host_clock.to_local(host))
        };
        self.summary.idrs += u64::from(frame.idr);
        if frame.repeat {
            self.summary.repeats += 1;
        } else {
            self.summary.frames += 1;
            let taken = frame.timeline.dequeued;
            self.span = Some((self.span.map_or(taken, |(first, _)| first), taken));
            moments.iter().for_each(|moments| self.latency.add(moments));
        }
        self.context.recording.log(|| {
            let line = LogLine {
                number: frame.number,
                idr: frame.idr,
                repeat: frame.repeat,
                width: self.summary.width,
                height: self.summary.height,
                bytes: frame.unit().len(),
                recovered_shards: frame.recovered_shards,
                verdict,
                moments: moments.as_ref(),
            };
            serde_json::to_string(&line).expect("numbers and strings are always JSON") + "\n"
        })?;
        let pictures = self.summary.frames + self.summary.repeats;
        // The control thread may be gone already, and then counts no more.
        let _ = self.context.notices.send(Notice::Pictures(pictures));
        Ok(())
    }
}

/// The decoder's picture in our words.
fn picture<'a>(decoded: &'a openh264::decoder::DecodedYUV<'_>) -> Picture<'a> {
    let (width, height) = decoded.dimensions();
    let (y_stride, cb_stride, cr_stride) = decoded.strides();
    Picture {
        width: u32::try_from(width).unwrap_or(0),
        height: u32::try_from(height).unwrap_or(0),
        y: Plane { bytes: decoded.y(), stride: y_stride },
        cb: Plane { bytes: decoded.u(), stride: cb_stride },
        cr: Plane { bytes: decoded.v(), stride: cr_stride },
    }
}

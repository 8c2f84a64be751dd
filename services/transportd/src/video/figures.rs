//! What is measured of one session: counters, and how long each step took. Nothing here allocates once it is made.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use hdrhistogram::Histogram;
use lumen_ipc::encode::{AccessUnit, UnitKind};

/// The longest duration that is told apart: a minute, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;

/// The steps of a picture, in their order; the last two cut across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Dequeued by captured → received by encoded.
    Captured,
    /// Received by encoded → its encode call begins.
    Convert,
    /// The encode call.
    Encode,
    /// The encode call returned → received by transportd.
    HandOver,
    /// Received by transportd → cut into shards, with parity.
    Packetise,
    /// Cut → its first datagrams are with the kernel.
    FirstSent,
    /// Cut → its last datagrams are with the kernel.
    LastSent,
    /// What the pipeline adds (promise P1): dequeued → first datagrams sent, less the encode call.
    Added,
}

impl Step {
    /// All, in the order of [`Step`].
    pub const ALL: [Self; 8] = [
        Self::Captured,
        Self::Convert,
        Self::Encode,
        Self::HandOver,
        Self::Packetise,
        Self::FirstSent,
        Self::LastSent,
        Self::Added,
    ];

    /// Its key in `Transport1.Latency`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Convert => "convert",
            Self::Encode => "encode",
            Self::HandOver => "hand_over",
            Self::Packetise => "packetise",
            Self::FirstSent => "first_sent",
            Self::LastSent => "last_sent",
            Self::Added => "added",
        }
    }
}

/// When a frame passed this stage, CLOCK_MONOTONIC ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passage {
    /// Its message was taken from the link.
    pub received_ns: u64,
    /// It was cut and its parity computed.
    pub packetised_ns: u64,
    /// The kernel had its first datagrams.
    pub first_sent_ns: u64,
    /// The kernel had its last.
    pub last_sent_ns: u64,
}

impl Passage {
    /// How long `step` of `unit` took in ns; `None` if a stage before left no mark.
    fn length(&self, step: Step, unit: &AccessUnit) -> Option<u64> {
        let marks = &unit.timeline;
        let (from, to) = match step {
            Step::Captured => (marks.dequeued_ns, marks.received_ns),
            Step::Convert => (marks.received_ns, marks.encode_begin_ns),
            Step::Encode => (marks.encode_begin_ns, marks.encode_end_ns),
            Step::HandOver => (marks.encode_end_ns, self.received_ns),
            Step::Packetise => (self.received_ns, self.packetised_ns),
            Step::FirstSent => (self.packetised_ns, self.first_sent_ns),
            Step::LastSent => (self.packetised_ns, self.last_sent_ns),
            Step::Added => {
                let sent = self.first_sent_ns.checked_sub(self.length(Step::Encode, unit)?)?;
                (marks.dequeued_ns, sent)
            }
        };
        if from == 0 {
            return None;
        }
        to.checked_sub(from)
    }
}

/// Quantiles of one step in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// Half of the frames were as fast.
    pub p50_ns: u64,
    /// 95 % were.
    pub p95_ns: u64,
    /// 99 % were.
    pub p99_ns: u64,
    /// All were.
    pub max_ns: u64,
    /// How many frames were measured.
    pub frames: u64,
}

/// The figures of one session, written by its thread and read by the bus.
#[derive(Debug)]
pub struct Figures {
    /// Frames sent, repeats included.
    pub frames: AtomicU64,
    /// Of these, repeats of the keep-alive floor.
    pub repeats: AtomicU64,
    /// Of these, IDRs.
    pub idrs: AtomicU64,
    /// Of these, those that refer to an older picture because newer ones were lost.
    pub recovered: AtomicU64,
    /// UDP payload bytes sent.
    pub bytes: AtomicU64,
    /// Datagrams sent.
    pub datagrams: AtomicU64,
    /// Calls of the kernel that sent them.
    pub sends: AtomicU64,
    /// Datagrams that the kernel refused.
    pub unsent: AtomicU64,
    /// Most datagrams sent within one call.
    pub largest_burst: AtomicU64,
    /// AccessUnits that came before the first IDR of a link, of no use to any client.
    pub headless: AtomicU64,
    /// AccessUnits whose place did not lie in the ring, or that could not be cut.
    pub unusable: AtomicU64,
    /// Shapes of the pointer that could not be read.
    pub bad_shapes: AtomicU64,
    /// Messages of a Moonlight client that are not its own, or none.
    pub unreadable: AtomicU64,
    /// Inputs of a Moonlight client that a seat cannot be told.
    pub unsaid: AtomicU64,
    /// Samples and texts of a person that inputd was not told, because too many waited or for too long.
    pub dropped_inputs: AtomicU64,
    /// Parity of the frames of now, in percent; 0 where that of the launch never changes.
    pub parity_percent: AtomicU64,
    /// Links to encoded, counted.
    pub links: AtomicU64,
    steps: Mutex<[Histogram<u64>; Step::ALL.len()]>,
}

impl Default for Figures {
    fn default() -> Self {
        let histogram = |_| {
            Histogram::new_with_bounds(1, LONGEST_NS, 2).expect("the bounds rise and two digits are allowed")
        };
        Self {
            frames: AtomicU64::default(),
            repeats: AtomicU64::default(),
            idrs: AtomicU64::default(),
            recovered: AtomicU64::default(),
            bytes: AtomicU64::default(),
            datagrams: AtomicU64::default(),
            sends: AtomicU64::default(),
            unsent: AtomicU64::default(),
            largest_burst: AtomicU64::default(),
            headless: AtomicU64::default(),
            unusable: AtomicU64::default(),
            bad_shapes: AtomicU64::default(),
            unreadable: AtomicU64::default(),
            unsaid: AtomicU64::default(),
            dropped_inputs: AtomicU64::default(),
            parity_percent: AtomicU64::default(),
            links: AtomicU64::default(),
            steps: Mutex::new(std::array::from_fn(histogram)),
        }
    }
}

impl Figures {
    /// A frame went out. Repeats have the timeline of an older picture, so their steps are not measured.
    pub fn sent(&self, unit: &AccessUnit, passage: &Passage) {
        self.frames.fetch_add(1, Relaxed);
        match unit.kind {
            UnitKind::Repeat => {
                self.repeats.fetch_add(1, Relaxed);
                return;
            }
            UnitKind::Idr => drop(self.idrs.fetch_add(1, Relaxed)),
            UnitKind::Recovered => drop(self.recovered.fetch_add(1, Relaxed)),
            UnitKind::Delta => {}
        }
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        for (histogram, step) in steps.iter_mut().zip(Step::ALL) {
            if let Some(length) = passage.length(step, unit) {
                histogram.saturating_record(length);
            }
        }
    }

    /// One call of the kernel took `datagrams` of `bytes` bytes together.
    pub fn burst(&self, datagrams: usize, bytes: usize) {
        self.sends.fetch_add(1, Relaxed);
        self.datagrams.fetch_add(datagrams as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.largest_burst.fetch_max(datagrams as u64, Relaxed);
    }

    /// So many inputs were dropped in all.
    pub fn dropped_inputs(&self, count: u64) {
        self.dropped_inputs.store(count, Relaxed);
    }

    /// So much of what a Moonlight client said was not taken by this incarnation.
    pub fn misheard(&self, unreadable: u64, unsaid: u64) {
        self.unreadable.store(unreadable, Relaxed);
        self.unsaid.store(unsaid, Relaxed);
    }

    /// Each step's quantiles so far.
    pub fn latency(&self) -> [(Step, Quantiles); Step::ALL.len()] {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Step::ALL.into_iter().zip(steps.iter());
        std::array::from_fn(|_| {
            let (step, histogram) = all.next().expect("there are as many histograms as steps");
            (step, quantiles(histogram))
        })
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    Quantiles {
        p50_ns: histogram.value_at_quantile(0.50),
        p95_ns: histogram.value_at_quantile(0.95),
        p99_ns: histogram.value_at_quantile(0.99),
        max_ns: histogram.max(),
        frames: histogram.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::Timeline;

    fn unit(kind: UnitKind) -> AccessUnit {
        AccessUnit {
            number: 1,
            kind,
            offset: 0,
            len: 10,
            frame: 1,
            timeline: Timeline {
                dequeued_ns: 1_000_000,
                received_ns: 1_100_000,
                encode_begin_ns: 1_300_000,
                encode_end_ns: 6_300_000,
            },
        }
    }

    const PASSAGE: Passage = Passage {
        received_ns: 6_350_000,
        packetised_ns: 6_400_000,
        first_sent_ns: 6_420_000,
        last_sent_ns: 6_500_000,
    };

    /// Sabotage: leave the encode call in what the pipeline adds.
    #[test]
    fn what_the_pipeline_adds_leaves_out_the_encode_call() {
        let lengths = Step::ALL.map(|step| PASSAGE.length(step, &unit(UnitKind::Delta)).unwrap() / 1000);
        assert_eq!(lengths, [100, 200, 5000, 50, 50, 20, 100, 420]);
    }

    #[test]
    fn repeats_are_counted_apart_and_not_measured() {
        let figures = Figures::default();
        figures.sent(&unit(UnitKind::Idr), &PASSAGE);
        figures.sent(&unit(UnitKind::Repeat), &PASSAGE);
        assert_eq!(figures.frames.load(Relaxed), 2);
        assert_eq!(figures.repeats.load(Relaxed), 1);
        assert_eq!(figures.idrs.load(Relaxed), 1);
        let (_, added) = figures.latency()[7];
        assert_eq!(added.frames, 1);
        assert!((415_000..=425_000).contains(&added.p50_ns), "{added:?}");
    }

    #[test]
    fn a_mark_that_is_missing_or_turned_round_measures_nothing() {
        let mut bare = unit(UnitKind::Delta);
        bare.timeline.dequeued_ns = 0;
        assert_eq!(PASSAGE.length(Step::Captured, &bare), None);
        assert_eq!(PASSAGE.length(Step::Added, &bare), None);
        bare.timeline.received_ns = u64::MAX;
        assert_eq!(PASSAGE.length(Step::Convert, &bare), None);
    }
}

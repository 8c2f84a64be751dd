//! How long frames take from stage to stage.

use std::time::Duration;

use hdrhistogram::Histogram;
use lumen_core::{ReceivedFrame, Timestamp};
use serde::Serialize;

/// The moments of one decoded frame; those of the host are already on this client's clock.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moments {
    /// captured took it from the compositor.
    pub dequeued_ns: u64,
    /// encoded began.
    pub encode_begin_ns: u64,
    /// encoded was done.
    pub encode_end_ns: u64,
    /// transportd sealed its first datagram.
    pub sent_ns: u64,
    /// It was whole here.
    pub received_ns: u64,
    /// Its picture was there.
    pub decoded_ns: u64,
}

impl Moments {
    /// The moments of `frame`, its host's clock translated by `to_local`; `None` while that clock is not known.
    pub fn of(
        frame: &ReceivedFrame,
        decoded: Timestamp,
        to_local: impl Fn(Timestamp) -> Option<Timestamp>,
    ) -> Option<Self> {
        let local = |host: Timestamp| to_local(host).map(Timestamp::as_ns);
        Some(Self {
            dequeued_ns: local(frame.timeline.dequeued)?,
            encode_begin_ns: local(frame.timeline.encode_begin)?,
            encode_end_ns: local(frame.timeline.encode_end)?,
            sent_ns: local(frame.first_sent)?,
            received_ns: frame.completed.as_ns(),
            decoded_ns: decoded.as_ns(),
        })
    }
}

/// Percentiles of one way, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Half of all frames were not slower.
    pub p50: f64,
    /// 95 of 100 were not slower.
    pub p95: f64,
    /// 99 of 100 were not slower.
    pub p99: f64,
    /// None was slower.
    pub max: f64,
}

/// Percentiles of all ways, in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LatencySummary {
    /// Frames measured: no repeats, none before the clocks were compared.
    pub frames: u64,
    /// Taken from the compositor until encoded.
    pub dequeued_to_encoded: Percentiles,
    /// Encoded until the first datagram was sealed.
    pub encoded_to_sent: Percentiles,
    /// First datagram sealed until the frame was whole here.
    pub sent_to_received: Percentiles,
    /// Whole until decoded.
    pub received_to_decoded: Percentiles,
    /// Taken from the compositor until decoded.
    pub total: Percentiles,
    /// Within the encoder.
    pub encode: Percentiles,
    /// What the pipeline adds: taken from the compositor until sealed, less the encoder's time.
    pub added: Percentiles,
}

/// A histogram of nanoseconds.
#[derive(Debug)]
struct Way(Histogram<u64>);

impl Way {
    /// Up to a minute, three digits.
    fn new() -> Self {
        Self(
            Histogram::new_with_max(60_000_000_000, 3)
                .expect("three digits below a minute are a valid range"),
        )
    }

    fn add(&mut self, from: u64, to: u64) {
        self.0.saturating_record(to.saturating_sub(from));
    }

    fn percentiles(&self) -> Percentiles {
        let at = |quantile| micros(self.0.value_at_quantile(quantile));
        Percentiles { p50: at(0.50), p95: at(0.95), p99: at(0.99), max: micros(self.0.max()) }
    }
}

fn micros(ns: u64) -> f64 {
    (Duration::from_nanos(ns).as_secs_f64() * 1e7).round() / 10.0
}

/// Gathers the latencies of a stream.
#[derive(Debug)]
pub struct Latency {
    dequeued_to_encoded: Way,
    encoded_to_sent: Way,
    sent_to_received: Way,
    received_to_decoded: Way,
    total: Way,
    encode: Way,
    added: Way,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            dequeued_to_encoded: Way::new(),
            encoded_to_sent: Way::new(),
            sent_to_received: Way::new(),
            received_to_decoded: Way::new(),
            total: Way::new(),
            encode: Way::new(),
            added: Way::new(),
        }
    }
}

impl Latency {
    /// Adds a frame.
    pub fn add(&mut self, m: &Moments) {
        self.dequeued_to_encoded.add(m.dequeued_ns, m.encode_end_ns);
        self.encoded_to_sent.add(m.encode_end_ns, m.sent_ns);
        self.sent_to_received.add(m.sent_ns, m.received_ns);
        self.received_to_decoded.add(m.received_ns, m.decoded_ns);
        self.total.add(m.dequeued_ns, m.decoded_ns);
        self.encode.add(m.encode_begin_ns, m.encode_end_ns);
        self.added
            .add(m.encode_end_ns.saturating_sub(m.encode_begin_ns), m.sent_ns.saturating_sub(m.dequeued_ns));
    }

    /// What all frames took.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            frames: self.total.0.len(),
            dequeued_to_encoded: self.dequeued_to_encoded.percentiles(),
            encoded_to_sent: self.encoded_to_sent.percentiles(),
            sent_to_received: self.sent_to_received.percentiles(),
            received_to_decoded: self.received_to_decoded.percentiles(),
            total: self.total.percentiles(),
            encode: self.encode.percentiles(),
            added: self.added.percentiles(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: leave the encoder's time in `added`.
    #[test]
    fn ways_are_differences_of_moments() {
        let mut latency = Latency::default();
        for i in 0..100 {
            let t = 1_000_000_000 * i;
            latency.add(&Moments {
                dequeued_ns: t,
                encode_begin_ns: t + 100_000,
                encode_end_ns: t + 5_100_000,
                sent_ns: t + 5_400_000,
                received_ns: t + 5_900_000,
                decoded_ns: t + 9_900_000,
            });
        }
        let near = |got: f64, want: f64| assert!((got - want).abs() <= want * 0.001, "{got} {want}");
        let summary = latency.summary();
        assert_eq!(summary.frames, 100);
        near(summary.dequeued_to_encoded.p50, 5100.0);
        near(summary.encoded_to_sent.p99, 300.0);
        near(summary.sent_to_received.p50, 500.0);
        near(summary.received_to_decoded.p95, 4000.0);
        near(summary.total.max, 9900.0);
        near(summary.encode.p50, 5000.0);
        near(summary.added.p50, 400.0);
    }
}

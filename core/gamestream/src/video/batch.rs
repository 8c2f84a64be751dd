//! The datagrams of one frame, in one buffer that is reused: what one GSO send wants.

/// Datagrams of one length, some of them sent.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    segment_len: usize,
    sent: usize,
}

impl Batch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Datagrams not yet taken.
    pub fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.sent).checked_div(self.segment_len).unwrap_or(0)
    }

    /// Whether all were taken.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Bytes of each datagram.
    pub fn segment_len(&self) -> usize {
        self.segment_len
    }

    /// The next `count` datagrams, or what is left, one after the other.
    pub fn take(&mut self, count: usize) -> &[u8] {
        let from = self.sent;
        self.sent = self.bytes.len().min(from + count.saturating_mul(self.segment_len));
        self.bytes.get(from..self.sent).unwrap_or_default()
    }

    /// Makes room for `count` zeroed datagrams.
    pub(super) fn begin(&mut self, count: usize, segment_len: usize) -> &mut [u8] {
        self.bytes.clear();
        self.bytes.resize(count * segment_len, 0);
        (self.segment_len, self.sent) = (segment_len, 0);
        &mut self.bytes
    }

    /// All datagrams that [`begin`](Self::begin) made.
    pub(super) fn begun(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

//! One batch in flight: what the transport and the spool have of it.

use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::SendError;

use crate::batcher::Encoded;
use crate::checkpoint::Progress;
use crate::metrics::Metrics;

/// A batch that is not acknowledged.
pub(super) struct Sent {
    pub(super) message: Bytes,
    pub(super) text_bytes: usize,
    pub(super) memory_bytes: usize,
    pub(super) source_bytes: u64,
    pub(super) progress: Vec<Progress>,
    pub(super) state: State,
    pub(super) spool: InSpool,
    /// The spool alone will bring it to the transport.
    pub(super) is_spilled: bool,
    pub(super) failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be sent, not before this moment (monotonic).
    Waiting(Duration),
    /// The transport has it.
    Taken,
    Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InSpool {
    No,
    Asked,
    Yes,
}

impl Sent {
    pub(super) fn new(batch: Encoded, is_spilled: bool) -> Self {
        Self {
            memory_bytes: batch.memory_bytes(),
            message: batch.message,
            text_bytes: batch.text_bytes,
            source_bytes: batch.source_bytes,
            progress: batch.progress,
            state: State::Waiting(Duration::ZERO),
            spool: InSpool::No,
            is_spilled,
            failures: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Stored || self.spool == InSpool::Yes
    }

    /// Whether nothing is left to do but to report it.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Stored || (self.is_spilled && self.spool == InSpool::Yes)
    }

    pub(super) fn failed(
        &mut self,
        number: u64,
        error: &SendError,
        now: Duration,
        (pause, longest): (Duration, Duration),
        metrics: &Metrics,
    ) {
        let pause = pause.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(now + pause);
        metrics.send_retries.inc();
        // An outage would otherwise fill the log: the 1st, 2nd, 4th, 8th, … failure is told.
        if self.failures.is_power_of_two() {
            let failures = self.failures;
            tracing::warn!(
                batch = number,
                failures,
                ?pause,
                "a batch was not stored, it is sent again: {error}"
            );
        }
    }
}

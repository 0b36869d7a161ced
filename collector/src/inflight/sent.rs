//! One batch in flight: what the transport and the spool have of it.

use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::SendError;

use crate::batcher::Encoded;
use crate::checkpoint::Progress;
use crate::metrics::Metrics;

/// A batch that is not acknowledged.
pub(super) struct Sent {
    /// As the spool is to have it; empty once it was asked to.
    pub(super) whole: Bytes,
    /// As the transport is to have it: whole, or in parts where it refused larger messages.
    pub(super) messages: Vec<Message>,
    pub(super) text_bytes: usize,
    pub(super) memory_bytes: usize,
    pub(super) source_bytes: u64,
    pub(super) progress: Vec<Progress>,
    pub(super) spool: InSpool,
    /// The spool alone will bring it to the transport.
    pub(super) is_spilled: bool,
}

/// A batch or a part of one, on its way to the transport.
pub(super) struct Message {
    /// What acknowledgements name it by.
    pub(super) tag: u64,
    pub(super) bytes: Bytes,
    pub(super) state: State,
    pub(super) failures: u32,
    /// Why it cannot be divided, once that was tried.
    pub(super) indivisible: Option<String>,
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
    pub(super) fn new(batch: Encoded, tag: u64, is_spilled: bool) -> Self {
        Self {
            memory_bytes: batch.memory_bytes(),
            messages: vec![Message::new(tag, batch.message.clone())],
            whole: batch.message,
            text_bytes: batch.text_bytes,
            source_bytes: batch.source_bytes,
            progress: batch.progress,
            spool: InSpool::No,
            is_spilled,
        }
    }

    /// Whether the transport has stored all of it.
    pub(super) fn is_stored(&self) -> bool {
        self.messages.iter().all(|message| message.state == State::Stored)
    }

    /// Whether some of it waits to be sent to the transport.
    pub(super) fn is_waiting(&self) -> bool {
        let waits = |message: &Message| matches!(message.state, State::Waiting(_));
        !self.is_spilled && self.messages.iter().any(waits)
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_stored() || self.spool == InSpool::Yes
    }

    /// Whether nothing is left to do but to report it.
    pub(super) fn is_over(&self) -> bool {
        self.is_stored() || (self.is_spilled && self.spool == InSpool::Yes)
    }

    /// Puts the parts of a message in its place.
    pub(super) fn replace(&mut self, at: usize, parts: Vec<Message>) {
        self.memory_bytes += parts.iter().map(|part| part.bytes.len()).sum::<usize>();
        // The whole one stays for the spool.
        if self.messages.len() > 1 {
            self.memory_bytes -= self.messages[at].bytes.len();
        }
        self.messages.splice(at..=at, parts);
    }
}

impl Message {
    pub(super) fn new(tag: u64, bytes: Bytes) -> Self {
        let state = State::Waiting(Duration::ZERO);
        Self { tag, bytes, state, failures: 0, indivisible: None }
    }

    /// It is sent again after a pause that grows with each failure.
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
        if !self.failures.is_power_of_two() {
            return;
        }
        let failures = self.failures;
        if let Some(why) = &self.indivisible {
            tracing::error!(
                batch = number,
                failures,
                ?pause,
                "a batch is too large for the transport and cannot be divided ({why}); it is sent again, and \
                 nothing behind it before it is stored: {error}"
            );
        } else {
            tracing::warn!(
                batch = number,
                failures,
                ?pause,
                "a batch was not stored, it is sent again: {error}"
            );
        }
    }
}

//! What is on its way to the spool's disk, and written again where that fails.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::embedded::EmbeddedProducer;
use sawlog_transport::{Ack, AckSender, Producer, SendError};

use super::PARTITION;
use crate::metrics::Metrics;

/// How long a write that failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The messages that are not durable yet. Its owner bounds how many there are.
pub(super) struct Queue {
    log: EmbeddedProducer,
    acks: AckSender,
    arrived: mpsc::Receiver<Ack>,
    /// By tag.
    storing: BTreeMap<u64, Storing>,
    tags: u64,
    bytes: u64,
    is_unflushed: bool,
}

struct Storing {
    message: Bytes,
    what: What,
    /// When it is to be sent (monotonic); `None`: the log has it.
    due: Option<Duration>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `stored`: the transport has it meanwhile.
    Batch { number: u64, is_spilled: bool, stored: bool },
    /// Says what was lost when something was given up.
    Loss { given_up: u64 },
}

impl Queue {
    pub(super) fn new(log: EmbeddedProducer) -> Self {
        let (acks, arrived) = mpsc::channel();
        let storing = BTreeMap::new();
        Self { log, acks, arrived, storing, tags: 0, bytes: 0, is_unflushed: false }
    }

    /// Bytes of the messages.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.storing.is_empty()
    }

    /// Takes a message.
    pub(super) fn push(&mut self, message: Bytes, what: What, now: Duration) {
        self.bytes += message.len() as u64;
        self.storing.insert(self.tags, Storing { message, what, due: Some(now) });
        self.tags += 1;
        self.write(now);
    }

    /// The transport has stored a batch; `false` if it is not on its way here.
    pub(super) fn mark_stored(&mut self, batch: u64) -> bool {
        let mut batches = self.storing.values_mut().filter_map(|one| match &mut one.what {
            What::Batch { number, stored, .. } if *number == batch => Some(stored),
            _ => None,
        });
        batches.next().map(|stored| *stored = true).is_some()
    }

    /// Hands the log what is due.
    fn write(&mut self, now: Duration) {
        for (tag, storing) in &mut self.storing {
            if storing.due.is_none_or(|due| due > now) {
                continue;
            }
            if let Err(error) = self.log.send(PARTITION, storing.message.clone(), *tag, &self.acks)
            {
                tracing::debug!("the spool takes nothing for now: {error}");
                storing.due = Some(now + RETRY_AFTER);
                break;
            }
            storing.due = None;
            self.is_unflushed = true;
        }
    }

    /// Whether the log was handed something since the last call.
    pub(super) fn take_unflushed(&mut self) -> bool {
        std::mem::take(&mut self.is_unflushed)
    }

    /// Gives what became durable, with its offset.
    pub(super) fn receive(&mut self, now: Duration, metrics: &Metrics) -> Vec<(What, u64)> {
        let mut durable = Vec::new();
        while let Ok(ack) = self.arrived.try_recv() {
            match ack.result {
                Ok(position) => {
                    let Some(stored) = self.storing.remove(&ack.tag) else { continue };
                    self.bytes -= stored.message.len() as u64;
                    durable.push((stored.what, position.offset));
                }
                Err(error) => self.failed(ack.tag, &error, now, metrics),
            }
        }
        if self.storing.values().any(|storing| storing.due.is_some_and(|due| due <= now)) {
            self.write(now);
        }
        durable
    }

    fn failed(&mut self, tag: u64, error: &SendError, now: Duration, metrics: &Metrics) {
        let Some(storing) = self.storing.get_mut(&tag) else { return };
        storing.due = Some(now + RETRY_AFTER);
        metrics.load.spool_errors.inc();
        if metrics.load.spool_errors.get().is_power_of_two() {
            tracing::error!(
                "cannot write to the spool, it is tried again, and deleted files keep their disk space meanwhile: {error}"
            );
        }
    }
}

//! Brings what lies in the spool to the transport, in order, while it takes anything.

use std::collections::VecDeque;
use std::time::Duration;

use sawlog_transport::embedded::{EmbeddedConsumer, EmbeddedLog};
use sawlog_transport::{ConsumeError, Consumer, Event};

use super::PARTITION;
use super::offsets::Offsets;
use crate::batcher::Encoded;
use crate::inflight::{InFlight, Refused};
use crate::metrics::Metrics;

/// The batches that were read back and are not acknowledged.
pub(super) struct Replay {
    consumer: EmbeddedConsumer,
    /// The offset that is read next.
    next: u64,
    sending: InFlight,
    /// Of the batches being sent, in order.
    offsets: VecDeque<u64>,
    number: u64,
    /// The most bytes of them.
    bytes_max: usize,
}

impl Replay {
    pub(super) fn new(
        log: &EmbeddedLog,
        from: u64,
        sending: InFlight,
        bytes_max: usize,
    ) -> Result<Self, ConsumeError> {
        let mut consumer = log.consumer();
        consumer.assign(PARTITION, from)?;
        Ok(Self { consumer, next: from, sending, offsets: VecDeque::new(), number: 0, bytes_max })
    }

    /// What the batches being sent take in memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.sending.memory_bytes()
    }

    /// The line that holds up what is sent, if there is one.
    pub(super) fn refused(&self) -> Option<&Refused> {
        self.sending.refused()
    }

    /// Whether a batch was read back already: it will be sent, whatever becomes of the spool.
    pub(super) fn has(&self, offset: u64) -> bool {
        self.offsets.contains(&offset)
    }

    /// What was given up is not read back.
    pub(super) fn skip_to(&mut self, offset: u64) -> Result<(), ConsumeError> {
        if offset > self.next {
            self.next = offset;
            self.consumer.assign(PARTITION, offset)?;
        }
        Ok(())
    }

    /// Nothing before `upto` is needed any more.
    pub(super) fn processed(&mut self, upto: u64) {
        self.consumer.processed(PARTITION, upto);
    }

    /// Sends on, one batch after the other, until the transport takes no more.
    pub(super) fn send(
        &mut self,
        offsets: &mut Offsets,
        now: Duration,
        metrics: &Metrics,
    ) -> Result<(), ConsumeError> {
        self.sending.send(now, metrics);
        while !self.sending.is_held_up() && self.sending.memory_bytes() < self.bytes_max {
            if !self.load(offsets, metrics)? {
                break;
            }
            self.sending.send(now, metrics);
        }
        Ok(())
    }

    /// Reads the next batch back; `false` if there is none.
    fn load(&mut self, offsets: &mut Offsets, metrics: &Metrics) -> Result<bool, ConsumeError> {
        // What is durable and not known to be so may be in flight beside the spool.
        while self.next < offsets.known()
            && let Some(event) = self.consumer.poll(Duration::ZERO)?
        {
            match event {
                Event::Message { offset, message, .. } => {
                    self.next = offset + 1;
                    if !offsets.is_ours(offset) {
                        continue;
                    }
                    let (number, text_bytes) = (self.number, message.len());
                    let (source_bytes, progress) = (0, Vec::new());
                    self.number += 1;
                    self.offsets.push_back(offset);
                    self.sending.push(Encoded {
                        number,
                        message,
                        text_bytes,
                        source_bytes,
                        progress,
                    });
                    return Ok(true);
                }
                Event::Missing { from, to, reason, .. } => {
                    self.next = to;
                    metrics.load.spool_errors.inc();
                    tracing::error!(
                        from,
                        to,
                        "spooled batches cannot be read, their bytes are lost: {reason}"
                    );
                    (from..to).for_each(|offset| offsets.delivered(offset));
                }
                Event::Assigned { .. } | Event::Revoked { .. } => {}
            }
        }
        Ok(false)
    }

    /// Takes in acknowledgements.
    pub(super) fn receive(&mut self, offsets: &mut Offsets, now: Duration, metrics: &Metrics) {
        for _ in self.sending.receive(now, metrics) {
            if let Some(offset) = self.offsets.pop_front() {
                offsets.delivered(offset);
            }
        }
    }
}

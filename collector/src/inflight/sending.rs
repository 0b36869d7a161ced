//! The way to the transport: what is sent when, and what its answers mean.

use std::time::Duration;

use sawlog_transport::SendError;
use sawlog_transport::batch::split;

use super::sent::{InSpool, Message, State};
use super::{Done, InFlight, Refused};
use crate::batcher::CODEC;
use crate::metrics::Metrics;

impl InFlight {
    /// The partition of all batches; `None` while the transport does not know its partitions.
    fn partition(&self) -> Option<u32> {
        let partitions = u64::from(self.producer.partitions());
        let partition = self.id_hash.checked_rem(partitions)?;
        u32::try_from(partition).ok()
    }

    /// Sends what is due, in order: nothing overtakes a batch that waits to be sent again.
    pub(crate) fn send(&mut self, now: Duration, metrics: &Metrics) {
        let Some(partition) = self.partition() else { return };
        self.company.forget(now);
        let waiting = self.batches.iter().filter(|(_, sent)| sent.is_waiting());
        let waiting: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        for number in waiting {
            if !self.send_batch(number, partition, now, metrics) {
                return;
            }
        }
    }

    /// Sends what is due of a batch; `false` if something of it must still wait.
    fn send_batch(
        &mut self,
        number: u64,
        partition: u32,
        now: Duration,
        metrics: &Metrics,
    ) -> bool {
        let mut at = 0;
        while let Some(message) = self.message(number, at) {
            let (tag, bytes) = (message.tag, message.bytes.clone());
            match message.state {
                State::Waiting(due) if due > now => return false,
                State::Waiting(_) => {}
                State::Taken | State::Stored => {
                    at += 1;
                    continue;
                }
            }
            if self.company.is_too_large(bytes.len()) && self.divide(number, at, metrics) {
                continue;
            }
            if !self.company.may_join(bytes.len()) {
                return false;
            }
            fail::fail_point!("collector::before_send");
            match self.producer.send(partition, bytes.clone(), tag, &self.acks) {
                Ok(()) => self.taken(number, at, metrics),
                Err(SendError::Full) => return false,
                Err(error) => {
                    self.failed(number, at, &error, true, now, metrics);
                    return false;
                }
            }
            at += 1;
        }
        true
    }

    fn message(&mut self, number: u64, at: usize) -> Option<&mut Message> {
        self.batches.get_mut(&number)?.messages.get_mut(at)
    }

    fn taken(&mut self, number: u64, at: usize, metrics: &Metrics) {
        let Some(message) = self.message(number, at) else { return };
        message.state = State::Taken;
        let (tag, bytes) = (message.tag, message.bytes.len());
        self.under_way.insert(tag, number);
        self.under_way_bytes += bytes;
        self.company.taken(self.sender, tag, bytes);
        metrics.batches_sent.inc();
    }

    /// Takes in acknowledgements; gives the batches up to which everything is now done, oldest
    /// first.
    pub(crate) fn receive(&mut self, now: Duration, metrics: &Metrics) -> Vec<Done> {
        while let Ok(ack) = self.arrived.try_recv() {
            let Some(number) = self.under_way.remove(&ack.tag) else { continue };
            let Some(sent) = self.batches.get_mut(&number) else { continue };
            let Some(at) = sent.messages.iter().position(|message| message.tag == ack.tag) else {
                continue;
            };
            let bytes = sent.messages[at].bytes.len();
            self.under_way_bytes -= bytes;
            self.company.answered(1, bytes);
            match ack.result {
                Ok(_) => self.store(number, at),
                Err(error) => {
                    let is_alone = self.company.was_alone(self.sender, ack.tag);
                    self.failed(number, at, &error, is_alone, now, metrics);
                }
            }
        }
        self.report()
    }

    /// A message was not stored: it is sent again, or in parts if it is too large by itself.
    fn failed(
        &mut self,
        number: u64,
        at: usize,
        error: &SendError,
        is_alone: bool,
        now: Duration,
        metrics: &Metrics,
    ) {
        let pause = (self.resend_after, self.resend_after_max);
        let is_too_large = matches!(error, SendError::RefusedAsTooLarge { .. });
        let Some(message) = self.message(number, at) else { return };
        if !is_too_large {
            message.failed(number, error, now, pause, metrics);
            return;
        }
        let (tag, bytes) = (message.tag, message.bytes.len());
        message.state = State::Waiting(now);
        self.company.refused(bytes, is_alone, now);
        if !is_alone {
            metrics.send_retries.inc();
            return;
        }
        if self.divide(number, at, metrics) {
            tracing::warn!(batch = number, bytes, "a batch is sent in parts: {error}");
            return;
        }
        let Some(message) = self.message(number, at) else { return };
        message.failed(number, error, now, pause, metrics);
        let why = message.indivisible.clone().unwrap_or_default();
        self.refused = Some(Refused { tag, bytes, reason: format!("{why}: {error}") });
    }

    /// Puts parts in the place of a message; `false` if it has none.
    fn divide(&mut self, number: u64, at: usize, metrics: &Metrics) -> bool {
        let Some(message) =
            self.message(number, at).filter(|message| message.indivisible.is_none())
        else {
            return false;
        };
        let parts = match split(message.bytes.clone(), CODEC) {
            Ok(parts) => parts,
            Err(error) => {
                message.indivisible = Some(error.to_string());
                return false;
            }
        };
        metrics.load.divided_batches.inc();
        let tags = self.next_tag..;
        self.next_tag += parts.len() as u64;
        let parts = tags.zip(parts).map(|(tag, bytes)| Message::new(tag, bytes)).collect();
        if let Some(sent) = self.batches.get_mut(&number) {
            let before = sent.memory_bytes;
            sent.replace(at, parts);
            self.memory_bytes = self.memory_bytes + sent.memory_bytes - before;
        }
        true
    }

    fn store(&mut self, number: u64, at: usize) {
        let Some(sent) = self.batches.get_mut(&number) else { return };
        let message = &mut sent.messages[at];
        message.state = State::Stored;
        self.company.stored(message.bytes.len());
        let tag = message.tag;
        self.refused = self.refused.take().filter(|refused| refused.tag != tag);
        if !sent.is_stored() {
            return;
        }
        if sent.spool != InSpool::No {
            self.stored.push(number);
        }
        if self.unreported.front().is_none_or(|first| *first > number) {
            self.remove(number);
        }
    }
}

//! The partitions that are read: where each begins, what must be replayed, which of them wait.

use std::collections::BTreeMap;

use bytes::Bytes;
use sawlog_transport::{ConsumeError, Consumer, Event};

use crate::error::error_chain;
use crate::store::Store;

/// The assigned partitions of one consumer.
pub(crate) struct Partitions<'s> {
    store: &'s Store,
    /// Those that are read → up to where the store is not ready.
    read: BTreeMap<u32, u64>,
    /// Those that wait → the offset at which they do.
    waiting: BTreeMap<u32, u64>,
    are_paused: bool,
}

impl<'s> Partitions<'s> {
    /// Starts each partition that the consumer knows where the store stands.
    pub(crate) fn assign_all(
        store: &'s Store,
        consumer: &mut dyn Consumer,
    ) -> Result<Self, ConsumeError> {
        let (read, waiting) = Default::default();
        let mut this = Self { store, read, waiting, are_paused: false };
        this.count_waiting();
        for partition in 0..consumer.partitions() {
            this.assign(partition, consumer)?;
        }
        Ok(this)
    }

    /// Starts a partition, unless it was started before. One whose messages the store has and the
    /// transport has not waits: what comes next could be anything.
    fn assign(&mut self, partition: u32, consumer: &mut dyn Consumer) -> Result<(), ConsumeError> {
        if self.read.contains_key(&partition) || self.waiting.contains_key(&partition) {
            return Ok(());
        }
        let from = self.store.position(partition);
        match consumer.assign(partition, from) {
            Ok(()) => {}
            Err(err @ ConsumeError::BeyondEnd { .. }) => {
                self.wait(partition, from, &err, consumer);
                return Ok(());
            }
            Err(err) => return Err(err),
        }
        if self.are_paused {
            consumer.pause(partition, true);
        }
        let high = consumer.bounds(partition)?.high;
        self.store.subscribers.begin_at(partition, high);
        self.read.insert(partition, high);
        Ok(())
    }

    /// Whether everything that the transport held at the start was consumed. Before a partition is
    /// assigned nobody knows what there is.
    pub(crate) fn are_replayed(&self, consumer: &dyn Consumer) -> bool {
        let assigned = self.read.len() + self.waiting.len();
        let are_all_assigned = assigned > 0 && assigned >= consumer.partitions() as usize;
        are_all_assigned && self.read.iter().all(|(p, high)| self.store.position(*p) >= *high)
    }

    /// Takes what the consumer tells.
    pub(crate) fn take(
        &mut self,
        event: Event,
        consumer: &mut dyn Consumer,
    ) -> Result<(), ConsumeError> {
        match event {
            Event::Message { partition, offset, message, .. } => {
                self.ingest(partition, offset, message, consumer);
            }
            Event::Missing { partition, from, to, reason } => {
                tracing::error!(partition, from, to, reason, "messages are missing");
                self.store.metrics.missing_messages.inc_by(to - from);
                self.store.set_position(partition, to);
            }
            Event::Assigned { partition } => self.assign(partition, consumer)?,
            Event::Revoked { partition, lost } => {
                tracing::warn!(partition, lost, "the partition is no longer ours");
                consumer.revoke(partition);
                self.read.remove(&partition);
                self.waiting.remove(&partition);
                self.count_waiting();
            }
        }
        Ok(())
    }

    /// Takes a message. If it cannot be taken (it is of a newer version), nothing behind it is taken
    /// before it, or order within its streams were lost.
    fn ingest(&mut self, partition: u32, offset: u64, message: Bytes, consumer: &mut dyn Consumer) {
        if let Err(err) = self.store.ingest(partition, offset, message) {
            self.wait(partition, offset, &err, consumer);
        }
    }

    fn wait(
        &mut self,
        partition: u32,
        offset: u64,
        why: &dyn std::error::Error,
        consumer: &mut dyn Consumer,
    ) {
        let error = error_chain(why);
        tracing::error!(
            partition,
            offset,
            error,
            "the partition waits, others go on: see the error for the way out"
        );
        consumer.revoke(partition);
        self.read.remove(&partition);
        self.waiting.insert(partition, offset);
        self.count_waiting();
    }

    fn count_waiting(&self) {
        self.store.set_waiting(&self.waiting);
    }

    pub(crate) fn are_paused(&self) -> bool {
        self.are_paused
    }

    /// Stops and resumes the flow of messages, and nothing else.
    pub(crate) fn pause(&mut self, paused: bool, consumer: &mut dyn Consumer) {
        if self.are_paused == paused {
            return;
        }
        tracing::debug!(paused, "memory is full until the seal under way is done");
        self.are_paused = paused;
        for partition in self.read.keys() {
            consumer.pause(*partition, paused);
        }
    }
}

//! The partitions that are read: where each begins, what must be replayed, which of them wait.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sawlog_transport::{ConsumeError, Consumer, Event};

use crate::error::error_chain;
use crate::store::Store;

/// How long a partition that could not be asked is left alone: asking holds up the others.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long nothing is said about partitions that still cannot be asked.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The partitions of one consumer.
pub(crate) struct Partitions<'s> {
    store: &'s Store,
    /// Those that are not started yet.
    unread: VecDeque<u32>,
    /// How many of them failed since one was started.
    failed: usize,
    /// When the first of them is tried.
    try_at: Instant,
    /// When it was said that one could not be started.
    said_at: Option<Instant>,
    /// Those that are read → up to where the store is not ready.
    read: BTreeMap<u32, u64>,
    /// Those that wait → the offset at which they do.
    waiting: BTreeMap<u32, u64>,
    are_paused: bool,
}

impl<'s> Partitions<'s> {
    /// Starts each partition that the consumer knows where the store stands.
    ///
    /// # Errors
    /// None of them can ever be started.
    pub(crate) fn assign_all(
        store: &'s Store,
        consumer: &mut dyn Consumer,
    ) -> Result<Self, ConsumeError> {
        let (read, waiting) = Default::default();
        let unread = (0..consumer.partitions()).collect();
        let (try_at, said_at, are_paused) = (Instant::now(), None, false);
        let failed = 0;
        let mut this = Self { store, unread, failed, try_at, said_at, read, waiting, are_paused };
        this.count_waiting();
        this.start_unread(consumer)?;
        Ok(this)
    }

    /// Starts those that are not started yet, up to one that cannot be asked: that one is tried again
    /// later, and those behind it in the next call.
    pub(crate) fn start_unread(&mut self, consumer: &mut dyn Consumer) -> Result<(), ConsumeError> {
        while self.try_at <= Instant::now() {
            let Some(partition) = self.unread.pop_front() else { return Ok(()) };
            match self.assign(partition, consumer) {
                Ok(()) => self.failed = 0,
                Err(err @ ConsumeError::Failed { .. }) => {
                    self.unread.push_back(partition);
                    self.put_off(partition, &err);
                    return Ok(());
                }
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Each of the others is tried before any is again.
    fn put_off(&mut self, partition: u32, why: &ConsumeError) {
        self.failed += 1;
        if self.failed >= self.unread.len() {
            self.failed = 0;
            self.try_at = Instant::now() + ASK_AGAIN;
        }
        if self.said_at.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
            self.said_at = Some(Instant::now());
            let error = error_chain(why);
            tracing::warn!(partition, error, "a partition cannot be read yet, others go on");
        }
    }

    /// Starts a partition, unless it was started before. One whose messages the store has and the
    /// transport has not waits: what comes next could be anything.
    fn assign(&mut self, partition: u32, consumer: &mut dyn Consumer) -> Result<(), ConsumeError> {
        if self.read.contains_key(&partition) || self.waiting.contains_key(&partition) {
            return Ok(());
        }
        let from = self.store.position(partition);
        let high = consumer.bounds(partition)?.high;
        match consumer.assign(partition, from) {
            Ok(()) => {}
            Err(err @ (ConsumeError::BeyondEnd { .. } | ConsumeError::Replaced { .. })) => {
                self.wait(partition, from, &err, consumer);
                return Ok(());
            }
            Err(err) => return Err(err),
        }
        if self.are_paused {
            consumer.pause(partition, true);
        }
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
    pub(crate) fn take(&mut self, event: Event, consumer: &mut dyn Consumer) {
        match event {
            Event::Message { partition, offset, message, .. } => {
                self.ingest(partition, offset, message, consumer);
            }
            Event::Missing { partition, from, to, reason } => {
                tracing::error!(partition, from, to, reason, "messages are missing");
                self.store.metrics.missing_messages.inc_by(to - from);
                self.store.set_position(partition, to);
            }
            Event::Assigned { partition } => {
                self.unread.push_back(partition);
                self.try_at = Instant::now();
            }
            Event::Revoked { partition, lost } => {
                tracing::warn!(partition, lost, "the partition is no longer ours");
                consumer.revoke(partition);
                self.read.remove(&partition);
                self.waiting.remove(&partition);
                self.count_waiting();
            }
        }
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

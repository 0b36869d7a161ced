//! What producers, the writer and consumers of one log share: the queue, and which offsets lie in
//! which file. One mutex guards it; nobody does I/O while holding it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::EmbeddedConfig;
use super::record::record_bytes;
use crate::consumer::Bounds;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::producer::{AckSender, SendError};

/// The most bytes of messages that were taken and are not yet written.
pub const QUEUE_BYTES_MAX: u64 = 32 << 20;

/// What a queued message costs beside its bytes: its record's header and its entry in the queue.
const QUEUED_BYTES_EXTRA: u64 = 96;

/// A message on its way to the writer.
pub(super) struct Queued {
    pub(super) partition: u32,
    pub(super) message: Bytes,
    pub(super) tag: u64,
    pub(super) acks: AckSender,
}

impl Queued {
    fn cost(message: &Bytes) -> u64 {
        message.len() as u64 + QUEUED_BYTES_EXTRA
    }
}

/// One log file as consumers may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSpan {
    /// The offset of its first record, and its name.
    pub(super) first: u64,
    /// Its durable length in bytes.
    pub(super) bytes: u64,
}

/// What is durable of one partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionState {
    /// Oldest first; never empty; the last one is written to.
    pub(super) files: VecDeque<FileSpan>,
    /// The offset after the last durable message.
    pub(super) high: u64,
    /// Everything below has been processed.
    pub(super) processed: u64,
    /// Why no message is taken until the log is opened again.
    pub(super) broken: Option<String>,
}

/// Where the message at an offset lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) span: FileSpan,
    /// The offset after the last one in the file.
    pub(super) end: u64,
}

impl PartitionState {
    pub(super) fn bounds(&self) -> Bounds {
        let low = self.files.front().map_or(self.high, |file| file.first);
        Bounds { low, high: self.high }
    }

    /// The file that holds `offset`; `None` outside of the bounds.
    pub(super) fn extent(&self, offset: u64) -> Option<Extent> {
        if offset >= self.high {
            return None;
        }
        let after = self.files.partition_point(|file| file.first <= offset);
        let span = *self.files.get(after.checked_sub(1)?)?;
        Some(Extent { span, end: self.files.get(after).map_or(self.high, |next| next.first) })
    }

    /// Whether the oldest file holds only processed messages and is not the one written to.
    pub(super) fn oldest_is_processed(&self) -> bool {
        self.files.get(1).is_some_and(|second| second.first <= self.processed)
    }
}

pub(super) struct State {
    pub(super) queue: VecDeque<Queued>,
    /// The cost of what is queued or in the writer's hands.
    pub(super) queued_bytes: u64,
    /// All files' bytes, synced or not.
    pub(super) disk_bytes: u64,
    pub(super) partitions: Vec<PartitionState>,
    /// Set when there may be files to delete.
    pub(super) reclaim: bool,
    /// Set when a sync is wanted before it is due.
    pub(super) flush: bool,
    pub(super) stopping: bool,
}

/// The shared half of a log.
pub(super) struct Shared {
    pub(super) config: EmbeddedConfig,
    state: Mutex<State>,
    /// The writer waits here for work.
    pub(super) work: Condvar,
    /// Consumers wait here for durable messages.
    pub(super) readable: Condvar,
    syncs: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        config: EmbeddedConfig,
        partitions: impl IntoIterator<Item = PartitionState>,
    ) -> Self {
        let partitions: Vec<_> = partitions.into_iter().collect();
        let disk_bytes = partitions.iter().flat_map(|p| &p.files).map(|file| file.bytes).sum();
        Self {
            config,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                queued_bytes: 0,
                disk_bytes,
                partitions,
                reclaim: false,
                flush: false,
                stopping: false,
            }),
            work: Condvar::new(),
            readable: Condvar::new(),
            syncs: AtomicU64::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(super) fn count_sync(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// Queues a message for the writer.
    pub(super) fn send(
        &self,
        partition: u32,
        message: Bytes,
        tag: u64,
        acks: &AckSender,
    ) -> Result<(), SendError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: message.len(), limit: MESSAGE_BYTES_MAX });
        }
        let mut state = self.state.lock();
        self.check_open(&state, partition)?;
        let queued = state.queued_bytes + Queued::cost(&message);
        if queued > QUEUE_BYTES_MAX {
            return Err(SendError::Full);
        }
        if state.disk_bytes + queued > self.config.bytes_max {
            state.reclaim = true;
            self.work.notify_one();
            return Err(SendError::Full);
        }
        state.queued_bytes = queued;
        state.queue.push_back(Queued { partition, message, tag, acks: acks.clone() });
        self.work.notify_one();
        Ok(())
    }

    fn check_open(&self, state: &State, partition: u32) -> Result<(), SendError> {
        let place = || self.config.dir.join(partition.to_string()).display().to_string();
        if state.stopping {
            let reason = "the log is shut down".into();
            return Err(SendError::Failed { place: place(), reason });
        }
        let partitions = self.config.partitions;
        let Some(known) = state.partitions.get(partition as usize) else {
            return Err(SendError::NoPartition { partition, partitions });
        };
        match &known.broken {
            Some(reason) => Err(SendError::Failed { place: place(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// A message left the queue for good; `stored` says whether it is in a file now.
    pub(super) fn written(&self, message: &Bytes, stored: bool) {
        let mut state = self.state.lock();
        state.queued_bytes -= Queued::cost(message);
        if stored {
            state.disk_bytes += record_bytes(message.len());
        }
    }

    /// The owner of the messages below `upto` needs them no more.
    pub(super) fn processed(&self, partition: u32, upto: u64) {
        let mut state = self.state.lock();
        let Some(known) = state.partitions.get_mut(partition as usize) else { return };
        known.processed = known.processed.max(upto.min(known.high));
        state.reclaim = true;
        self.work.notify_one();
    }

    /// Lets the writer sync what is queued without delay.
    pub(super) fn flush(&self) {
        self.state.lock().flush = true;
        self.work.notify_one();
    }

    /// Lets the writer finish what is queued and end.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_follow_the_files() {
        let span = |first| FileSpan { first, bytes: 100 + first };
        let state = PartitionState {
            files: [span(10), span(20), span(25)].into(),
            high: 30,
            processed: 20,
            broken: None,
        };
        assert_eq!(state.extent(9), None);
        assert_eq!(state.extent(19), Some(Extent { span: span(10), end: 20 }));
        assert_eq!(state.extent(20), Some(Extent { span: span(20), end: 25 }));
        assert_eq!(state.extent(29), Some(Extent { span: span(25), end: 30 }));
        assert_eq!(state.extent(30), None);
        assert!(state.oldest_is_processed());
    }
}

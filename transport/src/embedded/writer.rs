//! The thread that owns a log's files: it appends what is queued, syncs for many messages at once,
//! acknowledges, and deletes what was processed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::disk::Disk;
use super::log_file;
use super::partition::{PartitionWriter, Pending};
use super::shared::{Queued, Shared, State};
use crate::producer::{Ack, AckSender, Position, SendError};

/// A file that is no longer part of the log.
struct Doomed {
    path: PathBuf,
    bytes: u64,
}

/// What is done at one waking.
struct Work {
    messages: VecDeque<Queued>,
    /// Whether these and all earlier ones are to be synced at once.
    flush: bool,
}

impl Work {
    fn take(state: &mut State) -> Self {
        Self { messages: std::mem::take(&mut state.queue), flush: std::mem::take(&mut state.flush) }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    partitions: Vec<PartitionWriter>,
    /// When the oldest unsynced record was appended.
    first_unsynced: Option<Instant>,
    /// Files whose deletion is still to be done, or failed.
    doomed: Vec<Doomed>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        partitions: Vec<PartitionWriter>,
    ) -> Self {
        Self { shared, disk, partitions, first_unsynced: None, doomed: Vec::new() }
    }

    /// Works until the log is shut down and everything taken is answered.
    pub(super) fn run(mut self) {
        while let Some(work) = self.wait() {
            for queued in work.messages {
                self.store(queued);
                if self.unsynced_bytes() >= self.shared.config.sync_bytes {
                    self.sync_all();
                }
            }
            if work.flush || self.sync_deadline().is_some_and(|at| at <= Instant::now()) {
                self.sync_all();
            }
            self.reclaim();
        }
        self.sync_all();
    }

    /// Waits for something to do; `None` at the end.
    fn wait(&self) -> Option<Work> {
        let mut state = self.shared.lock();
        loop {
            if !state.queue.is_empty() || state.flush || state.reclaim {
                return Some(Work::take(&mut state));
            }
            if state.stopping {
                return None;
            }
            match self.sync_deadline() {
                None => self.shared.work.wait(&mut state),
                Some(deadline) => {
                    if self.shared.work.wait_until(&mut state, deadline).timed_out() {
                        return Some(Work::take(&mut state));
                    }
                }
            }
        }
    }

    fn sync_deadline(&self) -> Option<Instant> {
        self.first_unsynced?.checked_add(self.shared.config.sync_delay)
    }

    fn unsynced_bytes(&self) -> u64 {
        self.partitions.iter().map(PartitionWriter::unsynced_bytes).sum()
    }

    fn store(&mut self, queued: Queued) {
        let Queued { partition, message, tag, acks } = queued;
        let result = self.append(partition, &message);
        self.shared.written(&message, result.is_ok());
        match result {
            Ok(offset) => {
                self.first_unsynced.get_or_insert_with(Instant::now);
                self.partitions[partition as usize].pending.push(Pending { offset, tag, acks });
            }
            Err(error) => {
                self.publish_broken(partition);
                answer(&acks, tag, Err(error));
            }
        }
    }

    fn append(&mut self, partition: u32, message: &[u8]) -> Result<u64, SendError> {
        let file_bytes_max = self.shared.config.file_bytes_max;
        self.partitions[partition as usize].check_usable()?;
        if self.partitions[partition as usize].is_full_for(message.len(), file_bytes_max) {
            self.sync(partition)?;
            self.roll(partition)?;
        }
        self.partitions[partition as usize].append(now(), message)
    }

    fn sync_all(&mut self) {
        for partition in 0..self.shared.config.partitions {
            // Whoever waits for these messages is told by their acks.
            if let Err(error) = self.sync(partition) {
                tracing::error!(partition, %error, "cannot sync");
            }
        }
        self.first_unsynced = None;
    }

    /// Syncs a partition and answers everyone who waits for it.
    fn sync(&mut self, partition: u32) -> Result<(), SendError> {
        let writer = &mut self.partitions[partition as usize];
        let unsynced = writer.unsynced_bytes();
        if unsynced == 0 {
            return Ok(());
        }
        self.shared.count_sync();
        let result = writer.sync();
        let pending = std::mem::take(&mut writer.pending);
        match &result {
            Ok(()) => self.publish(partition),
            Err(_) => {
                self.shared.lock().disk_bytes -= unsynced;
                self.publish_broken(partition);
            }
        }
        for Pending { offset, tag, acks } in pending {
            answer(&acks, tag, result.clone().map(|()| Position { partition, offset }));
        }
        result
    }

    /// Shows consumers what is durable; before the acks, so that who got one can read the message.
    fn publish(&self, partition: u32) {
        let writer = &self.partitions[partition as usize];
        let mut state = self.shared.lock();
        let known = &mut state.partitions[partition as usize];
        if let Some(last) = known.files.back_mut() {
            *last = writer.durable_span();
        }
        known.high = writer.durable_next();
        self.shared.readable.notify_all();
    }

    fn publish_broken(&self, partition: u32) {
        if let Some(reason) = self.partitions[partition as usize].broken() {
            self.shared.lock().partitions[partition as usize].broken = Some(reason.to_owned());
        }
    }

    /// Begins a partition's next file; everything of it must be synced.
    fn roll(&mut self, partition: u32) -> Result<(), SendError> {
        let writer = &mut self.partitions[partition as usize];
        writer.roll()?;
        let span = writer.durable_span();
        let mut state = self.shared.lock();
        state.disk_bytes += span.bytes;
        state.partitions[partition as usize].files.push_back(span);
        Ok(())
    }

    /// Deletes files that were processed as a whole.
    fn reclaim(&mut self) {
        let mut state = self.shared.lock();
        if !std::mem::take(&mut state.reclaim) {
            return;
        }
        let is_scarce = state.disk_bytes > self.shared.config.bytes_max / 2;
        drop(state);
        if is_scarce {
            self.roll_processed();
        }
        self.doom_processed();
        self.delete_doomed();
    }

    /// When room is scarce, closes files whose every message was processed: otherwise the files
    /// being written could fill the log for ever.
    fn roll_processed(&mut self) {
        for partition in 0..self.shared.config.partitions {
            let processed = self.shared.lock().partitions[partition as usize].processed;
            let writer = &self.partitions[partition as usize];
            let is_done = writer.unsynced_bytes() == 0 && processed >= writer.durable_next();
            if is_done
                && !writer.is_empty()
                && let Err(error) = self.roll(partition)
            {
                tracing::warn!(partition, %error, "cannot begin a new file to free the old one");
            }
        }
    }

    /// Takes processed files out of the log first, so that no consumer looks for a deleted one.
    fn doom_processed(&mut self) {
        let mut state = self.shared.lock();
        for (partition, known) in (0..).zip(&mut state.partitions) {
            let dir = log_file::partition_dir(&self.shared.config.dir, partition);
            while known.oldest_is_processed() {
                let Some(span) = known.files.pop_front() else { break };
                self.doomed
                    .push(Doomed { path: log_file::path(&dir, span.first), bytes: span.bytes });
            }
        }
    }

    /// Oldest first, so that a crash in between leaves no gap.
    fn delete_doomed(&mut self) {
        let Self { shared, disk, doomed, .. } = self;
        doomed.retain(|file| {
            fail::fail_point!("embedded::before_delete");
            match disk.remove(&file.path) {
                Ok(()) => {
                    shared.lock().disk_bytes -= file.bytes;
                    false
                }
                Err(error) => {
                    tracing::warn!(file = %file.path.display(), %error, "cannot delete, will retry");
                    true
                }
            }
        });
    }
}

impl Drop for Writer {
    /// Should the thread panic, nothing more is taken, instead of waiting for it for ever.
    fn drop(&mut self) {
        self.shared.stop();
        self.shared.lock().queue.clear();
    }
}

/// Nanoseconds since the epoch; 0 for clocks before it.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn answer(acks: &AckSender, tag: u64, result: Result<Position, SendError>) {
    if acks.send(Ack { tag, result }).is_err() {
        tracing::debug!(tag, "the sender of a message does not wait for its ack");
    }
}

//! When checkpoints and names are written, and what happens if they cannot be.

use std::collections::HashSet;
use std::io;

use sawlog_transport::FileIdentity;

use super::Loop;
use crate::batcher::Encoded;
use crate::clock::Now;

impl Loop {
    pub(super) fn write_checkpoints(&mut self, now: Now) {
        let due = self.flushed_at + self.config.checkpoint_every;
        if self.checkpoints.is_changed() && now.monotonic >= due {
            self.flush_checkpoints(now);
        }
    }

    pub(super) fn flush_checkpoints(&mut self, now: Now) {
        self.flushed_at = now.monotonic;
        self.flushed_bytes = self.metrics.acked_bytes.get();
        if !self.checkpoints.is_changed() {
            return;
        }
        if let Err(error) = self.checkpoints.flush(now.wall) {
            self.checkpoint_failed(&error);
        }
    }

    /// Makes durable what names the bytes of truncated files and of copies; tells whether it is. Until
    /// then no batch that was filled since may be sent or spooled: after a crash the same bytes would
    /// get other names, and the store would take some for others and hold some twice.
    pub(super) fn write_names(&mut self, now: Now) -> bool {
        if !self.checkpoints.history.is_changed() {
            return true;
        }
        if now.monotonic < self.names_due {
            return false;
        }
        let Err(error) = self.checkpoints.history.flush() else { return true };
        self.names_due = now.monotonic + self.config.checkpoint_every;
        self.metrics.checkpoint_errors.inc();
        if self.metrics.checkpoint_errors.get().is_power_of_two() {
            tracing::error!(
                "cannot write which files were truncated or copied to 'generations' in '{}': nothing more is sent until it can be written (make room there, or let the collector write it): {error}",
                self.config.data_dir.display()
            );
        }
        false
    }

    /// Writes down which files are sent for the first time, as far as it can: who cannot know that of a
    /// compressed file after a crash sends a few lines twice, who waits for it sends nothing.
    pub(super) fn write_begun(&mut self, batches: &[Encoded], now: Now) {
        for batch in batches {
            self.checkpoints.note_begun(&batch.progress, now.wall);
        }
        if !self.checkpoints.begun.is_changed() || now.monotonic < self.begun_due {
            return;
        }
        if let Err(error) = self.checkpoints.begun.flush(now.wall) {
            self.begun_due = now.monotonic + self.config.checkpoint_every;
            self.checkpoint_failed(&error);
        }
    }

    pub(super) fn compact_checkpoints(&mut self, now: Now) {
        if !self.checkpoints.is_compaction_due() {
            return;
        }
        let open = self.streams.by_id.values().flat_map(|stream| &stream.files);
        let present: HashSet<FileIdentity> =
            open.map(|file| file.identity).chain(self.tree.settled()).collect();
        if let Err(error) = self.checkpoints.compact(now.wall, |file| present.contains(file)) {
            self.checkpoint_failed(&error);
        }
    }

    pub(super) fn checkpoint_failed(&mut self, error: &io::Error) {
        self.metrics.checkpoint_errors.inc();
        if !self.metrics.checkpoint_errors.get().is_power_of_two() {
            return;
        }
        tracing::warn!(
            "cannot write checkpoints in '{}', it is tried again (a restart now would re-send what is already stored): {error}",
            self.config.data_dir.display()
        );
    }
}

//! The writing side of one partition: append a record, sync, begin the next file, and take back
//! what could not be made durable.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, append_all};
use super::log_file::{self, FILE_HEADER_BYTES};
use super::record::{Header, record_bytes};
use super::shared::FileSpan;
use crate::producer::{AckSender, SendError};

/// A message that is appended and not yet synced.
pub(super) struct Pending {
    pub(super) offset: u64,
    pub(super) tag: u64,
    pub(super) acks: AckSender,
}

/// The file that a partition is appended to.
pub(super) struct PartitionWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: File,
    /// The offset of the file's first record.
    first: u64,
    bytes: u64,
    /// The offset of the next record.
    next: u64,
    durable_bytes: u64,
    durable_next: u64,
    /// Set while the next file is to be begun: its name is this file's end, which must not move.
    closed: bool,
    broken: Option<String>,
    pub(super) pending: Vec<Pending>,
}

impl PartitionWriter {
    /// Goes on with a durable file of `bytes` bytes, opened for appending.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        file: File,
        span: FileSpan,
        next: u64,
    ) -> Self {
        Self {
            disk,
            dir,
            file,
            first: span.first,
            bytes: span.bytes,
            next,
            durable_bytes: span.bytes,
            durable_next: next,
            closed: false,
            broken: None,
            pending: Vec::new(),
        }
    }

    pub(super) fn unsynced_bytes(&self) -> u64 {
        self.bytes - self.durable_bytes
    }

    pub(super) fn durable_next(&self) -> u64 {
        self.durable_next
    }

    /// What of the current file is durable.
    pub(super) fn durable_span(&self) -> FileSpan {
        FileSpan { first: self.first, bytes: self.durable_bytes }
    }

    /// Why nothing can be appended until the log is opened again.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == FILE_HEADER_BYTES
    }

    /// Whether a message must go to the next file.
    pub(super) fn is_full_for(&self, message: usize, file_bytes_max: u64) -> bool {
        self.closed || (!self.is_empty() && self.bytes + record_bytes(message) > file_bytes_max)
    }

    /// Whether messages may be appended.
    pub(super) fn check_usable(&self) -> Result<(), SendError> {
        match &self.broken {
            Some(reason) => Err(self.failed(reason.clone())),
            None => Ok(()),
        }
    }

    /// Appends a record; returns its offset. On an error nothing of it remains.
    pub(super) fn append(&mut self, stored_at: i64, message: &[u8]) -> Result<u64, SendError> {
        let header = Header::of(self.next, stored_at, message).encode();
        let mut parts = [IoSlice::new(&header), IoSlice::new(message)];
        if let Err(error) = append_all(&*self.disk, &self.file, &mut parts) {
            self.cut(self.bytes, &error);
            return Err(self.failed(error.to_string()));
        }
        fail::fail_point!("embedded::after_append");
        let offset = self.next;
        self.bytes += record_bytes(message.len());
        self.next += 1;
        Ok(offset)
    }

    /// Makes everything appended durable. On an error the unsynced tail is taken back; the pending
    /// messages are the caller's to answer in both cases.
    pub(super) fn sync(&mut self) -> Result<(), SendError> {
        match self.disk.sync_data(&self.file) {
            Ok(()) => {
                fail::fail_point!("embedded::after_sync");
                self.durable_bytes = self.bytes;
                self.durable_next = self.next;
                Ok(())
            }
            Err(error) => {
                self.take_back(&error);
                Err(self.failed(error.to_string()))
            }
        }
    }

    /// Begins the next file. Everything must be synced. After an error only this can be tried again.
    pub(super) fn roll(&mut self) -> Result<(), SendError> {
        debug_assert_eq!(
            self.unsynced_bytes(),
            0,
            "a file is complete before its successor exists"
        );
        self.check_usable()?;
        self.closed = true;
        match log_file::create(&*self.disk, &self.dir, self.next) {
            Ok(file) => {
                self.file = file;
                self.first = self.next;
                self.bytes = FILE_HEADER_BYTES;
                self.durable_bytes = FILE_HEADER_BYTES;
                self.closed = false;
                Ok(())
            }
            Err(error) => Err(SendError::Failed {
                place: log_file::path(&self.dir, self.next).display().to_string(),
                reason: error.to_string(),
            }),
        }
    }

    /// A failed sync says nothing about which pages reached the disk and is not repeated by the
    /// kernel, so the tail is written anew, by whoever sends it again.
    fn take_back(&mut self, cause: &io::Error) {
        self.cut(self.durable_bytes, cause);
        if self.broken.is_none()
            && let Err(error) = self.disk.sync_data(&self.file)
        {
            self.give_up(cause, &error);
        }
        self.bytes = self.durable_bytes;
        self.next = self.durable_next;
    }

    fn cut(&mut self, bytes: u64, cause: &io::Error) {
        let file = self.path();
        tracing::warn!(%file, byte = bytes, %cause, "could not write, the file is cut back");
        if let Err(error) = self.disk.truncate(&self.file, bytes) {
            self.give_up(cause, &error);
        }
    }

    fn give_up(&mut self, cause: &io::Error, then: &io::Error) {
        let reason = format!(
            "{cause}, and then the unsynced tail could not be cut off ({then}): repair the disk and restart"
        );
        tracing::error!(file = %self.path(), %reason, "the partition takes no more messages");
        self.broken = Some(reason);
    }

    fn failed(&self, reason: String) -> SendError {
        SendError::Failed { place: self.path(), reason }
    }

    fn path(&self) -> String {
        log_file::path(&self.dir, self.first).display().to_string()
    }
}

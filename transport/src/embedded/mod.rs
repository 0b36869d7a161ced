//! The embedded log: the transport of one machine, a directory of append-only files per partition.
//!
//! # Layout
//!
//! ```text
//! DIR/lock                    held exclusively (flock) while the log is open
//! DIR/meta                    text: the format's version and the number of partitions
//! DIR/<partition>/<first offset, 20 digits>.log
//! ```
//!
//! A log file is eight bytes (`SAWLOGE`, version 1) and then records, all integers little endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the message |
//! | 4 | CRC32C over everything that follows |
//! | 8 | offset |
//! | 8 | when it was stored: nanoseconds since the epoch, signed |
//! | … | the message |
//!
//! Offsets of a partition rise by one from record to record and from file to file. A file's name is
//! its first offset, and the last file is never deleted, so that an emptied partition still knows
//! how far it had come.
//!
//! # Durability
//!
//! One thread owns the files. It appends what was sent and calls fdatasync once `sync_bytes` are
//! unsynced or `sync_delay` after the first of them, for all partitions together; only then are the
//! messages acknowledged and shown to consumers. A new file and its directory are synced before the
//! first record goes into it. A file is complete and synced before its successor exists.
//!
//! A failed append is cut off again. After a failed fdatasync the unsynced tail counts as not stored
//! and is cut off; where even that fails, the partition refuses messages until it is opened again.
//!
//! # Recovery
//!
//! Opening reads the last file of each partition. Bytes after the last valid record are a torn tail
//! and are cut. Bad bytes with a valid record behind them are damage: they stay, and a consumer is
//! told which offsets are missing. Earlier files are checked when they are read.
//!
//! # Limits
//!
//! A message has at most `limits::MESSAGE_BYTES_MAX` bytes; messages not yet written
//! [`QUEUE_BYTES_MAX`] together; all files `bytes_max` (plus eight bytes for each file begun).
//! Beyond either, `send` returns `SendError::Full` and nothing is dropped: room appears when a
//! consumer reports progress, which is no acknowledgement, so a sender with nothing in flight tries
//! again after a while. Each partition that a consumer reads costs it 64 KiB of buffer.

mod directory;
mod disk;
mod log_file;
mod partition;
mod reader;
mod record;
mod recovery;
mod scan;
mod shared;
mod writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod test_disk;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use self::directory::Directory;
use self::disk::{Disk, SystemDisk};
pub use self::reader::EmbeddedConsumer;
pub use self::shared::QUEUE_BYTES_MAX;
use self::shared::Shared;
use self::writer::Writer;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::producer::{AckSender, Producer, SendError};

/// The most partitions that one embedded log has.
pub const PARTITIONS_MAX: u32 = 4096;

/// The least that `bytes_max` may be: two of the largest messages, so that an emptied log always
/// has room for one.
pub const BYTES_MAX_MIN: u64 = 2 * MESSAGE_BYTES_MAX as u64;

/// Where an embedded log lies and how large it may grow.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The log's directory; created if it does not exist.
    pub dir: PathBuf,
    /// How many partitions; fixed when the directory is made, at most [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// A file that would grow beyond this is closed and a new one begun, in bytes.
    pub file_bytes_max: u64,
    /// The most bytes of all files of all partitions; at least [`BYTES_MAX_MIN`].
    pub bytes_max: u64,
    /// Unsynced bytes, over all partitions, at which they are synced.
    pub sync_bytes: u64,
    /// The longest that an appended message waits for its sync.
    pub sync_delay: Duration,
    /// Per partition, the offset up to which the reader's own store holds everything already: a log
    /// that ends before it (damaged, or replaced) goes on there, so that no offset names a message
    /// that the reader would take for one it has. Missing ones are 0.
    pub continue_at: Vec<u64>,
}

impl EmbeddedConfig {
    /// The defaults: files of 64 MiB, 2 GiB together, a sync every 4 MiB or 100 ms.
    pub fn new(dir: impl Into<PathBuf>, partitions: u32) -> Self {
        Self {
            dir: dir.into(),
            partitions,
            file_bytes_max: 64 << 20,
            bytes_max: 2 << 30,
            sync_bytes: 4 << 20,
            sync_delay: Duration::from_millis(100),
            continue_at: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return Err(OpenError::PartitionCount { found: self.partitions });
        }
        if self.bytes_max < BYTES_MAX_MIN {
            return Err(OpenError::TooSmall { dir: self.dir.clone(), found: self.bytes_max });
        }
        Ok(())
    }
}

/// Why an embedded log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("an embedded log has 1 to {PARTITIONS_MAX} partitions, {found} were asked for")]
    PartitionCount { found: u32 },
    #[error(
        "the embedded log in {dir} may hold {found} bytes, it needs at least {BYTES_MAX_MIN}: raise bytes_max"
    )]
    TooSmall { dir: PathBuf, found: u64 },
    #[error(
        "the embedded log in {dir} is in use by another process: stop that one or choose another directory"
    )]
    Locked { dir: PathBuf },
    #[error(
        "the embedded log in {dir} has {found} partitions, {wanted} were asked for: ask for {found}, or choose an empty directory"
    )]
    OtherPartitions { dir: PathBuf, found: u32, wanted: u32 },
    #[error(
        "{file} is not the description of an embedded log ({reason}): restore it, or choose an empty directory"
    )]
    Meta { file: PathBuf, reason: String },
    #[error(
        "{file} has format version {found}, this program reads version {known}: use the program that wrote it"
    )]
    Version { file: PathBuf, found: u8, known: u8 },
    #[error("cannot open the embedded log at {place}")]
    Io {
        place: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What is durable of a log file, which is deleted as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The offset of its first message.
    pub first: u64,
    /// The offset after its last message.
    pub end: u64,
    /// Its length.
    pub bytes: u64,
}

/// An open embedded log. Dropping it stores and syncs what was taken and stops its thread;
/// consumers that outlive it read what is there.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Holds the lock on the directory; released last.
    _directory: Directory,
}

impl EmbeddedLog {
    /// Opens the log, creating it if the directory is empty, and recovers from a crash.
    ///
    /// # Errors
    /// The directory is in use, was made with another number of partitions or a newer format, or an
    /// I/O error; `TooSmall` or `PartitionCount` if the configuration cannot work.
    pub fn open(config: EmbeddedConfig) -> Result<Self, OpenError> {
        Self::open_on(config, Arc::new(SystemDisk))
    }

    fn open_on(config: EmbeddedConfig, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        config.check()?;
        let directory = Directory::open(&config.dir, config.partitions)?;
        let partitions = (0..config.partitions)
            .map(|partition| {
                let continue_at = config.continue_at.get(partition as usize).copied();
                recovery::recover(&config.dir, partition, continue_at.unwrap_or(0), &disk)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let dir = config.dir.clone();
        let shared = Arc::new(Shared::new(config, partitions.iter().map(|p| p.state.clone())));
        let writer = Writer::new(
            Arc::clone(&shared),
            disk,
            partitions.into_iter().map(|p| p.writer).collect(),
        );
        let thread = std::thread::Builder::new()
            .name("embedded-log".into())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { place: dir, source })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), _directory: directory })
    }

    /// A handle to send with; cheap to clone.
    pub fn producer(&self) -> EmbeddedProducer {
        EmbeddedProducer { shared: Arc::clone(&self.shared) }
    }

    /// A reader with positions of its own. Several may exist; what any of them reports as processed
    /// may be deleted.
    pub fn consumer(&self) -> EmbeddedConsumer {
        EmbeddedConsumer::new(Arc::clone(&self.shared))
    }

    /// Takes no more messages, stores, syncs and acknowledges those taken, and stops the thread.
    pub fn shutdown(&self) {
        self.shared.stop();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!(dir = %self.shared.config.dir.display(), "the embedded log's thread panicked");
        }
    }

    /// Syncs what was taken so far without waiting for `sync_delay`. Returns at once; the acks tell
    /// when it is done.
    pub fn flush(&self) {
        self.shared.flush();
    }

    /// How many fdatasyncs of records there were since the log was opened.
    pub fn syncs(&self) -> u64 {
        self.shared.syncs()
    }

    /// Bytes of all files, including what is not yet synced.
    pub fn bytes(&self) -> u64 {
        self.shared.lock().disk_bytes
    }

    /// What is durable of a partition's files, oldest first; the last is the one being written. Empty
    /// if there is no such partition.
    pub fn files(&self, partition: u32) -> Vec<LogFile> {
        let state = self.shared.lock();
        let Some(known) = state.partitions.get(partition as usize) else { return Vec::new() };
        let ends = known.files.iter().skip(1).map(|next| next.first).chain([known.high]);
        let files = known.files.iter().zip(ends);
        files.map(|(file, end)| LogFile { first: file.first, end, bytes: file.bytes }).collect()
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The sending side of an [`EmbeddedLog`].
#[derive(Clone, Debug)]
pub struct EmbeddedProducer {
    shared: Arc<Shared>,
}

impl Producer for EmbeddedProducer {
    fn partitions(&self) -> u32 {
        self.shared.config.partitions
    }

    fn send(
        &self,
        partition: u32,
        message: Bytes,
        tag: u64,
        acks: &AckSender,
    ) -> Result<(), SendError> {
        self.shared.send(partition, message, tag, acks)
    }
}

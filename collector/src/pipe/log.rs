//! The file that is written, and its rotation.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::Mode;

use super::cut::{self, Cut};
use super::open::{create, open_or_create};
use super::rotated::Rotated;
use super::{Settings, WhenFull, Written};
use crate::identity::{facts, facts_at};
use crate::why::AcknowledgedFile;

/// How long a full disk is left alone where nothing can be removed.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// One log in a sandbox.
pub(crate) struct Log {
    directory: OwnedFd,
    name: &'static str,
    pub(super) file: File,
    size: u64,
    /// Whether the file is empty or ends with a line end.
    is_line_start: bool,
    /// From which size on it is rotated: later than it should if that failed.
    rotate_at: u64,
    size_max: u64,
    when_full: WhenFull,
    mode: Mode,
    pub(crate) rotated: Rotated,
    pub(crate) written: Written,
}

impl Log {
    /// Opens the file in its directory, and goes on where it ends.
    pub(crate) fn open(settings: &Settings, directory: OwnedFd) -> io::Result<Self> {
        let (keep, bytes_max) = (settings.keep, settings.keep_bytes_max);
        let copy = directory.try_clone()?;
        let mut rotated = Rotated::find(copy, settings.name, keep, bytes_max)?;
        let mode = Mode::from_raw_mode(settings.mode);
        let file = open_or_create(&directory, settings.name, mode, &mut rotated)?;
        let size = facts(&file)?.size;
        let mut last = [b'\n'];
        file.read_at(&mut last, size.saturating_sub(1))?;
        Ok(Self {
            directory,
            name: settings.name,
            file,
            size,
            is_line_start: last == [b'\n'],
            rotate_at: settings.size_max,
            size_max: settings.size_max,
            when_full: settings.when_full,
            mode,
            rotated,
            written: Written::default(),
        })
    }

    /// Writes all, rotating between lines.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let cut = cut::next(self.size, self.is_line_start, bytes, self.rotate_at);
            let (Cut::Write(now) | Cut::Last(now)) = cut;
            self.append(&bytes[..now])?;
            bytes = &bytes[now..];
            if cut == Cut::Last(now) {
                self.rotate();
            }
        }
        Ok(())
    }

    /// Adds to the file, however large it is. While the disk is full, this waits,
    /// unless it is to fail.
    ///
    /// # Errors
    /// The file cannot be written; a part of the bytes may be in it.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.is_line_start = *last == b'\n';
        }
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.size += written as u64;
                    self.written.bytes += written as u64;
                }
                Err(error) if super::is_passing(&error) => {}
                Err(error) if is_disk_full(&error) => self.make_room(error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Where nothing can be removed, the container waits until somebody else makes room.
    fn make_room(&mut self, error: io::Error) -> io::Result<()> {
        match self.rotated.make_room(self.when_full != WhenFull::Block) {
            Some((true, _)) => {}
            Some((false, size)) => self.dropped(size, "the disk is full"),
            None if self.when_full == WhenFull::DropOldestOrFail => return Err(error),
            None => {
                tracing::warn!("cannot write, the container waits: {error}");
                std::thread::sleep(FULL_DISK_PAUSE);
            }
        }
        Ok(())
    }

    fn dropped(&mut self, bytes: u64, why: &str) {
        self.written.dropped_bytes += bytes;
        let log = self.name;
        tracing::warn!(log, bytes, "rotated files were removed unacknowledged, {why}");
    }

    /// A file that cannot be rotated is written on, and tried again when it has grown once more.
    pub(crate) fn rotate(&mut self) {
        match self.try_rotate() {
            Ok(()) => {
                self.rotate_at = self.size_max;
                self.written.rotations += 1;
            }
            Err(error) => {
                self.rotate_at = self.size.saturating_add(self.size_max);
                tracing::warn!(log = self.name, "cannot rotate, it goes on growing: {error}");
            }
        }
        if self.when_full != WhenFull::Block {
            let bytes = self.rotated.drop_oldest();
            if bytes > 0 {
                self.dropped(bytes, "they took more than --keep-bytes-max");
            }
        }
    }

    fn try_rotate(&mut self) -> io::Result<()> {
        let found = facts(&self.file)?;
        let is_ours = facts_at(&self.directory, self.name.as_ref());
        if is_ours.is_ok_and(|named| named.key == found.key) {
            self.rotated.push(&found)?;
            match create(&self.directory, self.name, self.mode) {
                Ok(file) => self.file = file,
                Err(error) => {
                    self.rotated.pop()?;
                    return Err(error);
                }
            }
        } else {
            // The name is gone or another file's: whoever did that wanted to have it so.
            self.file = open_or_create(&self.directory, self.name, self.mode, &mut self.rotated)?;
        }
        self.size = facts(&self.file)?.size;
        self.is_line_start = true;
        Ok(())
    }

    /// Whether the current file has these bytes from an offset on.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn has_at(&self, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        let mut found = vec![0; bytes.len()];
        match self.file.read_exact_at(&mut found, offset) {
            Ok(()) => Ok(found == bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends a line that was written in part.
    ///
    /// # Errors
    /// See [`Self::append`].
    pub(crate) fn end_line(&mut self) -> io::Result<()> {
        if self.is_line_start { Ok(()) } else { self.append(b"\n") }
    }

    /// Bytes in the current file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The current file's.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(facts(&self.file)?.key.inode)
    }

    /// Makes what is in the current file durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Takes in how far files are acknowledged.
    pub(crate) fn acknowledged(&mut self, files: &[AcknowledgedFile]) {
        self.rotated.acknowledged(files);
    }
}

pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

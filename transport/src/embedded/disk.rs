//! The calls that change files, behind a trait, so that tests can make each of them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::Path;

/// What the writer does to the disk. Each call means what the system call of its name means.
pub(super) trait Disk: Send + Sync {
    /// Creates a file for appending, empty even if one of that name exists.
    fn create(&self, path: &Path) -> io::Result<File>;

    /// Appends from the front of the parts; returns how many bytes went in.
    fn append(&self, file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()>;

    /// fdatasync: the contents and the length.
    fn sync_data(&self, file: &File) -> io::Result<()>;

    /// fsync of a directory: the names in it.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's files.
pub(super) struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(0)?;
        Ok(file)
    }

    fn append(&self, mut file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        file.write_vectored(parts)
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// Appends all parts, whatever number of calls that takes.
pub(super) fn append_all(
    disk: &dyn Disk,
    file: &File,
    mut parts: &mut [IoSlice<'_>],
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match disk.append(file, parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

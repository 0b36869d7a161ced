//! The directory of a log: the lock that keeps a second process out, and the file `meta` that fixes
//! the number of partitions.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::log_file::VERSION;
use super::{OpenError, PARTITIONS_MAX};

const LOCK: &str = "lock";
const META: &str = "meta";
const META_NEW: &str = "meta.new";

/// The most bytes of `meta` that are read.
const META_BYTES_MAX: u64 = 1024;

/// A log directory that this process holds. Dropping it lets others in.
#[derive(Debug)]
pub(super) struct Directory {
    _lock: File,
}

impl Directory {
    /// Locks the directory, creating it if needed, and compares or writes the number of partitions.
    pub(super) fn open(dir: &Path, partitions: u32) -> Result<Self, OpenError> {
        create_durably(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let meta = dir.join(META);
        match read(&meta)? {
            Some(text) => compare(dir, &meta, &text, partitions)?,
            None if dir.join("0").exists() => {
                let reason = "there are partitions but it is missing".into();
                return Err(OpenError::Meta { file: meta, reason });
            }
            None => write(dir, partitions).map_err(at(&meta))?,
        }
        Ok(Self { _lock: lock })
    }
}

/// Names the place of an I/O error.
pub(super) fn at(place: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let place = place.to_owned();
    move |source| OpenError::Io { place, source }
}

/// Creates a directory and its ancestors so that they survive a crash.
fn create_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(at(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(error) => Err(OpenError::Io { place: path, source: error.into() }),
    }
}

fn read(meta: &PathBuf) -> Result<Option<String>, OpenError> {
    let file = match File::open(meta) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(meta)(error)),
    };
    let mut text = String::new();
    match file.take(META_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(OpenError::Meta { file: meta.clone(), reason: "it is no text".into() })
        }
        Err(error) => Err(at(meta)(error)),
    }
}

fn compare(dir: &Path, meta: &Path, text: &str, wanted: u32) -> Result<(), OpenError> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok())
            .ok_or_else(|| OpenError::Meta {
                file: meta.into(),
                reason: format!("no number of '{name}'"),
            })
    };
    let version = value("version")?;
    if version != u32::from(VERSION) {
        let found = u8::try_from(version).unwrap_or(u8::MAX);
        return Err(OpenError::Version { file: meta.into(), found, known: VERSION });
    }
    let found = value("partitions")?;
    if found == 0 || found > PARTITIONS_MAX {
        let reason = format!("{found} partitions are not possible");
        return Err(OpenError::Meta { file: meta.into(), reason });
    }
    if found != wanted {
        return Err(OpenError::OtherPartitions { dir: dir.into(), found, wanted });
    }
    Ok(())
}

/// Writes beside and renames, so that a crash leaves a whole `meta` or none.
fn write(dir: &Path, partitions: u32) -> io::Result<()> {
    let new = dir.join(META_NEW);
    let mut file = File::create(&new)?;
    write!(file, "sawlog embedded log\nversion {VERSION}\npartitions {partitions}\n")?;
    file.sync_all()?;
    std::fs::rename(&new, dir.join(META))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_where() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = Directory::open(dir.path(), 3).expect("free");
        let error = Directory::open(dir.path(), 3).unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
        drop(held);
        Directory::open(dir.path(), 3).expect("free again");
    }

    #[test]
    fn another_number_of_partitions_is_refused_with_both() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(Directory::open(dir.path(), 3).expect("new"));
        let error = Directory::open(dir.path(), 4).unwrap_err();
        assert!(matches!(error, OpenError::OtherPartitions { found: 3, wanted: 4, .. }), "{error}");
    }

    #[test]
    fn a_strange_meta_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let meta = dir.path().join(META);
        for (content, expected) in [
            (&b"\xff\xfe"[..], "no text"),
            (b"", "version"),
            (b"version 1\n", "partitions"),
            (b"version 1\npartitions 0\n", "0 partitions"),
            (b"version 9\npartitions 1\n", "version 9"),
        ] {
            std::fs::write(&meta, content).expect("written");
            let error = Directory::open(dir.path(), 1).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn partitions_without_meta_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("0")).expect("created");
        let error = Directory::open(dir.path(), 1).unwrap_err();
        assert!(matches!(error, OpenError::Meta { .. }), "{error}");
    }
}

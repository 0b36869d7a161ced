//! What is in the journal's directory: the logs that are there, and which files go beyond a limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::rotation;

/// How deep directories are looked through: the way to a run, and 32 containers within each other.
const DEPTH_MAX: usize = 8 + 2 * 32;

/// A file of a log.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    /// Below the root: where the log is, and its name.
    pub key: (PathBuf, &'static str),
    pub is_rotated: bool,
    pub size: u64,
    modified: SystemTime,
}

/// All files of logs below the root; links are not followed.
pub(super) fn files(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    walk(root, root, DEPTH_MAX, &mut found);
    found
}

fn walk(root: &Path, dir: &Path, depth: usize, found: &mut Vec<Found>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => walk(root, &entry.path(), depth - 1, found),
            Ok(kind) if kind.is_file() => found.extend(of(root, entry.path())),
            _ => {}
        }
    }
}

fn of(root: &Path, path: PathBuf) -> Option<Found> {
    let (base, age) = rotation::split(path.file_name()?);
    let name = ["stdout", "stderr"].into_iter().find(|name| base == *name)?;
    let below = path.parent()?.strip_prefix(root).ok()?.to_owned();
    let facts = path.symlink_metadata().ok()?;
    let modified = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Some(Found { key: (below, name), is_rotated: age > 0, size: facts.len(), modified, path })
}

/// The files that are too much: the oldest rotated ones first, then the oldest of all.
pub(super) fn beyond(mut files: Vec<Found>, bytes_max: u64) -> Vec<Found> {
    let mut bytes: u64 = files.iter().map(|file| file.size).sum();
    files.sort_by_key(|file| (!file.is_rotated, file.modified));
    let mut too_much = files.into_iter();
    let next = || {
        let file = too_much.next().filter(|_| bytes > bytes_max)?;
        bytes -= file.size;
        Some(file)
    };
    std::iter::from_fn(next).collect()
}

//! Which of the files that we write about containers are deleted: what is acknowledged and of no more
//! use, and the oldest beyond the limit.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::generated::{
    DEPTH_MAX, EVENTS, FILE_BYTES_MAX, FILE_BYTES_MIN, GeneratedFiles, STATS, STATS_5M, walk,
};
use super::known::Metadata;
use super::window::WINDOW;
use crate::identity::{InodeKey, facts_of_path};
use crate::rotation::{self, Age};

/// The age of `x.1`.
const FIRST_ROTATED: Age = 2;
/// Components of the path of a run.
const RUN_DEPTH: usize = 8;

/// How long statistics stay after the last line of their file, in nanoseconds: windows that are open
/// after a crash are made of them.
const STATS_NEEDED: i64 = 2 * WINDOW.as_nanos() as i64;

/// What files keep, what is missed least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Stats,
    RolledUp,
    Events,
}

/// A file of the tree.
struct Found {
    path: PathBuf,
    /// The path of its run, below any work directory.
    run: PathBuf,
    kind: Kind,
    age: Age,
    key: InodeKey,
    size: u64,
    modified: i64,
}

impl Found {
    /// Whether a process that starts again needs it to know where it was.
    fn is_needed(&self, now: i64) -> bool {
        match self.kind {
            Kind::Stats => self.age == 0 || now.saturating_sub(self.modified) < STATS_NEEDED,
            // The last line is in the log itself, or in the one before if a crash came between.
            Kind::RolledUp => self.age <= FIRST_ROTATED,
            // They tell which were written.
            Kind::Events => true,
        }
    }
}

impl GeneratedFiles {
    /// Deletes what is acknowledged and of no more use, and the oldest beyond the limit. `exists`
    /// tells whether a run's sandbox is still there; `now` is nanoseconds since the epoch.
    pub(super) fn sweep(&mut self, metadata: &Metadata, exists: impl Fn(&Path) -> bool, now: i64) {
        let mut paths = Vec::new();
        walk(&self.root, DEPTH_MAX, &mut paths);
        let mut files: Vec<Found> = paths.into_iter().filter_map(|path| self.found(path)).collect();
        let gone: HashSet<PathBuf> = files
            .iter()
            .map(|file| file.run.clone())
            .collect::<HashSet<_>>()
            .into_iter()
            .filter(|run| !exists(run))
            .collect();
        files.retain(|file| {
            let is_over = gone.contains(&file.run) || !file.is_needed(now);
            let is_read = file.size == 0 || metadata.is_drained(file.key, file.size);
            !(is_over && is_read && remove(&file.path))
        });
        self.keep_within_limit(&mut files, metadata, &gone);
        for run in &gone {
            remove_empty(&self.root, &self.root.join(run));
        }
        metadata.keep_drained(&files.iter().map(|file| file.key).collect());
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        self.metrics.generated_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let share = self.bytes_max / (2 * files.len() as u64).max(1);
        self.rotate_at = share.clamp(FILE_BYTES_MIN, FILE_BYTES_MAX);
    }

    fn found(&self, path: PathBuf) -> Option<Found> {
        let (base, age) = rotation::split(path.file_name()?);
        let below = path.strip_prefix(&self.root).ok()?;
        let run: PathBuf = below.components().take(RUN_DEPTH).collect();
        let facts =
            facts_of_path(&path).ok().filter(|facts| facts.kind == FileType::RegularFile)?;
        let kind = match base.to_str()? {
            EVENTS => Kind::Events,
            STATS => Kind::Stats,
            STATS_5M => Kind::RolledUp,
            _ => return None,
        };
        let (key, size, modified) = (facts.key, facts.size, facts.modified);
        Some(Found { path, run, kind, age, key, size, modified })
    }

    /// Deletes the oldest files beyond the limit, read or not: first rotated ones, then those of
    /// containers that are gone; statistics before what was made of them, events at last.
    fn keep_within_limit(
        &self,
        files: &mut Vec<Found>,
        metadata: &Metadata,
        gone: &HashSet<PathBuf>,
    ) {
        let mut bytes: u64 = files.iter().map(|file| file.size).sum();
        if bytes <= self.bytes_max {
            return;
        }
        files.sort_by_key(|file| {
            let is_gone = gone.contains(&file.run);
            (file.kind, file.age == 0, !is_gone, file.modified)
        });
        files.retain(|file| {
            let is_beyond = bytes > self.bytes_max;
            if !is_beyond || !remove(&file.path) {
                return true;
            }
            bytes -= file.size;
            if !metadata.is_drained(file.key, file.size) {
                self.metrics.generated_lost_bytes.inc_by(file.size);
            }
            false
        });
    }
}

fn remove(path: &Path) -> bool {
    let removed = fs::remove_file(path);
    if let Err(error) = &removed {
        tracing::debug!("cannot delete '{}', tried again later: {error}", path.display());
    }
    removed.is_ok()
}

/// Removes the directories of a run that are empty, and those above it.
fn remove_empty(root: &Path, run: &Path) {
    fn below(dir: &Path, depth: usize) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                below(&entry.path(), depth - 1);
            }
        }
        // What is not empty stays.
        fs::remove_dir(dir).unwrap_or_default();
    }
    below(run, DEPTH_MAX);
    let above = run.ancestors().skip(1).take_while(|dir| *dir != root && dir.starts_with(root));
    for dir in above {
        if fs::remove_dir(dir).is_err() {
            break;
        }
    }
}

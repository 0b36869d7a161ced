//! The files that we write about containers, in a tree like that of their sandboxes, so that they are
//! collected like any other log. Rotated by renaming, deleted when acknowledged, within a limit.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::facts::{Ids, is_name};
use super::metrics::MesosMetrics;
use crate::directory;
use crate::rotation::{self, Age};
use crate::sandbox::{CHECK, NESTING_MAX};

/// The names of the logs.
pub(crate) const EVENTS: &str = "events";
pub(crate) const STATS: &str = "stats";
/// Statistics of five minutes in each line.
pub(crate) const STATS_5M: &str = "stats_5m";

/// All files together, in bytes; the oldest rotated ones go when they exceed it.
const TREE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The size at which a file is rotated, in bytes: less if there are so many that all of them together
/// would not fit.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;
pub(super) const FILE_BYTES_MIN: u64 = 16 * 1024;
/// The longest line that is read back, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How deep directories are looked through: the way to a run, and 32 containers within each other.
pub(super) const DEPTH_MAX: usize = 8 + 2 * 32;

/// Where the tree is in a collector's data directory.
pub(crate) fn root(data_dir: &Path) -> PathBuf {
    data_dir.join("generated")
}

/// The tree.
pub(super) struct GeneratedFiles {
    pub(super) root: PathBuf,
    pub(super) bytes_max: u64,
    pub(super) rotate_at: u64,
    pub(super) metrics: MesosMetrics,
}

impl GeneratedFiles {
    pub(super) fn new(data_dir: &Path, metrics: MesosMetrics) -> Self {
        let root = root(data_dir);
        Self { root, bytes_max: TREE_BYTES_MAX, rotate_at: FILE_BYTES_MAX, metrics }
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    #[cfg(test)]
    pub(super) fn lost_bytes(&self) -> u64 {
        self.metrics.generated_lost_bytes.get()
    }

    /// Makes the root, so that it is watched before the first line.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn create(&self) -> io::Result<()> {
        directory::create_private(&self.root)
    }

    /// Adds whole lines to a container's log. `nested` is the container below the run's.
    ///
    /// # Errors
    /// The file cannot be written; none or all of the lines are in it, but for a full disk.
    pub(super) fn append(
        &mut self,
        ids: &Ids,
        nested: &str,
        log: &str,
        lines: &[u8],
    ) -> io::Result<()> {
        let dir = self.directory(ids, nested);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let path = dir.join(log);
        let size = path.symlink_metadata().map_or(0, |file| file.len());
        if size > 0 && size + lines.len() as u64 > self.rotate_at {
            rotate(&dir, log)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).read(true).mode(0o600).open(&path)?;
        if is_torn(&file)? {
            // A crash or a full disk cut the last line: what follows is another one.
            file.write_all(b"\n")?;
        }
        file.write_all(lines)
    }

    fn directory(&self, ids: &Ids, nested: &str) -> PathBuf {
        let mut dir = self.root.join(ids.path());
        // Where nobody would look for it, it stands beside the run's own.
        let is_collected = nested.split('.').count() < NESTING_MAX
            && nested.split('.').all(|name| is_name(name) && !name.starts_with(CHECK));
        if is_collected {
            for name in nested.split('.') {
                dir.push("containers");
                dir.push(name);
            }
        }
        dir
    }

    /// Reads back the lines of a run's logs of a name, those of nested containers and of rotated
    /// files too.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn lines(
        &self,
        ids: &Ids,
        log: &str,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut found = Vec::new();
        walk(&self.root.join(ids.path()), DEPTH_MAX, &mut found);
        for path in found {
            if path.file_name().map(rotation::split).is_none_or(|(base, _)| base != log) {
                continue;
            }
            let mut reader = BufReader::new(File::open(&path)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                let mut limited = io::Read::take(&mut reader, LINE_BYTES_MAX);
                if limited.read_until(b'\n', &mut line)? == 0 {
                    break;
                }
                take(&line);
            }
        }
        Ok(())
    }
    /// Reads back the end of a run's log, also from rotated files: whole lines of at most so many
    /// bytes, the oldest first.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn tail(&self, ids: &Ids, log: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let entries = match fs::read_dir(self.directory(ids, "")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files: Vec<(Age, PathBuf)> = Vec::new();
        for path in entries.map(|entry| entry.map(|entry| entry.path())) {
            let path = path?;
            match path.file_name().map(rotation::split) {
                Some((base, age)) if base == log => files.push((age, path)),
                _ => {}
            }
        }
        files.sort_unstable();
        let mut parts = Vec::new();
        let mut room = bytes_max;
        for (_, path) in files {
            let part = end_of(&path, room)?;
            room = room.saturating_sub(part.len() as u64);
            parts.push(part);
        }
        parts.reverse();
        // A crash may have left a file without a line's end.
        Ok(parts.join(&b'\n'))
    }

    /// The containers that have a log of this name.
    pub(super) fn runs_with(&self, log: &str) -> Vec<Ids> {
        let mut found = Vec::new();
        walk(&self.root, DEPTH_MAX, &mut found);
        let is_log = |path: &&PathBuf| path.file_name().is_some_and(|name| name == log);
        found.iter().filter(is_log).filter_map(|path| self.ids_of(path.parent()?)).collect()
    }

    fn ids_of(&self, run: &Path) -> Option<Ids> {
        let names: Option<Vec<&str>> =
            run.strip_prefix(&self.root).ok()?.iter().map(|name| name.to_str()).collect();
        match names?[..] {
            [
                "slaves",
                agent,
                "frameworks",
                framework,
                "executors",
                executor,
                "runs",
                container,
            ] => {
                let [agent, framework, executor, container] =
                    [agent, framework, executor, container].map(str::to_owned);
                Ids { agent, framework, executor, container }.checked()
            }
            _ => None,
        }
    }
}

/// The whole lines in the last bytes of a file.
fn end_of(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut end = Vec::new();
    let from = size.saturating_sub(bytes_max);
    let mut reader = &file;
    io::Seek::seek(&mut reader, io::SeekFrom::Start(from))?;
    reader.take(bytes_max).read_to_end(&mut end)?;
    if from > 0 {
        let first = memchr::memchr(b'\n', &end).map_or(end.len(), |at| at + 1);
        end.drain(..first);
    }
    Ok(end)
}

/// Renames `log` to `log.1`, that to `log.2`, and so on, the oldest first.
fn rotate(dir: &Path, log: &str) -> io::Result<()> {
    let name = |age: u32| match age {
        0 => dir.join(log),
        age => dir.join(format!("{log}.{age}")),
    };
    let mut free = 1;
    while name(free).symlink_metadata().is_ok() {
        free += 1;
    }
    for age in (0..free).rev() {
        fs::rename(name(age), name(age + 1))?;
    }
    Ok(())
}

/// Whether the last line of a file has no end.
fn is_torn(file: &File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if let Some(at) = size.checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    Ok(last != [b'\n'])
}

/// The files below a directory, links not followed.
pub(super) fn walk(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => walk(&entry.path(), depth - 1, found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

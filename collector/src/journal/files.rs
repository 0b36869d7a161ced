//! The files that entries of the journal go into, and the cursor up to which they are there.
//!
//! With the cursor stand the sizes that the files had then. What a crash leaves in them beyond that
//! comes again after the next start, and as many bytes are passed over: each line is there once.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::record::{Record, Recorded};
use super::tree;
use crate::directory;
use crate::pipe::log::Log;
use crate::pipe::{Settings, Trusted, WhenFull};

/// Files open at once; beyond it the one that got nothing for longest is closed.
/// Fewer in tests: each that is opened makes all of them durable.
pub(super) const OPEN_MAX: usize = if cfg!(test) { 16 } else { 256 };
/// At which size files are rotated, in bytes.
pub(super) const SIZE_MAX: u64 = 10 << 20;
/// How much of one log may wait for its acknowledgement, in bytes.
const KEEP_BYTES_MAX: u64 = 1 << 30;
/// All files together, in bytes.
const TREE_BYTES_MAX: u64 = 1 << 30;

/// Where a log is below the root, and its name.
pub(super) type Key = (PathBuf, &'static str);

/// A log that is written.
pub(super) struct Open {
    pub(super) log: Log,
    /// Bytes that come again.
    pass_over: u64,
    pub(super) used: Instant,
    /// When it was last asked how far it is acknowledged; `None`: not yet.
    pub(super) asked: Option<Instant>,
}

impl Open {
    /// How much of a line is there already. What comes is another line if the journal has lost those that
    /// were to come again: then what is there stays, and the line goes behind it.
    fn pass_over(&mut self, line: &[u8]) -> io::Result<usize> {
        let passed = self.pass_over.min(line.len() as u64) as usize;
        let from = self.log.size().saturating_sub(self.pass_over);
        if self.log.has_at(from, &line[..passed])? {
            self.pass_over -= passed as u64;
            return Ok(passed);
        }
        self.pass_over = 0;
        self.log.end_line()?;
        Ok(0)
    }
}

/// The files of one journal.
pub(super) struct Files {
    pub(super) root: PathBuf,
    pub(super) open: HashMap<Key, Open>,
    /// Logs that are there and not open, and when they were last used or looked at.
    pub(super) closed: HashMap<Key, Instant>,
    /// From before the start, of files that got nothing since.
    recorded: HashMap<(PathBuf, String), Recorded>,
    /// The last entry that is in the files.
    cursor: String,
    saved: String,
    size_max: u64,
    pub(super) tree_bytes_max: u64,
    /// Bytes added since all files were summed up.
    pub(super) unsummed_bytes: u64,
    /// Of files that were removed because all together were too much.
    pub(super) dropped_bytes: u64,
}

impl Files {
    /// Goes on where the last record was written.
    pub(super) fn open(root: &Path, size_max: u64, now: Instant) -> io::Result<Self> {
        directory::create_private(root)?;
        let record = Record::load(root)?;
        let files = record
            .files
            .into_iter()
            .map(|file| ((file.directory.clone(), file.name.clone()), file));
        let mut this = Self {
            root: root.to_owned(),
            open: HashMap::new(),
            closed: tree::files(root).into_iter().map(|file| (file.key, now)).collect(),
            recorded: files.collect(),
            saved: record.cursor.clone(),
            cursor: record.cursor,
            size_max,
            tree_bytes_max: TREE_BYTES_MAX,
            // What an earlier process left is summed up first of all.
            unsummed_bytes: u64::MAX,
            dropped_bytes: 0,
        };
        this.open_recorded(now)?;
        Ok(this)
    }

    /// Opens what was in use when the record was written.
    fn open_recorded(&mut self, now: Instant) -> io::Result<()> {
        let keys: Vec<Key> = self
            .recorded
            .keys()
            .filter_map(|(directory, name)| {
                let name = ["stdout", "stderr"].into_iter().find(|known| known == name)?;
                let is_there = self.root.join(directory).join(name).is_file();
                is_there.then(|| (directory.clone(), name))
            })
            .take(OPEN_MAX)
            .collect();
        for key in keys {
            self.open_log(&key, now)?;
        }
        self.recorded.clear();
        Ok(())
    }

    /// The entry after which the journal is to be read; empty: from its start.
    pub(super) fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Adds an entry's lines to a log.
    pub(super) fn add(
        &mut self,
        key: Key,
        text: &[u8],
        cursor: &[u8],
        now: Instant,
    ) -> io::Result<()> {
        if !self.open.contains_key(&key) {
            self.open_log(&key, now)?;
        }
        let Some(open) = self.open.get_mut(&key) else { return Ok(()) };
        open.used = now;
        let mut line = text.to_vec();
        line.push(b'\n');
        let passed = open.pass_over(&line)?;
        open.log.append(&line[passed..])?;
        self.unsummed_bytes = self.unsummed_bytes.saturating_add((line.len() - passed) as u64);
        let is_due = open.log.size() >= self.size_max;
        self.cursor = String::from_utf8_lossy(cursor).into_owned();
        if is_due {
            // What is recorded is always of the file before or of the one after.
            self.save()?;
            if let Some(open) = self.open.get_mut(&key) {
                open.log.rotate();
            }
            self.save_always()?;
        }
        Ok(())
    }

    /// Opens a log; it is recorded before anything is added to it.
    fn open_log(&mut self, key: &Key, now: Instant) -> io::Result<()> {
        if self.open.len() >= OPEN_MAX
            && let Some(oldest) =
                self.open.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| key.clone())
        {
            self.save()?;
            if let Some(open) = self.open.remove(&oldest).filter(|open| open.pass_over > 0) {
                // What is to come again is still to be known when it is opened for it.
                let recorded = Recorded {
                    directory: oldest.0.clone(),
                    name: oldest.1.to_owned(),
                    inode: open.log.inode()?,
                    size: open.log.size().saturating_sub(open.pass_over),
                };
                self.recorded.insert((oldest.0.clone(), oldest.1.to_owned()), recorded);
            }
            self.closed.insert(oldest, now);
        }
        self.closed.remove(key);
        let (below, name) = key;
        let sandbox = self.root.join(below);
        std::fs::create_dir_all(&sandbox)?;
        let log = Log::open(&self.settings(key), directory::open_root(&sandbox)?)?;
        let recorded = self.recorded.remove(&(below.clone(), (*name).to_owned()));
        let pass_over = match recorded {
            Some(recorded) if recorded.inode == log.inode()? => {
                log.size().saturating_sub(recorded.size)
            }
            Some(_) => log.size(),
            None => 0,
        };
        self.open.insert(key.clone(), Open { log, pass_over, used: now, asked: None });
        self.save_always()
    }

    pub(super) fn settings(&self, (below, name): &Key) -> Settings {
        Settings {
            sandbox: self.root.join(below),
            name,
            size_max: self.size_max,
            keep: 0,
            keep_bytes_max: KEEP_BYTES_MAX,
            when_full: WhenFull::DropOldestOrFail,
            mode: 0o600,
            collectors: Vec::new(),
            trusted: Trusted::Users(Vec::new()),
        }
    }

    /// Makes what was added durable, and then the cursor.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if self.cursor == self.saved {
            return Ok(());
        }
        self.save_always()
    }

    pub(super) fn save_always(&mut self) -> io::Result<()> {
        let mut files: Vec<Recorded> = self.recorded.values().cloned().collect();
        for ((directory, name), open) in &self.open {
            open.log.sync()?;
            files.push(Recorded {
                directory: directory.clone(),
                name: (*name).to_owned(),
                inode: open.log.inode()?,
                size: open.log.size().saturating_sub(open.pass_over),
            });
        }
        let record = Record { cursor: self.cursor.clone(), files };
        record.store(&self.root)?;
        self.saved = record.cursor;
        Ok(())
    }
}

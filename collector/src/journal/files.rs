//! The files that entries of the journal go into, and the cursor up to which they are there.
//!
//! With the cursor stand the sizes that the files had then. What a crash leaves in them beyond that
//! comes again after the next start, and as many bytes are passed over: each line is there once.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::tree;
use crate::pipe::log::Log;
use crate::pipe::{Settings, WhenFull};
use crate::why::AcknowledgedFile;
use crate::{directory, durable};

/// Files open at once; beyond it the one that got nothing for longest is closed.
/// Fewer in tests: each that is opened makes all of them durable.
const OPEN_MAX: usize = if cfg!(test) { 16 } else { 256 };
/// At which size files are rotated, in bytes.
pub(super) const SIZE_MAX: u64 = 10 << 20;
/// How much of one log may wait for its acknowledgement, in bytes.
const KEEP_BYTES_MAX: u64 = 1 << 30;
/// All files together, in bytes.
const TREE_BYTES_MAX: u64 = 1 << 30;
/// How many logs that are not open are looked at each time.
const CLOSED_AT_ONCE: usize = 32;
/// A log that got nothing for so long is removed once it is acknowledged: its container has ended, or
/// begins another file.
const IDLE: Duration = Duration::from_secs(600);

/// What is remembered over a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    cursor: String,
    files: Vec<Recorded>,
}

/// A file as it was when the record was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Recorded {
    directory: PathBuf,
    name: String,
    inode: u64,
    size: u64,
}

type Key = (PathBuf, &'static str);

struct Open {
    log: Log,
    /// Bytes that come again.
    pass_over: u64,
    used: Instant,
}

/// The files of one journal.
pub(super) struct Files {
    root: PathBuf,
    open: HashMap<Key, Open>,
    /// Logs that are there and not open, and when they were last used or looked at.
    closed: HashMap<Key, Instant>,
    /// From before the start, of files that got nothing since.
    recorded: HashMap<(PathBuf, String), Recorded>,
    /// The last entry that is in the files.
    cursor: String,
    saved: String,
    size_max: u64,
    tree_bytes_max: u64,
    /// Of files that were removed because all together were too much.
    dropped_bytes: u64,
}

impl Files {
    /// Goes on where the last record was written.
    pub(super) fn open(root: &Path, size_max: u64, now: Instant) -> io::Result<Self> {
        directory::create_private(root)?;
        let record = match std::fs::read(root.join("cursor")) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(
                    "the journal's cursor is damaged, it is read from its start: {error}"
                );
                Record::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(error),
        };
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
        let passed = open.pass_over.min(text.len() as u64 + 1);
        open.pass_over -= passed;
        let mut line = text.to_vec();
        line.push(b'\n');
        open.log.append(&line[passed as usize..])?;
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
            self.open.remove(&oldest);
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
        self.open.insert(key.clone(), Open { log, pass_over, used: now });
        self.save_always()
    }

    fn settings(&self, (below, name): &Key) -> Settings {
        Settings {
            sandbox: self.root.join(below),
            name,
            size_max: self.size_max,
            keep: 0,
            keep_bytes_max: KEEP_BYTES_MAX,
            when_full: WhenFull::DropOldestOrFail,
            mode: 0o600,
            collectors: Vec::new(),
        }
    }

    /// Makes what was added durable, and then the cursor.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if self.cursor == self.saved {
            return Ok(());
        }
        self.save_always()
    }

    fn save_always(&mut self) -> io::Result<()> {
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
        let bytes = serde_json::to_vec(&record)?;
        durable::replace(&self.root.join("cursor"), &bytes)?;
        self.saved = record.cursor;
        Ok(())
    }

    /// Asks how far logs are acknowledged that have rotated files or got nothing for long, removes
    /// what need not stay, and what is beyond the limit of all files.
    pub(super) fn tidy(
        &mut self,
        now: Instant,
        ask: impl Fn(PathBuf) -> Vec<AcknowledgedFile>,
    ) -> io::Result<()> {
        let mut over = Vec::new();
        for (key, open) in &mut self.open {
            let is_idle = now.saturating_duration_since(open.used) >= IDLE;
            if !is_idle && !open.log.rotated.is_anything_awaited() {
                continue;
            }
            let known = ask(self.root.join(&key.0).join(key.1));
            if is_over(&mut open.log, &known)? && is_idle {
                over.push(key.clone());
            }
        }
        for key in &over {
            self.open.remove(key);
        }
        if !over.is_empty() {
            self.save_always()?;
        }
        over.extend(self.closed_over(now, ask)?);
        for key in over {
            self.remove(&key)?;
        }
        self.keep_within_limit()
    }

    /// The logs that are not open any more and of no more use. Of the idle ones a few are looked at
    /// each time, and again after as long a time.
    fn closed_over(
        &mut self,
        now: Instant,
        ask: impl Fn(PathBuf) -> Vec<AcknowledgedFile>,
    ) -> io::Result<Vec<Key>> {
        let idle =
            self.closed.iter().filter(|(_, used)| now.saturating_duration_since(**used) >= IDLE);
        let idle: Vec<Key> = idle.map(|(key, _)| key.clone()).take(CLOSED_AT_ONCE).collect();
        let mut over = Vec::new();
        for key in idle {
            let sandbox = self.root.join(&key.0);
            let Ok(directory) = directory::open_root(&sandbox) else {
                self.closed.remove(&key);
                continue;
            };
            let mut log = Log::open(&self.settings(&key), directory)?;
            if is_over(&mut log, &ask(sandbox.join(key.1)))? {
                self.closed.remove(&key);
                over.push(key);
            } else {
                self.closed.insert(key, now);
            }
        }
        Ok(over)
    }

    /// Removes a log's last file, and the directories that nothing is in any more.
    fn remove(&self, (directory, name): &Key) -> io::Result<()> {
        std::fs::remove_file(self.root.join(directory).join(name))?;
        let mut empty = directory.ancestors().filter(|path| !path.as_os_str().is_empty());
        while empty.next().is_some_and(|path| std::fs::remove_dir(self.root.join(path)).is_ok()) {}
        Ok(())
    }

    /// Removes the oldest files beyond the limit. Lines that were not read are lost, which the
    /// collector counts.
    fn keep_within_limit(&mut self) -> io::Result<()> {
        let beyond = tree::beyond(tree::files(&self.root), self.tree_bytes_max);
        if beyond.is_empty() {
            return Ok(());
        }
        let mut dropped = 0;
        for file in &beyond {
            if file.is_rotated {
                std::fs::remove_file(&file.path)?;
            } else {
                self.open.remove(&file.key);
                self.save_always()?;
                self.remove(&file.key)?;
            }
            dropped += file.size;
        }
        for open in self.open.values_mut() {
            open.log.rotated.forget_removed();
        }
        self.dropped_bytes += dropped;
        tracing::warn!(
            bytes = dropped,
            in_all = self.dropped_bytes,
            "the journal's oldest files were removed: all together took more than {} bytes",
            self.tree_bytes_max
        );
        Ok(())
    }
}

/// Takes in how far a log is acknowledged; whether nothing of it need stay.
fn is_over(log: &mut Log, known: &[AcknowledgedFile]) -> io::Result<bool> {
    let (inode, size) = (log.inode()?, log.size());
    log.acknowledged(known);
    let is_stored = |file: &AcknowledgedFile| file.inode == inode && file.acknowledged >= size;
    Ok(log.rotated.is_empty() && known.iter().any(is_stored))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The journal: entry `n` is a line of one of two logs, its cursor is `n`.
    fn add(files: &mut Files, n: usize) {
        let key = (PathBuf::from(format!("runs/c{}", n % 2)), "stdout");
        let text = format!("line {n}");
        files.add(key, text.as_bytes(), n.to_string().as_bytes(), Instant::now()).expect("added");
    }

    /// All files of a log, the oldest first.
    fn content(root: &Path, log: usize) -> String {
        let directory = root.join(format!("runs/c{log}"));
        let path = |n: u32| directory.join(format!("stdout.{n}"));
        let mut rotated = (1..).map(path).take_while(|path| path.exists()).collect::<Vec<_>>();
        rotated.reverse();
        rotated.push(directory.join("stdout"));
        rotated.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// It may end anywhere between two saves, and goes on behind the cursor: no line is missing
        /// and none is there twice.
        #[test]
        fn each_line_is_there_once_whenever_it_ends(
            steps in prop::collection::vec(prop_oneof![8 => Just(0), 2 => Just(1), 1 => Just(2)], 1..60),
        ) {
            let temp = tempfile::tempdir().expect("temp dir");
            let open = || Files::open(temp.path(), 40, Instant::now()).expect("opened");
            let mut files = open();
            let (mut n, mut most) = (0, 0);
            for step in steps {
                match step {
                    0 => {
                        add(&mut files, n);
                        n += 1;
                        most = most.max(n);
                    }
                    1 => files.save().expect("saved"),
                    _ => {
                        files = open();
                        n = files.cursor().parse::<usize>().map_or(0, |last| last + 1);
                    }
                }
            }
            for n in n..most {
                add(&mut files, n);
            }
            for log in 0..2 {
                let lines = (0..most).filter(|n| n % 2 == log).map(|n| format!("line {n}\n"));
                prop_assert_eq!(content(temp.path(), log), lines.collect::<String>());
            }
        }
    }

    #[test]
    fn what_is_acknowledged_and_idle_goes_with_its_directories() {
        let temp = tempfile::tempdir().expect("temp dir");
        let mut files = Files::open(temp.path(), 40, Instant::now()).expect("opened");
        add(&mut files, 0);
        add(&mut files, 1);
        let file = temp.path().join("runs/c0/stdout");
        let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().expect("stat"));
        let known =
            |acknowledged| vec![AcknowledgedFile { device: 0, inode, birth_time: 0, acknowledged }];
        files.tidy(Instant::now(), |_| known(7)).expect("tidied");
        let later = Instant::now() + IDLE;
        files.tidy(later, |_| known(6)).expect("tidied");
        assert!(file.exists());
        files.tidy(later, |_| known(7)).expect("tidied");
        assert!(!temp.path().join("runs/c0").exists());
        assert!(temp.path().join("runs/c1/stdout").exists());
    }

    #[test]
    fn logs_that_were_closed_are_tidied_as_well() {
        let temp = tempfile::tempdir().expect("temp dir");
        let now = Instant::now();
        let mut files = Files::open(temp.path(), 40, now).expect("opened");
        for n in 0..=OPEN_MAX {
            let key = (PathBuf::from(format!("runs/c{n}")), "stdout");
            let used = now + Duration::from_millis(n as u64);
            files.add(key, b"line", n.to_string().as_bytes(), used).expect("added");
        }
        let first = temp.path().join("runs/c0/stdout");
        let inode = std::os::unix::fs::MetadataExt::ino(&first.metadata().expect("stat"));
        let known = |_: PathBuf| {
            vec![AcknowledgedFile { device: 0, inode, birth_time: 0, acknowledged: 5 }]
        };
        files.tidy(now + IDLE / 2, known).expect("tidied");
        assert!(files.open.len() == OPEN_MAX && first.exists());
        // Also by a process that did not close it.
        let mut files = Files::open(temp.path(), 40, now).expect("opened");
        files.tidy(now + IDLE, known).expect("tidied");
        assert!(!temp.path().join("runs/c0").exists());
        assert!(temp.path().join("runs/c1/stdout").exists());
    }

    #[test]
    fn all_together_stay_within_the_limit_and_the_oldest_rotated_go_first() {
        let temp = tempfile::tempdir().expect("temp dir");
        let mut files = Files::open(temp.path(), 40, Instant::now()).expect("opened");
        for n in 0..40 {
            add(&mut files, n);
        }
        files.tree_bytes_max = 100;
        files.tidy(Instant::now(), |_| Vec::new()).expect("tidied");
        let left = tree::files(temp.path());
        assert!(left.iter().map(|file| file.size).sum::<u64>() <= 100);
        assert_eq!(left.iter().filter(|file| !file.is_rotated).count(), 2, "what is written stays");
        let all: u64 = (0..40).map(|n| format!("line {n}\n").len() as u64).sum();
        assert_eq!(all - files.dropped_bytes, left.iter().map(|file| file.size).sum::<u64>());
        files.tree_bytes_max = 0;
        files.tidy(Instant::now(), |_| Vec::new()).expect("tidied");
        assert!(tree::files(temp.path()).is_empty());
        add(&mut files, 40);
        assert_eq!(content(temp.path(), 0), "line 40\n");
    }
}

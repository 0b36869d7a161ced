//! How far each file is acknowledged, kept in one append-only file of fixed-size records.
//!
//! The file `checkpoints` is a header and then records, each the newest word on its file. It is
//! never refused: a damaged or torn record costs that record, whose file is then read again from an
//! older offset; the store removes what it already holds. Beside it `generations` keeps what names the
//! bytes ([`History`]), and `begun` of which files no checkpoint tells yet ([`Begun`]).

mod begun;
#[cfg(test)]
pub(crate) mod fuzz_tests;
mod history;
mod record;
mod record_log;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::Path;

use sawlog_transport::{FileIdentity, StreamId};

pub(crate) use begun::Begun;
use begun::tells_of;
pub(crate) use history::{Before, GenerationRef, History};
pub(crate) use record::{Progress, StreamClock};
use record::{RECORD_BYTES, decode, encode};
use record_log::{Opened, RecordLog};

/// The first record of the file: magic and version, then zeros.
const MAGIC: &[u8; 16] = b"sawlog ckpt v1\n\0";

/// A file longer than this, of which less than a quarter is still true, is written anew.
const COMPACT_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// How long a file that is no longer seen is remembered: its disk may come back.
const GONE_FOR_MAX: i64 = 14 * 24 * 3600 * 1_000_000_000;

/// The most files remembered (some 40 MiB); beyond it those gone for longest are forgotten.
const ENTRIES_MAX: usize = 200_000;

/// Files that were deleted are remembered a while longer: a compressed copy may turn up. So many.
const DELETED_MAX: usize = 4096;

/// What is remembered of one file.
#[derive(Clone, Copy, Debug)]
struct Entry {
    progress: Progress,
    /// Counts the changes of all entries; later ones are newer.
    sequence: u64,
    /// When it was last written or its file last seen: nanoseconds since the epoch.
    seen_at: i64,
}

/// The checkpoints of one collector.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    log: RecordLog<RECORD_BYTES>,
    pub history: History,
    pub begun: Begun,
    entries: HashMap<FileIdentity, Entry>,
    /// The newest clock of each stream, with its sequence.
    clocks: HashMap<StreamId, (u64, StreamClock)>,
    /// Which file had an inode number last, by file system and number.
    inodes: HashMap<([u8; 16], u64), FileIdentity>,
    changed: HashSet<FileIdentity>,
    /// Deleted files, those that were deleted first in front.
    deleted: VecDeque<FileIdentity>,
    sequence: u64,
    /// Records that could not be read when the file was opened.
    damaged: u64,
}

impl Checkpoints {
    /// Opens `checkpoints`, `generations` and `begun` in `data_dir`, or begins them.
    ///
    /// # Errors
    /// A file cannot be read or created. Damaged content is no error.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("checkpoints");
        let is_there = path.is_file();
        let Opened { log, records, damaged } = RecordLog::open(&path, MAGIC)?;
        let history = History::open(data_dir)?;
        let begun = Begun::open(data_dir)?;
        let mut this = Self {
            log,
            damaged: damaged + history.damaged() + begun.damaged(),
            history,
            begun,
            entries: HashMap::new(),
            clocks: HashMap::new(),
            inodes: HashMap::new(),
            changed: HashSet::new(),
            deleted: VecDeque::new(),
            sequence: 0,
        };
        for bytes in &records {
            this.load(bytes);
        }
        this.begun.keep_unsettled(is_there && this.damaged == 0);
        Ok(this)
    }

    fn load(&mut self, bytes: &[u8; RECORD_BYTES]) {
        match decode(bytes) {
            Some((progress, seen_at)) => {
                self.begun.settle(&progress);
                self.put(progress, seen_at);
            }
            None => self.damaged += 1,
        }
    }

    fn put(&mut self, progress: Progress, seen_at: i64) {
        self.sequence += 1;
        let entry = Entry { progress, sequence: self.sequence, seen_at };
        self.entries.insert(progress.file, entry);
        let FileIdentity { file_system, inode, .. } = progress.file;
        self.inodes.insert((file_system, inode), progress.file);
        self.clocks.insert(progress.stream, (self.sequence, progress.clock));
    }

    #[cfg(test)]
    pub(crate) fn refuse_writes(&mut self, refuse: bool) {
        self.log.refuse_writes(refuse);
        self.history.refuse_writes(refuse);
        self.begun.refuse_writes(refuse);
    }

    /// Records that were damaged when the file was opened.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// How far a file is acknowledged.
    pub(crate) fn get(&self, file: &FileIdentity) -> Option<&Progress> {
        self.entries.get(file).map(|entry| &entry.progress)
    }

    /// Whether a compressed file was read to its end, and not written since (nanoseconds since the
    /// epoch).
    pub(crate) fn is_finished_since(&self, file: &FileIdentity, modified: i64) -> bool {
        let entry = self.entries.get(file);
        entry.is_some_and(|entry| entry.progress.finished && modified < entry.seen_at)
    }

    /// Files are about to be sent up to here; of those of which no checkpoint tells, it is remembered.
    /// Durable after the next flush of [`Begun`].
    pub(crate) fn note_begun(&mut self, progress: &[Progress], now: i64) {
        for one in progress.iter().filter(|one| one.offset > 0) {
            // Until that is durable more may be stored than what was begun tells.
            let is_told = self.get(&one.file).is_some_and(|known| tells_of(known, one));
            if !is_told || self.begun.has(&one.file) {
                self.begun.note(one, now);
            }
        }
    }

    /// What a stream's times were when it was last acknowledged.
    pub(crate) fn clock(&self, stream: StreamId) -> StreamClock {
        self.clocks.get(&stream).map(|(_, clock)| *clock).unwrap_or_default()
    }

    /// A file was acknowledged further. Durable after the next [`Self::flush`].
    pub(crate) fn advance(&mut self, progress: Progress, now: i64) {
        self.put(progress, now);
        self.changed.insert(progress.file);
    }

    /// Something else became known of a file than that more of it is acknowledged. Durable after the
    /// next [`Self::flush`].
    ///
    /// Its record is then the last one of its stream, whatever was acknowledged since of newer files:
    /// it takes over what is remembered of the stream.
    pub(crate) fn amend(
        &mut self,
        file: &FileIdentity,
        now: i64,
        change: impl FnOnce(&mut Progress),
    ) {
        let Some(mut progress) = self.get(file).copied() else { return };
        change(&mut progress);
        progress.clock = self.clock(progress.stream);
        self.advance(progress, now);
    }

    /// The file that had this one's inode number when it was last read, if it is another one.
    pub(crate) fn predecessor(&self, file: &FileIdentity) -> Option<&FileIdentity> {
        self.inodes.get(&(file.file_system, file.inode)).filter(|known| *known != file)
    }

    /// How far a file is acknowledged of which only this is known; `birth_time` is nanoseconds since
    /// the epoch, 0 where the file system keeps none.
    pub(crate) fn of_inode(
        &self,
        file_system: [u8; 16],
        inode: u64,
        birth_time: i64,
    ) -> Option<&Progress> {
        let file = self.inodes.get(&(file_system, inode))?;
        if birth_time == 0 || file.birth_time != birth_time { None } else { self.get(file) }
    }

    /// All files of a stream, the one that was acknowledged last first.
    pub(crate) fn of_stream(&self, stream: StreamId) -> Vec<&Progress> {
        let all = self.entries.values();
        let mut found: Vec<&Entry> = all.filter(|entry| entry.progress.stream == stream).collect();
        found.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.sequence));
        found.into_iter().map(|entry| &entry.progress).collect()
    }

    /// The file is gone for ever. What is known of it may still tell that another file is its
    /// compressed copy, so that it is forgotten only after many others.
    pub(crate) fn forget(&mut self, file: &FileIdentity) {
        self.deleted.push_back(*file);
        // Without either of these the next file with this inode number would be taken for it.
        let is_unmistakable = file.inode_generation != 0 || file.birth_time != 0;
        let forgotten = if !is_unmistakable {
            self.deleted.pop_back()
        } else if self.deleted.len() > DELETED_MAX {
            self.deleted.pop_front()
        } else {
            None
        };
        if let Some(file) = forgotten {
            self.entries.remove(&file);
            self.changed.remove(&file);
            self.begun.forget(&file);
            let inode = (file.file_system, file.inode);
            if self.inodes.get(&inode) == Some(&file) {
                self.inodes.remove(&inode);
            }
        }
    }

    /// Whether anything waits for [`Self::flush`].
    pub(crate) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Appends what changed, and makes it durable.
    ///
    /// # Errors
    /// Nothing is lost then: the next call writes it again.
    pub(crate) fn flush(&mut self, now: i64) -> io::Result<()> {
        let mut changed: Vec<&Entry> =
            self.changed.iter().filter_map(|file| self.entries.get(file)).collect();
        changed.sort_unstable_by_key(|entry| entry.sequence);
        let mut bytes = Vec::with_capacity(changed.len() * RECORD_BYTES);
        for entry in changed {
            bytes.extend_from_slice(&encode(&entry.progress, now));
        }
        self.log.append(&bytes)?;
        for file in self.changed.drain() {
            if let Some(entry) = self.entries.get(&file) {
                self.begun.settle(&entry.progress);
            }
        }
        fail::fail_point!("collector::checkpoint_written");
        Ok(())
    }

    /// Whether most of the file is stale, or too much is remembered.
    pub(crate) fn is_compaction_due(&self) -> bool {
        let length = self.log.length();
        let stale = length > (self.entries.len() as u64 + 1) * RECORD_BYTES as u64 * 4;
        (length > COMPACT_BYTES_MIN && stale)
            || self.entries.len() > ENTRIES_MAX
            || self.history.is_compaction_due()
    }

    /// Writes the file anew, without files that were not seen for two weeks. `present` tells which
    /// files exist now.
    ///
    /// # Errors
    /// The old file stays in use.
    pub(crate) fn compact(
        &mut self,
        now: i64,
        present: impl Fn(&FileIdentity) -> bool,
    ) -> io::Result<()> {
        self.history.compact(now, &present)?;
        for (file, entry) in &mut self.entries {
            if present(file) {
                entry.seen_at = now;
            }
        }
        self.entries.retain(|_, entry| now.saturating_sub(entry.seen_at) <= GONE_FOR_MAX);
        let mut entries: Vec<Entry> = self.entries.values().copied().collect();
        if entries.len() > ENTRIES_MAX {
            entries
                .sort_unstable_by_key(|entry| std::cmp::Reverse((entry.seen_at, entry.sequence)));
            entries.truncate(ENTRIES_MAX * 9 / 10);
            self.entries = entries.iter().map(|entry| (entry.progress.file, *entry)).collect();
        }
        entries.sort_unstable_by_key(|entry| entry.sequence);
        self.keep_clocks(&mut entries);
        entries.iter().for_each(|entry| self.begun.settle(&entry.progress));
        // Before the checkpoints that ended what was begun are dropped.
        self.begun.compact(now)?;
        self.rewrite(&entries)
    }

    /// A stream's newest file may be one of those that are forgotten: what is remembered of the
    /// stream then goes to the newest that stays.
    fn keep_clocks(&mut self, entries: &mut [Entry]) {
        let mut newest = self.clocks.clone();
        for entry in entries.iter_mut().rev() {
            let Some((_, clock)) = newest.remove(&entry.progress.stream) else { continue };
            entry.progress.clock = clock;
            self.entries.insert(entry.progress.file, *entry);
        }
    }

    fn rewrite(&mut self, entries: &[Entry]) -> io::Result<()> {
        // Twice, and far apart: one bad record or page must not cost a whole file.
        let mut bytes = Vec::with_capacity(2 * entries.len() * RECORD_BYTES);
        for entry in entries.iter().chain(entries) {
            bytes.extend_from_slice(&encode(&entry.progress, entry.seen_at));
        }
        self.log.replace(&bytes)?;
        self.changed.clear();
        (self.clocks, self.inodes) = (HashMap::new(), HashMap::new());
        for entry in entries {
            let FileIdentity { file_system, inode, .. } = entry.progress.file;
            self.inodes.insert((file_system, inode), entry.progress.file);
            self.clocks.insert(entry.progress.stream, (entry.sequence, entry.progress.clock));
        }
        Ok(())
    }
}

#[cfg(test)]
mod damage_tests;

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    use super::record::tests::progress;
    use super::*;

    const DAY: i64 = 24 * 3600 * 1_000_000_000;

    fn offset(checkpoints: &Checkpoints, inode: u64) -> Option<u64> {
        checkpoints.get(&progress(inode, 0).file).map(|progress| progress.offset)
    }

    /// Three files at two offsets each, written one after the other.
    fn written(dir: &Path) -> PathBuf {
        let mut checkpoints = Checkpoints::open(dir).expect("open");
        for at in [10, 20] {
            for inode in 1..=3 {
                checkpoints.advance(progress(inode, at), 0);
                checkpoints.flush(0).expect("flush");
            }
        }
        dir.join("checkpoints")
    }

    #[test]
    fn the_newest_record_of_a_file_counts() {
        let dir = tempfile::tempdir().expect("temp dir");
        written(dir.path());
        let checkpoints = Checkpoints::open(dir.path()).expect("open");
        assert_eq!(offset(&checkpoints, 2), Some(20));
        assert_eq!(checkpoints.get(&progress(2, 0).file), Some(&progress(2, 20)));
        assert_eq!(checkpoints.clock(StreamId(2)), progress(2, 20).clock);
        assert_eq!((offset(&checkpoints, 4), checkpoints.damaged()), (None, 0));
    }

    #[test]
    fn the_files_of_a_stream_come_newest_first() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut checkpoints = Checkpoints::open(dir.path()).expect("open");
        let stream = progress(1, 0).stream;
        for inode in [4, 9, 2, 7, 9] {
            checkpoints.advance(Progress { stream, ..progress(inode, 5) }, 0);
        }
        checkpoints.advance(Progress { stream: StreamId(99), ..progress(5, 5) }, 0);
        let found = checkpoints.of_stream(stream).into_iter().map(|one| one.file.inode);
        assert_eq!(found.collect::<Vec<_>>(), [9, 7, 2, 4]);
    }

    #[test]
    fn a_torn_tail_costs_the_last_record_and_is_overwritten() {
        for cut in [1, 64, RECORD_BYTES as u64 - 1] {
            let dir = tempfile::tempdir().expect("temp dir");
            let path = written(dir.path());
            let file = OpenOptions::new().write(true).open(&path).expect("open");
            file.set_len(file.metadata().expect("stat").len() - cut).expect("cut");
            let mut checkpoints = Checkpoints::open(dir.path()).expect("open");
            assert_eq!((offset(&checkpoints, 2), offset(&checkpoints, 3)), (Some(20), Some(10)));
            assert_eq!(checkpoints.damaged(), 1);
            checkpoints.advance(progress(3, 30), 0);
            checkpoints.flush(0).expect("flush");
            let checkpoints = Checkpoints::open(dir.path()).expect("open");
            assert_eq!((offset(&checkpoints, 3), checkpoints.damaged()), (Some(30), 0));
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_record() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = written(dir.path());
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[5 * RECORD_BYTES + 77] ^= 4;
        std::fs::write(&path, &bytes).expect("write");
        let checkpoints = Checkpoints::open(dir.path()).expect("open");
        let offsets = [1, 2, 3].map(|inode| offset(&checkpoints, inode));
        assert_eq!(offsets, [Some(20), Some(10), Some(20)]);
        assert_eq!(checkpoints.damaged(), 1);
    }

    #[test]
    fn another_file_is_moved_aside() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("checkpoints"), "something else").expect("write");
        let mut checkpoints = Checkpoints::open(dir.path()).expect("open");
        checkpoints.advance(progress(1, 5), 0);
        checkpoints.flush(0).expect("flush");
        let aside = std::fs::read(dir.path().join("checkpoints.damaged")).expect("aside");
        assert_eq!(aside, b"something else");
        assert_eq!(offset(&Checkpoints::open(dir.path()).expect("open"), 1), Some(5));
    }

    #[test]
    fn compaction_keeps_what_is_true_and_drops_what_is_long_gone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = written(dir.path());
        let mut checkpoints = Checkpoints::open(dir.path()).expect("open");
        checkpoints.advance(progress(3, 40), 10 * DAY);
        let present = |file: &FileIdentity| file.inode == 1;
        checkpoints.compact(15 * DAY, present).expect("compact");
        assert!(!checkpoints.is_changed());
        let bytes = std::fs::metadata(&path).expect("stat").len();
        assert_eq!(bytes, 5 * RECORD_BYTES as u64, "two files, each twice");
        checkpoints.advance(progress(4, 1), 15 * DAY);
        checkpoints.flush(15 * DAY).expect("flush");
        let checkpoints = Checkpoints::open(dir.path()).expect("open");
        let offsets = [1, 2, 3, 4].map(|inode| offset(&checkpoints, inode));
        assert_eq!(offsets, [Some(20), None, Some(40), Some(1)]);
        assert_eq!(checkpoints.damaged(), 0);
    }

    #[test]
    fn a_stale_file_is_due_for_compaction() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut checkpoints = Checkpoints::open(dir.path()).expect("open");
        for round in 0..COMPACT_BYTES_MIN / (2048 * RECORD_BYTES as u64) {
            assert!(!checkpoints.is_compaction_due());
            for inode in 0..2048 {
                checkpoints.advance(progress(inode, round), 0);
            }
            checkpoints.flush(0).expect("flush");
        }
        assert!(checkpoints.is_compaction_due());
    }
}

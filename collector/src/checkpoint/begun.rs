//! Files that were begun and of which no checkpoint tells yet: what was sent of them may be stored already,
//! and names a compressed file that turns up after a crash in their place.
//!
//! The file `begun` holds records as `checkpoints` does: each tells up to where a file was about to be sent,
//! and that nothing of it was acknowledged. A file's first acknowledgement ends that.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use sawlog_transport::{FileIdentity, StreamId};

use super::GONE_FOR_MAX;
use super::record::{Progress, RECORD_BYTES, decode, encode};
use super::record_log::{Opened, RecordLog};

const MAGIC: &[u8; 16] = b"sawlog begn v1\n\0";

/// A file longer than this, of which less than half is still true, is written anew.
const COMPACT_BYTES_MIN: u64 = 1024 * 1024;
/// The most files remembered (some 10 MiB); no more are begun to be remembered beyond it.
const ENTRIES_MAX: usize = 50_000;

/// Files for which there stays room once all are settled.
const KEPT_CAPACITY: usize = 1024;

/// What was sent of files of which nothing was acknowledged.
#[derive(Debug)]
pub(crate) struct Begun {
    log: RecordLog<RECORD_BYTES>,
    /// With when each was written: nanoseconds since the epoch.
    entries: HashMap<FileIdentity, (Progress, i64)>,
    changed: HashSet<FileIdentity>,
    damaged: u64,
}

impl Begun {
    /// Opens `begun` in `data_dir`, or begins it.
    ///
    /// # Errors
    /// The file cannot be read or created. Damaged content is no error.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let Opened { log, records, mut damaged } = RecordLog::open(&data_dir.join("begun"), MAGIC)?;
        let mut entries = HashMap::new();
        for record in &records {
            match decode(record) {
                Some((progress, written_at)) => {
                    entries.insert(progress.file, (progress, written_at));
                }
                None => damaged += 1,
            }
        }
        Ok(Self { log, entries, changed: HashSet::new(), damaged })
    }

    #[cfg(test)]
    pub(super) fn refuse_writes(&mut self, refuse: bool) {
        self.log.refuse_writes(refuse);
    }

    /// Records that were damaged when the file was opened.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// A file is about to be sent up to here. Durable after the next [`Self::flush`].
    pub(super) fn note(&mut self, progress: &Progress, now: i64) {
        if self.entries.len() < ENTRIES_MAX || self.entries.contains_key(&progress.file) {
            self.entries.insert(progress.file, (*progress, now));
            self.changed.insert(progress.file);
        }
    }

    /// A checkpoint tells of the file.
    pub(super) fn settle(&mut self, known: &Progress) {
        let begun = self.entries.get(&known.file);
        if begun.is_some_and(|(begun, _)| tells_of(known, begun)) {
            self.entries.remove(&known.file);
            self.changed.remove(&known.file);
        }
        if self.entries.is_empty() && self.entries.capacity() > KEPT_CAPACITY {
            // Thousands of files that begin at once leave no room behind that nobody needs.
            self.entries.shrink_to(KEPT_CAPACITY);
            self.changed.shrink_to(KEPT_CAPACITY);
        }
    }

    /// The file is gone for ever.
    pub(super) fn forget(&mut self, file: &FileIdentity) {
        self.entries.remove(file);
        self.changed.remove(file);
    }

    /// Whether a file was begun and no durable checkpoint tells of it.
    pub(super) fn has(&self, file: &FileIdentity) -> bool {
        self.entries.contains_key(file)
    }

    /// After a start: writes the file anew, without what was settled. Its records would come back once the
    /// checkpoints have forgotten their files, and give old names to new bytes. For that reason nothing is
    /// kept where checkpoints are gone or damaged (`is_sound`): some lines may come twice then.
    pub(super) fn keep_unsettled(&mut self, is_sound: bool) {
        if !is_sound {
            self.entries.clear();
        }
        if self.log.length() > (self.entries.len() * RECORD_BYTES + MAGIC.len()) as u64
            && let Err(error) = self.compact(i64::MIN)
        {
            tracing::warn!("cannot write 'begun' anew, it is tried again later: {error}");
        }
    }

    /// All files of a stream.
    pub(crate) fn of_stream(&self, stream: StreamId) -> impl Iterator<Item = &Progress> {
        self.entries.values().map(|(begun, _)| begun).filter(move |begun| begun.stream == stream)
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
        let live = (self.entries.len() + 1) * RECORD_BYTES;
        if self.log.length() > COMPACT_BYTES_MIN.max(2 * live as u64) {
            self.compact(now)?;
        } else {
            let changed = self.changed.iter().filter_map(|file| self.entries.get(file));
            self.log.append(&encoded(changed))?;
        }
        self.changed.clear();
        Ok(())
    }

    /// Writes the file anew, without files that were begun two weeks ago.
    ///
    /// # Errors
    /// It stays as it was.
    pub(super) fn compact(&mut self, now: i64) -> io::Result<()> {
        self.entries.retain(|_, (_, at)| now.saturating_sub(*at) <= GONE_FOR_MAX);
        self.log.replace(&encoded(self.entries.values()))
    }
}

fn encoded<'a>(entries: impl Iterator<Item = &'a (Progress, i64)>) -> Vec<u8> {
    entries.flat_map(|(progress, written_at)| encode(progress, *written_at)).collect()
}

/// Whether a checkpoint tells of what was begun: where nothing was acknowledged it has nothing by which
/// another file could be known.
pub(super) fn tells_of(known: &Progress, begun: &Progress) -> bool {
    known.truncations > begun.truncations
        || (known.truncations == begun.truncations && known.offset > 0)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::progress;
    use super::*;

    fn offsets(begun: &Begun) -> Vec<u64> {
        let mut all: Vec<u64> = begun.entries.values().map(|(begun, _)| begun.offset).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_newest_word_on_a_file_survives_and_an_acknowledgement_ends_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut begun = Begun::open(dir.path()).expect("open");
        for (inode, offset) in [(1, 10), (1, 20), (2, 30), (3, 40)] {
            begun.note(&progress(inode, offset), 0);
            begun.flush(0).expect("flush");
            assert!(!begun.is_changed());
        }
        begun.settle(&progress(2, 0));
        assert_eq!(offsets(&begun), [20, 30, 40], "nothing was acknowledged");
        begun.settle(&progress(2, 5));
        assert_eq!(offsets(&begun), [20, 40]);
        assert_eq!(begun.of_stream(StreamId(3)).count(), 1);
        begun.settle(&Progress { truncations: 1, ..progress(3, 0) });
        assert_eq!(offsets(&begun), [20]);
        let begun = Begun::open(dir.path()).expect("open");
        assert_eq!(offsets(&begun), [20, 30, 40], "the checkpoints tell of the others");

        let path = dir.path().join("begun");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[2 * RECORD_BYTES + 50] ^= 1;
        std::fs::write(&path, &bytes[..bytes.len() - 3]).expect("write");
        let begun = Begun::open(dir.path()).expect("open");
        assert_eq!((offsets(&begun), begun.damaged()), (vec![10, 30], 2));
    }

    #[test]
    fn what_was_settled_does_not_come_back_with_a_start() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut begun = Begun::open(dir.path()).expect("open");
        for inode in [1, 2] {
            begun.note(&progress(inode, 10), 0);
        }
        begun.flush(0).expect("flush");
        for expected in [vec![10], vec![10]] {
            let mut begun = Begun::open(dir.path()).expect("open");
            begun.settle(&progress(1, 30));
            begun.keep_unsettled(true);
            assert_eq!(offsets(&begun), expected);
            assert_eq!(
                offsets(&Begun::open(dir.path()).expect("open")),
                expected,
                "on the disk too"
            );
        }
        let mut begun = Begun::open(dir.path()).expect("open");
        begun.keep_unsettled(false);
        assert_eq!(offsets(&Begun::open(dir.path()).expect("open")), [0; 0], "nobody knows");
    }

    #[test]
    fn it_stays_small() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut begun = Begun::open(dir.path()).expect("open");
        let mut longest = 0;
        for round in 0..100 {
            for inode in 0..200 {
                begun.note(&progress(inode, round + 1), round as i64);
            }
            begun.flush(round as i64).expect("flush");
            longest = longest.max(begun.log.length());
        }
        assert!(longest > COMPACT_BYTES_MIN, "{longest}");
        assert!(longest < COMPACT_BYTES_MIN + 201 * RECORD_BYTES as u64, "{longest}");
        assert_eq!(offsets(&Begun::open(dir.path()).expect("open")), vec![100; 200]);
        begun.note(&progress(500, 1), GONE_FOR_MAX + 100);
        begun.compact(GONE_FOR_MAX + 100).expect("compact");
        assert_eq!(offsets(&Begun::open(dir.path()).expect("open")), [1], "the others are old");
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut begun = Begun::open(dir.path()).expect("open");
        for inode in 0..ENTRIES_MAX as u64 + 10 {
            begun.note(&progress(inode, 1), 0);
        }
        begun.note(&progress(0, 7), 0);
        assert_eq!(begun.entries.len(), ENTRIES_MAX);
        assert_eq!(begun.of_stream(StreamId(0)).next().map(|begun| begun.offset), Some(7));
    }
}

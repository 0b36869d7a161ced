//! One open log file: what it is, how far it was read, and whether it may still grow.

mod generations;
mod marks;
mod probe;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use sawlog_transport::run::{Piece, PieceKind};
use sawlog_transport::{FileIdentity, GenerationId, StreamId};

use crate::checkpoint::{Progress, StreamClock};
use crate::clock::Now;
use crate::gz::Gz;
use crate::identity::{Facts, InodeKey, facts};
use crate::rotation::Age;
use crate::tail_hash::{PrefixHash, TailHash};
use crate::why::{Decisions, Waits};

pub(crate) use generations::{Copied, Ended, Observed};
pub(crate) use marks::Marks;
use probe::Probe;

/// A file of a stream, held open: its descriptor stays good through renames and deletion.
#[derive(Debug)]
pub(crate) struct TailFile {
    pub file: File,
    /// The name it has now; `None` once it was renamed away or deleted.
    pub name: Option<(OsString, Age)>,
    pub identity: FileIdentity,
    pub truncations: u64,
    /// Whose bytes these are: the file's own generation, or that of which it is a copy.
    pub generation: GenerationId,
    pub copy: Copied,
    /// Its bytes are compressed: sizes and offsets are those of what they inflate to.
    pub gz: Option<RefCell<Gz>>,
    /// Where it stood, until it is inflated.
    stood_at: Option<Progress>,
    /// Whether it was compared with its original since it was opened.
    pub is_compared: bool,
    /// Generations that were truncated away, the oldest first. Until it is known what became of their
    /// bytes, the file is not read.
    pub ended: Vec<Ended>,
    /// How often it had been truncated when it was last declared what became of its bytes.
    pub accounted: u64,
    /// The generation before this one, and up to where its bytes are accounted for.
    pub before: Option<(GenerationId, u64)>,
    /// As last looked at.
    pub facts: Facts,
    /// Whether the file changed since it was last observed, of which the facts then tell already.
    is_unobserved: bool,
    /// When size or modification time was last seen to change (monotonic).
    pub changed_at: Duration,
    /// The largest size that was seen of this generation, in bytes.
    pub size_seen: u64,
    /// Everything before it was handed on.
    pub read_to: u64,
    /// No line ends between `read_to` and here.
    pub scanned_to: u64,
    /// `read_to` lies inside a line that was too long.
    pub inside_cut: bool,
    /// The bytes before `read_to`.
    pub tail: TailHash,
    /// The first bytes up to `read_to`.
    pub prefix: PrefixHash,
    /// Where it was read up to before.
    marks: Marks,
    /// How it began when nothing of it was handed on: so many bytes, and their hash.
    seen: (u64, PrefixHash),
    /// All bytes up to `read_to` are zeros that nobody wrote.
    pub in_hole: bool,
    /// Everything up to the end was looked at: what comes next was written just now.
    pub caught_up: bool,
    /// The file is younger than the collector.
    pub young: bool,
    /// Its unterminated end is its own: a newer file does not continue it.
    pub passed: bool,
    /// Whether it was seen to be text, where that matters.
    pub judged: bool,
    /// Whether somebody was told that it cannot be read.
    pub warned: bool,
    /// For who asks why.
    pub decisions: Decisions,
    /// What its unread bytes wait for.
    pub waits: Option<Waits>,
    probe: Probe,
}

impl TailFile {
    /// A file just opened, at its start.
    pub(crate) fn new(file: File, facts: Facts, identity: FileIdentity, now: Now) -> Self {
        Self {
            file,
            name: None,
            identity,
            truncations: 0,
            generation: GenerationId::of_file(&identity, 0),
            copy: Copied::Unknown,
            gz: None,
            stood_at: None,
            is_compared: false,
            ended: Vec::new(),
            accounted: 0,
            before: None,
            size_seen: facts.size,
            facts,
            is_unobserved: false,
            changed_at: now.monotonic,
            read_to: 0,
            scanned_to: 0,
            inside_cut: false,
            tail: TailHash::start(),
            prefix: PrefixHash::of(&[]),
            marks: Marks::default(),
            seen: (0, PrefixHash::of(&[])),
            in_hole: true,
            caught_up: false,
            young: false,
            passed: false,
            judged: false,
            warned: false,
            decisions: Decisions::default(),
            waits: None,
            probe: Probe::new(),
        }
    }

    /// Its bytes are compressed; how many they are is not known yet.
    pub(crate) fn set_compressed(&mut self) {
        self.gz = Some(RefCell::new(Gz::new((self.facts.size, self.facts.modified))));
        self.facts.size = 0;
        self.size_seen = 0;
        self.in_hole = false;
    }

    /// Whether it is compressed and was not inflated yet.
    pub(crate) fn is_compressed_unknown(&self) -> bool {
        self.gz.as_ref().is_some_and(|gz| !gz.borrow().is_ready)
    }

    /// Whether it is being inflated for the first time.
    pub(crate) fn is_inflating(&self) -> bool {
        let begun = |gz: &RefCell<Gz>| !gz.borrow().is_ready && gz.borrow().is_begun();
        self.gz.as_ref().is_some_and(begun)
    }

    /// How many bytes a compressed file holds is known now.
    pub(crate) fn inflated(&mut self, size: u64) -> io::Result<()> {
        self.facts.size = size;
        self.size_seen = size;
        if let Some(gz) = &self.gz {
            gz.borrow_mut().is_ready = true;
        }
        if let Some(stood_at) = self.stood_at.take() {
            if self.holds(stood_at.offset, stood_at.tail)? {
                self.take_position(&stood_at);
                self.copy = match self.copy {
                    Copied::Idle(of) => Copied::Active(of),
                    Copied::Unknown => Copied::No,
                    other => other,
                };
            } else {
                // Written anew since: what it was a copy of tells nothing any more.
                self.set_copy(Copied::Unknown);
            }
        }
        self.in_hole = false;
        Ok(())
    }

    /// A compressed file that has nothing to give takes no memory.
    pub(crate) fn rest_if_read(&mut self) {
        if self.unread() == 0
            && let Some(gz) = &mut self.gz
        {
            gz.get_mut().rest();
        }
    }

    /// Size and modification time of what lies on the disk.
    pub(crate) fn on_disk(&self) -> (u64, i64) {
        let gz = self.gz.as_ref().map(|gz| gz.borrow().on_disk);
        gz.unwrap_or((self.facts.size, self.facts.modified))
    }

    /// Whether these bytes lie at an offset.
    pub(crate) fn has_at(&self, bytes: &[u8], at: u64) -> io::Result<bool> {
        let mut found = vec![0; bytes.len()];
        Ok(self.read_at(&mut found, at)? == bytes.len() && found == bytes)
    }

    /// Remembers the first bytes, of which `start` has those up to `read_to`, or more than are
    /// remembered.
    pub(crate) fn note_prefix(&mut self, start: &[u8]) {
        self.prefix = PrefixHash::of(start);
    }

    /// Everything before an offset was handed on, and this lies before it.
    pub(crate) fn move_to(&mut self, offset: u64, tail: TailHash) {
        self.read_to = offset;
        self.tail = tail;
        self.marks.push(offset, tail, &self.facts);
    }

    /// Looks whether the file has a name and how long it is; what else happened to it is left for
    /// [`Self::observe`] to find.
    pub(crate) fn look(&mut self, now: Duration) -> io::Result<()> {
        let found = facts(&self.file)?;
        // The size of a compressed file is that of what it inflates to.
        if self.gz.is_none() && found.size > self.facts.size {
            self.changed_at = now;
            self.probe.doubt();
            self.facts = found;
            self.is_unobserved = true;
        }
        self.facts.links = found.links;
        self.facts.allocated = found.allocated;
        Ok(())
    }

    /// Whether the inode says something else than when it was observed.
    pub(crate) fn is_changed(&self) -> io::Result<bool> {
        let found = facts(&self.file)?;
        Ok((found.size, found.modified) != self.on_disk())
    }

    /// Whether the inode says what it said when it was observed, the number of its names too.
    pub(crate) fn is_as_observed(&self) -> bool {
        !self.is_unobserved
            && facts(&self.file).is_ok_and(|found| {
                (found.size, found.modified) == self.on_disk() && found.links == self.facts.links
            })
    }

    /// The file was read to its end before it was closed, and has grown since: what it got is new.
    pub(crate) fn grew_since(&mut self, settled_size: u64) {
        self.caught_up = self.read_to == settled_size;
    }

    /// Bytes not handed on, as far as the size is known.
    pub(crate) fn unread(&self) -> u64 {
        if matches!(self.copy, Copied::Idle(_)) {
            return 0;
        }
        self.facts.size.saturating_sub(self.read_to)
    }

    /// Whether everything was looked at, though an unterminated line may be left.
    pub(crate) fn is_scanned(&self) -> bool {
        self.scanned_to.max(self.read_to) >= self.facts.size
    }

    /// Whether the next lines were written just now, as opposed to a backlog.
    pub(crate) fn is_live(&self) -> bool {
        self.caught_up || self.young
    }

    /// Whether the file has no name left anywhere.
    pub(crate) fn is_deleted(&self) -> bool {
        self.facts.links == 0
    }

    pub(crate) fn key(&self) -> InodeKey {
        self.facts.key
    }

    /// How long the file has stayed the same.
    pub(crate) fn quiet_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.changed_at)
    }

    /// Reads into `buffer` from `from` on; fewer bytes than asked for mean the end of the file.
    pub(crate) fn read_at(&self, buffer: &mut [u8], from: u64) -> io::Result<usize> {
        match &self.gz {
            Some(gz) => gz.borrow_mut().read_at(&self.file, buffer, from, self.facts.size),
            None => read_full(&self.file, buffer, from),
        }
    }

    /// The bytes from `read_to` up to `to`.
    pub(crate) fn piece(&self, to: u64, kind: PieceKind) -> Piece {
        Piece { generation: self.generation, from: self.read_to, to, kind }
    }

    /// Where the file stands.
    pub(crate) fn progress(&self, stream: StreamId, clock: StreamClock) -> Progress {
        Progress {
            file: self.identity,
            truncations: self.truncations,
            stream,
            offset: self.read_to,
            inside_cut: self.inside_cut,
            tail: self.tail,
            prefix: self.prefix,
            finished: false,
            clock,
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &File, buffer: &mut [u8], from: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::Checkpoints;
    use crate::identity::identify;

    pub(crate) const START: Now = Now { monotonic: Duration::ZERO, wall: 1_000_000 };

    pub(crate) fn open(path: &Path) -> TailFile {
        let file = File::open(path).expect("open");
        let facts = facts(&file).expect("stat");
        let identity = identify(&file, &facts);
        TailFile::new(file, facts, identity, START)
    }

    fn progress_at(file: &TailFile, offset: u64) -> Progress {
        let tail = file.tail_at(offset).expect("read");
        let at = file.progress(StreamId(1), StreamClock::default());
        Progress { offset, tail, ..at }
    }

    #[test]
    fn resumes_only_where_the_same_bytes_lie_before() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "one\ntwo\nthree\n").expect("write");
        let progress = progress_at(&open(&path), 8);
        let history = &Checkpoints::open(dir.path()).expect("open").history;
        let mut file = open(&path);
        assert!(!file.resume(Some(&progress), history, Duration::ZERO).expect("read"));
        assert_eq!((file.read_to, file.truncations), (8, 0));

        for (content, why) in [("one\n", "shorter"), ("ONE\nTWO\nTHREE\nFOUR\n", "other bytes")] {
            std::fs::write(&path, content).expect("write");
            let mut file = open(&path);
            assert!(file.resume(Some(&progress), history, Duration::ZERO).expect("read"), "{why}");
            assert_eq!((file.ended[0].read_to, file.ended[0].size_seen), (8, 8), "{why}");
            assert_eq!((file.read_to, file.truncations), (0, 1), "{why}");
            assert_eq!(file.generation, GenerationId::of_file(&file.identity, 1));
        }
    }

    #[test]
    fn a_truncation_begins_a_generation() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "one\ntwo\n").expect("write");
        let mut file = open(&path);
        file.read_to = 8;
        file.scanned_to = 8;
        let second = Duration::from_secs(1);
        assert_eq!(file.observe(second).expect("stat"), Observed::Same);
        assert_eq!(file.changed_at, Duration::ZERO);
        let writer = std::fs::OpenOptions::new().write(true).open(&path).expect("open");
        writer.set_len(3).expect("truncate");
        assert_eq!(file.observe(second).expect("stat"), Observed::Truncated);
        assert_eq!((file.read_to, file.truncations, file.changed_at), (0, 1, second));
        assert_eq!(file.unread(), 3);
    }

    #[test]
    fn a_look_at_a_compressed_file_leaves_its_inflated_size() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f.gz");
        std::fs::write(&path, vec![b'x'; 500]).expect("write");
        let mut file = open(&path);
        file.set_compressed();
        file.inflated(40).expect("no position to check");
        std::fs::remove_file(&path).expect("remove");
        file.look(Duration::from_secs(1)).expect("stat");
        assert_eq!((file.facts.size, file.unread(), file.is_deleted()), (40, 40, true));
    }

    #[test]
    fn a_look_hides_no_truncation() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "seen").expect("write");
        let mut file = open(&path);
        assert_eq!(file.observe(Duration::ZERO).expect("stat"), Observed::Same);
        std::fs::write(&path, "regrown").expect("write");
        file.look(Duration::ZERO).expect("stat");
        assert_eq!(file.facts.size, 7);
        assert_eq!(file.observe(Duration::ZERO).expect("stat"), Observed::Truncated);
        assert_eq!(file.ended[0].size_seen, 4);
    }
}

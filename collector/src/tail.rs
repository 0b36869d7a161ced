//! One open log file: what it is, how far it was read, and whether it may still grow.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use sawlog_transport::run::{Piece, PieceKind};
use sawlog_transport::{FileIdentity, GenerationId, StreamId};

use crate::checkpoint::{Progress, StreamClock};
use crate::clock::Now;
use crate::identity::{Facts, InodeKey, facts};
use crate::rotation::Age;
use crate::sys::{self, Writers};
use crate::tail_hash::{TAIL_BYTES, TailHash};

/// How long the answer to "who writes?" is believed at first; doubled while the answer is "somebody".
const PROBE_EVERY: Duration = Duration::from_millis(100);
const PROBE_EVERY_MAX: Duration = Duration::from_secs(300);
/// No directory tells when a file without a name is closed.
const PROBE_UNNAMED_EVERY_MAX: Duration = Duration::from_secs(5);

/// A file of a stream, held open: its descriptor stays good through renames and deletion.
#[derive(Debug)]
pub(crate) struct TailFile {
    pub file: File,
    /// The name it has now; `None` once it was renamed away or deleted.
    pub name: Option<(OsString, Age)>,
    pub identity: FileIdentity,
    pub truncations: u64,
    pub generation: GenerationId,
    /// As last looked at.
    pub facts: Facts,
    /// When size or modification time was last seen to change (monotonic).
    pub changed_at: Duration,
    /// Everything before it was handed on.
    pub read_to: u64,
    /// No line ends between `read_to` and here.
    pub scanned_to: u64,
    /// `read_to` lies inside a line that was too long.
    pub inside_cut: bool,
    /// The bytes before `read_to`.
    pub tail: TailHash,
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
    probe: Probe,
}

/// The last answer to "who writes?".
#[derive(Clone, Copy, Debug)]
struct Probe {
    answer: Writers,
    next: Duration,
    pause: Duration,
}

impl Probe {
    fn new() -> Self {
        Self { answer: Writers::Unknown, next: Duration::ZERO, pause: PROBE_EVERY }
    }
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
            facts,
            changed_at: now.monotonic,
            read_to: 0,
            scanned_to: 0,
            inside_cut: false,
            tail: TailHash::start(),
            caught_up: false,
            young: false,
            passed: false,
            judged: false,
            warned: false,
            probe: Probe::new(),
        }
    }

    /// Goes on where the checkpoint stands, if the bytes before it are still there; otherwise the
    /// file was truncated (`true`) and is read from its start.
    pub(crate) fn resume(&mut self, progress: &Progress) -> io::Result<bool> {
        let tail_bytes = u64::from(progress.tail.bytes);
        let same = progress.offset <= self.facts.size
            && progress.offset >= tail_bytes
            && self.tail_at(progress.offset)? == progress.tail;
        self.truncations = progress.truncations;
        if !same {
            self.begin_again();
            return Ok(true);
        }
        self.generation = GenerationId::of_file(&self.identity, self.truncations);
        self.read_to = progress.offset;
        self.scanned_to = progress.offset;
        self.inside_cut = progress.inside_cut;
        self.tail = progress.tail;
        self.judged = progress.offset > 0;
        Ok(false)
    }

    fn tail_at(&self, offset: u64) -> io::Result<TailHash> {
        let mut bytes = [0; TAIL_BYTES];
        let len = offset.min(TAIL_BYTES as u64) as usize;
        let read = read_full(&self.file, &mut bytes[..len], offset - len as u64)?;
        Ok(TailHash::of(&bytes[..read]))
    }

    /// What was read is no longer there: a new generation begins.
    pub(crate) fn begin_again(&mut self) {
        self.truncations += 1;
        self.generation = GenerationId::of_file(&self.identity, self.truncations);
        self.read_to = 0;
        self.scanned_to = 0;
        self.inside_cut = false;
        self.tail = TailHash::start();
        self.passed = false;
        self.probe = Probe::new();
    }

    /// Looks at the inode again; tells whether the file was truncated.
    pub(crate) fn observe(&mut self, now: Duration) -> io::Result<bool> {
        let found = facts(&self.file)?;
        if (found.size, found.modified) != (self.facts.size, self.facts.modified) {
            self.changed_at = now;
            self.probe = Probe::new();
        }
        if found.modified != self.facts.modified && found.size == self.facts.size {
            // Written over in place: what was looked at may be something else now.
            self.scanned_to = self.read_to;
        }
        self.facts = found;
        let truncated = found.size < self.read_to.max(self.scanned_to);
        if truncated {
            self.begin_again();
        }
        Ok(truncated)
    }

    /// Looks whether the file has a name and how long it is; what else happened to it is left for
    /// [`Self::observe`] to find.
    pub(crate) fn look(&mut self, now: Duration) -> io::Result<()> {
        let found = facts(&self.file)?;
        if found.size > self.facts.size {
            self.changed_at = now;
            self.probe = Probe::new();
            self.facts = found;
        }
        self.facts.links = found.links;
        Ok(())
    }

    /// Whether the inode says something else than when it was observed.
    pub(crate) fn is_changed(&self) -> io::Result<bool> {
        let found = facts(&self.file)?;
        Ok((found.size, found.modified) != (self.facts.size, self.facts.modified))
    }

    /// The file was read to its end before it was closed, and has grown since: what it got is new.
    pub(crate) fn grew_since(&mut self, settled_size: u64) {
        self.caught_up = self.read_to == settled_size;
    }

    /// Bytes not handed on, as far as the size is known.
    pub(crate) fn unread(&self) -> u64 {
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

    /// Whether anybody has the file open for writing, and when asking again may give another answer.
    pub(crate) fn writers(&mut self, now: Duration) -> (Writers, Duration) {
        let probe = &mut self.probe;
        if now >= probe.next {
            probe.answer = sys::writers(&self.file);
            probe.next = now + probe.pause;
            let longest =
                if self.name.is_none() { PROBE_UNNAMED_EVERY_MAX } else { PROBE_EVERY_MAX };
            probe.pause = (probe.pause * 2).min(longest);
        }
        (probe.answer, probe.next)
    }

    /// Somebody closed the file: who writes is an open question again.
    pub(crate) fn closed_by_a_writer(&mut self) {
        self.probe = Probe::new();
    }

    /// Reads into `buffer` from `from` on; fewer bytes than asked for mean the end of the file.
    pub(crate) fn read_at(&self, buffer: &mut [u8], from: u64) -> io::Result<usize> {
        read_full(&self.file, buffer, from)
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
        let mut file = open(&path);
        assert!(!file.resume(&progress).expect("read"));
        assert_eq!((file.read_to, file.truncations), (8, 0));

        for (content, why) in [("one\n", "shorter"), ("ONE\nTWO\nTHREE\nFOUR\n", "other bytes")] {
            std::fs::write(&path, content).expect("write");
            let mut file = open(&path);
            assert!(file.resume(&progress).expect("read"), "{why}");
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
        assert!(!file.observe(second).expect("stat"));
        assert_eq!(file.changed_at, Duration::ZERO);
        let writer = std::fs::OpenOptions::new().write(true).open(&path).expect("open");
        writer.set_len(3).expect("truncate");
        assert!(file.observe(second).expect("stat"));
        assert_eq!((file.read_to, file.truncations, file.changed_at), (0, 1, second));
        assert_eq!(file.unread(), 3);
    }

    #[test]
    fn asks_for_writers_ever_more_rarely() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        let writer = File::create(&path).expect("create");
        let mut file = open(&path);
        let at = Duration::from_millis;
        assert_eq!(file.writers(at(0)), (Writers::Some, at(100)));
        assert_eq!(file.writers(at(100)), (Writers::Some, at(300)));
        drop(writer);
        assert_eq!(file.writers(at(200)), (Writers::Some, at(300)));
        file.closed_by_a_writer();
        assert_eq!(file.writers(at(200)).0, Writers::None);
    }
}

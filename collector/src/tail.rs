//! One open log file: what it is, how far it was read, and whether it may still grow.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use sawlog_transport::run::{Piece, PieceKind};
use sawlog_transport::{FileIdentity, GenerationId, StreamId};

use crate::checkpoint::{GenerationRef, History, Progress, StreamClock};
use crate::clock::Now;
use crate::gz::Gz;
use crate::identity::{Facts, InodeKey, facts};
use crate::rotation::Age;
use crate::sys::{self, Writers};
use crate::tail_hash::{PREFIX_BYTES, PrefixHash, TAIL_BYTES, TailHash};
use crate::why::{Decisions, Waits};

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
    /// The generation before this one, and up to where its bytes are accounted for.
    pub before: Option<(GenerationId, u64)>,
    /// As last looked at.
    pub facts: Facts,
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

/// Whether a file is a copy of a generation of another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// It was not asked yet, or could not be answered.
    Unknown,
    No,
    /// A copy from which nothing is read: the original is still there.
    Idle(GenerationRef),
    /// The original is gone, what it had not given is read here.
    Active(GenerationRef),
}

/// A generation whose bytes are no longer in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub of: GenerationRef,
    pub generation: GenerationId,
    /// Everything before it was handed on.
    pub read_to: u64,
    pub inside_cut: bool,
    pub tail: TailHash,
    pub prefix: PrefixHash,
    /// How it began, if nothing of it was handed on: so many bytes, and their hash.
    pub seen: (u64, PrefixHash),
    pub size_seen: u64,
    /// When it was noticed (monotonic).
    pub since: Duration,
    /// How often the stream's directory had been listed by then.
    pub listings: u64,
}

/// What a look at the inode found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    Same,
    /// A new generation has begun.
    Truncated,
    /// What was read is still there, but the bytes of this range are gone unread.
    Shrunk {
        from: u64,
        to: u64,
    },
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
            copy: Copied::Unknown,
            gz: None,
            stood_at: None,
            is_compared: false,
            ended: Vec::new(),
            before: None,
            size_seen: facts.size,
            facts,
            changed_at: now.monotonic,
            read_to: 0,
            scanned_to: 0,
            inside_cut: false,
            tail: TailHash::start(),
            prefix: PrefixHash::of(&[]),
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

    /// Goes on where the checkpoint stands, if the bytes before it are still there; otherwise the
    /// file was truncated (`true`) and is read from its start. `history` knows truncations of which
    /// no checkpoint tells.
    pub(crate) fn resume(
        &mut self,
        progress: Option<&Progress>,
        history: &History,
        now: Duration,
    ) -> io::Result<bool> {
        let (truncations, ended_at) = history.truncations(&self.identity);
        self.truncations = truncations.max(progress.map_or(0, |progress| progress.truncations));
        if let Some(of) = history.copy_of(&self.identity, self.truncations) {
            self.copy = Copied::Idle(of);
        }
        self.generation = self.generation_ref().id();
        if self.gz.is_some() {
            self.stood_at = progress.copied();
            return Ok(false);
        }
        let Some(progress) = progress else { return Ok(false) };
        if progress.truncations < self.truncations {
            let known = progress.truncations + 1 == self.truncations;
            self.ended.push(self.ended_at(progress, if known { ended_at } else { 0 }, now));
            return Ok(false);
        }
        if !self.holds(progress.offset, progress.tail)? {
            self.take_position(progress);
            // How long it is now says nothing of what was there before.
            self.size_seen = progress.offset;
            self.begin_again(now);
            return Ok(true);
        }
        self.take_position(progress);
        if let Copied::Idle(of) = self.copy {
            self.copy = Copied::Active(of);
        }
        Ok(false)
    }

    fn take_position(&mut self, at: &Progress) {
        self.stand_at(at.offset, at.tail, at.prefix, at.inside_cut);
    }

    /// A generation of which only the checkpoint is left.
    fn ended_at(&self, progress: &Progress, size_seen: u64, since: Duration) -> Ended {
        let of = GenerationRef { file: self.identity, truncations: progress.truncations };
        Ended {
            of,
            generation: of.id(),
            read_to: progress.offset,
            inside_cut: progress.inside_cut,
            tail: progress.tail,
            prefix: progress.prefix,
            seen: (0, PrefixHash::of(&[])),
            size_seen: size_seen.max(progress.offset),
            since,
            listings: 0,
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
        if let Some(stood_at) = self.stood_at.take()
            && self.holds(stood_at.offset, stood_at.tail)?
        {
            self.take_position(&stood_at);
            self.copy = match self.copy {
                Copied::Idle(of) => Copied::Active(of),
                Copied::Unknown => Copied::No,
                other => other,
            };
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

    /// The file's generation if it is no copy.
    pub(crate) fn own_generation(&self) -> GenerationRef {
        GenerationRef { file: self.identity, truncations: self.truncations }
    }

    /// Names the bytes of the file anew.
    pub(crate) fn set_copy(&mut self, copy: Copied) {
        self.copy = copy;
        self.generation = self.generation_ref().id();
    }

    /// Goes on reading here.
    pub(crate) fn stand_at(
        &mut self,
        offset: u64,
        tail: TailHash,
        prefix: PrefixHash,
        inside_cut: bool,
    ) {
        self.read_to = offset;
        self.scanned_to = offset;
        self.inside_cut = inside_cut;
        self.tail = tail;
        self.prefix = prefix;
        self.judged = offset > 0;
        self.in_hole = offset == 0;
    }

    /// Whose bytes the file holds.
    pub(crate) fn generation_ref(&self) -> GenerationRef {
        match self.copy {
            Copied::Idle(of) | Copied::Active(of) => of,
            Copied::Unknown | Copied::No => self.own_generation(),
        }
    }

    /// Whether these bytes lie before an offset of the file.
    pub(crate) fn holds(&self, offset: u64, tail: TailHash) -> io::Result<bool> {
        Ok(offset <= self.facts.size
            && offset >= u64::from(tail.bytes)
            && self.tail_at(offset)? == tail)
    }

    /// Whether the file begins with these bytes, up to an offset.
    pub(crate) fn begins_with(&self, offset: u64, prefix: PrefixHash) -> io::Result<bool> {
        let mut bytes = [0; PREFIX_BYTES];
        let len = offset.min(PREFIX_BYTES as u64) as usize;
        let read = self.read_at(&mut bytes[..len], 0)?;
        Ok(read == len && PrefixHash::of(&bytes[..len]) == prefix)
    }

    pub(crate) fn tail_at(&self, offset: u64) -> io::Result<TailHash> {
        let mut bytes = [0; TAIL_BYTES];
        let len = offset.min(TAIL_BYTES as u64) as usize;
        let read = self.read_at(&mut bytes[..len], offset - len as u64)?;
        Ok(TailHash::of(&bytes[..read]))
    }

    /// What was read is no longer there: a new generation begins.
    pub(crate) fn begin_again(&mut self, now: Duration) {
        if !matches!(self.copy, Copied::Idle(_)) {
            self.ended.push(Ended {
                of: self.generation_ref(),
                generation: self.generation,
                read_to: self.read_to,
                inside_cut: self.inside_cut,
                tail: self.tail,
                prefix: self.prefix,
                seen: self.seen,
                size_seen: self.size_seen.max(self.read_to),
                since: now,
                listings: 0,
            });
        }
        self.truncations += 1;
        self.copy = Copied::No;
        self.generation = self.generation_ref().id();
        self.before = None;
        self.size_seen = self.facts.size;
        self.read_to = 0;
        self.scanned_to = 0;
        self.inside_cut = false;
        self.tail = TailHash::start();
        self.prefix = PrefixHash::of(&[]);
        self.seen = (0, self.prefix);
        self.in_hole = true;
        self.passed = false;
        self.probe = Probe::new();
    }

    /// Looks at the inode again; tells whether the file was truncated.
    pub(crate) fn observe(&mut self, now: Duration) -> io::Result<Observed> {
        let found = facts(&self.file)?;
        if let Some(gz) = &mut self.gz {
            let on_disk = (found.size, found.modified);
            if std::mem::replace(&mut gz.get_mut().on_disk, on_disk) != on_disk {
                self.changed_at = now;
                self.probe = Probe::new();
            }
            self.facts.links = found.links;
            return Ok(Observed::Same);
        }
        let is_changed = (found.size, found.modified) != (self.facts.size, self.facts.modified);
        if !is_changed {
            self.note_seen()?;
            return Ok(Observed::Same);
        }
        self.changed_at = now;
        self.probe = Probe::new();
        if found.size == self.facts.size {
            // Written over in place: what was looked at may be something else now.
            self.scanned_to = self.read_to;
        }
        self.facts = found;
        // Checked with each new size: a size that a file has regrown to is not that of what it held.
        let holds_what_was_read = self.is_unchanged()?;
        if holds_what_was_read && found.size >= self.size_seen {
            self.size_seen = found.size;
            self.note_seen()?;
            return Ok(Observed::Same);
        }
        if holds_what_was_read && self.read_to > 0 {
            let to = std::mem::replace(&mut self.size_seen, found.size);
            self.scanned_to = self.read_to;
            return Ok(Observed::Shrunk { from: found.size, to });
        }
        self.begin_again(now);
        Ok(Observed::Truncated)
    }

    /// Remembers how a file begins of which nothing was handed on yet.
    fn note_seen(&mut self) -> io::Result<()> {
        let len = self.facts.size.min(PREFIX_BYTES as u64);
        if self.read_to > 0 || self.seen.0 >= len {
            return Ok(());
        }
        let mut bytes = [0; PREFIX_BYTES];
        let read = self.read_at(&mut bytes[..len as usize], 0)?;
        self.seen = (read as u64, PrefixHash::of(&bytes[..read]));
        Ok(())
    }

    /// Whether the bytes before the position are those that were read; of a file of which nothing was
    /// read, whether it still begins as it was seen.
    pub(crate) fn is_unchanged(&self) -> io::Result<bool> {
        let (len, start) = self.seen;
        if self.read_to == 0 && len > 0 {
            return self.begins_with(len, start);
        }
        self.holds(self.read_to, self.tail)
    }

    /// Remembers the first bytes, of which `start` has those up to `read_to`, or more than are
    /// remembered.
    pub(crate) fn note_prefix(&mut self, start: &[u8]) {
        self.prefix = PrefixHash::of(start);
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
        Ok((found.size, found.modified) != self.on_disk())
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

//! What must survive the loss of the checkpoints: how often files were truncated, and which file is a
//! copy of which generation. Both are rare, and both are part of the names of what was sent.
//!
//! The file `generations` holds 128-byte records, each the newest word on its file: CRC32C of the rest (4),
//! kind (4), file (40), truncations of the file (8), end of the generation before with how much of its
//! beginning is known above [`SIZE_BITS`], or size of the copy (8), generation that ended, or of which it
//! is a copy: file (40) and truncations (8), written at (8), hash of that beginning, or of the copy's
//! ends (8). What older records lack is zero. All integers are little-endian.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use sawlog_transport::{FileIdentity, GenerationId};

use super::record_log::{Opened, RecordLog};
use crate::tail_hash::{Held, PrefixHash};

const RECORD_BYTES: usize = 128;
const MAGIC: &[u8; 16] = b"sawlog gens v1\n\0";

/// Where a size and the length of a beginning share a number.
const SIZE_BITS: u32 = 48;

const TRUNCATED: u32 = 1;
const COPY: u32 = 2;

/// A file longer than this, of which less than half is still true, is written anew.
const COMPACT_BYTES_MIN: u64 = 1024 * 1024;
/// The most files remembered of each kind (some 30 MiB in the worst case); beyond it those that were
/// written first are forgotten.
const ENTRIES_MAX: usize = 100_000;
/// How long a file that is no longer seen is remembered.
const GONE_FOR_MAX: i64 = 14 * 24 * 3600 * 1_000_000_000;

/// One generation of a file: the file, and how often it had been truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GenerationRef {
    pub file: FileIdentity,
    pub truncations: u64,
}

impl GenerationRef {
    pub(crate) fn id(&self) -> GenerationId {
        GenerationId::of_file(&self.file, self.truncations)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Truncated {
    truncations: u64,
    /// What was known of the generation before this one.
    before: Before,
    seen_at: i64,
}

/// What was known of a generation when its file was truncated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// Whose bytes they were: the file's own, or of what it was a copy. Older records do not tell.
    pub of: Option<GenerationRef>,
    /// The largest size that was seen, in bytes.
    pub size: u64,
    /// How it began: so many bytes, and their hash. No byte if that is not known.
    pub start: (u64, PrefixHash),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    /// How often the copy itself had been truncated when it was one.
    truncations: u64,
    of: GenerationRef,
    /// What it held then.
    held: Held,
    seen_at: i64,
}

/// What is known of generations.
#[derive(Debug)]
pub(crate) struct History {
    log: RecordLog<RECORD_BYTES>,
    truncated: HashMap<FileIdentity, Truncated>,
    copies: HashMap<FileIdentity, Copy>,
    /// The files of which the last record is not written yet, one of each however long nothing can be.
    unwritten: HashSet<(u32, FileIdentity)>,
    damaged: u64,
}

impl History {
    /// Opens `generations` in `data_dir`, or begins it.
    ///
    /// # Errors
    /// The file cannot be read or created. Damaged content is no error.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let Opened { log, records, damaged } =
            RecordLog::open(&data_dir.join("generations"), MAGIC)?;
        let (truncated, copies) = (HashMap::new(), HashMap::new());
        let mut this = Self { log, truncated, copies, unwritten: HashSet::new(), damaged };
        for record in &records {
            if !this.load(record) {
                this.damaged += 1;
            }
        }
        Ok(this)
    }

    #[cfg(test)]
    pub(super) fn refuse_writes(&mut self, refuse: bool) {
        self.log.refuse_writes(refuse);
    }

    /// Records that were damaged when the file was opened.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    fn load(&mut self, record: &[u8; RECORD_BYTES]) -> bool {
        let Some(decoded) = decode(record) else { return false };
        match decoded.kind {
            TRUNCATED => {
                let Decoded { truncations, size, of, seen_at, hash, .. } = decoded;
                let before = Before {
                    of: Some(of).filter(|of| *of != NOTHING),
                    size: size & SIZE_MAX,
                    start: (size >> SIZE_BITS, PrefixHash(hash)),
                };
                let known = Truncated { truncations, before, seen_at };
                self.truncated.insert(decoded.file, known);
            }
            COPY => {
                let Decoded { truncations, of, seen_at, .. } = decoded;
                let held = Held { size: decoded.size, ends: decoded.hash };
                self.copies.insert(decoded.file, Copy { truncations, of, held, seen_at });
            }
            // Of a later version: not ours to judge.
            _ => {}
        }
        true
    }

    /// How often a file was truncated, and what is known of the generation before this one.
    pub(crate) fn truncations(&self, file: &FileIdentity) -> (u64, Before) {
        self.truncated
            .get(file)
            .map_or((0, Before::default()), |known| (known.truncations, known.before))
    }

    /// Whose bytes a file held in one of its generations: if it was a copy, not its own.
    pub(crate) fn held_in(&self, own: &GenerationRef) -> GenerationRef {
        let ended = self.truncated.get(&own.file);
        let is_before = |known: &&Truncated| known.truncations == own.truncations + 1;
        let of = ended.filter(is_before).and_then(|known| known.before.of);
        of.or_else(|| self.copy_of(&own.file, own.truncations)).unwrap_or(*own)
    }

    /// The generation of which a file is a copy.
    pub(crate) fn copy_of(&self, file: &FileIdentity, truncations: u64) -> Option<GenerationRef> {
        self.copies.get(file).filter(|copy| copy.truncations == truncations).map(|copy| copy.of)
    }

    /// What a copy held when it became known as one.
    pub(crate) fn held_by_copy(&self, file: &FileIdentity, truncations: u64) -> Option<Held> {
        self.copies.get(file).filter(|copy| copy.truncations == truncations).map(|copy| copy.held)
    }

    /// Whether any file is known to be a copy of a generation.
    pub(crate) fn has_copy_of(&self, of: &GenerationRef) -> bool {
        self.copies.values().any(|copy| copy.of == *of)
    }

    /// A file was truncated. Durable after the next [`Self::flush`].
    pub(crate) fn note_truncation(&mut self, now: &GenerationRef, before: Before, wall: i64) {
        let known = Truncated { truncations: now.truncations, before, seen_at: wall };
        self.truncated.insert(now.file, known);
        self.unwritten.insert((TRUNCATED, now.file));
    }

    /// A file that holds so much is a copy of a generation. Durable after the next [`Self::flush`].
    pub(crate) fn note_copy(
        &mut self,
        copy: &GenerationRef,
        of: GenerationRef,
        held: Held,
        wall: i64,
    ) {
        let known = Copy { truncations: copy.truncations, of, held, seen_at: wall };
        if self.copy_of(&copy.file, copy.truncations) == Some(of) {
            return;
        }
        self.copies.insert(copy.file, known);
        self.unwritten.insert((COPY, copy.file));
    }

    /// Whether anything waits for [`Self::flush`].
    pub(crate) fn is_changed(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Appends what changed, and makes it durable.
    ///
    /// # Errors
    /// Nothing is lost then: the next call writes it again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut records = Vec::with_capacity(self.unwritten.len() * RECORD_BYTES);
        for (kind, file) in &self.unwritten {
            let truncated = self.truncated.get(file).filter(|_| *kind == TRUNCATED);
            let copy = self.copies.get(file).filter(|_| *kind == COPY);
            records
                .extend(truncated.map(|known| encode_truncated(file, known)).into_iter().flatten());
            records.extend(copy.map(|known| encode_copy(file, known)).into_iter().flatten());
        }
        self.log.append(&records)?;
        self.unwritten.clear();
        Ok(())
    }

    /// Whether most of the file is stale, or too much is remembered.
    pub(super) fn is_compaction_due(&self) -> bool {
        let live = (self.truncated.len() + self.copies.len() + 1) * RECORD_BYTES;
        let stale = self.log.length() > live as u64 * 2;
        (self.log.length() > COMPACT_BYTES_MIN && stale)
            || self.truncated.len() > ENTRIES_MAX
            || self.copies.len() > ENTRIES_MAX
    }

    /// Writes the file anew, without files that were not seen for two weeks.
    ///
    /// # Errors
    /// The old file stays in use.
    pub(super) fn compact(
        &mut self,
        now: i64,
        present: impl Fn(&FileIdentity) -> bool,
    ) -> io::Result<()> {
        let kept = |seen_at: &mut i64, file: &FileIdentity| {
            if present(file) {
                *seen_at = now;
            }
            now.saturating_sub(*seen_at) <= GONE_FOR_MAX
        };
        self.truncated.retain(|file, known| kept(&mut known.seen_at, file));
        self.copies.retain(|file, known| kept(&mut known.seen_at, file));
        forget_oldest(&mut self.truncated, |known| known.seen_at);
        forget_oldest(&mut self.copies, |known| known.seen_at);
        let mut bytes = Vec::new();
        for (file, known) in &self.truncated {
            bytes.extend_from_slice(&encode_truncated(file, known));
        }
        for (file, known) in &self.copies {
            bytes.extend_from_slice(&encode_copy(file, known));
        }
        self.log.replace(&bytes)?;
        self.unwritten.clear();
        Ok(())
    }
}

fn forget_oldest<T>(known: &mut HashMap<FileIdentity, T>, seen_at: impl Fn(&T) -> i64) {
    if known.len() <= ENTRIES_MAX {
        return;
    }
    let mut times: Vec<i64> = known.values().map(&seen_at).collect();
    times.sort_unstable();
    let oldest = times[times.len() - ENTRIES_MAX * 9 / 10];
    known.retain(|_, known| seen_at(known) > oldest);
}

const NOTHING: GenerationRef = GenerationRef {
    file: FileIdentity { file_system: [0; 16], inode: 0, inode_generation: 0, birth_time: 0 },
    truncations: 0,
};

const SIZE_MAX: u64 = (1 << SIZE_BITS) - 1;

/// Any record, with zeros where it has nothing.
struct Decoded {
    kind: u32,
    file: FileIdentity,
    truncations: u64,
    size: u64,
    of: GenerationRef,
    seen_at: i64,
    hash: u64,
}

fn encode_truncated(file: &FileIdentity, known: &Truncated) -> [u8; RECORD_BYTES] {
    let Before { of, size, start: (len, hash) } = known.before;
    encode(&Decoded {
        kind: TRUNCATED,
        file: *file,
        truncations: known.truncations,
        size: size.min(SIZE_MAX) | len << SIZE_BITS,
        of: of.unwrap_or(NOTHING),
        seen_at: known.seen_at,
        hash: hash.0,
    })
}

fn encode_copy(file: &FileIdentity, known: &Copy) -> [u8; RECORD_BYTES] {
    encode(&Decoded {
        kind: COPY,
        file: *file,
        truncations: known.truncations,
        size: known.held.size,
        of: known.of,
        seen_at: known.seen_at,
        hash: known.held.ends,
    })
}

fn encode(record: &Decoded) -> [u8; RECORD_BYTES] {
    let mut out = Vec::with_capacity(RECORD_BYTES);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.kind.to_le_bytes());
    put_file(&mut out, &record.file);
    out.extend_from_slice(&record.truncations.to_le_bytes());
    out.extend_from_slice(&record.size.to_le_bytes());
    put_file(&mut out, &record.of.file);
    out.extend_from_slice(&record.of.truncations.to_le_bytes());
    out.extend_from_slice(&record.seen_at.to_le_bytes());
    out.extend_from_slice(&record.hash.to_le_bytes());
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out.try_into().expect("the fields are a record long")
}

fn put_file(out: &mut Vec<u8>, file: &FileIdentity) {
    out.extend_from_slice(&file.file_system);
    out.extend_from_slice(&file.inode.to_le_bytes());
    out.extend_from_slice(&file.inode_generation.to_le_bytes());
    out.extend_from_slice(&file.birth_time.to_le_bytes());
}

fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Decoded> {
    let mut rest = &bytes[..];
    if u32::from_le_bytes(take(&mut rest)) != crc32c::crc32c(&bytes[4..]) {
        return None;
    }
    Some(Decoded {
        kind: u32::from_le_bytes(take(&mut rest)),
        file: take_file(&mut rest),
        truncations: u64::from_le_bytes(take(&mut rest)),
        size: u64::from_le_bytes(take(&mut rest)),
        of: GenerationRef {
            file: take_file(&mut rest),
            truncations: u64::from_le_bytes(take(&mut rest)),
        },
        seen_at: i64::from_le_bytes(take(&mut rest)),
        hash: u64::from_le_bytes(take(&mut rest)),
    })
}

fn take_file(rest: &mut &[u8]) -> FileIdentity {
    FileIdentity {
        file_system: take(rest),
        inode: u64::from_le_bytes(take(rest)),
        inode_generation: u64::from_le_bytes(take(rest)),
        birth_time: i64::from_le_bytes(take(rest)),
    }
}

/// Takes a field from the front of a record, which is long enough for all of them.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_at(N);
    *rest = tail;
    head.try_into().expect("split at N")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(inode: u64, truncations: u64) -> GenerationRef {
        let file = FileIdentity { file_system: [1; 16], inode, inode_generation: 2, birth_time: 3 };
        GenerationRef { file, truncations }
    }

    fn before(truncations: u64) -> Before {
        let of = Some(generation(9, truncations - 1));
        Before { of, size: truncations * 10, start: (truncations, PrefixHash(7)) }
    }

    #[test]
    fn the_newest_word_on_a_file_survives_and_damage_costs_one_record() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut history = History::open(dir.path()).expect("open");
        for truncations in 1..=3 {
            history.note_truncation(&generation(7, truncations), before(truncations), 5);
            history.flush().expect("flush");
        }
        let held = Held { size: 30, ends: 4 };
        history.note_copy(&generation(8, 0), generation(7, 2), held, 5);
        assert!(history.is_changed());
        history.flush().expect("flush");
        let history = History::open(dir.path()).expect("open");
        assert_eq!(history.truncations(&generation(7, 0).file), (3, before(3)));
        assert_eq!(history.held_in(&generation(7, 2)), generation(9, 2), "a copy");
        assert_eq!(history.held_in(&generation(7, 1)), generation(7, 1), "forgotten");
        assert_eq!(history.held_in(&generation(8, 0)), generation(7, 2), "still a copy");
        assert_eq!(history.copy_of(&generation(8, 0).file, 0), Some(generation(7, 2)));
        assert_eq!(history.held_by_copy(&generation(8, 0).file, 0), Some(held));
        assert_eq!(history.copy_of(&generation(8, 0).file, 1), None, "the copy was truncated");
        assert_eq!(history.damaged(), 0);

        let path = dir.path().join("generations");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[3 * RECORD_BYTES + 50] ^= 1;
        std::fs::write(&path, &bytes[..bytes.len() - 3]).expect("write");
        let history = History::open(dir.path()).expect("open");
        assert_eq!(history.truncations(&generation(7, 0).file), (2, before(2)));
        assert_eq!(history.copy_of(&generation(8, 0).file, 0), None);
        assert_eq!(history.damaged(), 2);
    }

    /// A task that truncates its log all the time while the disk is full.
    #[test]
    fn what_waits_for_a_disk_is_one_record_a_file() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut history = History::open(dir.path()).expect("open");
        history.refuse_writes(true);
        for truncations in 1..=1000 {
            history.note_truncation(&generation(7, truncations), before(truncations), 5);
            assert!(history.flush().is_err());
        }
        assert_eq!(history.unwritten.len(), 1);
        history.refuse_writes(false);
        history.flush().expect("flush");
        assert!(!history.is_changed());
        assert_eq!(history.log.length(), 2 * RECORD_BYTES as u64);
        let history = History::open(dir.path()).expect("open");
        assert_eq!(history.truncations(&generation(7, 0).file), (1000, before(1000)));
    }

    #[test]
    fn compaction_keeps_what_is_true() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut history = History::open(dir.path()).expect("open");
        let rounds = COMPACT_BYTES_MIN / RECORD_BYTES as u64;
        for truncations in [0, rounds - 1] {
            history.note_truncation(&generation(1, truncations), Before::default(), 0);
            history.flush().expect("flush");
        }
        let file = generation(1, 0).file;
        let one = encode_truncated(&file, &history.truncated[&file]);
        history.log.append(&one.repeat(rounds as usize - 2)).expect("append");
        history.note_copy(&generation(2, 0), generation(1, 1), Held::UNKNOWN, 0);
        history.flush().expect("flush");
        assert!(history.is_compaction_due());
        history.compact(GONE_FOR_MAX + 1, |file| file.inode == 1).expect("compact");
        assert!(!history.is_compaction_due());
        let history = History::open(dir.path()).expect("open");
        assert_eq!(history.truncations(&generation(1, 0).file).0, rounds - 1);
        assert_eq!(history.copy_of(&generation(2, 0).file, 0), None, "long gone");
    }
}

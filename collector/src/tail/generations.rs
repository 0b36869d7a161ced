//! Which generation the bytes of a file belong to, and how it is seen that a new one has begun.

use std::io;
use std::time::Duration;

use sawlog_transport::GenerationId;

use super::{Marks, TailFile};
use crate::checkpoint::{Before, GenerationRef, History, Progress};
use crate::identity::facts;
use crate::tail_hash::{Held, PREFIX_BYTES, PrefixHash, TAIL_BYTES, TailHash};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub of: GenerationRef,
    pub generation: GenerationId,
    /// How often the file itself had been truncated then.
    pub truncations: u64,
    /// Everything before it was handed on.
    pub read_to: u64,
    pub inside_cut: bool,
    pub tail: TailHash,
    pub prefix: PrefixHash,
    /// Where it was read up to before.
    pub marks: Marks,
    /// How it began, if nothing of it was handed on: so many bytes, and their hash.
    pub seen: (u64, PrefixHash),
    pub size_seen: u64,
    /// When it was noticed (monotonic).
    pub since: Duration,
    /// How often the stream's directory had been listed by then.
    pub listings: u64,
}

impl Ended {
    /// What is written down of it.
    pub(crate) fn known(&self) -> Before {
        let len = self.read_to.min(PREFIX_BYTES as u64);
        let start = if len == 0 { self.seen } else { (len, self.prefix) };
        Before { of: Some(self.of), size: self.size_seen, start }
    }
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

impl TailFile {
    /// Goes on where the checkpoint stands, if the bytes before it are still there; otherwise the
    /// file was truncated (`true`) and is read from its start. `history` knows truncations of which
    /// no checkpoint tells.
    pub(crate) fn resume(
        &mut self,
        progress: Option<&Progress>,
        history: &History,
        now: Duration,
    ) -> io::Result<bool> {
        let (truncations, before) = history.truncations(&self.identity);
        self.truncations = truncations.max(progress.map_or(0, |progress| progress.truncations));
        if let Some(of) = history.copy_of(&self.identity, self.truncations) {
            self.copy = Copied::Idle(of);
        }
        self.generation = self.generation_ref().id();
        if self.gz.is_some() {
            self.stood_at = progress.copied();
            return Ok(false);
        }
        let Some(progress) = progress else { return self.resume_unread(history, now) };
        if progress.truncations < self.truncations {
            let known = progress.truncations + 1 == self.truncations;
            let own = GenerationRef { file: self.identity, truncations: progress.truncations };
            let before = if known { before } else { Before::default() };
            self.ended.push(ended_at_checkpoint(progress, history.held_in(&own), before, now));
            return self.resume_unread(history, now);
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

    /// A file of which nothing was acknowledged; `true` if it is known to have been a copy, and was
    /// overwritten since.
    fn resume_unread(&mut self, history: &History, now: Duration) -> io::Result<bool> {
        let known = history.held_by_copy(&self.identity, self.truncations);
        let Some(known) = known.filter(|known| known.is_known()) else { return Ok(false) };
        if self.held(known.size)? == known {
            return Ok(false);
        }
        self.begin_again(now);
        Ok(true)
    }

    /// What the file holds before an offset, as far as its ends tell.
    pub(crate) fn held(&self, size: u64) -> io::Result<Held> {
        let mut ends = [0; 2 * Held::END_BYTES];
        let len = size.min(Held::END_BYTES as u64) as usize;
        let first = self.read_at(&mut ends[..len], 0)?;
        let last = self.read_at(&mut ends[first..first + len], size - len as u64)?;
        Ok(Held::of(size, &ends[..first + last]))
    }

    pub(super) fn take_position(&mut self, at: &Progress) {
        self.stand_at(at.offset, at.tail, at.prefix, at.inside_cut);
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
        self.move_to(offset, tail);
        self.scanned_to = offset;
        self.inside_cut = inside_cut;
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
                truncations: self.truncations,
                read_to: self.read_to,
                inside_cut: self.inside_cut,
                tail: self.tail,
                prefix: self.prefix,
                marks: std::mem::take(&mut self.marks),
                seen: self.seen,
                size_seen: self.size_seen.max(self.read_to),
                since: now,
                listings: 0,
            });
        }
        self.marks = Marks::default();
        self.truncations += 1;
        // It may be overwritten with the next copy.
        self.copy = Copied::Unknown;
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
        self.probe.doubt();
    }

    /// Looks at the inode again; tells whether the file was truncated.
    pub(crate) fn observe(&mut self, now: Duration) -> io::Result<Observed> {
        let found = facts(&self.file)?;
        self.facts.links = found.links;
        if let Some(gz) = &mut self.gz {
            let on_disk = (found.size, found.modified);
            if std::mem::replace(&mut gz.get_mut().on_disk, on_disk) != on_disk {
                self.changed_at = now;
                self.probe.doubt();
            }
            return Ok(Observed::Same);
        }
        let is_changed = std::mem::take(&mut self.is_unobserved)
            || (found.size, found.modified) != (self.facts.size, self.facts.modified);
        if !is_changed {
            self.note_seen()?;
            return Ok(Observed::Same);
        }
        self.changed_at = now;
        self.probe.doubt();
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
}

/// A generation of which only the checkpoint is left.
fn ended_at_checkpoint(
    progress: &Progress,
    of: GenerationRef,
    before: Before,
    since: Duration,
) -> Ended {
    Ended {
        of,
        generation: of.id(),
        truncations: progress.truncations,
        read_to: progress.offset,
        inside_cut: progress.inside_cut,
        tail: progress.tail,
        prefix: progress.prefix,
        marks: Marks::default(),
        seen: before.start,
        size_seen: before.size.max(progress.offset),
        since,
        listings: 0,
    }
}

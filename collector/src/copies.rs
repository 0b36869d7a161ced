//! What becomes of the bytes of a truncated file: they may be in a copy, as `copytruncate` makes one,
//! and else they are lost, to the byte as far as a size was ever seen.
//!
//! A copy is a file under a rotated name that was born after the file it copies and holds the same
//! bytes. While the original holds its bytes nothing is read from the copy; once the original was
//! truncated the copy is read on from where the original stood, under the original's name and offsets.

use std::io;
use std::time::Duration;

use sawlog_transport::run::{Piece, PieceKind};

use crate::checkpoint::{Progress, StreamClock};
use crate::identity::InodeKey;
use crate::order::is_born_after;
use crate::reader::Lines;
use crate::stream::{Stream, Turn};
use crate::sys::Writers;
use crate::tail::{Copied, Ended, TailFile};
use crate::tail_hash::{PREFIX_BYTES, PrefixHash};

/// How many generations of one file wait for a listing at most, if it is truncated again and again.
const ENDED_MAX: usize = 16;
/// How much of the beginning and of the end of a copy is compared.
const COMPARED_BYTES: u64 = 1024;
/// No file: a line that goes on here never goes on.
const NOWHERE: InodeKey = InodeKey { device: 0, inode: 0, birth_time: 0 };

impl Stream {
    /// Decides what can be decided about copies and truncated files; tells when to look again.
    pub(crate) fn judge(&mut self, turn: &mut Turn<'_, '_>) -> Option<Duration> {
        let mut due: Option<Duration> = None;
        if self.files.iter().any(|file| file.copy == Copied::Unknown) {
            // Whatever a new file may be a copy of: whether that was truncated must be known.
            self.observe_from(0, turn);
        }
        for index in 0..self.files.len() {
            let wait = match self.judge_one(index, turn) {
                Ok(wait) => wait,
                Err(error) => Some(self.cannot_read(index, turn, &error)),
            };
            due = due.into_iter().chain(wait).min();
        }
        due
    }

    fn judge_one(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Option<Duration>> {
        while !self.files[index].ended.is_empty() {
            if let Some(at) = self.settle(index, turn)? {
                return Ok(Some(at));
            }
        }
        if self.files[index].is_compressed_unknown()
            && let Some(at) = self.judge_compressed(index, turn)?
        {
            return Ok(Some(at));
        }
        self.files[index].rest_if_read();
        match self.files[index].copy {
            Copied::Unknown => self.judge_new(index, turn),
            Copied::Idle(_) => {
                self.judge_idle(index, turn)?;
                Ok(None)
            }
            Copied::No | Copied::Active(_) => Ok(None),
        }
    }

    /// Whether a file of which it is not known yet whether it is a copy stands behind `index`, or one
    /// whose old bytes are still looked for: the lines before them wait.
    pub(crate) fn is_undecided_behind(&self, index: usize) -> bool {
        // A file that somebody is still compressing may take its time: nobody waits for that.
        let is_compressed = |file: &TailFile| file.is_compressed_unknown() && !file.is_inflating();
        self.files[index + 1..].iter().any(|file| is_undecided(file) && !is_compressed(file))
    }

    /// Is a new file a copy of one that is still there?
    fn judge_new(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Option<Duration>> {
        if self.files[index].gz.is_some() {
            // A compressed file is always younger than what is written now: that tells nothing.
            if !self.may_hold_unread(index) {
                self.files[index].copy = Copied::No;
            }
            return Ok(None);
        }
        let Some(original) = self.original_of(index) else {
            self.files[index].copy = Copied::No;
            return Ok(None);
        };
        self.observe(index, turn)?;
        self.observe(original, turn)?;
        if !self.files[original].is_unchanged()? {
            self.files[original].begin_again(turn.reader.now.monotonic);
            self.truncated(original, turn);
        }
        if !self.files[original].ended.is_empty() || self.files[index].facts.size == 0 {
            return Ok(None);
        }
        if !is_copy(&self.files[index], &self.files[original])? {
            self.files[index].copy = Copied::No;
            return Ok(None);
        }
        if let Some(at) = self.being_written(index, turn) {
            return Ok(Some(at));
        }
        let of = self.files[original].generation_ref();
        self.files[index].set_copy(Copied::Idle(of));
        self.files[index].is_compared = true;
        self.note_copy(index, turn);
        Ok(None)
    }

    /// Whether a file may hold a generation of which nothing was read, so that no content tells.
    fn may_hold_unread(&self, index: usize) -> bool {
        let file = &self.files[index];
        self.files.iter().any(|original| {
            may_be_copy(file, original) && original.ended.iter().any(|ended| ended.read_to == 0)
        })
    }

    /// The file of which an unread one may be a copy.
    fn original_of(&self, index: usize) -> Option<usize> {
        let copy = &self.files[index];
        if copy.read_to > 0 {
            return None;
        }
        let is_original = |file: &TailFile| {
            !matches!(file.copy, Copied::Idle(_))
                && may_be_copy(copy, file)
                && (file.name.is_some()
                    || file.ended.iter().any(|ended| ended.read_to > 0 || ended.seen.0 > 0))
        };
        self.files.iter().position(is_original)
    }

    /// An original that is no longer open cannot give its bytes any more.
    fn judge_idle(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<()> {
        let of = self.files[index].generation_ref();
        let gives_them = |file: &TailFile| {
            (!matches!(file.copy, Copied::Idle(_)) && file.generation_ref() == of)
                || file.ended.iter().any(|ended| ended.of == of)
        };
        if let Some(original) = self.files.iter().position(gives_them) {
            return self.check_original(index, original, turn);
        }
        let known = turn.checkpoints.get(&of.file).copied();
        let file = &mut self.files[index];
        file.set_copy(Copied::Active(of));
        let Some(known) = known.filter(|known| known.truncations == of.truncations) else {
            return Ok(());
        };
        if known.offset >= file.facts.size {
            let end = file.facts.size;
            let tail = file.tail_at(end)?;
            file.stand_at(end, tail, known.prefix, false);
        } else if file.holds(known.offset, known.tail)? {
            file.stand_at(known.offset, known.tail, known.prefix, known.inside_cut);
        }
        // After the original was closed, so after all that it gave was acknowledged.
        let progress = file.progress(self.source.id, StreamClock::default());
        self.declare(&[], &[progress], turn);
        Ok(())
    }

    /// What was noted of a copy before a restart may no longer be so: an original of which nothing was
    /// acknowledged has no checkpoint that tells of a truncation, but its copy does.
    fn check_original(
        &mut self,
        copy: usize,
        original: usize,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<()> {
        if std::mem::replace(&mut self.files[copy].is_compared, true) {
            return Ok(());
        }
        let is_ended = !self.files[original].ended.is_empty();
        let is_read = self.files[original].read_to > 0;
        if is_ended || is_read || is_copy(&self.files[copy], &self.files[original])? {
            return Ok(());
        }
        self.files[original].size_seen = self.files[copy].facts.size;
        self.files[original].begin_again(turn.reader.now.monotonic);
        self.truncated(original, turn);
        Ok(())
    }

    /// Looks for the bytes of a file's oldest ended generation; tells when to look again, or `None`
    /// if they are accounted for.
    fn settle(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Option<Duration>> {
        let ended = self.files[index].ended[0];
        let now = turn.reader.now.monotonic;
        let mut at = index;
        let mut given_to = ended.read_to;
        let until = ended.since + turn.config.join_after;
        let is_listed = self.listings > ended.listings || now >= until;
        let copy = match self.known_copy_of(&ended) {
            Some(copy) => Some(copy),
            // The one that is known may be finished and closed: then the listing opens it.
            None if !is_listed && self.files[index].ended.len() < ENDED_MAX => {
                return Ok(Some(until));
            }
            None => self.copy_of(index, &ended)?,
        };
        // Which it is, and how much it holds, is not known before it is inflated.
        if copy.map_or(self.is_inflating(), |at| self.files[at].is_compressed_unknown()) {
            return Ok(Some(now + turn.config.join_after));
        }
        if let Some(copy) = copy {
            let truncations = self.files[copy].truncations;
            self.observe(copy, turn)?;
            if self.files[copy].truncations != truncations {
                // Overwritten meanwhile: it may hold something else now.
                return Ok(Some(now));
            }
            if !may_still_hold(&self.files[copy], &ended)? {
                // Overwritten while it was not open.
                self.files[copy].begin_again(now);
                self.truncated(copy, turn);
                return Ok(Some(now));
            }
            if let Some(wait) = self.being_written(copy, turn) {
                return Ok(Some(wait));
            }
            given_to = given_to.max(self.files[copy].facts.size);
            at = self.activate(copy, index, &ended, turn)?;
        } else {
            self.lose_continuation(index, &ended);
        }
        self.account(at, &ended, given_to, turn);
        Ok(None)
    }

    /// The file of which it was known before that it holds the bytes of a generation.
    fn known_copy_of(&self, ended: &Ended) -> Option<usize> {
        let is_known = |file: &TailFile| matches!(file.copy, Copied::Idle(of) | Copied::Active(of) if of == ended.of);
        self.files.iter().position(is_known)
    }

    /// The new file that holds the bytes of an ended generation.
    fn copy_of(&self, index: usize, ended: &Ended) -> io::Result<Option<usize>> {
        let (seen, start) =
            if ended.read_to == 0 { ended.seen } else { (ended.read_to, ended.prefix) };
        for (at, file) in self.files.iter().enumerate() {
            let may_be = file.copy == Copied::Unknown
                && file.read_to == 0
                && file.facts.size > 0
                && may_be_copy(file, &self.files[index]);
            if may_be && file.holds(ended.read_to, ended.tail)? && file.begins_with(seen, start)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Reads a copy on from where its original stood; gives where the original is now.
    fn activate(
        &mut self,
        copy: usize,
        original: usize,
        ended: &Ended,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<usize> {
        let (copy, original) = self.put_before(copy, original);
        let key = self.files[original].key();
        let file = &mut self.files[copy];
        if let Some(head) = &mut self.head
            && head.continued_in == key
            && ended.read_to == 0
        {
            head.continued_in = file.key();
        }
        if matches!(file.copy, Copied::Active(_)) {
            return Ok(original);
        }
        file.set_copy(Copied::Active(ended.of));
        if file.facts.size >= ended.read_to {
            file.stand_at(ended.read_to, ended.tail, ended.prefix, ended.inside_cut);
        } else {
            let end = file.facts.size;
            let tail = file.tail_at(end)?;
            file.stand_at(end, tail, ended.prefix, false);
        }
        let progress = file.progress(self.source.id, StreamClock::default());
        self.note_copy(copy, turn);
        if progress.offset > 0 {
            self.declare(&[], &[progress], turn);
        }
        Ok(original)
    }

    /// The old bytes come before the new ones.
    fn put_before(&mut self, copy: usize, original: usize) -> (usize, usize) {
        if copy < original {
            return (copy, original);
        }
        let file = self.files.remove(copy);
        self.files.insert(original, file);
        (original, original + 1)
    }

    /// A line that went on in the bytes that are lost ends where it was cut.
    fn lose_continuation(&mut self, index: usize, ended: &Ended) {
        let key = self.files[index].key();
        if let Some(head) = &mut self.head
            && head.continued_in == key
            && ended.read_to == 0
            && ended.size_seen > 0
        {
            head.continued_in = NOWHERE;
        }
    }

    /// What no copy holds of an ended generation is lost.
    fn account(&mut self, index: usize, ended: &Ended, given_to: u64, turn: &mut Turn<'_, '_>) {
        let file = &mut self.files[index];
        file.ended.remove(0);
        file.before = Some((ended.generation, given_to.max(ended.size_seen)));
        let (generation, kind) = (ended.generation, PieceKind::Truncated);
        let lost = Piece { generation, from: given_to, to: ended.size_seen, kind };
        let progress = file.progress(self.source.id, StreamClock::default());
        let progress = if file.ended.is_empty() { &[progress][..] } else { &[] };
        let lost = if lost.bytes() > 0 { &[lost][..] } else { &[] };
        if !lost.is_empty() || !progress.is_empty() {
            self.declare(lost, progress, turn);
        }
    }

    /// When to look again at a file that may still be written.
    fn being_written(&mut self, index: usize, turn: &Turn<'_, '_>) -> Option<Duration> {
        let now = turn.reader.now.monotonic;
        let file = &mut self.files[index];
        let settled_at = file.changed_at + turn.config.join_after;
        match file.writers(now) {
            (Writers::None, _) => None,
            _ if now >= settled_at => None,
            (Writers::Some, again) => Some(again.min(settled_at)),
            (Writers::Unknown, _) => Some(settled_at),
        }
    }

    pub(crate) fn note_copy(&self, index: usize, turn: &mut Turn<'_, '_>) {
        let file = &self.files[index];
        let own = file.own_generation();
        let wall = turn.reader.now.wall;
        turn.checkpoints.history.note_copy(&own, file.generation_ref(), wall);
    }

    pub(crate) fn declare(
        &mut self,
        pieces: &[Piece],
        progress: &[Progress],
        turn: &mut Turn<'_, '_>,
    ) {
        let mut lines = Lines {
            source: &self.source,
            times: &mut self.times,
            pem: &mut self.pem,
            text: &mut self.text,
            head: &mut None,
            older: &[],
        };
        turn.reader.declare(&mut lines, pieces, progress);
    }
}

/// Whether nothing may be read from a file yet.
pub(crate) fn is_undecided(file: &TailFile) -> bool {
    !file.ended.is_empty()
        || file.is_compressed_unknown()
        || (file.copy == Copied::Unknown && file.facts.size > 0)
}

/// Whether a file was certainly made after another one, and yet its name says that it is older: so it is
/// with copies, and with nothing else.
fn may_be_copy(copy: &TailFile, original: &TailFile) -> bool {
    let is_older_by_name = match (&copy.name, &original.name) {
        (Some((_, age)), Some((_, original_age))) => age > original_age,
        // A name that is gone tells nothing any more.
        _ => true,
    };
    is_older_by_name && is_born_after(&copy.key(), &original.key())
}

/// Whether an idle copy may still hold a generation: of what it is long enough for, it holds what was
/// read of that.
fn may_still_hold(copy: &TailFile, ended: &Ended) -> io::Result<bool> {
    let size = copy.facts.size;
    if copy.gz.is_some() || !matches!(copy.copy, Copied::Idle(_)) || ended.read_to == 0 {
        return Ok(true);
    }
    if size >= ended.read_to && !copy.holds(ended.read_to, ended.tail)? {
        return Ok(false);
    }
    let is_long = size >= ended.read_to.min(PREFIX_BYTES as u64);
    let is_known = ended.prefix != PrefixHash::UNKNOWN;
    Ok(!is_long || !is_known || copy.begins_with(ended.read_to, ended.prefix)?)
}

/// Whether all of a file is in another one, as far as its beginning and its end tell.
fn is_copy(copy: &TailFile, original: &TailFile) -> io::Result<bool> {
    let size = copy.facts.size;
    if size > original.facts.size {
        return Ok(false);
    }
    let len = size.min(COMPARED_BYTES) as usize;
    for from in [0, size - len as u64] {
        let mut bytes = [[0; COMPARED_BYTES as usize]; 2];
        let [a, b] = &mut bytes;
        let read = (copy.read_at(&mut a[..len], from)?, original.read_at(&mut b[..len], from)?);
        if read != (len, len) || a[..len] != b[..len] {
            return Ok(false);
        }
    }
    Ok(true)
}

//! What becomes of the bytes of a truncated file: they may be in a copy, as `copytruncate` makes one,
//! and else they are lost, to the byte as far as a size was ever seen.
//!
//! A copy is a file under a rotated name that was born after the file it copies and holds the same
//! bytes. While the original holds its bytes nothing is read from the copy; once the original was
//! truncated the copy is read on from where the original stood, under the original's name and offsets.

mod compare;
mod settle;

use std::io;
use std::time::Duration;

use sawlog_transport::run::Piece;

use crate::checkpoint::{Progress, StreamClock};
use crate::reader::Lines;
use crate::stream::{Stream, Turn};
use crate::sys::Writers;
use crate::tail::{Copied, TailFile};
use crate::tail_hash::Held;
use compare::{is_copy, may_be_copy};

impl Stream {
    /// Decides what can be decided about copies and truncated files; tells when to look again.
    pub(crate) fn judge(&mut self, turn: &mut Turn<'_, '_>) -> Option<Duration> {
        let mut due: Option<Duration> = None;
        if self.files.iter().any(|file| file.copy == Copied::Unknown) {
            // Whatever a new file may be a copy of: whether that was truncated must be known.
            self.observe_from(0, turn);
        }
        // Before it is known what became of a file's old bytes, nothing is a copy of its new ones.
        for index in 0..self.files.len() {
            let wait = self.settle_all(index, turn);
            due = due.into_iter().chain(self.or_later(index, wait, turn)).min();
        }
        for index in 0..self.files.len() {
            let wait = self.judge_one(index, turn);
            due = due.into_iter().chain(self.or_later(index, wait, turn)).min();
        }
        due
    }

    fn or_later(
        &mut self,
        index: usize,
        wait: io::Result<Option<Duration>>,
        turn: &Turn<'_, '_>,
    ) -> Option<Duration> {
        wait.unwrap_or_else(|error| Some(self.cannot_read(index, turn, &error)))
    }

    fn settle_all(
        &mut self,
        index: usize,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Option<Duration>> {
        while !self.files[index].ended.is_empty() {
            if let Some(at) = self.settle(index, turn)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn judge_one(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Option<Duration>> {
        if let Some(at) = self.settle_all(index, turn)? {
            return Ok(Some(at));
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
            // Truncated while they were compared, the original tells nothing.
            self.observe(original, turn)?;
            if self.files[original].ended.is_empty() {
                self.files[index].copy = Copied::No;
            }
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
        // What is not known tells nothing later: that is no reason to forget whose copy it is.
        let held = if file.gz.is_some() {
            Held::UNKNOWN
        } else {
            file.held(file.facts.size).unwrap_or_default()
        };
        turn.checkpoints.history.note_copy(&own, file.generation_ref(), held, wall);
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

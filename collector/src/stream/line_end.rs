//! The unterminated end of a file: does its line go on in a newer file, or is it the end?

use std::io;
use std::time::Duration;

use super::release::is_acknowledged;
use super::{Step, Stream, Turn};
use crate::line_head::LineHead;
use crate::reader::{Lines, Outcome};
use crate::sys::Writers;
use crate::tail::Copied;
use crate::why::Decision;

impl Stream {
    /// No complete line is left: does the rest go on in a newer file, or is it the end?
    pub(super) fn at_end(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Step> {
        let file = &self.files[index];
        if file.unread() == 0 && !file.inside_cut {
            return Ok(Step::Next);
        }
        if self.is_undecided_behind(index) {
            // Whoever goes on with the line is not known yet: nobody is read before it.
            return Ok(Step::Wait(turn.reader.now.monotonic + turn.config.join_after));
        }
        let file = &self.files[index];
        if !file.passed
            && let Some(newer) = self.newer_with_data(index, turn)?
            && self.files[newer].read_to == 0
            && self.files[newer].ended.iter().all(|ended| ended.read_to == 0)
        {
            return self.at_boundary(index, newer, turn);
        }
        let step = self.at_last_end(index, turn)?;
        // A newer file that is still empty may get its first bytes at any moment. Read before this
        // end is decided, it could not go on with the line any more.
        let undecided = !self.files[index].passed
            && self.files.get(index + 1).is_some_and(|newer| newer.read_to == 0);
        Ok(match step {
            Step::NextAnd(at) if undecided => Step::Wait(at),
            step => step,
        })
    }

    fn newer_with_data(
        &mut self,
        index: usize,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Option<usize>> {
        for newer in index + 1..self.files.len() {
            self.observe(newer, turn)?;
            if matches!(self.files[newer].copy, Copied::Idle(_)) {
                continue;
            }
            if self.files[newer].facts.size > 0 {
                return Ok(Some(newer));
            }
        }
        Ok(None)
    }

    /// A newer file has begun. If nobody writes to the older one any more, its last line goes on
    /// there; until that is known the newer file waits. That time has passed is no reason to join them:
    /// somebody may have stopped in the middle of a line.
    fn at_boundary(
        &mut self,
        index: usize,
        newer: usize,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Step> {
        let now = turn.reader.now.monotonic;
        let join_after = turn.config.join_after;
        let file = &mut self.files[index];
        let settled_at = file.changed_at + join_after;
        let (writers, again) = file.writers(now);
        let is_cut = self.logger.is_some_and(|logger| logger.is_full(file.facts.size));
        match writers {
            Writers::None => {}
            Writers::Unknown if is_cut || file.was_closed_as_it_is() => {}
            Writers::Some | Writers::Unknown if now >= settled_at => {
                // Somebody else wrote the newer file: the line is not cut, just unfinished.
                file.passed = true;
                return self.at_last_end(index, turn);
            }
            Writers::Unknown => return Ok(Step::Wait(settled_at)),
            Writers::Some => return Ok(Step::Wait(again.min(settled_at))),
        }
        if self.has_grown(index, turn)? {
            return Ok(Step::Read(0));
        }
        self.join(index, newer, turn)
    }

    /// Whether the file changed between the look at its size and the look at its writers.
    fn has_grown(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<bool> {
        let before = self.files[index].facts.size;
        self.observe(index, turn)?;
        Ok(self.files[index].facts.size != before)
    }

    fn join(&mut self, index: usize, newer: usize, turn: &mut Turn<'_, '_>) -> io::Result<Step> {
        if self.files[index].inside_cut {
            self.files[index].inside_cut = false;
            self.files[newer].inside_cut = true;
            return Ok(Step::Next);
        }
        let continued_in = self.files[newer].key();
        let goes_on_here =
            self.head.as_ref().is_some_and(|head| head.continued_in == self.files[index].key());
        if goes_on_here && self.head.as_ref().is_some_and(LineHead::is_full) {
            let outcome = self.partial_line(index, turn)?;
            return Ok(self.step_of(index, outcome, turn));
        }
        if !goes_on_here && self.head.is_some() {
            // Another line is being put together already; this one ends here.
            let outcome = self.partial_line(index, turn)?;
            return Ok(self.step_of(index, outcome, turn));
        }
        let head = self.head.get_or_insert_with(|| LineHead::new(continued_in));
        let (older, rest) = self.files.split_at_mut(index);
        let outcome = turn.reader.leave_open(&mut rest[0], head, older, &mut self.text)?;
        if outcome == Outcome::End {
            head.continued_in = continued_in;
            let now = turn.reader.now.wall;
            self.files[index].decisions.note(now, Decision::LineGoesOn);
            self.files[newer].decisions.note(now, Decision::JoinedLine);
            // What was looked at there was not looked at as the rest of a line.
            let newer = &mut self.files[newer];
            newer.scanned_to = newer.read_to;
            return Ok(Step::Next);
        }
        if head.is_empty() {
            self.head = None;
        }
        Ok(self.step_of(index, outcome, turn))
    }

    /// The unterminated end of the stream, or of a file that no newer one continues: a line of its
    /// own once it is certain that nobody goes on with it.
    fn at_last_end(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Step> {
        let now = turn.reader.now.monotonic;
        let file = &mut self.files[index];
        let quiet_at = file.changed_at + turn.config.partial_after;
        if now < quiet_at {
            return Ok(Step::NextAnd(quiet_at));
        }
        let unknown_at = file.changed_at + turn.config.partial_after_unknown_writers;
        match file.writers(now) {
            (Writers::None, _) => {}
            (Writers::Some, again) => return Ok(Step::NextAnd(again)),
            (Writers::Unknown, _) if file.was_closed_as_it_is() => {}
            (Writers::Unknown, _) if now >= unknown_at => {}
            (Writers::Unknown, _) => return Ok(Step::NextAnd(unknown_at)),
        }
        if let Some(at) = self.newer_may_continue(index, now) {
            return Ok(Step::NextAnd(at));
        }
        if self.has_grown(index, turn)? {
            return Ok(Step::Read(0));
        }
        if self.files[index].inside_cut {
            return Ok(self.end_cut(index, turn));
        }
        let outcome = self.partial_line(index, turn)?;
        Ok(self.step_of(index, outcome, turn))
    }

    /// A newer file that is still empty but open for writing will go on with the line.
    fn newer_may_continue(&mut self, index: usize, now: Duration) -> Option<Duration> {
        if self.files[index].passed {
            return None;
        }
        self.files[index + 1..].iter_mut().filter(|file| file.facts.size == 0).find_map(|file| {
            let (writers, again) = file.writers(now);
            (writers == Writers::Some).then_some(again)
        })
    }

    /// A line that was too long ends with its file. The checkpoint must know, or else a restart
    /// would leave out the next line too.
    fn end_cut(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> Step {
        let now = turn.reader.now;
        if !is_acknowledged(&self.files[index], turn.checkpoints) {
            return Step::NextAnd(now.monotonic + turn.config.partial_after);
        }
        let file = &mut self.files[index];
        file.inside_cut = false;
        turn.checkpoints.amend(&file.identity, now.wall, |progress| progress.inside_cut = false);
        Step::Next
    }

    /// Hands on a cut line whose continuation went away unread.
    pub(super) fn end_orphaned_head(&mut self, turn: &mut Turn<'_, '_>) -> io::Result<()> {
        let Some(head) = &self.head else { return Ok(()) };
        if self.files.iter().any(|file| file.key() == head.continued_in) {
            return Ok(());
        }
        let mut lines = Lines {
            source: &self.source,
            times: &mut self.times,
            pem: &mut self.pem,
            text: &mut self.text,
            head: &mut self.head,
            older: &self.files,
        };
        turn.reader.partial_head(&mut lines)
    }
}

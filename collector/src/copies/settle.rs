//! What becomes of a generation that is no longer in its file: a copy holds it, or it is lost.

use std::io;
use std::time::Duration;

use sawlog_transport::run::{Piece, PieceKind};

use super::compare::{is_earlier_copy, may_be_copy, may_still_hold};
use crate::checkpoint::StreamClock;
use crate::identity::InodeKey;
use crate::stream::{Stream, Turn};
use crate::tail::{Copied, Ended, TailFile};

/// How many generations of one file wait for a listing at most, if it is truncated again and again.
const ENDED_MAX: usize = 16;
/// No file: a line that goes on here never goes on.
const NOWHERE: InodeKey = InodeKey { device: 0, inode: 0, birth_time: 0 };

/// Where the bytes of an ended generation are.
enum Holder {
    Copy(usize),
    Nobody,
    /// No open file has them; the next listing may find one that does.
    NotListed,
}

impl Stream {
    /// Looks for the bytes of a file's oldest ended generation; tells when to look again, or `None`
    /// if they are accounted for.
    pub(super) fn settle(
        &mut self,
        index: usize,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Option<Duration>> {
        let ended = self.files[index].ended[0].clone();
        let now = turn.reader.now.monotonic;
        let mut at = index;
        let mut given_to = ended.read_to;
        let until = ended.since + turn.config.join_after;
        let is_listed = self.listings > ended.listings || now >= until;
        let copy = match self.holder_of(index, &ended, is_listed, turn)? {
            Holder::Copy(copy) => Some(copy),
            Holder::Nobody => None,
            Holder::NotListed => return Ok(Some(until)),
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
        self.pass_older(at, &ended);
        self.account(at, &ended, given_to, turn);
        Ok(None)
    }

    /// Where an ended generation was read, what goes on with the ends of older files stood at its beginning,
    /// and nothing that its file `at` holds later does.
    fn pass_older(&mut self, at: usize, ended: &Ended) {
        if ended.read_to == 0 {
            return;
        }
        let holder = self.known_copy_of(ended).map_or(at, |copy| copy.min(at));
        self.files[..holder].iter_mut().for_each(|older| older.passed = true);
    }

    fn holder_of(
        &self,
        index: usize,
        ended: &Ended,
        is_listed: bool,
        turn: &Turn<'_, '_>,
    ) -> io::Result<Holder> {
        if let Some(copy) = self.known_copy_of(ended) {
            return Ok(Holder::Copy(copy));
        }
        let may_wait = !is_listed && self.files[index].ended.len() < ENDED_MAX;
        // The one that is known may be finished and closed: then the listing opens it.
        if may_wait && turn.checkpoints.history.has_copy_of(&ended.of) {
            return Ok(Holder::NotListed);
        }
        Ok(match self.copy_of(index, ended)? {
            Some(copy) => Holder::Copy(copy),
            None if may_wait => Holder::NotListed,
            None => Holder::Nobody,
        })
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
        let start_known = seen > 0;
        let may_be = |file: &TailFile| {
            file.copy == Copied::Unknown
                && file.read_to == 0
                && file.facts.size > 0
                && may_be_copy(file, &self.files[index])
        };
        let new = || self.files.iter().enumerate().filter(|(_, file)| may_be(file));
        for (at, file) in new() {
            // Of what nothing is known but a size, at least that tells.
            let is_known = start_known || file.facts.size >= ended.size_seen;
            if is_known
                && file.holds(ended.read_to, ended.tail)?
                && file.begins_with(seen, start)?
            {
                return Ok(Some(at));
            }
        }
        // One that was read further than its copy goes.
        for (at, file) in new() {
            if is_earlier_copy(file, ended)? {
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
        file.accounted = file.truncations;
        let lost = if lost.bytes() > 0 { &[lost][..] } else { &[] };
        if !lost.is_empty() || !progress.is_empty() {
            self.declare(lost, progress, turn);
        }
    }
}

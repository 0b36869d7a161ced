//! One stream: its files through all rotations, the oldest first, and whose turn it is to be read.

use std::io;
use std::time::Duration;

use sawlog_transport::run::{Piece, PieceKind};

use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::copies::is_undecided;
use crate::discover::NodeId;
use crate::identity::InodeKey;
use crate::line_head::LineHead;
use crate::place::Source;
use crate::reader::{Lines, Outcome, Reader};
use crate::redact::{PemBlock, PemBlocks};
use crate::stream_text::StreamText;
use crate::sys::Writers;
use crate::tail::{Copied, Observed, TailFile};
use crate::times::StreamTimes;
use crate::why::{Decision, Waits};

/// How long a file that cannot be read is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// A source of lines and the files that hold them.
pub(crate) struct Stream {
    pub source: Source,
    /// The directory that feeds it.
    pub node: NodeId,
    pub times: StreamTimes,
    /// The block of a private key whose end has not come yet.
    pub(crate) pem: PemBlocks,
    /// How its text is read.
    pub(crate) text: StreamText,
    pub files: Vec<TailFile>,
    /// A line that older files begin and a newer one goes on with.
    pub(crate) head: Option<LineHead>,
    /// How often the directory was listed.
    pub listings: u64,
    /// When it wants a turn without anything having happened (monotonic).
    pub due: Option<Duration>,
    /// Bytes it may still read in this round.
    pub credit: i64,
}

/// What the rules of a turn need.
pub(crate) struct Turn<'a, 'b> {
    pub reader: &'a mut Reader<'b>,
    pub config: &'a Config,
    pub checkpoints: &'a mut Checkpoints,
    /// Files that need not be open any more.
    pub closed: &'a mut Vec<Closed>,
    /// Set if the stream's directory is to be listed: a file was truncated, there may be a copy.
    pub relist: bool,
}

/// A file that was closed, and why.
pub(crate) struct Closed {
    pub file: TailFile,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Read to its end and acknowledged, and nobody writes.
    Finished,
    /// Not text.
    Skipped(&'static str),
}

/// What a turn gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// So many bytes were read; another turn may give more.
    Read(u64),
    /// Nothing to do, until something happens or the moment comes (monotonic).
    Idle(Option<Duration>),
}

/// What is to be done about one file.
enum Step {
    Read(u64),
    /// Go on with the next file.
    Next,
    /// Go on with the next file, and look here again at this moment.
    NextAnd(Duration),
    /// Newer files wait for this one.
    Wait(Duration),
    Skip(&'static str),
}

impl Step {
    /// What the file's unread bytes wait for.
    fn waits(&self) -> Option<Waits> {
        match self {
            Step::NextAnd(_) => Some(Waits::LineEnd),
            Step::Wait(_) => Some(Waits::LineEndHoldingNewer),
            Step::Read(_) | Step::Next | Step::Skip(_) => None,
        }
    }
}

impl Stream {
    pub(crate) fn new(
        source: Source,
        node: NodeId,
        times: StreamTimes,
        pem: PemBlock,
        text: StreamText,
    ) -> Self {
        Self {
            source,
            node,
            times,
            pem: PemBlocks::of_both(pem),
            text,
            files: Vec::new(),
            head: None,
            listings: 0,
            due: None,
            credit: 0,
        }
    }

    /// Reads at most one run, from the oldest file that has something to give.
    pub(crate) fn turn(&mut self, turn: &mut Turn<'_, '_>) -> Turned {
        let mut due: Option<Duration> = None;
        let mut sooner = |at: Duration| due = Some(due.map_or(at, |due| due.min(at)));
        if let Some(at) = self.judge(turn) {
            sooner(at);
        }
        let mut index = 0;
        while index < self.files.len() {
            let step = self.step(index, turn);
            self.files[index].waits = step.waits();
            match step {
                Step::Read(bytes) => return Turned::Read(bytes),
                Step::Next => {}
                Step::NextAnd(at) => sooner(at),
                Step::Wait(at) => {
                    sooner(at);
                    self.observe_from(index + 1, turn);
                    break;
                }
                Step::Skip(reason) => {
                    let file = self.files.remove(index);
                    turn.closed.push(Closed { file, why: Why::Skipped(reason) });
                    continue;
                }
            }
            index += 1;
        }
        if let Err(error) = self.end_orphaned_head(turn) {
            tracing::warn!(stream = %self.source.id, "cannot read the beginning of a line: {error}");
        }
        if let Some(at) = self.release(turn) {
            sooner(at);
        }
        Turned::Idle(due)
    }

    fn step(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> Step {
        self.try_step(index, turn)
            .unwrap_or_else(|error| Step::NextAnd(self.cannot_read(index, turn, &error)))
    }

    /// Counts it, and warns once; tells when to try again.
    pub(crate) fn cannot_read(
        &mut self,
        index: usize,
        turn: &Turn<'_, '_>,
        error: &io::Error,
    ) -> Duration {
        turn.reader.metrics.scan_errors.inc();
        let file = &mut self.files[index];
        file.decisions.note(turn.reader.now.wall, Decision::Unreadable(error.kind()));
        if !std::mem::replace(&mut file.warned, true) {
            let name = file.name.as_ref().map(|(name, _)| name);
            tracing::warn!(labels = %self.source.labels, ?name, "cannot read a log file: {error}");
        }
        turn.reader.now.monotonic + RETRY_AFTER
    }

    fn try_step(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Step> {
        self.observe(index, turn)?;
        // What a file got after its end was taken for a cut line waits until that line is handed on:
        // a checkpoint cannot say that later bytes are acknowledged and earlier ones are not.
        let file = &self.files[index];
        // What they hold is older than what follows.
        if file.is_inflating() {
            return Ok(Step::Wait(turn.reader.now.monotonic));
        }
        if !file.ended.is_empty() {
            return Ok(Step::Wait(turn.reader.now.monotonic + turn.config.join_after));
        }
        let may_not_be_read = is_undecided(file) || matches!(file.copy, Copied::Idle(_));
        if may_not_be_read || self.is_in_head(index) {
            return Ok(Step::Next);
        }
        let outcome = self.read(index, turn, |reader, file, lines| reader.next(file, lines))?;
        Ok(match outcome {
            Outcome::End => return self.at_end(index, turn),
            other => self.step_of(index, other, turn),
        })
    }

    /// Looks at a file's inode; a truncation begins a new generation.
    pub(crate) fn observe(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<()> {
        match self.files[index].observe(turn.reader.now.monotonic)? {
            Observed::Same => {}
            Observed::Truncated => self.truncated(index, turn),
            Observed::Shrunk { from, to } => {
                turn.reader.metrics.truncations.inc();
                let (generation, kind) = (self.files[index].generation, PieceKind::Truncated);
                self.declare(&[Piece { generation, from, to, kind }], &[], turn);
            }
        }
        Ok(())
    }

    /// Files that have to wait for their turn are looked at all the same: what was seen of them and is
    /// gone then can be declared.
    pub(crate) fn observe_from(&mut self, first: usize, turn: &mut Turn<'_, '_>) {
        for index in first..self.files.len() {
            if let Err(error) = self.observe(index, turn) {
                self.cannot_read(index, turn, &error);
            }
        }
    }

    /// A new generation of a file has begun.
    pub(crate) fn truncated(&mut self, index: usize, turn: &mut Turn<'_, '_>) {
        turn.reader.metrics.truncations.inc();
        turn.relist = true;
        let file = &mut self.files[index];
        file.decisions.note(turn.reader.now.wall, Decision::Truncated(file.truncations));
        let (now, key) = (file.own_generation(), file.key());
        let before = file.truncations.checked_sub(1);
        let mut ended_at = 0;
        // An idle copy has none: it was nobody's source. An older one goes on waiting.
        if let Some(ended) = file.ended.last_mut().filter(|one| Some(one.truncations) == before) {
            ended.listings = self.listings;
            if let Some(head) = &mut self.head {
                head.give_back(key, ended);
            }
            ended_at = ended.size_seen;
        }
        // Without it a restart would take the new bytes for what the file held before.
        let wall = turn.reader.now.wall;
        turn.checkpoints.history.note_truncation(&now, ended_at, wall);
        if self.head.as_ref().is_some_and(LineHead::is_empty) {
            self.head = None;
        }
        let name = file.name.as_ref().map(|(name, _)| name);
        tracing::info!(labels = %self.source.labels, ?name, "a log file was truncated");
    }

    fn step_of(&mut self, index: usize, outcome: Outcome, turn: &mut Turn<'_, '_>) -> Step {
        match outcome {
            Outcome::Read(bytes) => Step::Read(bytes),
            Outcome::End | Outcome::Hole(_) => Step::Read(0),
            Outcome::Replaced => {
                self.files[index].begin_again(turn.reader.now.monotonic);
                self.truncated(index, turn);
                Step::Read(0)
            }
            Outcome::NotText(reason) => Step::Skip(reason),
        }
    }

    /// Calls the reader with a file and what belongs to it.
    fn read(
        &mut self,
        index: usize,
        turn: &mut Turn<'_, '_>,
        how: impl Fn(&mut Reader<'_>, &mut TailFile, &mut Lines<'_>) -> io::Result<Outcome>,
    ) -> io::Result<Outcome> {
        let (older, rest) = self.files.split_at_mut(index);
        let file = &mut rest[0];
        let goes_on_here = self.head.as_ref().is_some_and(|head| head.continued_in == file.key());
        let mut no_head = None;
        let head = if goes_on_here { &mut self.head } else { &mut no_head };
        let mut lines = Lines {
            source: &self.source,
            times: &mut self.times,
            pem: &mut self.pem,
            text: &mut self.text,
            head,
            older,
        };
        how(turn.reader, file, &mut lines)
    }

    fn partial_line(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Outcome> {
        self.files[index].decisions.note(turn.reader.now.wall, Decision::PartialLine);
        self.read(index, turn, |reader, file, lines| reader.partial_line(file, lines))
    }

    fn is_in_head(&self, index: usize) -> bool {
        self.holds_in_head(&self.files[index])
    }

    /// Whether a file's last line was cut and waits for its rest.
    pub(crate) fn holds_in_head(&self, file: &TailFile) -> bool {
        self.head.as_ref().is_some_and(|head| head.holds(file))
    }

    /// No complete line is left: does the rest go on in a newer file, or is it the end?
    fn at_end(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<Step> {
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
    /// there; until that is known the newer file waits.
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
        match writers {
            Writers::None => {}
            Writers::Unknown if now >= settled_at => {}
            Writers::Unknown => return Ok(Step::Wait(settled_at)),
            Writers::Some if now >= settled_at => {
                // Somebody else wrote the newer file: the line is not cut, just unfinished.
                file.passed = true;
                return self.at_last_end(index, turn);
            }
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
        if let Some(progress) = turn.checkpoints.get(&file.identity).copied() {
            let ended = crate::checkpoint::Progress { inside_cut: false, ..progress };
            turn.checkpoints.advance(ended, now.wall);
        }
        Step::Next
    }

    /// Hands on a cut line whose continuation went away unread.
    fn end_orphaned_head(&mut self, turn: &mut Turn<'_, '_>) -> io::Result<()> {
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

    /// Closes files that are read, acknowledged and finished; tells when to look again.
    pub(crate) fn release(&mut self, turn: &mut Turn<'_, '_>) -> Option<Duration> {
        let mut due: Option<Duration> = None;
        let mut index = 0;
        while index < self.files.len() {
            match self.finished(index, turn) {
                Finished::Yes => {
                    let file = self.files.remove(index);
                    note_finished(&file, turn);
                    turn.closed.push(Closed { file, why: Why::Finished });
                    continue;
                }
                Finished::AskAt(at) => due = Some(due.map_or(at, |due| due.min(at))),
                Finished::No => {}
            }
            index += 1;
        }
        due
    }

    fn finished(&mut self, index: usize, turn: &Turn<'_, '_>) -> Finished {
        let now = turn.reader.now.monotonic;
        let in_head = self.is_in_head(index);
        let file = &mut self.files[index];
        let is_target = self.head.as_ref().is_some_and(|head| head.continued_in == file.key());
        let has_more =
            is_undecided(file) || file.unread() > 0 || file.inside_cut || in_head || is_target;
        if has_more || !is_acknowledged(file, turn.checkpoints) {
            return Finished::No;
        }
        let quiet_at = file.changed_at + turn.config.release_after;
        let is_current = file.name.as_ref().is_some_and(|(_, age)| *age == 0);
        // The file that is being written is closed only when it seems to be the last.
        if is_current && now < quiet_at {
            return Finished::AskAt(quiet_at);
        }
        match file.writers(now) {
            // Somebody may have written and closed it just before the question.
            (Writers::None, _) => match file.is_changed() {
                Ok(false) => Finished::Yes,
                Ok(true) | Err(_) => Finished::AskAt(now),
            },
            (Writers::Some, _) => Finished::AskAt(file.ask_again(now)),
            (Writers::Unknown, _) if is_current => Finished::No,
            (Writers::Unknown, _) if now >= quiet_at => Finished::Yes,
            (Writers::Unknown, _) => Finished::AskAt(quiet_at),
        }
    }

    /// The files that are read and acknowledged to their ends, with their sizes.
    pub(crate) fn drained(&self, checkpoints: &Checkpoints) -> Vec<(InodeKey, u64)> {
        let is_drained =
            |file: &&TailFile| file.unread() == 0 && is_acknowledged(file, checkpoints);
        self.files.iter().filter(is_drained).map(|file| (file.key(), file.facts.size)).collect()
    }

    /// The files that are read, acknowledged and have a name: to close them loses nothing, as long as
    /// somebody opens them again when they grow.
    pub(crate) fn quiet_files(&self, checkpoints: &Checkpoints) -> impl Iterator<Item = &TailFile> {
        let in_head = self.head.as_ref();
        self.files.iter().filter(move |file| {
            let is_joined =
                in_head.is_some_and(|head| head.holds(file) || head.continued_in == file.key());
            !is_busy(file) && !is_joined && is_acknowledged(file, checkpoints)
        })
    }

    /// Whether no turn would find anything to do: every file gives nothing for now, and is still as
    /// it was when it was looked at last.
    pub(crate) fn is_at_rest(&self, checkpoints: &Checkpoints) -> bool {
        let resting = self.quiet_files(checkpoints).filter(|file| file.is_as_observed());
        resting.count() == self.files.len()
    }

    /// Bytes in the files that are not acknowledged.
    pub(crate) fn lag(&self, checkpoints: &Checkpoints) -> u64 {
        let behind = |file: &TailFile| {
            if matches!(file.copy, Copied::Idle(_)) {
                return 0;
            }
            let acknowledged = checkpoints
                .get(&file.identity)
                .filter(|progress| progress.truncations == file.truncations)
                .map_or(0, |progress| progress.offset);
            file.facts.size.saturating_sub(acknowledged)
        };
        self.files.iter().map(behind).sum()
    }
}

enum Finished {
    Yes,
    AskAt(Duration),
    /// Something else must happen first, which gives the stream a turn.
    No,
}

/// A compressed file that was read to its end need not be inflated again after a restart.
fn note_finished(file: &TailFile, turn: &mut Turn<'_, '_>) {
    if file.gz.is_none() {
        return;
    }
    if let Some(progress) = turn.checkpoints.get(&file.identity).copied()
        && progress.offset >= file.facts.size
    {
        let finished = crate::checkpoint::Progress { finished: true, ..progress };
        turn.checkpoints.advance(finished, turn.reader.now.wall);
    }
}

/// Whether something of a file is still to be read or decided, or only its descriptor leads to it.
pub(crate) fn is_busy(file: &TailFile) -> bool {
    is_undecided(file) || file.unread() > 0 || file.inside_cut || file.name.is_none()
}

/// Whether everything that was read of a file is acknowledged.
fn is_acknowledged(file: &TailFile, checkpoints: &Checkpoints) -> bool {
    file.read_to == 0
        || checkpoints.get(&file.identity).is_some_and(|progress| {
            progress.truncations == file.truncations && progress.offset >= file.read_to
        })
}

#[cfg(test)]
mod tests {
    use crate::rotation::Age;
    use crate::tail::tests::{START, open};

    use super::*;

    #[test]
    fn a_file_of_which_something_is_undecided_is_not_quiet() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "one\n").expect("write");
        let read = || {
            let mut file = open(&path);
            let age: Age = 1;
            file.name = Some(("f".into(), age));
            file.copy = Copied::No;
            file.read_to = 4;
            file
        };
        assert!(!is_busy(&read()));
        let mut waits_for_inflation = read();
        waits_for_inflation.read_to = 0;
        waits_for_inflation.set_compressed();
        assert!(is_busy(&waits_for_inflation));
        let mut emptied = read();
        emptied.facts.size = 0;
        emptied.begin_again(START.monotonic);
        assert_eq!(emptied.unread(), 0);
        assert!(is_busy(&emptied));
    }
}

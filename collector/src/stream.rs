//! One stream: its files through all rotations, the oldest first, and whose turn it is to be read.

mod line_end;
mod observe;
mod release;

use std::io;
use std::time::Duration;

use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::copies::is_undecided;
use crate::discover::NodeId;
use crate::line_head::LineHead;
use crate::mesos_logger::MesosLogger;
use crate::place::Source;
use crate::reader::{Lines, Outcome, Reader};
use crate::redact::{PemBlock, PemBlocks};
use crate::stream_text::StreamText;
use crate::tail::{Copied, TailFile};
use crate::times::StreamTimes;
use crate::why::{Decision, Waits};

pub(crate) use release::is_busy;

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
    /// The Mesos logger that rotates its files, if there is one.
    pub(crate) logger: Option<MesosLogger>,
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
    /// What deleted files hold is more than it may be: those that are read are closed, if nobody is known
    /// to write to them.
    pub is_tight: bool,
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
    /// Read to its end and acknowledged, to make room: somebody may write to it still.
    Parked,
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
            logger: None,
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
        if turn.relist
            && let Some(at) = self.judge(turn)
        {
            // A copy that is open already is overwritten at any moment.
            sooner(at);
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
}

//! Looks at the entries of one source. Nothing is returned whose bytes were not looked at.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_aggregator::{Opened, OpenedRun, Source};
use sawlog_transport::{DecodeError, GenerationId, LineColumns, LineFlags, PieceKind, StreamId};

use super::budget::{Budget, QueryError};
use super::entry::{EntryView, Order, Uid};
use super::plan::{Plan, StreamPlan};
use super::spans::Spans;

/// A source with its columns and, where needed, its text inflated.
pub struct Loaded {
    opened: Opened,
    lines: Arc<LineColumns>,
    /// Empty if nobody needs it.
    text: Bytes,
    /// Where each line's text begins, and where the last one ends.
    starts: Vec<u32>,
    spans: Spans,
    /// The same for the lines' sources; made when the first address is asked for.
    source_starts: OnceCell<Vec<u64>>,
}

/// A matching entry and where it was found.
pub struct Found<'a> {
    pub entry: EntryView<'a>,
    pub stream: &'a StreamPlan,
    pub order: Order,
    source: &'a Loaded,
    run: &'a OpenedRun,
    first_line: usize,
}

impl Found<'_> {
    /// The entry's address: that of its first byte.
    pub fn uid(&self) -> Uid {
        let starts = self.source.source_starts();
        let mut behind = starts[self.first_line] - starts[self.run.run.first_line as usize];
        let mut address = (GenerationId(0), 0);
        for piece in self.run.run.pieces.iter().filter(|piece| piece.kind == PieceKind::Text) {
            address = (piece.generation, piece.from + behind);
            if behind < piece.bytes() {
                break;
            }
            behind -= piece.bytes();
        }
        Uid { stream: self.run.stream, generation: address.0, offset: address.1 }
    }

    pub fn read_time(&self) -> i64 {
        self.run.run.read_time
    }

    /// A copy of the line, so that an answer of few lines does not hold whole blocks.
    pub fn line(&self) -> Bytes {
        Bytes::copy_from_slice(self.entry.line)
    }
}

/// What a visitor says: go on, or that is enough.
pub type Visit<'v> = dyn FnMut(&Found<'_>) -> Result<(), QueryError> + 'v;

/// Visits the matching entries of a source in order of lines. `with_text` is false for those who
/// only count: the text stays compressed if no filter needs it.
///
/// A damaged block is noted in the budget and left out.
///
/// # Errors
/// The budget is used up, or the visitor ends it.
pub fn scan(
    plan: &Plan,
    source: &Source,
    with_text: bool,
    budget: &Budget,
    visit: &mut Visit<'_>,
) -> Result<(), QueryError> {
    match Loaded::load(plan, source, with_text, budget)? {
        Some(loaded) => loaded.visit(plan, None, budget, visit),
        None => Ok(()),
    }
}

impl Loaded {
    /// Reads a source; `None` if it holds no match, or is damaged (the budget notes it).
    ///
    /// # Errors
    /// The budget is used up.
    pub fn load(
        plan: &Plan,
        source: &Source,
        with_text: bool,
        budget: &Budget,
    ) -> Result<Option<Self>, QueryError> {
        budget.check()?;
        let opened = match source.open() {
            Ok(opened) => opened,
            Err(err) => {
                budget.damaged(&err);
                return Ok(None);
            }
        };
        let chosen = |run: &OpenedRun| {
            Opened::overlaps(run, plan.from, plan.to)
                && plan.stream(run.number).is_some()
                && plan.admits(run)
        };
        if !opened.runs.iter().any(chosen) {
            return Ok(None);
        }
        let with_text = with_text || plan.pipeline.reads_text();
        if with_text {
            budget.inflate(opened.text_len())?;
        }
        match Self::inflate(plan, opened, with_text) {
            Ok(loaded) => Ok(loaded),
            Err(err) => {
                budget.damaged(&source.damaged(err));
                Ok(None)
            }
        }
    }

    fn inflate(plan: &Plan, opened: Opened, with_text: bool) -> Result<Option<Self>, DecodeError> {
        let text = if with_text { opened.text()? } else { Bytes::new() };
        let literal = plan.pipeline.leading_literal();
        if with_text && literal.is_some_and(|finder| finder.find(&text).is_none()) {
            return Ok(None);
        }
        let lines = opened.lines()?;
        let starts = starts(&lines);
        let spans = Spans::new(&opened.runs, &lines, |run| plan.admits(run));
        Ok(Some(Self { opened, lines, text, starts, spans, source_starts: OnceCell::new() }))
    }

    fn source_starts(&self) -> &[u64] {
        self.source_starts.get_or_init(|| {
            let mut at = 0;
            let ends = self.lines.source_lens.iter().map(|len| {
                at += u64::from(*len);
                at
            });
            std::iter::once(0).chain(ends).collect()
        })
    }

    /// Visits the matching entries in order of lines; with `only`, those that begin in the run of that
    /// stream with that arrival.
    ///
    /// # Errors
    /// The visitor ends it.
    pub fn visit(
        &self,
        plan: &Plan,
        only: Option<(StreamId, u64)>,
        budget: &Budget,
        visit: &mut Visit<'_>,
    ) -> Result<(), QueryError> {
        let wanted = |run: &&OpenedRun| {
            Opened::overlaps(run, plan.from, plan.to)
                && plan.admits(run)
                && only.is_none_or(|only| only == (run.stream, run.arrival))
        };
        let (mut scanned, mut matched) = (0, 0);
        for run in self.opened.runs.iter().filter(wanted) {
            let Some(stream) = plan.stream(run.number) else { continue };
            scanned += run.run.lines().len() as u64;
            matched += self.visit_run(plan, run, stream, visit)?;
        }
        budget.count_lines(scanned, matched);
        Ok(())
    }

    fn visit_run(
        &self,
        plan: &Plan,
        run: &OpenedRun,
        stream: &StreamPlan,
        visit: &mut Visit<'_>,
    ) -> Result<u64, QueryError> {
        let range = self.spans.of_run(run.run.lines());
        let mut matched = 0;
        let mut line = range.start;
        while let Some(candidate) = self.next_candidate(plan, line, range.end) {
            let entry = self.spans.around(candidate);
            line = entry.end;
            let found = self.found(run, stream, entry);
            let time = found.entry.time;
            if time >= plan.from
                && time < plan.to
                && stream.accepts_level(&found.entry)
                && plan.pipeline.accepts(&stream.labels, &found.entry)
            {
                matched += 1;
                visit(&found)?;
            }
        }
        Ok(matched)
    }

    /// The next line, from `line` on, that may belong to a match: the next one at all, unless every
    /// match must contain a known text.
    fn next_candidate(&self, plan: &Plan, line: usize, end: usize) -> Option<usize> {
        if line >= end {
            return None;
        }
        let Some(finder) = plan.pipeline.leading_literal() else { return Some(line) };
        let (from, to) = (self.starts[line] as usize, self.starts[end] as usize);
        let at = from + finder.find(&self.text[from..to])?;
        Some(self.starts[..=end].partition_point(|start| *start as usize <= at) - 1)
    }

    /// The first line's flags, and what of the others' holds for the whole.
    fn flags_of(&self, lines: Range<usize>) -> LineFlags {
        let flags = &self.lines.flags[lines];
        let whole = LineFlags::PARTIAL | LineFlags::CUT;
        LineFlags(flags[0].0 | flags[1..].iter().fold(0, |all, line| all | line.0 & whole))
    }

    fn found<'f>(
        &'f self,
        run: &'f OpenedRun,
        stream: &'f StreamPlan,
        lines: Range<usize>,
    ) -> Found<'f> {
        let first = lines.start;
        let (from, to) = (self.starts[first] as usize, self.starts[lines.end] as usize - 1);
        let time = self.lines.times[first];
        let entry = EntryView {
            number: run.number,
            stream: run.stream,
            time,
            line: if self.text.is_empty() { &[] } else { &self.text[from..to] },
            line_bytes: to - from,
            flags: self.flags_of(lines),
            metadata: self.lines.metadata_of(first),
        };
        let line = (first - run.run.first_line as usize) as u32;
        let order = Order { time, stream: run.stream, arrival: run.arrival, line };
        Found { entry, stream, order, source: self, run, first_line: first }
    }
}

fn starts(lines: &LineColumns) -> Vec<u32> {
    let mut starts = Vec::with_capacity(lines.len() + 1);
    let mut at = 0;
    starts.push(at);
    for len in &lines.text_lens {
        at += len + 1;
        starts.push(at);
    }
    starts
}

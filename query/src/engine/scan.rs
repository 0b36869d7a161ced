//! Looks at the entries of one source. Nothing is returned whose bytes were not looked at.

use bytes::Bytes;
use sawlog_aggregator::{Opened, OpenedRun, Source};
use sawlog_transport::run::Addresses;
use sawlog_transport::{LineColumns, LineFlags};

use super::budget::{Budget, QueryError};
use super::entry::{EntryView, Order, Uid};
use super::plan::{Plan, StreamPlan};

/// A matching entry and where it was found.
pub struct Found<'a> {
    pub entry: EntryView<'a>,
    pub stream: &'a StreamPlan,
    pub order: Order,
    run: &'a OpenedRun,
    lines: &'a LineColumns,
    first_line: usize,
}

impl Found<'_> {
    /// The entry's address. Walks the lines of its run: ask only for entries of the answer.
    pub fn uid(&self) -> Uid {
        let mut addresses = Addresses::new(&self.run.run.pieces);
        let run_first = self.run.run.first_line as usize;
        for line in run_first..self.first_line {
            addresses.next_line(self.lines.source_lens[line]);
        }
        let (generation, offset) = addresses
            .next_line(self.lines.source_lens[self.first_line])
            .unwrap_or((sawlog_transport::GenerationId(0), 0));
        Uid { stream: self.run.stream, generation, offset }
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
    budget.check()?;
    let opened = match source.open() {
        Ok(opened) => opened,
        Err(err) => {
            budget.damaged(&err);
            return Ok(());
        }
    };
    let chosen: Vec<(&OpenedRun, &StreamPlan)> = opened
        .runs
        .iter()
        .filter(|run| Opened::overlaps(run, plan.from, plan.to))
        .filter_map(|run| Some((run, plan.stream(run.number)?)))
        .collect();
    if chosen.is_empty() {
        return Ok(());
    }
    match inflate(plan, &opened, with_text, budget)? {
        Ok(Some((lines, text))) => {
            let starts = starts(&lines);
            let block = BlockText { lines: &lines, text: &text, starts: &starts };
            block.visit(plan, &chosen, budget, visit)
        }
        Ok(None) => Ok(()),
        Err(err) => {
            budget.damaged(&source.damaged(err));
            Ok(())
        }
    }
}

type Inflated<'o> = Option<(std::borrow::Cow<'o, LineColumns>, Bytes)>;

/// Columns and, where needed, text; `None` if the text cannot hold a match.
fn inflate<'o>(
    plan: &Plan,
    opened: &'o Opened,
    with_text: bool,
    budget: &Budget,
) -> Result<Result<Inflated<'o>, sawlog_transport::DecodeError>, QueryError> {
    let mut text = Bytes::new();
    if with_text || plan.pipeline.reads_text() {
        budget.inflate(opened.text_len())?;
        text = match opened.text() {
            Ok(text) => text,
            Err(err) => return Ok(Err(err)),
        };
        let literal = plan.pipeline.leading_literal();
        if literal.is_some_and(|finder| finder.find(&text).is_none()) {
            return Ok(Ok(None));
        }
    }
    Ok(opened.lines().map(|lines| Some((lines, text))))
}

/// Where each line's text begins, and where the last one ends.
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

struct BlockText<'a> {
    lines: &'a LineColumns,
    /// Empty if nobody needs it.
    text: &'a Bytes,
    starts: &'a [u32],
}

impl BlockText<'_> {
    fn visit(
        &self,
        plan: &Plan,
        chosen: &[(&OpenedRun, &StreamPlan)],
        budget: &Budget,
        visit: &mut Visit<'_>,
    ) -> Result<(), QueryError> {
        let (mut scanned, mut matched) = (0, 0);
        for (run, stream) in chosen {
            let range = run.run.lines();
            scanned += range.len() as u64;
            let mut line = range.start;
            while let Some(first) = self.next_candidate(plan, line, range.end) {
                let (first, end) = self.entry_around(first, range.clone());
                line = end;
                let found = self.found(run, stream, first, end);
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
        }
        budget.count_lines(scanned, matched);
        Ok(())
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

    /// The lines of the entry that a line belongs to: it and its continuations.
    fn entry_around(&self, line: usize, range: std::ops::Range<usize>) -> (usize, usize) {
        let continues = |n: usize| self.lines.flags[n].has(LineFlags::CONTINUES);
        let mut first = line;
        while first > range.start && continues(first) {
            first -= 1;
        }
        let mut end = line + 1;
        while end < range.end && continues(end) {
            end += 1;
        }
        (first, end)
    }

    fn found<'f>(
        &'f self,
        run: &'f OpenedRun,
        stream: &'f StreamPlan,
        first: usize,
        end: usize,
    ) -> Found<'f> {
        let (from, to) = (self.starts[first] as usize, self.starts[end] as usize - 1);
        let time = self.lines.times[first];
        let entry = EntryView {
            number: run.number,
            stream: run.stream,
            time,
            line: if self.text.is_empty() { &[] } else { &self.text[from..to] },
            line_bytes: to - from,
            flags: self.lines.flags[first],
            metadata: self.lines.metadata_of(first),
        };
        let line = (first - run.run.first_line as usize) as u32;
        let order = Order { time, stream: run.stream, arrival: run.arrival, line };
        Found { entry, stream, order, run, lines: self.lines, first_line: first }
    }
}

//! What is packed together: whole entries of a stream.

use std::ops::Range;
use std::sync::Arc;

use sawlog_transport::entries::EntryCutter;

use crate::hot::HotRun;

/// Lines of a run.
#[derive(Clone, Debug)]
pub(crate) struct Part<'r> {
    pub(crate) run: &'r Arc<HotRun>,
    pub(crate) lines: Range<usize>,
}

impl Part<'_> {
    /// Whether it is all of the run.
    pub(crate) fn is_whole(&self) -> bool {
        self.lines.len() == self.run.lines.len()
    }
}

/// What follows each other in a stream and is packed in one go.
#[derive(Clone, Debug)]
pub(crate) enum Unit<'r> {
    /// Entries that each lie in one run; a block may end between two of them.
    Entries(Part<'r>),
    /// One entry that lies in several runs.
    Entry(Vec<Part<'r>>),
}

/// Parts runs, which are in order of stream and arrival, where entries cross their ends.
pub(crate) fn units<'r>(runs: &[&'r Arc<HotRun>]) -> Vec<Unit<'r>> {
    let mut units = Vec::with_capacity(runs.len());
    let mut n = 0;
    // Lines of the run at `n` that an entry from before took.
    let mut taken = 0;
    while n < runs.len() {
        let run = runs[n];
        let goes_on = runs.get(n + 1).is_some_and(|next| continues(run, next));
        let end = if goes_on { last_entry(run, taken) } else { run.lines.len() };
        if taken < end {
            units.push(Unit::Entries(Part { run, lines: taken..end }));
        }
        (n, taken) = (n + 1, 0);
        if !goes_on {
            continue;
        }
        let mut parts = vec![Part { run, lines: end..run.lines.len() }];
        while let Some(next) = runs.get(n).filter(|next| continues(runs[n - 1], next)) {
            taken = next.continuing_lines();
            parts.push(Part { run: next, lines: 0..taken });
            if taken < next.lines.len() {
                break;
            }
            (n, taken) = (n + 1, 0);
        }
        units.push(Unit::Entry(parts));
    }
    units
}

/// Whether the entry that `run` ends with goes on in `next`.
fn continues(run: &HotRun, next: &HotRun) -> bool {
    next.number == run.number && next.continues.is_some_and(|c| c.of == run.arrival)
}

/// The first line of the run's last entry; the one before takes the lines up to `taken`.
fn last_entry(run: &HotRun, taken: usize) -> usize {
    entries(run, taken..run.lines.len()).last().map_or(taken, |entry| entry.start)
}

/// The entries of some lines of a run, the first of which begins one.
pub(crate) fn entries(
    run: &HotRun,
    lines: Range<usize>,
) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut cutter = EntryCutter::default();
    let begins = move |n: &usize| cutter.begins(run.lines.flags[*n], run.lines.text_lens[*n]);
    let mut ends =
        lines.clone().filter(begins).skip(1).chain((!lines.is_empty()).then_some(lines.end));
    let mut start = lines.start;
    std::iter::from_fn(move || {
        let end = ends.next()?;
        Some(std::mem::replace(&mut start, end)..end)
    })
}

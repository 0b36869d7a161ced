//! Which lines of a source are one entry, also where it crosses the ends of runs.

use std::ops::Range;

use sawlog_aggregator::OpenedRun;
use sawlog_transport::entries::{EntryCutter, may_continue};
use sawlog_transport::{LineColumns, LineFlags};

/// The entries of a source. The store keeps those of a stream side by side, and an entry whole.
pub(super) struct Spans {
    /// The lines of each entry, in order; `None` if every line is one.
    entries: Option<Vec<Range<u32>>>,
}

impl Spans {
    /// The entries of runs in order. Runs that are not `admitted` share none with those that are.
    pub(super) fn new(
        runs: &[OpenedRun],
        lines: &LineColumns,
        admitted: impl Fn(&OpenedRun) -> bool,
    ) -> Self {
        if !lines.flags.iter().any(|flags| flags.has(LineFlags::CONTINUES)) {
            return Self { entries: None };
        }
        let mut entries: Vec<Range<u32>> = Vec::with_capacity(lines.len());
        let mut cutter = EntryCutter::default();
        let mut before: Option<&OpenedRun> = None;
        for run in runs {
            let follows = |before| follows(before, run) && admitted(before) == admitted(run);
            if !before.is_some_and(follows) {
                cutter = EntryCutter::default();
            }
            for line in run.run.lines() {
                let begins = cutter.begins(lines.flags[line], lines.text_lens[line]);
                match entries.last_mut() {
                    Some(entry) if !begins => entry.end = line as u32 + 1,
                    _ => entries.push(line as u32..line as u32 + 1),
                }
            }
            before = Some(run);
        }
        entries.sort_unstable_by_key(|entry| entry.start);
        Self { entries: Some(entries) }
    }

    /// The entry that a line belongs to.
    pub(super) fn around(&self, line: usize) -> Range<usize> {
        let one = line..line + 1;
        let Some(entries) = &self.entries else { return one };
        let behind = entries.partition_point(|entry| entry.start as usize <= line);
        match behind.checked_sub(1).map(|at| &entries[at]) {
            Some(entry) if line < entry.end as usize => entry.start as usize..entry.end as usize,
            _ => one,
        }
    }

    /// The lines of the entries that begin in a run of these lines: without those of the entry
    /// before, and to the end of the last one.
    pub(super) fn of_run(&self, lines: Range<usize>) -> Range<usize> {
        if lines.is_empty() {
            return lines;
        }
        let first = self.around(lines.start);
        let start = if first.start < lines.start { first.end } else { lines.start };
        // An entry that swallows the run begins before it: then none is left.
        let end = self.around(lines.end - 1).end;
        start..end.max(start)
    }
}

/// Whether the first line of `run` may continue the last entry of `before`.
fn follows(before: &OpenedRun, run: &OpenedRun) -> bool {
    let ends = before.run.lines().end;
    before.number == run.number
        && before.partition == run.partition
        && ends == run.run.lines().start
        && may_continue(&before.run.pieces, &run.run.pieces)
}

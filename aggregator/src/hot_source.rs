//! Lines in memory as queries read them: those of a run, and of the runs behind it that continue its
//! last entry.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::LineColumns;

use crate::hot::HotRun;
use crate::snapshot::OpenedRun;

/// Consecutive lines of a stream in memory, as if they had come in one run.
#[derive(Clone, Debug)]
pub struct HotSource {
    /// The run that the lines begin in.
    pub run: Arc<HotRun>,
    lines: Range<usize>,
    /// What follows, in order.
    rest: Vec<(Arc<HotRun>, Range<usize>)>,
}

impl From<Arc<HotRun>> for HotSource {
    fn from(run: Arc<HotRun>) -> Self {
        let lines = 0..run.lines.len();
        Self::new(run, lines)
    }
}

impl HotSource {
    /// Some lines of a run.
    ///
    /// # Panics
    /// Later, if the run has no such lines.
    pub fn new(run: Arc<HotRun>, lines: Range<usize>) -> Self {
        Self { run, lines, rest: Vec::new() }
    }

    /// Adds lines of the stream's next run.
    ///
    /// # Panics
    /// Later, if the run has no such lines.
    pub fn push(&mut self, run: Arc<HotRun>, lines: Range<usize>) {
        self.rest.push((run, lines));
    }

    fn parts(&self) -> impl Iterator<Item = (&Arc<HotRun>, Range<usize>)> {
        let rest = self.rest.iter().map(|(run, lines)| (run, lines.clone()));
        std::iter::once((&self.run, self.lines.clone())).chain(rest)
    }

    /// The runs as a block's table would name them.
    pub(crate) fn runs(&self) -> Vec<OpenedRun> {
        let mut line = 0;
        let opened = |(run, lines): (&Arc<HotRun>, Range<usize>)| {
            // A single run's columns are used as they are.
            let first = if self.rest.is_empty() { lines.start } else { line };
            line += lines.len();
            OpenedRun {
                number: run.number,
                stream: run.stream,
                partition: run.partition,
                arrival: run.arrival + lines.start as u64,
                run: run.as_run_of(lines, first),
            }
        };
        self.parts().map(opened).collect()
    }

    pub(crate) fn lines(&self) -> Arc<LineColumns> {
        if self.rest.is_empty() {
            return self.run.lines.clone();
        }
        let mut columns = LineColumns::default();
        self.parts().for_each(|(run, lines)| columns.extend_from(&run.lines, lines));
        Arc::new(columns)
    }

    pub(crate) fn text(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.run.text.clone();
        }
        let mut text = Vec::with_capacity(self.text_len());
        self.parts().for_each(|(run, lines)| text.extend_from_slice(&run.text_of(lines)));
        text.into()
    }

    pub(crate) fn text_len(&self) -> usize {
        if self.rest.is_empty() {
            return self.run.text.len();
        }
        self.parts().map(|(run, lines)| run.text_of(lines).len()).sum()
    }
}

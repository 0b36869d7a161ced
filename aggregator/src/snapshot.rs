//! What queries read: the hot runs and the blocks that may hold what they look for, all of one
//! moment, so that no line is seen twice or not at all while a seal moves it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::{LineColumns, Run, StreamId};

use crate::block::Block;
use crate::error::StoreError;
use crate::hot::HotRun;
use crate::hot_source::HotSource;
use crate::index::{BlockAddress, overlaps};
use crate::prune::Formula;
use crate::slice::{SliceReadError, SliceView};
use crate::store::{Data, Store};
use crate::streams::StreamNumber;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// Sorted numbers of streams; `None` for all.
    pub streams: Option<&'a [StreamNumber]>,
    /// Times of lines: `from..to`, nanoseconds since the epoch.
    pub from: i64,
    pub to: i64,
    /// What the text of a block must hold.
    pub formula: &'a Formula,
}

/// Lines that may match: a run in memory, or a block on disk. An entry lies in one of them.
#[derive(Clone)]
pub enum Source {
    Hot(HotSource),
    Sealed { slice: Arc<SliceView>, address: BlockAddress },
}

/// A source whose tables are read.
pub struct Opened {
    /// The runs; `Run::first_line` counts within [`Opened::lines`].
    pub runs: Vec<OpenedRun>,
    body: Body,
}

enum Body {
    Hot(HotSource),
    Sealed(Block),
}

/// One run of a source.
#[derive(Clone, Debug)]
pub struct OpenedRun {
    pub number: StreamNumber,
    pub stream: StreamId,
    pub partition: u32,
    /// See [`Block::arrivals`].
    pub arrival: u64,
    pub run: Run,
}

impl Store {
    /// The sources that may hold lines of the selection, in no particular order. `check` is asked
    /// before each slice whether to go on.
    ///
    /// # Errors
    /// An index cannot be searched, or `check` says no.
    pub fn select<E: From<StoreError>>(
        &self,
        selection: &Selection<'_>,
        check: impl Fn() -> Result<(), E>,
    ) -> Result<Vec<Source>, E> {
        let (mut sources, slices) = {
            let data = self.data.read();
            (selection.hot_sources(&data), data.slices.clone())
        };
        let keys = selection.formula.key_part();
        for slice in slices {
            check()?;
            let (from, to) = (selection.from, selection.to);
            let mut found = slice.index.blocks(selection.formula, selection.streams, from, to)?;
            let asked = slice.filters.retain(&keys, &mut found);
            self.metrics.filtered_blocks.inc_by(asked.ruled_out);
            self.metrics.damaged_filters.inc_by(asked.damaged);
            let sealed = |address| Source::Sealed { slice: slice.clone(), address };
            sources.extend(found.into_iter().map(sealed));
        }
        Ok(sources)
    }
}

impl Selection<'_> {
    fn hot_sources(&self, data: &Data) -> Vec<Source> {
        let hot = || data.hot.iter().chain(&data.sealing);
        let next: HashMap<(u32, StreamNumber, u64), &Arc<HotRun>> = hot()
            .filter_map(|run| Some(((run.partition, run.number, run.continues?.of), run)))
            .collect();
        let selects = |run: &&Arc<HotRun>| {
            let chosen = self.streams.is_none_or(|s| s.binary_search(&run.number).is_ok());
            let has_entry = run.continuing_lines() < run.lines.len();
            chosen && has_entry && run.min_time < self.to && run.max_time >= self.from
        };
        let source = |run: &Arc<HotRun>| {
            let mut source = HotSource::new(run.clone(), run.continuing_lines()..run.lines.len());
            let mut last = run;
            // An entry has so few lines that this ends.
            while let Some(behind) = next.get(&(last.partition, last.number, last.arrival)) {
                source.push((*behind).clone(), 0..behind.continuing_lines());
                if behind.continuing_lines() < behind.lines.len() {
                    break;
                }
                last = behind;
            }
            Source::Hot(source)
        };
        hot().filter(selects).map(source).collect()
    }
}

impl Source {
    pub fn min_time(&self) -> i64 {
        match self {
            Source::Hot(hot) => hot.run.min_time,
            Source::Sealed { address, .. } => address.min_time,
        }
    }

    pub fn max_time(&self) -> i64 {
        match self {
            Source::Hot(hot) => hot.run.max_time,
            Source::Sealed { address, .. } => address.max_time,
        }
    }

    /// Reads the tables; text and columns are inflated when asked for.
    ///
    /// # Errors
    /// The block is damaged or cannot be read: its lines are lost, all others are not.
    pub fn open(&self) -> Result<Opened, SliceReadError> {
        match self {
            Source::Hot(hot) => Ok(Opened { runs: hot.runs(), body: Body::Hot(hot.clone()) }),
            Source::Sealed { slice, address } => {
                let block = slice.read(address)?;
                let runs = block.runs.iter().zip(&block.arrivals).map(|(run, arrival)| {
                    let stream = block.streams[run.stream as usize];
                    OpenedRun {
                        number: stream.number,
                        stream: stream.id,
                        partition: block.partition,
                        arrival: *arrival,
                        run: run.clone(),
                    }
                });
                Ok(Opened { runs: runs.collect(), body: Body::Sealed(block) })
            }
        }
    }

    /// A [`SliceReadError`] for a block that opened but whose lines cannot be inflated.
    pub fn damaged(&self, source: sawlog_transport::DecodeError) -> SliceReadError {
        match self {
            Source::Hot(_) => {
                SliceReadError { path: "memory".into(), at: 0, source: source.into() }
            }
            Source::Sealed { slice, address } => slice.damaged(address, source.into()),
        }
    }
}

impl Opened {
    /// Whether a run has lines in `from..to`.
    pub fn overlaps(run: &OpenedRun, from: i64, to: i64) -> bool {
        overlaps(&run.run, from, to)
    }

    /// The columns of all lines.
    pub fn lines(&self) -> Result<Arc<LineColumns>, sawlog_transport::DecodeError> {
        match &self.body {
            Body::Hot(hot) => Ok(hot.lines()),
            Body::Sealed(block) => Ok(Arc::new(block.frame.lines()?)),
        }
    }

    /// The text of all lines, each followed by `\n`.
    pub fn text(&self) -> Result<Bytes, sawlog_transport::DecodeError> {
        match &self.body {
            Body::Hot(hot) => Ok(hot.text()),
            Body::Sealed(block) => block.frame.text(),
        }
    }

    /// Bytes of text before compression: what inflating it costs.
    pub fn text_len(&self) -> usize {
        match &self.body {
            Body::Hot(hot) => hot.text_len(),
            Body::Sealed(block) => block.frame.text_len() as usize,
        }
    }
}

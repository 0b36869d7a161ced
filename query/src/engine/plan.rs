//! Decides where a log query has to look: which streams, which blocks.

use std::collections::HashMap;
use std::sync::Arc;

use sawlog_aggregator::{OpenedRun, Seam, Selection, Source, Store, StreamNumber};
use sawlog_transport::Labels;

use super::budget::{Budget, QueryError};
use super::entry::{DETECTED_LEVEL, EntryView, LEVEL, value_of};
use super::pipeline::{LabelMatch, Pipeline};
use crate::lang::LogExpr;

/// When more of the store's streams than this are selected, the index is not asked for them: the
/// scan leaves the others out.
const STREAM_TERMS_MAX: usize = 2_000;

/// A log query, ready to be run on a store.
pub struct Plan {
    pub pipeline: Pipeline,
    matchers: Vec<LabelMatch>,
    /// The streams that the selector leaves, and what of it each entry still has to pass.
    streams: HashMap<StreamNumber, StreamPlan>,
    formula_streams: Option<Vec<StreamNumber>>,
    /// Times of entries: `from..to`.
    pub from: i64,
    pub to: i64,
    /// Only lines that arrived before it count.
    before: Option<Seam>,
}

/// How the entries of one selected stream are tested.
#[derive(Clone)]
pub struct StreamPlan {
    pub labels: Arc<Labels>,
    /// Matchers on the level, where the stream has no such label.
    level: Arc<[LabelMatch]>,
}

impl StreamPlan {
    pub fn accepts_level(&self, entry: &EntryView<'_>) -> bool {
        self.level
            .iter()
            .all(|matcher| matcher.accepts(&value_of(&self.labels, entry, &matcher.name)))
    }
}

impl Plan {
    /// Plans a query over entries in `from..to`, nanoseconds since the epoch.
    ///
    /// # Errors
    /// An expression that does not compile (the parser has checked them).
    pub fn new(store: &Store, log: &LogExpr, from: i64, to: i64) -> Result<Self, QueryError> {
        let (pipeline, matchers) = compile(log)?;
        let mut streams = HashMap::new();
        let table = store.streams();
        for (number, info) in table.iter() {
            if info.min_time >= to || info.max_time < from {
                continue;
            }
            if let Some(level) = matches(&matchers, &info.labels) {
                streams.insert(number, StreamPlan { labels: info.labels.clone(), level });
            }
        }
        let all = table.len();
        drop(table);
        let formula_streams = index_terms(streams.keys().copied().collect(), all);
        Ok(Self { pipeline, matchers, streams, formula_streams, from, to, before: None })
    }

    /// A plan for all entries of these streams in `from..to`: the streams table, of which `all`
    /// streams are known, is not walked.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn of_streams(
        streams: impl IntoIterator<Item = (StreamNumber, Arc<Labels>)>,
        all: usize,
        (from, to): (i64, i64),
    ) -> Result<Self, QueryError> {
        let (pipeline, matchers) = compile(&LogExpr { matchers: Vec::new(), stages: Vec::new() })?;
        let plan = |labels| StreamPlan { labels, level: Arc::default() };
        let streams: HashMap<_, _> =
            streams.into_iter().map(|(number, labels)| (number, plan(labels))).collect();
        let formula_streams = index_terms(streams.keys().copied().collect(), all);
        Ok(Self { pipeline, matchers, streams, formula_streams, from, to, before: None })
    }

    /// A plan for entries of all times, for streams that are told one at a time.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn of_single_streams(log: &LogExpr) -> Result<Self, QueryError> {
        let (pipeline, matchers) = compile(log)?;
        let (streams, formula_streams) = (HashMap::new(), None);
        let (from, to) = (i64::MIN, i64::MAX);
        Ok(Self { pipeline, matchers, streams, formula_streams, from, to, before: None })
    }

    /// The same plan for lines that arrived before a seam: as if the others were not there.
    pub fn before(self, seam: Seam) -> Self {
        Self { before: Some(seam), ..self }
    }

    /// Whether the lines of a run count.
    pub fn admits(&self, run: &OpenedRun) -> bool {
        self.before.as_ref().is_none_or(|seam| seam.is_before(run.partition, run.arrival))
    }

    /// From now on the plan is for this stream only; false if its labels do not pass.
    pub fn turn_to(&mut self, number: StreamNumber, labels: &Arc<Labels>) -> bool {
        self.streams.clear();
        let Some(level) = matches(&self.matchers, labels) else { return false };
        self.streams.insert(number, StreamPlan { labels: labels.clone(), level });
        true
    }

    /// What is to be known of a stream; `None` if it was not selected.
    pub fn stream(&self, number: StreamNumber) -> Option<&StreamPlan> {
        self.streams.get(&number)
    }

    /// The sources that may hold matching entries.
    ///
    /// # Errors
    /// An index cannot be searched, or the budget is used up.
    pub fn sources(&self, store: &Store, budget: &Budget) -> Result<Vec<Source>, QueryError> {
        if self.streams.is_empty() || self.from >= self.to {
            return Ok(Vec::new());
        }
        let selection = Selection {
            streams: self.formula_streams.as_deref(),
            from: self.from,
            to: self.to,
            formula: &self.pipeline.formula,
        };
        store.select(&selection, || budget.check())
    }
}

/// The streams that the index is asked for, in order; `None` if it is not asked for any.
pub(super) fn index_terms(mut numbers: Vec<StreamNumber>, all: usize) -> Option<Vec<StreamNumber>> {
    numbers.sort_unstable();
    (numbers.len() <= STREAM_TERMS_MAX && numbers.len() < all).then_some(numbers)
}

fn compile(log: &LogExpr) -> Result<(Pipeline, Vec<LabelMatch>), QueryError> {
    let invalid = |err| QueryError::Invalid(format!("a regular expression is refused: {err}"));
    let pipeline = Pipeline::new(&log.stages).map_err(invalid)?;
    let matchers = log.matchers.iter().map(LabelMatch::new).collect::<Result<_, _>>();
    Ok((pipeline, matchers.map_err(invalid)?))
}

/// Whether a stream's labels pass; the matchers that each entry still has to pass.
pub(super) fn matches(matchers: &[LabelMatch], labels: &Labels) -> Option<Arc<[LabelMatch]>> {
    let mut of_entries = Vec::new();
    for matcher in matchers {
        match labels.get(&matcher.name) {
            Some(value) if matcher.accepts(value) => {}
            Some(_) => return None,
            None if matcher.name == LEVEL || matcher.name == DETECTED_LEVEL => {
                of_entries.push(matcher.clone());
            }
            None if matcher.accepts(b"") => {}
            None => return None,
        }
    }
    Some(of_entries.into())
}

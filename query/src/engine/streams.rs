//! Which streams selectors choose, and what is known of them without reading a block.

use std::collections::BTreeSet;
use std::sync::Arc;

use sawlog_aggregator::prune::Formula;
use sawlog_aggregator::{Selection, Store, StreamInfo, StreamNumber};
use sawlog_transport::Labels;

use super::budget::{Budget, QueryError};
use super::pipeline::LabelMatch;
use super::plan::{index_terms, matches};
use crate::lang::Matcher;

/// So many streams are copied from the table at once.
const PART_STREAMS: usize = 1024;

/// A choice of streams. A matcher on the level chooses every stream that has no label of that name:
/// levels are the entries', and entries are not read here.
pub struct StreamQuery {
    /// At least one of these must fit; all streams if there is none.
    any_of: Vec<Vec<LabelMatch>>,
    from: i64,
    to: i64,
}

/// How much there is of the chosen streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub streams: u64,
    /// Blocks and hot runs whose times overlap the range. Beyond two thousand chosen streams, those
    /// of all streams.
    pub chunks: u64,
    /// Bytes of text and lines: exact for a stream that lies within the range as a whole; of one that
    /// reaches beyond it, the share that its times within the range have of all its times. The
    /// stream's earliest time is a lower bound: when old lines have expired, what is left counts as
    /// spread over the times of the expired ones too, so that the share is too small at its recent
    /// end.
    pub bytes: u64,
    pub lines: u64,
}

impl StreamQuery {
    /// Streams with lines in `from..to` (nanoseconds since the epoch) that fit at least one of the
    /// selectors; without selectors, all.
    ///
    /// # Errors
    /// The budget is used up; an expression that does not compile (the parser has checked them).
    pub fn new(
        selectors: &[Vec<Matcher>],
        (from, to): (i64, i64),
        budget: &Budget,
    ) -> Result<Self, QueryError> {
        let mut any_of = Vec::with_capacity(selectors.len());
        for matchers in selectors {
            budget.check()?;
            let compiled: Result<Vec<_>, _> = matchers.iter().map(LabelMatch::new).collect();
            any_of.push(compiled.map_err(|err| {
                QueryError::Invalid(format!("a regular expression is refused: {err}"))
            })?);
        }
        Ok(Self { any_of, from, to })
    }

    fn chooses(&self, info: &StreamInfo) -> bool {
        let within = info.min_time < self.to && info.max_time >= self.from;
        let fits = |matchers: &Vec<LabelMatch>| matches(matchers, &info.labels).is_some();
        within && (self.any_of.is_empty() || self.any_of.iter().any(fits))
    }

    /// Visits the chosen streams in order of their numbers. Consuming waits for whoever holds the
    /// table, so that it is read in parts, and nothing is matched while it is held.
    fn visit(
        &self,
        store: &Store,
        budget: &Budget,
        mut visit: impl FnMut(StreamNumber, &StreamInfo) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let mut next = Some(0);
        while let Some(from) = next {
            budget.check()?;
            let copy = |(number, info): (StreamNumber, &StreamInfo)| (number, info.clone());
            let part: Vec<_> =
                store.streams().iter_from(from).take(PART_STREAMS).map(copy).collect();
            next = part.last().and_then(|(last, _)| last.checked_add(1));
            for (number, info) in part.iter().filter(|(_, info)| self.chooses(info)) {
                visit(*number, info)?;
            }
        }
        Ok(())
    }

    /// Names of the streams' labels.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn label_names(
        &self,
        store: &Store,
        budget: &Budget,
    ) -> Result<BTreeSet<String>, QueryError> {
        let mut names = BTreeSet::new();
        self.visit(store, budget, |_, info| {
            for (name, _) in info.labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
            Ok(())
        })?;
        Ok(names)
    }

    /// Values of one label, made text at this edge.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn label_values(
        &self,
        store: &Store,
        name: &str,
        budget: &Budget,
    ) -> Result<BTreeSet<String>, QueryError> {
        let mut values = BTreeSet::new();
        self.visit(store, budget, |_, info| {
            let value = info.labels.get(name).map(String::from_utf8_lossy);
            if let Some(value) = value.filter(|value| !values.contains(value.as_ref())) {
                values.insert(value.into_owned());
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// The label sets, each once and in order.
    ///
    /// # Errors
    /// They are larger than an answer may be, or the budget is used up.
    pub fn label_sets(
        &self,
        store: &Store,
        budget: &Budget,
    ) -> Result<BTreeSet<Arc<Labels>>, QueryError> {
        let limit = budget.limits.result_bytes_max;
        let (mut sets, mut bytes) = (BTreeSet::new(), 0);
        self.visit(store, budget, |_, info| {
            if sets.insert(info.labels.clone()) {
                bytes += info.labels.bytes();
            }
            if bytes > limit { Err(QueryError::LabelsLimit { limit }) } else { Ok(()) }
        })?;
        Ok(sets)
    }

    /// Counts streams, lines, bytes and blocks.
    ///
    /// # Errors
    /// An index cannot be searched, or the budget is used up.
    pub fn statistics(&self, store: &Store, budget: &Budget) -> Result<Statistics, QueryError> {
        let mut sum = Statistics::default();
        let mut numbers = Vec::new();
        self.visit(store, budget, |number, info| {
            let share = self.share(info);
            sum.streams += 1;
            sum.bytes += (info.bytes as f64 * share).round() as u64;
            sum.lines += (info.lines as f64 * share).round() as u64;
            numbers.push(number);
            Ok(())
        })?;
        let all = store.streams().len();
        if !numbers.is_empty() && self.from < self.to {
            let streams = index_terms(numbers, all);
            let (streams, formula) = (streams.as_deref(), &Formula::Any);
            let selection = Selection { streams, from: self.from, to: self.to, formula };
            sum.chunks = store.select(&selection, || budget.check())?.len() as u64;
        }
        Ok(sum)
    }

    /// Which part of the stream's times lies in the range: above 0, at most 1. Its times are those of
    /// expired lines too, see [`StreamInfo::min_time`].
    fn share(&self, info: &StreamInfo) -> f64 {
        let (first, last) = (info.min_time.max(self.from), info.max_time.min(self.to - 1));
        let span = |from: i64, to: i64| (i128::from(to) - i128::from(from) + 1).max(1) as f64;
        span(first, last) / span(info.min_time, info.max_time)
    }
}

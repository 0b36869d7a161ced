//! Which streams selectors choose, and what is known of them without reading a block.

use std::collections::BTreeSet;
use std::sync::Arc;

use sawlog_aggregator::prune::Formula;
use sawlog_aggregator::{Selection, Store, StreamInfo, StreamNumber, StreamTable};
use sawlog_transport::Labels;

use super::budget::{Budget, QueryError};
use super::pipeline::LabelMatch;
use super::plan::{index_terms, matches};
use crate::lang::Matcher;

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
    /// reaches beyond it, the share that its times within the range have of all its times.
    pub bytes: u64,
    pub lines: u64,
}

impl StreamQuery {
    /// Streams with lines in `from..to` (nanoseconds since the epoch) that fit at least one of the
    /// selectors; without selectors, all.
    ///
    /// # Errors
    /// An expression that does not compile (the parser has checked them).
    pub fn new(selectors: &[Vec<Matcher>], from: i64, to: i64) -> Result<Self, QueryError> {
        let compile = |matchers: &Vec<Matcher>| matchers.iter().map(LabelMatch::new).collect();
        let any_of: Result<_, _> = selectors.iter().map(compile).collect();
        let any_of = any_of.map_err(|err| {
            QueryError::Invalid(format!("a regular expression is refused: {err}"))
        })?;
        Ok(Self { any_of, from, to })
    }

    fn chosen<'t>(
        &'t self,
        table: &'t StreamTable,
    ) -> impl Iterator<Item = (StreamNumber, &'t StreamInfo)> {
        table.iter().filter(|(_, info)| {
            let within = info.min_time < self.to && info.max_time >= self.from;
            let fits = |matchers: &Vec<LabelMatch>| matches(matchers, &info.labels).is_some();
            within && (self.any_of.is_empty() || self.any_of.iter().any(fits))
        })
    }

    /// Names of the streams' labels.
    pub fn label_names(&self, store: &Store) -> BTreeSet<String> {
        let table = store.streams();
        let mut names = BTreeSet::new();
        for (_, info) in self.chosen(&table) {
            for (name, _) in info.labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        }
        names
    }

    /// Values of one label, made text at this edge.
    pub fn label_values(&self, store: &Store, name: &str) -> BTreeSet<String> {
        let table = store.streams();
        let values = self.chosen(&table).filter_map(|(_, info)| info.labels.get(name));
        values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The label sets, each once and in order.
    ///
    /// # Errors
    /// They are larger than an answer may be.
    pub fn label_sets(
        &self,
        store: &Store,
        budget: &Budget,
    ) -> Result<BTreeSet<Arc<Labels>>, QueryError> {
        let limit = budget.limits.result_bytes_max;
        let (mut sets, mut bytes) = (BTreeSet::new(), 0);
        for (_, info) in self.chosen(&store.streams()) {
            if sets.insert(info.labels.clone()) {
                bytes += info.labels.bytes();
            }
            if bytes > limit {
                return Err(QueryError::LabelsLimit { limit });
            }
        }
        Ok(sets)
    }

    /// Counts streams, lines, bytes and blocks.
    ///
    /// # Errors
    /// An index cannot be searched, or the budget is used up.
    pub fn statistics(&self, store: &Store, budget: &Budget) -> Result<Statistics, QueryError> {
        let mut sum = Statistics::default();
        let mut numbers = Vec::new();
        let all = {
            let table = store.streams();
            for (number, info) in self.chosen(&table) {
                let share = self.share(info);
                sum.streams += 1;
                sum.bytes += (info.bytes as f64 * share).round() as u64;
                sum.lines += (info.lines as f64 * share).round() as u64;
                numbers.push(number);
            }
            table.len()
        };
        if !numbers.is_empty() && self.from < self.to {
            let streams = index_terms(numbers, all);
            let (streams, formula) = (streams.as_deref(), &Formula::Any);
            let selection = Selection { streams, from: self.from, to: self.to, formula };
            sum.chunks = store.select(&selection, || budget.check())?.len() as u64;
        }
        Ok(sum)
    }

    /// Which part of the stream's times lies in the range: above 0, at most 1.
    fn share(&self, info: &StreamInfo) -> f64 {
        let (first, last) = (info.min_time.max(self.from), info.max_time.min(self.to - 1));
        let span = |from: i64, to: i64| (i128::from(to) - i128::from(from) + 1).max(1) as f64;
        span(first, last) / span(info.min_time, info.max_time)
    }
}

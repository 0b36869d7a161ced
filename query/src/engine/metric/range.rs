//! Range aggregations: one pass over the entries, each added to the windows it lies in.

use std::collections::HashMap;

use sawlog_aggregator::{Store, StreamNumber};

use super::aggregate::grouped;
use super::{Series, SeriesLabels, Steps};
use crate::engine::budget::{Budget, QueryError};
use crate::engine::entry::{LEVEL, metadata_of, value_of};
use crate::engine::plan::Plan;
use crate::engine::scan::{Found, scan};
use crate::lang::{Grouping, RangeAgg, RangeOp};

/// The series of a range aggregation; with `grouping`, their sums by group (a sum needs no more
/// memory than its groups).
pub(super) fn series(
    store: &Store,
    range: &RangeAgg,
    grouping: Option<&Grouping>,
    steps: &Steps,
    budget: &Budget,
) -> Result<Vec<Series>, QueryError> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    // An entry at τ is in the window of t if t - offset - range < τ <= t - offset.
    let last = steps.time(steps.len() - 1);
    let from = steps.start.saturating_sub(range.offset_ns).saturating_sub(range.range_ns);
    let to = last.saturating_sub(range.offset_ns).saturating_add(1);
    let plan = Plan::new(store, &range.log, from.saturating_add(1), to)?;
    let mut windows = Windows {
        range,
        steps,
        grouping,
        plan: &plan,
        budget,
        index: HashMap::new(),
        by_stream: HashMap::new(),
        series: Vec::new(),
    };
    for source in plan.sources(store, budget)? {
        scan(&plan, &source, false, budget, &mut |found| windows.add(found))?;
    }
    Ok(windows.finish())
}

struct Windows<'a> {
    range: &'a RangeAgg,
    steps: &'a Steps,
    grouping: Option<&'a Grouping>,
    plan: &'a Plan,
    budget: &'a Budget,
    index: HashMap<SeriesLabels, usize>,
    /// The series of entries without metadata: by stream and level.
    by_stream: HashMap<(StreamNumber, u8), usize>,
    series: Vec<Accumulator>,
}

/// Differences between neighbouring steps: an entry costs two additions, however many windows it
/// lies in.
struct Accumulator {
    labels: SeriesLabels,
    entries: Vec<i64>,
    /// Empty unless bytes are asked for.
    bytes: Vec<i64>,
}

impl Windows<'_> {
    fn add(&mut self, found: &Found<'_>) -> Result<(), QueryError> {
        let series = self.series_of(found)?;
        let time = i128::from(found.entry.time) + i128::from(self.range.offset_ns);
        let first = self.steps.first_at(time);
        let end = self.steps.first_at(time + i128::from(self.range.range_ns));
        let accumulator = &mut self.series[series];
        accumulator.entries[first] += 1;
        accumulator.entries[end] -= 1;
        if let (Some(_), bytes) = (accumulator.bytes.first(), found.entry.line_bytes as i64) {
            accumulator.bytes[first] += bytes;
            accumulator.bytes[end] -= bytes;
        }
        Ok(())
    }

    fn series_of(&mut self, found: &Found<'_>) -> Result<usize, QueryError> {
        let key = (found.entry.number, found.entry.flags.0);
        if found.entry.metadata.is_empty()
            && let Some(known) = self.by_stream.get(&key)
        {
            return Ok(*known);
        }
        let labels = self.labels_of(found);
        let series = match self.index.get(&labels) {
            Some(known) => *known,
            None => self.open(labels)?,
        };
        if found.entry.metadata.is_empty() {
            self.by_stream.insert(key, series);
        }
        Ok(series)
    }

    fn labels_of(&self, found: &Found<'_>) -> SeriesLabels {
        let dropped = &self.plan.pipeline.dropped;
        let mut labels: SeriesLabels = found
            .stream
            .labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .filter(|(name, _)| !dropped.contains(name))
            .collect();
        for (name, value) in metadata_of(&found.entry, dropped) {
            if !labels.iter().any(|(known, _)| *known == name) {
                labels.push((name, value));
            }
        }
        let by_level =
            self.grouping.is_some_and(|g| !g.without && g.labels.iter().any(|l| l == LEVEL));
        if by_level && !labels.iter().any(|(name, _)| name == LEVEL) {
            let level = value_of(&found.stream.labels, &found.entry, LEVEL);
            if !level.is_empty() && !dropped.iter().any(|name| name == LEVEL) {
                labels.push((LEVEL.to_owned(), level));
            }
        }
        labels.sort();
        match self.grouping {
            Some(grouping) => grouped(&labels, Some(grouping)),
            None => labels,
        }
    }

    fn open(&mut self, labels: SeriesLabels) -> Result<usize, QueryError> {
        let steps = self.steps.len() + 1;
        let measures = matches!(self.range.op, RangeOp::BytesOverTime | RangeOp::BytesRate);
        let label_bytes: usize =
            labels.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
        self.budget.take_cells(steps * if measures { 2 } else { 1 } + label_bytes / 4)?;
        self.series.push(Accumulator {
            labels: labels.clone(),
            entries: vec![0; steps],
            bytes: if measures { vec![0; steps] } else { Vec::new() },
        });
        self.index.insert(labels, self.series.len() - 1);
        Ok(self.series.len() - 1)
    }

    fn finish(self) -> Vec<Series> {
        let (op, range) = (self.range.op, self.range.range_ns);
        self.series.into_iter().map(|accumulator| accumulator.finish(op, range)).collect()
    }
}

impl Accumulator {
    fn finish(self, op: RangeOp, range_ns: i64) -> Series {
        let seconds = range_ns as f64 / 1e9;
        let n_steps = self.entries.len() - 1;
        let (mut entries, mut bytes) = (0, 0);
        let mut points = Vec::with_capacity(n_steps);
        for n in 0..n_steps {
            entries += self.entries[n];
            bytes += self.bytes.get(n).copied().unwrap_or(0);
            points.push((entries > 0).then(|| match op {
                RangeOp::CountOverTime => entries as f64,
                RangeOp::Rate => entries as f64 / seconds,
                RangeOp::BytesOverTime => bytes as f64,
                RangeOp::BytesRate => bytes as f64 / seconds,
            }));
        }
        Series { labels: self.labels, points }
    }
}

//! Aggregations over series: sum, avg, min, max, count, topk, bottomk.

use std::collections::HashMap;

use sawlog_aggregator::Store;

use super::{Series, SeriesLabels, Steps, range, vector};
use crate::engine::budget::{Budget, QueryError};
use crate::engine::entry::{DETECTED_LEVEL, LEVEL};
use crate::lang::{Aggregate, AggregateOp, Grouping, MetricExpr, TopK};

/// The labels of the group that a series belongs to.
pub(super) fn grouped(labels: &SeriesLabels, grouping: Option<&Grouping>) -> SeriesLabels {
    let Some(grouping) = grouping else { return Vec::new() };
    let mut group: SeriesLabels = labels
        .iter()
        .filter(|(name, _)| grouping.labels.contains(name) != grouping.without)
        .cloned()
        .collect();
    let by_level = !grouping.without && grouping.labels.iter().any(|name| name == LEVEL);
    if by_level && !group.iter().any(|(name, _)| name == LEVEL) {
        // `by (level)` means the detected level where nothing else gives one.
        let detected = labels.iter().find(|(name, _)| name == DETECTED_LEVEL);
        group.extend(detected.map(|(_, value)| (LEVEL.to_owned(), value.clone())));
        group.sort();
    }
    group
}

/// Merges the samples of each group.
pub(super) fn merge(
    store: &Store,
    aggregate: &Aggregate,
    steps: &Steps,
    budget: &Budget,
) -> Result<Vec<Series>, QueryError> {
    let grouping = aggregate.grouping.as_ref();
    if let (AggregateOp::Sum, MetricExpr::Range(inner)) = (aggregate.op, aggregate.expr.as_ref()) {
        let everything = Grouping { without: false, labels: Vec::new() };
        let grouping = grouping.unwrap_or(&everything);
        return range::series(store, inner, Some(grouping), steps, budget);
    }
    let series = vector(store, &aggregate.expr, steps, budget)?;
    let mut index = HashMap::new();
    let mut groups: Vec<(SeriesLabels, Vec<Option<Merged>>)> = Vec::new();
    for one in series {
        let labels = grouped(&one.labels, grouping);
        let at = *index.entry(labels.clone()).or_insert_with(|| {
            groups.push((labels, vec![None; steps.len()]));
            groups.len() - 1
        });
        for (merged, point) in groups[at].1.iter_mut().zip(one.points) {
            if let Some(value) = point {
                *merged = Some(merged.map_or(Merged::of(value), |known| known.with(value)));
            }
        }
    }
    let finish = |merged: Option<Merged>| merged.map(|merged| merged.finish(aggregate.op));
    Ok(groups
        .into_iter()
        .map(|(labels, merged)| Series { labels, points: merged.into_iter().map(finish).collect() })
        .collect())
}

#[derive(Clone, Copy, Debug)]
struct Merged {
    sum: f64,
    count: f64,
    min: f64,
    max: f64,
}

impl Merged {
    fn of(value: f64) -> Self {
        Self { sum: value, count: 1.0, min: value, max: value }
    }

    fn with(self, value: f64) -> Self {
        Self {
            sum: self.sum + value,
            count: self.count + 1.0,
            min: self.min.min(value),
            max: self.max.max(value),
        }
    }

    fn finish(self, op: AggregateOp) -> f64 {
        match op {
            AggregateOp::Sum => self.sum,
            AggregateOp::Avg => self.sum / self.count,
            AggregateOp::Min => self.min,
            AggregateOp::Max => self.max,
            AggregateOp::Count => self.count,
        }
    }
}

/// Keeps, at each step, the `k` largest (or smallest) samples of each group, with their own labels.
pub(super) fn top(
    store: &Store,
    top: &TopK,
    steps: &Steps,
    budget: &Budget,
) -> Result<Vec<Series>, QueryError> {
    let mut series = vector(store, &top.expr, steps, budget)?;
    let groups: Vec<SeriesLabels> =
        series.iter().map(|one| grouped(&one.labels, top.grouping.as_ref())).collect();
    for step in 0..steps.len() {
        let mut by_group: HashMap<&SeriesLabels, Vec<(f64, usize)>> = HashMap::new();
        for (n, one) in series.iter().enumerate() {
            if let Some(value) = one.points[step] {
                by_group.entry(&groups[n]).or_default().push((value, n));
            }
        }
        for members in by_group.values_mut() {
            members.sort_by(|(a, m), (b, n)| {
                let order = if top.bottom { a.total_cmp(b) } else { b.total_cmp(a) };
                order.then_with(|| series[*m].labels.cmp(&series[*n].labels))
            });
        }
        let left_out: Vec<usize> = by_group
            .values()
            .flat_map(|members| members.iter().skip(top.k as usize).map(|(_, n)| *n))
            .collect();
        for n in left_out {
            series[n].points[step] = None;
        }
    }
    series.retain(|one| one.points.iter().any(Option::is_some));
    Ok(series)
}

//! A log query with a limit: the newest (or oldest) matching entries, in the total order.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sawlog_aggregator::{Source, Store};

use super::budget::{Budget, QueryError};
use super::entry::{Entry, Order, metadata_of};
use super::plan::Plan;
use super::scan::{Found, scan};
use crate::lang::LogExpr;

/// Which end of the time range is looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Newest first.
    Backward,
    /// Oldest first.
    Forward,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct LogQuery<'a> {
    pub log: &'a LogExpr,
    /// Times of entries: `from..to`, nanoseconds since the epoch.
    pub from: i64,
    pub to: i64,
    pub limit: usize,
    pub direction: Direction,
}

/// The first `limit` entries in the direction asked for, in that direction.
///
/// # Errors
/// The budget is used up, or the store cannot be read.
pub fn run(store: &Store, query: &LogQuery<'_>, budget: &Budget) -> Result<Vec<Entry>, QueryError> {
    run_plan(store, &Plan::new(store, query.log, query.from, query.to)?, query, budget)
}

/// The same for a plan that was made of the query.
///
/// # Errors
/// As [`run`].
pub fn run_plan(
    store: &Store,
    plan: &Plan,
    query: &LogQuery<'_>,
    budget: &Budget,
) -> Result<Vec<Entry>, QueryError> {
    let mut sources = plan.sources(store, budget)?;
    match query.direction {
        Direction::Backward => sources.sort_by_key(|source| Reverse(source.max_time())),
        Direction::Forward => sources.sort_by_key(Source::min_time),
    }
    let mut best = Best { query, entries: BTreeMap::new(), bytes: 0, limits: &budget.limits };
    for source in &sources {
        if best.is_settled_before(source) {
            break;
        }
        scan(plan, source, true, budget, &mut |found| best.offer(plan, found))?;
    }
    let entries = best.entries.into_values();
    Ok(match query.direction {
        Direction::Backward => entries.rev().collect(),
        Direction::Forward => entries.collect(),
    })
}

/// The best entries so far, at most `limit`.
struct Best<'q> {
    query: &'q LogQuery<'q>,
    entries: BTreeMap<Order, Entry>,
    bytes: usize,
    limits: &'q super::budget::Limits,
}

impl Best<'_> {
    /// Whether no entry of the source, and of those behind it, can be among the best.
    fn is_settled_before(&self, source: &Source) -> bool {
        if self.entries.len() < self.query.limit {
            return false;
        }
        match self.query.direction {
            Direction::Backward => {
                self.entries.first_key_value().is_some_and(|(o, _)| o.time > source.max_time())
            }
            Direction::Forward => {
                self.entries.last_key_value().is_some_and(|(o, _)| o.time < source.min_time())
            }
        }
    }

    fn offer(&mut self, plan: &Plan, found: &Found<'_>) -> Result<(), QueryError> {
        if self.entries.len() >= self.query.limit {
            let worst = match self.query.direction {
                Direction::Backward => self.entries.first_entry(),
                Direction::Forward => self.entries.last_entry(),
            };
            let Some(worst) = worst else { return Ok(()) };
            let better = match self.query.direction {
                Direction::Backward => found.order > *worst.key(),
                Direction::Forward => found.order < *worst.key(),
            };
            if !better {
                return Ok(());
            }
            self.bytes -= worst.remove().memory_bytes();
        }
        let entry = entry_of(plan, found);
        self.bytes += entry.memory_bytes();
        if self.bytes > self.limits.result_bytes_max {
            return Err(QueryError::ResultLimit { limit: self.limits.result_bytes_max });
        }
        self.entries.insert(found.order, entry);
        Ok(())
    }
}

/// An entry to be given back.
pub fn entry_of(plan: &Plan, found: &Found<'_>) -> Entry {
    let dropped = &plan.pipeline.dropped;
    Entry {
        order: found.order,
        uid: found.uid(),
        time: found.entry.time,
        read_time: found.read_time(),
        labels: without(&found.stream.labels, dropped),
        metadata: metadata_of(&found.entry, dropped),
        line: found.line(),
        flags: found.entry.flags,
    }
}

fn without(
    labels: &std::sync::Arc<sawlog_transport::Labels>,
    dropped: &[String],
) -> std::sync::Arc<sawlog_transport::Labels> {
    if !labels.iter().any(|(name, _)| dropped.iter().any(|gone| gone == name)) {
        return labels.clone();
    }
    let kept = labels.iter().filter(|(name, _)| !dropped.iter().any(|gone| gone == name));
    let kept = sawlog_transport::Labels::from_pairs(kept);
    std::sync::Arc::new(kept.expect("a part of a label set is a label set"))
}

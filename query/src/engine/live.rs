//! A log query on lines as they arrive: the same plan and scan as for stored ones, a run at a time.

use std::sync::Arc;
use std::time::Duration;

use sawlog_aggregator::{HotRun, Seam, Source, Store};

use super::budget::{Budget, Limits, QueryError};
use super::entry::Entry;
use super::log::{Direction, LogQuery, entry_of, run_among};
use super::plan::Plan;
use super::scan::scan;
use crate::lang::LogExpr;

/// A log query that is asked of each run of a subscription. Lines of all times count, also of
/// streams that nobody knew when it began.
pub struct Live {
    plan: Plan,
    budget: Budget,
}

impl Live {
    /// # Errors
    /// An expression that does not compile (the parser has checked them).
    pub fn new(log: &LogExpr) -> Result<Self, QueryError> {
        // A tail takes as long as its reader stays.
        let endless =
            Limits { time_max: Duration::MAX, scan_bytes_max: u64::MAX, ..Limits::default() };
        Ok(Self { plan: Plan::of_single_streams(log)?, budget: Budget::new(endless) })
    }

    /// Gives the matching entries of a run, in its order.
    ///
    /// # Errors
    /// None that a run in memory is known to cause.
    pub fn visit(
        &mut self,
        run: &Arc<HotRun>,
        mut give: impl FnMut(Entry),
    ) -> Result<(), QueryError> {
        if !self.plan.turn_to(run.number, &run.labels) {
            return Ok(());
        }
        let plan = &self.plan;
        scan(plan, &Source::Hot(run.clone()), true, &self.budget, &mut |found| {
            give(entry_of(plan, found));
            Ok(())
        })
    }

    /// Text looked at so far: bytes.
    pub fn bytes_scanned(&self) -> u64 {
        self.budget.stats().bytes_scanned
    }
}

/// The newest `limit` entries from `start` on that arrived before the seam, in the total order.
///
/// # Errors
/// The budget is used up, or the store cannot be read.
pub fn replay(
    store: &Store,
    log: &LogExpr,
    (start, limit): (i64, usize),
    seam: &Seam,
    budget: &Budget,
) -> Result<Vec<Entry>, QueryError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let direction = Direction::Backward;
    let query = LogQuery { log, from: start, to: i64::MAX, limit, direction };
    let mut entries = run_among(store, &query, budget, |found| {
        let (partition, arrival) = found.arrival();
        seam.is_before(partition, arrival)
    })?;
    entries.reverse();
    Ok(entries)
}

//! A log query on lines as they arrive: the same plan and scan as for stored ones, a run at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sawlog_aggregator::{HotRun, HotSource, Seam, Source, Store};

use super::budget::{Budget, Limits, QueryError};
use super::entry::Entry;
use super::joiner::Joiner;
use super::log::{Direction, LogQuery, entry_of, run_plan};
use super::plan::Plan;
use super::scan::scan;
use crate::lang::LogExpr;

/// A log query that is asked of each run of a subscription. Lines of all times count, also of
/// streams that nobody knew when it began.
///
/// The last entry of a stream is given when the stream's next line has come, or after a moment: see
/// [`Live::due_at`].
pub struct Live {
    plan: Plan,
    budget: Budget,
    joiner: Joiner,
}

impl Live {
    /// # Errors
    /// An expression that does not compile (the parser has checked them).
    pub fn new(log: &LogExpr) -> Result<Self, QueryError> {
        // A tail takes as long as its reader stays.
        let endless =
            Limits { time_max: Duration::MAX, scan_bytes_max: u64::MAX, ..Limits::default() };
        let (plan, budget) = (Plan::of_single_streams(log)?, Budget::new(endless));
        Ok(Self { plan, budget, joiner: Joiner::default() })
    }

    /// Takes a run; gives the matching entries that are complete by it, in its order.
    ///
    /// # Errors
    /// None that a run in memory is known to cause.
    pub fn visit(
        &mut self,
        run: &Arc<HotRun>,
        now: Instant,
        give: impl FnMut(Entry),
    ) -> Result<(), QueryError> {
        if !self.plan.turn_to(run.number, &run.labels) {
            return Ok(());
        }
        let complete = self.joiner.add(run, now);
        self.scan(complete, give)
    }

    /// When [`Self::visit_due`] is to be asked; `None` if no entry waits.
    pub fn due_at(&self) -> Option<Instant> {
        self.joiner.due_at()
    }

    /// Gives the matching entries that have waited long enough for their next line.
    ///
    /// # Errors
    /// As for [`Self::visit`].
    pub fn visit_due(&mut self, now: Instant, give: impl FnMut(Entry)) -> Result<(), QueryError> {
        let due = self.joiner.take_due(now);
        self.scan(due, give)
    }

    /// Gives all matching entries that wait: their next lines will not come.
    ///
    /// # Errors
    /// As for [`Self::visit`].
    pub fn visit_rest(&mut self, give: impl FnMut(Entry)) -> Result<(), QueryError> {
        let rest = self.joiner.take_all();
        self.scan(rest, give)
    }

    fn scan(
        &mut self,
        sources: Vec<HotSource>,
        mut give: impl FnMut(Entry),
    ) -> Result<(), QueryError> {
        for source in sources {
            if !self.plan.turn_to(source.run.number, &source.run.labels) {
                continue;
            }
            let plan = &self.plan;
            scan(plan, &Source::Hot(source), true, &self.budget, &mut |found| {
                give(entry_of(plan, found));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Text looked at so far: bytes.
    pub fn bytes_scanned(&self) -> u64 {
        self.budget.stats().bytes_scanned
    }
}

/// The newest `limit` entries from `start` on of the lines that arrived before the seam, in the total
/// order. Of an entry that goes on behind the seam this is the beginning.
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
    let plan = Plan::new(store, log, start, i64::MAX)?.before(seam.clone());
    let mut entries = run_plan(store, &plan, &query, budget)?;
    entries.reverse();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sawlog_aggregator::{Fed, Subscription};
    use sawlog_transport::{Level, LineFlags};

    use super::super::tests::{Bed, Filter, INFO, filter, log_expr, text};
    use super::*;

    /// What a query gives of everything that was fed.
    fn seen(subscription: &Subscription, query: &str) -> Vec<Entry> {
        let mut live = Live::new(&log_expr(query)).unwrap();
        let mut entries = Vec::new();
        while let Some(Fed::Run(run)) = subscription.next(Duration::ZERO) {
            live.visit(&run, Instant::now(), |entry| entries.push(entry)).unwrap();
        }
        live.visit_rest(|entry| entries.push(entry)).unwrap();
        entries
    }

    fn shown(entries: &[Entry]) -> Vec<String> {
        let show = |entry: &Entry| {
            let line = String::from_utf8_lossy(&entry.line);
            let labels = String::from_utf8_lossy(entry.labels.get("app").unwrap_or_default());
            format!("{} {} {labels} {:?} {line}", entry.uid, entry.time, entry.metadata)
        };
        let mut shown: Vec<String> = entries.iter().map(show).collect();
        shown.sort();
        shown
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Lines as they arrive and lines that are looked for give the same answer, on either side
        /// of the seam; also of streams that came later.
        #[test]
        fn older_and_live_entries_are_those_of_a_query(
            runs in proptest::collection::vec((0u128..4, proptest::collection::vec(text(), 1..6)), 1..10),
            subscribed_at in 0usize..10,
            filters in proptest::collection::vec(filter(), 1..3),
            selector in proptest::sample::select(vec!["{app=~\".+\"}", "{app=\"app2\"}", "{app!=\"app1\"}"]),
        ) {
            let mut bed = Bed::new();
            let mut subscription = bed.store.subscribe(usize::MAX);
            let mut time = 0;
            for (n, (stream, lines)) in runs.iter().enumerate() {
                if n == subscribed_at {
                    subscription = bed.store.subscribe(usize::MAX);
                }
                let run = lines.iter().map(|line| {
                    time += 1;
                    (time, line.as_bytes(), INFO)
                });
                bed.send(*stream, &run.collect::<Vec<_>>());
                if n % 3 == 2 {
                    bed.seal();
                }
            }
            let stages: Vec<String> = filters.iter().map(Filter::logql).collect();
            let query = format!("{selector} {}", stages.join(" "));
            let budget = Budget::new(Limits::default());
            let seam = subscription.seam().clone();
            let log = log_expr(&query);
            let mut all = replay(&bed.store, &log, (i64::MIN, 5000), &seam, &budget).unwrap();
            prop_assert!(all.windows(2).all(|pair| pair[0].order < pair[1].order));
            all.extend(seen(&subscription, &query));
            let expected = bed.log(&query, 5000, super::Direction::Forward);
            prop_assert_eq!(shown(&all), shown(&expected), "{}", query);
        }
    }

    #[test]
    fn replay_gives_the_newest_before_the_seam_and_no_more_than_asked_for() {
        let mut bed = Bed::new();
        let lines: Vec<(i64, &[u8], LineFlags)> =
            vec![(1, b"a", INFO), (2, b"b", INFO), (3, b"c", INFO), (4, b"d", INFO)];
        bed.send(1, &lines);
        let subscription = bed.store.subscribe(usize::MAX);
        bed.send(1, &[(5, b"live", INFO)]);
        let older = |start, limit| {
            let budget = Budget::new(Limits::default());
            let (log, seam) = (log_expr("{app=\"app1\"}"), subscription.seam());
            let found = replay(&bed.store, &log, (start, limit), seam, &budget).unwrap();
            found.iter().map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(
            (older(0, 2), older(4, 9), older(0, 0)),
            (vec!["c".to_owned(), "d".to_owned()], vec!["d".to_owned()], none)
        );
    }

    /// Levels, dropped labels and the order of a run are as in an answer; other streams cost nothing.
    #[test]
    fn a_run_is_tested_as_a_stored_one() {
        let mut bed = Bed::new();
        let subscription = bed.store.subscribe(usize::MAX);
        let error = LineFlags::new(Level::Error, 0);
        let continued = LineFlags::new(Level::Error, LineFlags::CONTINUES);
        bed.send(7, &[(9, b"oops", error), (9, b"  at x", continued), (3, b"fine", INFO)]);
        bed.send(8, &[(9, b"oops elsewhere", error)]);
        let mut live =
            Live::new(&log_expr("{app=\"app7\", level=\"error\"} | drop stream")).unwrap();
        let mut entries = Vec::new();
        let mut scanned = Vec::new();
        while let Some(Fed::Run(run)) = subscription.next(Duration::ZERO) {
            live.visit(&run, Instant::now(), |entry| entries.push(entry)).unwrap();
            scanned.push(live.bytes_scanned());
        }
        assert_eq!(entries.len(), 1);
        assert_eq!(&entries[0].line[..], b"oops\n  at x");
        assert_eq!(entries[0].labels.iter().count(), 1);
        assert_eq!(scanned, [17, 17]);
    }
}

//! Finds what the streams of one push hold already, at and shortly behind the times of its entries.
//! All streams are looked up together: what it costs is the hot runs and the blocks asked for, not
//! their product with the streams.

use std::collections::HashMap;
use std::sync::Arc;

use sawlog_aggregator::{Source, Store, StreamNumber};
use sawlog_transport::{Labels, StreamId};

use super::chains::{Chains, content_hash};
use super::{PushedEntry, PushedStream};
use crate::engine::plan::Plan;
use crate::engine::scan::scan;
use crate::engine::{Budget, QueryError};

/// How far behind an entry's time a chain of equal times is followed at once: nanoseconds.
const CHAIN_STEP: i64 = 1 << 16;

/// Times `from..to`: nanoseconds since the epoch.
type Range = (i64, i64);

/// A stream of the push that the store knows.
struct Known {
    /// Its place in the push.
    at: usize,
    labels: Arc<Labels>,
    /// Where to look next: in order, apart from each other.
    ranges: Vec<Range>,
}

/// The known streams that something is still to be looked up for, by number.
type Wanted = HashMap<StreamNumber, Known>;

/// What is held of each stream, in the order of the streams.
///
/// # Errors
/// The budget is used up, or an index cannot be searched.
pub(super) fn find(
    store: &Store,
    streams: &[PushedStream],
    budget: &Budget,
) -> Result<Vec<Chains>, QueryError> {
    let mut held: Vec<Chains> = streams.iter().map(|_| Chains::default()).collect();
    let (mut wanted, all) = known(store, streams);
    while !wanted.is_empty() {
        load(store, &wanted, all, budget, &mut held)?;
        wanted.retain(|_, known| {
            known.ranges.retain(|(_, to)| held[known.at].is_held(to - 1));
            for range in &mut known.ranges {
                *range = (range.1, range.1.saturating_add(CHAIN_STEP));
            }
            !known.ranges.is_empty()
        });
    }
    Ok(held)
}

/// The streams that the store may hold entries of near the push's, and how many it knows in all.
fn known(store: &Store, streams: &[PushedStream]) -> (Wanted, usize) {
    let ids: Vec<StreamId> =
        streams.iter().map(|stream| StreamId::of_labels(&stream.labels)).collect();
    let table = store.streams();
    let found = ids.into_iter().enumerate().filter_map(|(at, id)| {
        let (number, info) = table.find(id)?;
        Some((number, at, info.labels.clone(), info.max_time))
    });
    let (found, all): (Vec<_>, usize) = (found.collect(), table.len());
    drop(table);
    let wanted = found.into_iter().filter_map(|(number, at, labels, max_time)| {
        let mut ranges = ranges_of(&streams[at].entries);
        ranges.retain(|(from, _)| *from <= max_time);
        (!ranges.is_empty()).then_some((number, Known { at, labels, ranges }))
    });
    (wanted.collect(), all)
}

/// The times of the entries and what lies shortly behind them.
fn ranges_of(entries: &[PushedEntry]) -> Vec<Range> {
    let behind = |entry: &PushedEntry| (entry.time, entry.time.saturating_add(CHAIN_STEP));
    joined(entries.iter().map(behind).collect())
}

/// The same times in order, and apart from each other.
fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut() {
            Some((_, last)) if from <= *last => *last = to.max(*last),
            _ => joined.push((from, to)),
        }
    }
    joined
}

fn overlaps(ranges: &[Range], from: i64, last: i64) -> bool {
    let at = ranges.partition_point(|(_, to)| *to <= from);
    ranges.get(at).is_some_and(|range| range.0 <= last)
}

/// One selection, and each of its sources that lies near what is wanted read once.
fn load(
    store: &Store,
    wanted: &Wanted,
    all: usize,
    budget: &Budget,
    held: &mut [Chains],
) -> Result<(), QueryError> {
    let together = joined(wanted.values().flat_map(|known| known.ranges.clone()).collect());
    let (Some((from, _)), Some((_, to))) = (together.first(), together.last()) else {
        return Ok(());
    };
    let streams = wanted.iter().map(|(number, known)| (*number, known.labels.clone()));
    let plan = Plan::of_streams(streams, all, (*from, *to))?;
    for source in plan.sources(store, budget)? {
        let near = match &source {
            Source::Hot(hot) => wanted
                .get(&hot.run.number)
                .is_some_and(|known| overlaps(&known.ranges, hot.run.min_time, hot.run.max_time)),
            Source::Sealed { .. } => overlaps(&together, source.min_time(), source.max_time()),
        };
        if !near {
            continue;
        }
        scan(&plan, &source, true, budget, &mut |found| {
            let entry = &found.entry;
            if let Some(known) = wanted.get(&entry.number)
                && overlaps(&known.ranges, entry.time, entry.time)
            {
                held[known.at].hold(entry.time, content_hash(entry.line, entry.metadata));
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Limits;
    use crate::engine::tests::{Bed, INFO};

    const FAR: i64 = CHAIN_STEP * 1000;

    fn entry(time: i64) -> PushedEntry {
        PushedEntry { time, line: Vec::new(), metadata: Vec::new() }
    }

    /// A push of these times for streams as `Bed` names them.
    fn pushed(streams: impl Iterator<Item = u128>, times: &[i64]) -> Vec<PushedStream> {
        let entries: Vec<PushedEntry> = times.iter().map(|time| entry(*time)).collect();
        let labels = |n| {
            Labels::from_pairs([("app", format!("app{n}")), ("stream", "stdout".to_owned())])
                .unwrap()
        };
        streams.map(|n| PushedStream { labels: labels(n), entries: entries.clone() }).collect()
    }

    #[test]
    fn only_times_near_the_request_are_looked_at() {
        let entries = [entry(1), entry(FAR), entry(3), entry(FAR + 9), entry(i64::MIN)];
        let ends =
            [(i64::MIN, i64::MIN + CHAIN_STEP), (1, 3 + CHAIN_STEP), (FAR, FAR + 9 + CHAIN_STEP)];
        assert_eq!(ranges_of(&entries), ends);
        let near = |from, last| overlaps(&ends, from, last);
        assert!(near(0, 1) && near(FAR - 9, FAR + 99) && near(2, 2) && near(CHAIN_STEP + 2, FAR));
        assert!(!near(-9, 0) && !near(CHAIN_STEP + 3, FAR - 1) && !near(FAR * 2, i64::MAX));
    }

    /// Two hundred streams, each with two runs; a push for half of them, near one of the two.
    #[test]
    fn a_push_reads_what_lies_near_it_once_however_many_streams_it_has() {
        let mut bed = Bed::by_labels();
        for n in 0..200 {
            bed.send(n, &[(5, b"near", INFO)]);
            bed.send(n, &[(FAR, b"far", INFO)]);
        }
        let push = pushed(50..150, &[4, 5, FAR * 9]);
        let budget = Budget::new(Limits::default());
        let held = find(&bed.store, &push, &budget).unwrap();
        assert_eq!(held.len(), 100);
        for mut chains in held {
            assert!(chains.is_held(5) && !chains.is_held(4) && !chains.is_held(FAR));
            assert_eq!(chains.place(5, content_hash(b"near", b"")), None);
            assert_eq!(chains.place(5, 0), Some(6));
        }
        let hot = budget.stats();
        assert_eq!((hot.sources_inflated, hot.lines_scanned), (100, 100));
        assert_eq!(budget.checks(), 100, "one for each source: there is no slice yet");

        // Sealed, the streams share blocks; each is read once.
        bed.seal();
        let budget = Budget::new(Limits::default());
        let held = find(&bed.store, &push, &budget).unwrap();
        assert!(held.iter().all(|chains| chains.is_held(5)));
        assert!(budget.stats().lines_scanned <= 200, "{:?}", budget.stats());
        assert!(budget.stats().sources_inflated <= 100, "{:?}", budget.stats());
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        let mut bed = Bed::by_labels();
        let times: Vec<i64> = (0..CHAIN_STEP * 2 + 5).collect();
        let lines: Vec<(i64, &[u8], _)> =
            times.iter().map(|time| (*time, &b""[..], INFO)).collect();
        for part in lines.chunks(10_000) {
            bed.send(1, part);
        }
        let push = pushed(1..2, &[0]);
        let budget = Budget::new(Limits::default());
        let held = find(&bed.store, &push, &budget).unwrap().pop();
        assert_eq!(held.unwrap().place(0, 1), Some(CHAIN_STEP * 2 + 5));
    }

    #[test]
    fn streams_that_are_new_or_end_before_the_push_cost_nothing() {
        let mut bed = Bed::by_labels();
        bed.send(1, &[(5, b"old", INFO)]);
        let budget = Budget::new(Limits::default());
        let held = find(&bed.store, &pushed(1..3, &[6]), &budget).unwrap();
        assert_eq!((held.len(), budget.checks()), (2, 0));
    }

    #[test]
    fn the_time_limit_is_that_of_the_request() {
        let mut bed = Bed::by_labels();
        bed.send(1, &[(5, b"x", INFO)]);
        let limits = Limits { time_max: std::time::Duration::ZERO, ..Limits::default() };
        let ended = find(&bed.store, &pushed(1..2, &[5]), &Budget::new(limits)).unwrap_err();
        let told = super::super::PushError::from(ended).to_string();
        assert!(told.contains("try again"), "{told}");
    }
}

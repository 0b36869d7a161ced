//! Entries of several lines, however these are spread over runs, batches, blocks and the hot tail:
//! the same answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sawlog_aggregator::Fed;
use sawlog_transport::LineFlags;

use super::live::{Live, replay};
use super::log::Direction;
use super::metric::{Steps, Value, evaluate};
use super::plan::Plan;
use super::tests::{Bed, Filter, INFO, filter, log_expr, text};
use super::{Budget, Limits, export};
use crate::lang::{Expr, ParseOptions, parse};

const MORE: LineFlags = LineFlags(LineFlags::CONTINUES | INFO.0);

#[derive(Clone, Debug)]
enum Action {
    /// Lines of a stream, and whether each continues the one before it.
    Send(u128, Vec<(String, bool)>),
    /// As while the aggregator runs.
    Seal,
    /// As when it stops: what continues an entry then is one of its own.
    SealAll,
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    let line = (text(), proptest::bool::weighted(0.6));
    let lines = proptest::collection::vec(line, 1..5);
    prop_oneof![
        12 => (0u128..3, lines).prop_map(|(stream, lines)| Action::Send(stream, lines)),
        3 => Just(Action::Seal),
        1 => Just(Action::SealAll),
        1 => Just(Action::Crash),
    ]
}

/// An entry as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    stream: u128,
    time: i64,
    offset: u64,
    line: String,
}

/// What streams hold, found out line by line.
#[derive(Default)]
struct Model {
    entries: Vec<Expected>,
    /// The last entry of each stream, if it may be continued.
    open: BTreeMap<u128, usize>,
    offsets: BTreeMap<u128, u64>,
    time: i64,
}

impl Model {
    /// Adds lines; gives them as they are sent.
    fn add(&mut self, stream: u128, lines: &[(String, bool)]) -> Vec<(i64, Vec<u8>, LineFlags)> {
        let mut sent = Vec::new();
        for (line, continues) in lines {
            self.time += 1;
            let offset = self.offsets.entry(stream).or_default();
            match self.open.get(&stream).filter(|_| *continues) {
                Some(open) => {
                    let entry = &mut self.entries[*open];
                    entry.line = format!("{}\n{line}", entry.line);
                }
                None => {
                    self.open.insert(stream, self.entries.len());
                    let (time, offset, line) = (self.time, *offset, line.clone());
                    self.entries.push(Expected { stream, time, offset, line });
                }
            }
            *offset += line.len() as u64 + 1;
            let flags = if *continues { MORE } else { INFO };
            sent.push((self.time, line.as_bytes().to_vec(), flags));
        }
        sent
    }

    fn keep(&self, filters: &[Filter]) -> Vec<Expected> {
        let kept = |entry: &&Expected| filters.iter().all(|f| f.keeps(entry.line.as_bytes()));
        self.entries.iter().filter(kept).cloned().collect()
    }
}

fn play(bed: &mut Bed, model: &mut Model, action: &Action) {
    match action {
        Action::Send(stream, lines) => {
            let sent = model.add(*stream, lines);
            let sent: Vec<_> = sent.iter().map(|(time, line, f)| (*time, &line[..], *f)).collect();
            bed.send(*stream, &sent);
        }
        Action::Seal => bed.seal_but_last_entries(),
        Action::SealAll => {
            bed.seal();
            model.open.clear();
        }
        Action::Crash => bed.reopen(),
    }
}

fn expected(entry: &super::Entry) -> Expected {
    let line = String::from_utf8(entry.line.to_vec()).unwrap();
    let (time, offset) = (entry.time, entry.uid.offset);
    Expected { stream: entry.uid.stream.0, time, offset, line }
}

/// The one number of a metric query over everything.
fn number(bed: &Bed, op: &str, stages: &str) -> f64 {
    let query = format!("sum({op}({{app=~\".+\"}} {stages} [1h]))");
    let Ok(Expr::Metric(expr)) = parse(&query, ParseOptions::default()) else { panic!("{query}") };
    let budget = Budget::new(Limits::default());
    let Value::Vector(found) =
        evaluate(&bed.store, &expr, &Steps::instant(1_000_000), &budget).unwrap()
    else {
        panic!("{query} answers with series")
    };
    found.first().and_then(|series| series.points[0]).unwrap_or(0.0)
}

fn exported(bed: &Bed) -> Vec<u8> {
    let plan = Plan::new(&bed.store, &log_expr("{}"), i64::MIN, i64::MAX).unwrap();
    let budget = Budget::new(Limits::default());
    let sources = plan.sources(&bed.store, &budget).unwrap();
    let mut bytes = Vec::new();
    export::run(&plan, sources, &budget, &mut |found| {
        bytes.extend_from_slice(found.entry.line);
        bytes.push(b'\n');
        Ok(())
    })
    .unwrap();
    bytes
}

/// Filters for what stands around the ends of lines within entries.
fn across_lines(model: &Model) -> Vec<Vec<Filter>> {
    let inner = model.entries.iter().filter_map(|entry| entry.line.split_once('\n'));
    let needle = |(before, after): (&str, &str)| {
        let before: String = before.chars().rev().take(9).collect();
        let after = after.chars().take_while(|c| *c != '\n').take(9);
        before.chars().rev().chain(['\n']).chain(after).collect::<String>()
    };
    let filters = inner.take(3).map(needle).flat_map(|needle| {
        let pattern = regex::escape(&needle).replace('\n', "(?s:.)");
        let (yes, no) = (Filter::Contains(needle.clone(), true), Filter::Contains(needle, false));
        [vec![yes], vec![no], vec![Filter::Matches(pattern, true)]]
    });
    filters.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Answers, counts and exports are those of a model that knows nothing of runs and blocks.
    #[test]
    fn entries_are_the_same_whatever_the_batches_seals_and_crashes(
        actions in proptest::collection::vec(action(), 1..25),
        queries in proptest::collection::vec(proptest::collection::vec(filter(), 0..3), 8),
    ) {
        let (mut bed, mut model) = (Bed::new(), Model::default());
        actions.iter().for_each(|action| play(&mut bed, &mut model, action));
        let across = across_lines(&model);
        for filters in queries.iter().chain(&across) {
            let stages: Vec<String> = filters.iter().map(Filter::logql).collect();
            let stages = stages.join(" ");
            let query = format!("{{app=~\".+\"}} {stages}");
            let found: Vec<_> =
                bed.log(&query, 5000, Direction::Forward).iter().map(expected).collect();
            let wanted = model.keep(filters);
            prop_assert_eq!(&found, &wanted, "{}", query);
            prop_assert_eq!(number(&bed, "count_over_time", &stages), wanted.len() as f64);
            let bytes: usize = wanted.iter().map(|entry| entry.line.len()).sum();
            prop_assert_eq!(number(&bed, "bytes_over_time", &stages), bytes as f64);
            let mut newest: Vec<_> = bed.log(&query, 3, Direction::Backward).iter().map(expected).collect();
            newest.reverse();
            prop_assert_eq!(&newest[..], &wanted[wanted.len().saturating_sub(3)..]);
        }
        let mut by_stream = model.entries.clone();
        by_stream.sort_by_key(|entry| (entry.stream, entry.offset));
        let lines: String = by_stream.iter().map(|entry| format!("{}\n", entry.line)).collect();
        prop_assert_eq!(exported(&bed), lines.into_bytes(), "line by line, as the files are");
    }

    /// What a tail gives is the entries; the older ones before it end at its seam, so that each line
    /// is given once.
    #[test]
    fn older_and_live_entries_have_each_line_once(
        actions in proptest::collection::vec(action(), 1..25),
        subscribed_at in 0usize..25,
        replayed_at in 0usize..25,
    ) {
        let (mut bed, mut model) = (Bed::new(), Model::default());
        let log = log_expr("{}");
        let ask = |bed: &Bed, subscription: &sawlog_aggregator::Subscription| {
            let budget = Budget::new(Limits::default());
            let seam = subscription.seam();
            replay(&bed.store, &log, (i64::MIN, 5000), seam, &budget).unwrap()
        };
        let mut subscription = bed.store.subscribe(usize::MAX);
        let mut older = Vec::new();
        for (n, action) in actions.iter().enumerate() {
            if n == subscribed_at {
                subscription = bed.store.subscribe(usize::MAX);
                // Entries may end at the seam.
                model.open.clear();
            }
            // A store that is opened again has no subscribers.
            if !matches!(action, Action::Crash) {
                play(&mut bed, &mut model, action);
            }
            if n == subscribed_at + replayed_at {
                older = ask(&bed, &subscription);
            }
        }
        if actions.len() <= subscribed_at + replayed_at {
            older = ask(&bed, &subscription);
        }
        let mut live = Live::new(&log).unwrap();
        let mut entries = older;
        while let Some(Fed::Run(run)) = subscription.next(Duration::ZERO) {
            live.visit(&run, Instant::now(), |entry| entries.push(entry)).unwrap();
        }
        live.visit_rest(|entry| entries.push(entry)).unwrap();
        let mut lines: Vec<(u128, u64, String)> = Vec::new();
        for entry in entries.iter().map(expected) {
            let mut offset = entry.offset;
            for line in entry.line.split('\n') {
                lines.push((entry.stream, offset, line.to_owned()));
                offset += line.len() as u64 + 1;
            }
        }
        lines.sort();
        let mut all: Vec<(u128, u64, String)> = Vec::new();
        for entry in &model.entries {
            let mut offset = entry.offset;
            for line in entry.line.split('\n') {
                all.push((entry.stream, offset, line.to_owned()));
                offset += line.len() as u64 + 1;
            }
        }
        all.sort();
        prop_assert_eq!(lines, all);
    }

    /// However an entry comes, a tail gives it whole.
    #[test]
    fn a_tail_joins_what_comes_in_pieces(
        actions in proptest::collection::vec(action(), 1..25),
    ) {
        let (mut bed, mut model) = (Bed::new(), Model::default());
        let subscription = bed.store.subscribe(usize::MAX);
        for action in &actions {
            match action {
                Action::Send(..) => play(&mut bed, &mut model, action),
                // A tail does not see them.
                _ => bed.seal_but_last_entries(),
            }
        }
        let mut live = Live::new(&log_expr("{}")).unwrap();
        let mut found = Vec::new();
        while let Some(Fed::Run(run)) = subscription.next(Duration::ZERO) {
            live.visit(&run, Instant::now(), |entry| found.push(expected(&entry))).unwrap();
        }
        live.visit_rest(|entry| found.push(expected(&entry))).unwrap();
        let order = |a: &Expected, b: &Expected| (a.stream, a.offset).cmp(&(b.stream, b.offset));
        found.sort_by(order);
        model.entries.sort_by(order);
        prop_assert_eq!(found, model.entries);
    }
}

/// Foreign batches may continue an entry for ever: it is cut at the same lines wherever they lie.
#[test]
fn an_endless_entry_is_cut_the_same_everywhere() {
    let lines: Vec<(String, bool)> = (0..3000).map(|n| (format!("at {n}"), n > 0)).collect();
    for per_run in [1, 7, 1000, 3000] {
        let (mut bed, mut model) = (Bed::new(), Model::default());
        for (n, run) in lines.chunks(per_run).enumerate() {
            play(&mut bed, &mut model, &Action::Send(1, run.to_vec()));
            if n % 3 == 2 {
                bed.seal_but_last_entries();
            }
        }
        for _ in 0..2 {
            let found: Vec<_> =
                bed.log("{}", 5000, Direction::Forward).iter().map(expected).collect();
            let sizes: Vec<_> = found.iter().map(|entry| entry.line.lines().count()).collect();
            assert_eq!(sizes, [1024, 1024, 952], "{per_run} lines a run");
            let whole: Vec<_> = found.iter().map(|entry| entry.line.as_str()).collect();
            assert_eq!(whole.join("\n"), model.entries[0].line);
            assert_eq!(number(&bed, "count_over_time", ""), 3.0);
            assert_eq!(number(&bed, "count_over_time", "|= \"at 1024\""), 1.0);
            bed.seal();
        }
    }
}

/// The last line of an entry may be partial, or any cut: so is the entry.
#[test]
fn an_entry_is_partial_or_cut_if_a_line_of_it_is() {
    let mut bed = Bed::new();
    let error = LineFlags::new(sawlog_transport::Level::Error, 0);
    let partial = LineFlags(MORE.0 | LineFlags::PARTIAL);
    bed.send(1, &[(1, b"oops", error), (2, b"  at a", MORE)]);
    bed.send(1, &[(3, b"  at", partial)]);
    for _ in 0..2 {
        let found = bed.log("{level=\"error\"}", 10, Direction::Forward);
        assert_eq!((found.len(), found[0].flags.0), (1, error.0 | LineFlags::PARTIAL));
        bed.seal();
    }
}

/// Retention, or whoever else, may have left nothing of an entry but its end.
#[test]
fn what_continues_nothing_known_is_an_entry_of_its_own() {
    let mut bed = Bed::new();
    bed.send(1, &[(1, b"  at a", MORE), (2, b"  at b", MORE), (3, b"next", INFO)]);
    for _ in 0..2 {
        assert_eq!(bed.lines("{}"), [b"  at a\n  at b".to_vec(), b"next".to_vec()]);
        bed.seal();
    }
}

/// A tail gives an entry a moment after its last line, also if no further line comes.
#[test]
fn an_entry_waits_for_its_next_line_for_a_moment() {
    let mut bed = Bed::new();
    let subscription = bed.store.subscribe(usize::MAX);
    let mut live = Live::new(&log_expr("{}")).unwrap();
    let start = Instant::now();
    let mut given: Vec<String> = Vec::new();
    let mut at = |live: &mut Live, millis: u64| {
        let now = start + Duration::from_millis(millis);
        let mut add = |entry| given.push(expected(&entry).line);
        while let Some(Fed::Run(run)) = subscription.next(Duration::ZERO) {
            live.visit(&run, now, &mut add).unwrap();
        }
        live.visit_due(now, &mut add).unwrap();
        std::mem::take(&mut given)
    };
    bed.send(1, &[(1, b"one", INFO), (2, b"two", INFO)]);
    assert_eq!(at(&mut live, 0), ["one"]);
    assert_eq!(live.due_at(), Some(start + Duration::from_millis(250)));
    bed.send(1, &[(3, b"  at a", MORE)]);
    assert!(at(&mut live, 200).is_empty() && at(&mut live, 449).is_empty());
    assert_eq!(at(&mut live, 450), ["two\n  at a"]);
    assert_eq!(live.due_at(), None);
    // One that grows line by line is given a second after it began.
    for n in 0..6 {
        bed.send(1, &[(4 + n, b"  at b", MORE)]);
        assert!(at(&mut live, 1000 + n as u64 * 199).is_empty());
    }
    assert_eq!(at(&mut live, 2000), [["  at b"; 6].join("\n")]);
}

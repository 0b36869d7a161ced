//! The engine on a real store: pruned answers equal a full scan, limits cut the total order, windows
//! equal a naive count.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sawlog_aggregator::{Clock, Sealer, Source, Store, StoreConfig};
use sawlog_transport::batch::RunInput;
use sawlog_transport::{
    BatchBuilder, BatchHeader, Codec, CollectorId, GenerationId, Labels, Level, LineColumns,
    LineFlags, Piece, PieceKind, StreamId,
};

use super::log::{Direction, LogQuery};
use super::metric::{Steps, Value, evaluate};
use super::plan::Plan;
use super::streams::{Statistics, StreamQuery};
use super::{Budget, Entry, Limits, export, log};
use crate::lang::{Expr, LogExpr, ParseOptions, parse};

/// A store on whose clock no time passes.
fn open(dir: &std::path::Path) -> (Arc<Store>, Sealer) {
    let clock = Clock::new(|| 1_700_000_000_000_000_000, || 0);
    let config = StoreConfig { clock, ..StoreConfig::new(dir.join("store")) };
    Store::open(config, &prometheus::Registry::new()).unwrap()
}

/// A store with lines that were given to it as runs.
pub(crate) struct Bed {
    pub(crate) store: Arc<Store>,
    /// `None` only while the store is opened again.
    sealer: Option<Sealer>,
    log: Vec<Bytes>,
    offsets: std::collections::HashMap<u128, u64>,
    /// Streams have the ids of their labels, as pushed ones have, not their numbers.
    ids_of_labels: bool,
    dir: tempfile::TempDir,
}

impl Bed {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, sealer) = open(dir.path());
        Self {
            store,
            sealer: Some(sealer),
            log: Vec::new(),
            offsets: Default::default(),
            ids_of_labels: false,
            dir,
        }
    }

    /// The same with streams as pushes name them.
    pub(crate) fn by_labels() -> Self {
        Self { ids_of_labels: true, ..Self::new() }
    }

    /// One run of a stream, as one message.
    pub(crate) fn send(&mut self, stream: u128, lines: &[(i64, &[u8], LineFlags)]) {
        let mut columns = LineColumns::default();
        let mut text = Vec::new();
        for (time, line, flags) in lines {
            columns.push(*time, line.len() as u32, line.len() as u32 + 1, *flags);
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        let from = self.offsets.get(&stream).copied().unwrap_or(0);
        let to = from + columns.source_bytes();
        self.offsets.insert(stream, to);
        let piece = Piece { generation: GenerationId(1), from, to, kind: PieceKind::Text };
        let header = BatchHeader {
            collector: CollectorId(1),
            incarnation: 1,
            number: self.log.len() as u64,
            config_generation: 0,
        };
        let mut builder = BatchBuilder::new(header, Codec::Zstd(1));
        let labels = [("app", format!("app{stream}")), ("stream", "stdout".to_owned())];
        let labels = Arc::new(Labels::from_pairs(labels).unwrap());
        let run = RunInput { read_time: 1, pieces: &[piece], lines: &columns, text: &text };
        let id = if self.ids_of_labels { StreamId::of_labels(&labels) } else { StreamId(stream) };
        builder.push_run(id, &labels, run).unwrap();
        let message = builder.finish();
        self.store.ingest(0, self.log.len() as u64, message.clone()).unwrap();
        self.log.push(message);
    }

    pub(crate) fn seal(&mut self) {
        self.sealer.as_mut().unwrap().seal_now().unwrap();
    }

    /// As a running aggregator seals.
    pub(super) fn seal_but_last_entries(&mut self) {
        self.sealer.as_mut().unwrap().seal_but_last_entries().unwrap();
    }

    /// As after a crash: what was not sealed is consumed again.
    pub(super) fn reopen(&mut self) {
        self.sealer = None;
        // A store of nothing takes the place of the one that must be gone before it is opened.
        let nothing = tempfile::tempdir().unwrap();
        self.store = open(nothing.path()).0;
        let (store, sealer) = open(self.dir.path());
        (self.store, self.sealer) = (store, Some(sealer));
        let from = self.store.position(0);
        for (offset, message) in self.log.iter().enumerate().skip(from as usize) {
            self.store.ingest(0, offset as u64, message.clone()).unwrap();
        }
    }

    pub(super) fn log(&self, query: &str, limit: usize, direction: Direction) -> Vec<Entry> {
        let log = log_expr(query);
        let query = LogQuery { log: &log, from: i64::MIN, to: i64::MAX, limit, direction };
        log::run(&self.store, &query, &Budget::new(Limits::default())).unwrap()
    }

    pub(super) fn lines(&self, query: &str) -> Vec<Vec<u8>> {
        self.log(query, 5000, Direction::Forward).iter().map(|entry| entry.line.to_vec()).collect()
    }
}

pub(super) fn log_expr(query: &str) -> LogExpr {
    match parse(query, ParseOptions { allow_empty_selector: true }) {
        Ok(Expr::Log(log)) => log,
        other => panic!("{query}: {other:?}"),
    }
}

pub(crate) const INFO: LineFlags = LineFlags(Level::Info as u8);

/// Parts of lines and of filters, so that they meet often: case, non-ASCII, escapes, ids.
fn fragment() -> impl Strategy<Value = String> {
    let parts = [
        "error",
        "Error",
        "ERROR",
        "time",
        "timeout",
        "x4time99",
        "ab",
        "user=alice",
        "4bf92f35ce",
        "12345678",
        "42",
        "caf\u{e9}",
        "CAF\u{c9}",
        "\u{212A}elvin",
        "kelvin",
        "\u{17F}top",
        "stop",
        "\\n",
        "\\u0041",
        "\"q\"",
        "\t",
        " ",
        "-",
        "status=500",
        "{\"id\":\"9f3a\"}",
        "Z",
        "127.0.0.1",
    ];
    proptest::sample::select(parts.to_vec()).prop_map(str::to_owned)
}

pub(super) fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(fragment(), 0..5).prop_map(|parts| parts.concat())
}

#[derive(Clone, Debug)]
pub(super) enum Filter {
    Contains(String, bool),
    Matches(String, bool),
}

impl Filter {
    pub(super) fn logql(&self) -> String {
        match self {
            Filter::Contains(text, yes) => {
                format!("{} {}", ["!=", "|="][usize::from(*yes)], quote(text))
            }
            Filter::Matches(text, yes) => {
                format!("{} {}", ["!~", "|~"][usize::from(*yes)], quote(text))
            }
        }
    }

    pub(super) fn keeps(&self, line: &[u8]) -> bool {
        match self {
            Filter::Contains(text, yes) => {
                let found = line.windows(text.len().max(1)).any(|w| w == text.as_bytes());
                (found || text.is_empty()) == *yes
            }
            Filter::Matches(pattern, yes) => {
                regex::bytes::Regex::new(pattern).unwrap().is_match(line) == *yes
            }
        }
    }
}

pub(super) fn quote(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Expressions that mean the same in LogQL and in the `regex` crate.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => fragment().prop_map(|text| regex::escape(&text)),
        1 => Just(".*".to_owned()),
        1 => Just("[0-9]+".to_owned()),
        1 => Just("[a-e]?".to_owned()),
        1 => (fragment(), fragment())
            .prop_map(|(a, b)| format!("(?:{}|{})", regex::escape(&a), regex::escape(&b))),
        1 => fragment().prop_map(|text| format!("(?:{}){{1,2}}", regex::escape(&text))),
    ];
    (proptest::collection::vec(piece, 1..4), any::<bool>())
        .prop_map(|(parts, fold)| format!("{}{}", if fold { "(?i)" } else { "" }, parts.concat()))
}

pub(super) fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        (text(), any::<bool>()).prop_map(|(text, yes)| Filter::Contains(text, yes)),
        (0usize..30, 1usize..9, text(), any::<bool>()).prop_map(|(from, len, text, yes)| {
            Filter::Contains(text.chars().skip(from % 9).take(len).collect(), yes)
        }),
        (pattern(), any::<bool>()).prop_map(|(pattern, yes)| Filter::Matches(pattern, yes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pruned_answers_equal_a_full_scan(
        blocks in proptest::collection::vec((0u128..3, proptest::collection::vec(text(), 1..6)), 1..8),
        queries in proptest::collection::vec(proptest::collection::vec(filter(), 1..4), 25),
    ) {
        let mut bed = Bed::new();
        let mut all: Vec<String> = Vec::new();
        for (n, (stream, lines)) in blocks.iter().enumerate() {
            let run: Vec<_> = lines
                .iter()
                .enumerate()
                .map(|(m, line)| ((all.len() + m) as i64, line.as_bytes(), INFO))
                .collect();
            bed.send(*stream, &run);
            all.extend(lines.iter().cloned());
            // The last ones stay hot.
            if n + 2 < blocks.len() {
                bed.seal();
            }
        }
        for filters in &queries {
            let stages: Vec<String> = filters.iter().map(Filter::logql).collect();
            let query = format!("{{app=~\".+\"}} {}", stages.join(" "));
            let found = bed.lines(&query);
            let expected: Vec<Vec<u8>> = all
                .iter()
                .filter(|line| filters.iter().all(|filter| filter.keeps(line.as_bytes())))
                .map(|line| line.clone().into_bytes())
                .collect();
            prop_assert_eq!(found, expected, "{}", query);
        }
    }

    #[test]
    fn a_limit_cuts_the_total_order(
        runs in proptest::collection::vec((0u128..4, proptest::collection::vec(0i64..50, 1..10)), 1..8),
        limit in 1usize..30,
    ) {
        let mut bed = Bed::new();
        for (n, (stream, times)) in runs.iter().enumerate() {
            let lines: Vec<(i64, Vec<u8>)> =
                times.iter().enumerate().map(|(m, time)| (*time, format!("{n}.{m}").into_bytes())).collect();
            let run: Vec<_> = lines.iter().map(|(time, line)| (*time, line.as_slice(), INFO)).collect();
            bed.send(*stream, &run);
            if n % 2 == 0 {
                bed.seal();
            }
        }
        let all = bed.log("{}", 5000, Direction::Forward);
        prop_assert_eq!(all.len(), runs.iter().map(|(_, times)| times.len()).sum::<usize>());
        prop_assert!(all.windows(2).all(|pair| pair[0].order < pair[1].order));
        let uids = |entries: &[Entry]| entries.iter().map(|entry| entry.uid).collect::<Vec<_>>();
        let forward = bed.log("{}", limit, Direction::Forward);
        prop_assert_eq!(uids(&forward), uids(&all[..limit.min(all.len())]));
        let mut backward = bed.log("{}", limit, Direction::Backward);
        backward.reverse();
        prop_assert_eq!(uids(&backward), uids(&all[all.len().saturating_sub(limit)..]));
    }

    #[test]
    fn windows_equal_a_naive_count(
        times in proptest::collection::vec(0i64..200, 1..40),
        start in 0i64..100,
        n_steps in 0i64..8,
        step in 1i64..40,
        range in 1i64..60,
        offset in -20i64..20,
    ) {
        let mut bed = Bed::new();
        let second = 1_000_000_000;
        let mut sorted = times.clone();
        sorted.sort_unstable();
        let run: Vec<_> = sorted.iter().map(|time| (time * second, &b"12345"[..], INFO)).collect();
        bed.send(1, &run);
        let steps = Steps { start: start * second, end: (start + n_steps * step) * second, step: step * second };
        for (op, per_line, divide) in [
            ("count_over_time", 1.0, false), ("rate", 1.0, true),
            ("bytes_over_time", 5.0, false), ("bytes_rate", 5.0, true),
        ] {
            let query = format!("sum({op}({{app=\"app1\"}}[{range}s] offset {offset}s))");
            let Ok(Expr::Metric(expr)) = parse(&query, ParseOptions::default()) else { panic!("{query}") };
            let budget = Budget::new(Limits::default());
            let Value::Vector(found) = evaluate(&bed.store, &expr, &steps, &budget).unwrap() else {
                panic!("{query} answers with series")
            };
            let naive: Vec<Option<f64>> = (0..=n_steps)
                .map(|n| {
                    let at = start + n * step - offset;
                    let count = times.iter().filter(|t| **t > at - range && **t <= at).count();
                    let value = count as f64 * per_line / if divide { range as f64 } else { 1.0 };
                    (count > 0).then_some(value)
                })
                .collect();
            let found = found.first().map_or(vec![None; naive.len()], |series| series.points.clone());
            prop_assert_eq!(found, naive, "{}", query);
        }
    }
}

#[test]
fn an_entry_is_a_line_with_its_continuations() {
    let mut bed = Bed::new();
    let more = LineFlags(LineFlags::CONTINUES);
    bed.send(
        1,
        &[
            (1, b"panic: boom", INFO),
            (2, b"  at a", more),
            (3, b"  at b", more),
            (4, b"next", INFO),
        ],
    );
    for _ in 0..2 {
        assert_eq!(bed.lines("{} |= \"at b\""), [b"panic: boom\n  at a\n  at b".to_vec()]);
        assert_eq!(bed.lines("{}").len(), 2);
        assert_eq!(bed.lines("{} |= \"boom\\n  at a\"").len(), 1);
        assert!(bed.lines("{} |= \"b\\nnext\"").is_empty(), "no match across entries");
        bed.seal();
    }
}

/// Order of the file, not of time; all streams apart; also when seals fall in between.
/// Runs that were sealed meanwhile are held by nobody but the export, and by it no longer than needed.
#[test]
fn an_export_lets_go_what_it_has_passed() {
    let mut bed = Bed::new();
    for stream in 0..40 {
        bed.send(stream, &[(1, b"line", INFO)]);
    }
    let log = log_expr("{}");
    let plan = Plan::new(&bed.store, &log, i64::MIN, i64::MAX).unwrap();
    let budget = Budget::new(Limits::default());
    let sources = plan.sources(&bed.store, &budget).unwrap();
    let runs: Vec<_> = sources
        .iter()
        .map(|source| match source {
            Source::Hot(hot) => Arc::downgrade(&hot.run),
            Source::Sealed { .. } => panic!("nothing is sealed yet"),
        })
        .collect();
    let mut visited = 0;
    export::run(&plan, sources, &budget, &mut |_| {
        if visited == 0 {
            bed.seal();
        }
        visited += 1;
        let held = runs.iter().filter(|run| run.upgrade().is_some()).count();
        // The run that is visited is held too.
        assert_eq!(held, 41 - visited);
        Ok(())
    })
    .unwrap();
    assert_eq!(visited, 40);
}

#[test]
fn an_export_follows_the_files() {
    let mut bed = Bed::new();
    let mut expected = [Vec::new(), Vec::new()];
    for n in 0..20i64 {
        for stream in 0..2u128 {
            let line = format!("stream {stream} line {n}");
            // Times run backwards.
            bed.send(stream, &[(1_000_000 - n, line.as_bytes(), INFO)]);
            expected[stream as usize].push(line);
        }
        if n % 7 == 0 {
            bed.seal();
        }
    }
    let plan = Plan::new(&bed.store, &log_expr("{}"), i64::MIN, i64::MAX).unwrap();
    let mut found = Vec::new();
    let budget = Budget::new(Limits::default());
    let sources = plan.sources(&bed.store, &budget).unwrap();
    export::run(&plan, sources, &budget, &mut |line| {
        found.push(String::from_utf8(line.entry.line.to_vec()).unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, expected.concat());
}

/// Newest first stops as soon as nothing older can be among the answer; counts read no text.
#[test]
fn little_is_read_for_little() {
    let mut bed = Bed::new();
    for n in 0..40i64 {
        bed.send(1, &[(n * 10, b"a common line", INFO)]);
        bed.seal();
    }
    let log = log_expr(r#"{app="app1"} |= "common""#);
    let query =
        LogQuery { log: &log, from: 0, to: 10_000, limit: 3, direction: Direction::Backward };
    let budget = Budget::new(Limits::default());
    assert_eq!(log::run(&bed.store, &query, &budget).unwrap().len(), 3);
    assert!(budget.stats().sources_inflated <= 4, "{:?}", budget.stats());
    let Ok(Expr::Metric(expr)) =
        parse(r#"sum(count_over_time({app="app1"}[1h]))"#, ParseOptions::default())
    else {
        panic!("a metric query")
    };
    let budget = Budget::new(Limits::default());
    evaluate(&bed.store, &expr, &Steps::instant(400), &budget).unwrap();
    let stats = budget.stats();
    assert_eq!((stats.lines_matched, stats.sources_inflated, stats.bytes_scanned), (40, 0, 0));
}

/// What the streams table says equals what the lines say, hot and sealed.
#[test]
fn statistics_are_those_of_the_lines() {
    let mut bed = Bed::new();
    let ask = |bed: &Bed, selector: &str, from: i64, to: i64| {
        let budget = Budget::new(Limits::default());
        let streams =
            StreamQuery::new(&[log_expr(selector).matchers], (from, to), &budget).unwrap();
        let found = streams.statistics(&bed.store, &budget).unwrap();
        assert_eq!(budget.stats().sources_inflated, 0);
        found
    };
    bed.send(1, &[(100, b"four", INFO), (199, b"sixsix", INFO)]);
    bed.send(2, &[(500, b"x", INFO)]);
    for _ in 0..2 {
        let one = Statistics { streams: 1, chunks: 1, bytes: 10, lines: 2 };
        assert_eq!(ask(&bed, "{app=\"app1\"}", 0, 1_000), one);
        assert_eq!(ask(&bed, "{}", 100, 200), one);
        let half = Statistics { bytes: 5, lines: 1, ..one };
        assert_eq!(ask(&bed, "{}", 0, 150), half, "half of its times");
        assert_eq!(ask(&bed, "{}", 200, 500), Statistics::default());
        assert_eq!(ask(&bed, "{app=\"none\"}", i64::MIN, i64::MAX), Statistics::default());
        let both = ask(&bed, "{stream=\"stdout\"}", i64::MIN, i64::MAX);
        assert_eq!((both.streams, both.bytes, both.lines), (2, 11, 3));
        bed.seal();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Label sets, names and values of some selectors and times, against each stream's own lines.
    #[test]
    fn streams_are_chosen_as_each_alone_would_be(
        lines in proptest::collection::vec((0u128..5, 0i64..40), 0..12),
        any_of in proptest::collection::vec("app[0-4]", 0..3),
        (from, len) in (0i64..40, 0i64..40),
    ) {
        let mut bed = Bed::new();
        for (stream, time) in &lines {
            bed.send(*stream, &[(*time, b"x", INFO)]);
        }
        let to = from + len;
        let fits = |stream: &u128| {
            let times = || lines.iter().filter(|(of, _)| of == stream).map(|(_, time)| *time);
            let within = times().min().is_some_and(|min| min < to)
                && times().max().is_some_and(|max| max >= from);
            within && (any_of.is_empty() || any_of.contains(&format!("app{stream}")))
        };
        let expected: Vec<String> = (0..5).filter(fits).map(|n| format!("app{n}")).collect();
        let selectors: Vec<_> =
            any_of.iter().map(|app| log_expr(&format!("{{app=\"{app}\"}}")).matchers).collect();
        let budget = Budget::new(Limits::default());
        let streams = StreamQuery::new(&selectors, (from, to), &budget).unwrap();
        let values: Vec<String> =
            streams.label_values(&bed.store, "app", &budget).unwrap().into_iter().collect();
        prop_assert_eq!(&values, &expected);
        let names = streams.label_names(&bed.store, &budget).unwrap().len();
        prop_assert_eq!(names, if expected.is_empty() { 0 } else { 2 });
        let sets = streams.label_sets(&bed.store, &budget).unwrap();
        prop_assert_eq!(sets.len(), expected.len());
    }
}

#[test]
fn label_sets_stay_within_the_limit_of_answers() {
    let mut bed = Bed::new();
    bed.send(1, &[(1, b"x", INFO)]);
    let budget = Budget::new(Limits { result_bytes_max: 10, ..Limits::default() });
    let streams = StreamQuery::new(&[], (i64::MIN, i64::MAX), &budget).unwrap();
    let refused = streams.label_sets(&bed.store, &budget);
    assert!(matches!(refused, Err(super::QueryError::LabelsLimit { limit: 10 })), "{refused:?}");
}

/// Each thousand of streams the budget is asked, and each is looked at once.
#[test]
fn many_streams_are_looked_at_in_parts() {
    let mut bed = Bed::new();
    for n in 0..2050 {
        bed.send(n, &[(1, b"x", INFO)]);
    }
    let budget = Budget::new(Limits::default());
    let streams = StreamQuery::new(&[], (0, 2), &budget).unwrap();
    assert_eq!(streams.label_values(&bed.store, "app", &budget).unwrap().len(), 2050);
    assert!((3..=4).contains(&budget.checks()), "{}", budget.checks());
    assert_eq!(streams.label_sets(&bed.store, &budget).unwrap().len(), 2050);
    let ended = Budget::new(Limits { time_max: std::time::Duration::ZERO, ..Limits::default() });
    let refused = streams.label_names(&bed.store, &ended);
    assert!(matches!(refused, Err(super::QueryError::Timeout(_))), "{refused:?}");
}

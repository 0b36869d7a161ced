//! The judge: which lines of which writer came back, each checked by itself, and whether what did not
//! come was declared as lost, to the byte.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::writer::Log;
use crate::node::Node;

/// How long the count of lines must stay the same before what is missing counts as missing.
const QUIET: Duration = Duration::from_secs(20);

/// What was found of some writers' lines.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) found: u32,
    /// By tag: lines that were expected and did not come.
    pub(super) missing: BTreeMap<String, Vec<Range<u32>>>,
    /// Bytes of these.
    pub(super) missing_bytes: u64,
    pub(super) duplicates: u32,
    /// Lines behind one with a higher number.
    pub(super) disordered: u32,
    /// Lines of nobody: fragments, lines glued together, others' lines; the first few of them.
    pub(super) foreign: u32,
    pub(super) examples: Vec<String>,
}

impl Report {
    /// Everything was found once, in order, and nothing else.
    #[track_caller]
    pub(super) fn assert_exactly(&self) {
        self.assert_clean();
        assert!(self.missing.is_empty(), "lines are missing: {self:?}");
    }

    /// As [`Self::assert_clean`], where what was kept meanwhile arrives behind newer lines: their
    /// addresses put them in order.
    #[track_caller]
    pub(super) fn assert_clean_in_any_order(&self) {
        assert_eq!((self.duplicates, self.foreign), (0, 0), "{self:?}");
    }

    /// Lines may be missing, but none came twice, in the wrong order, or as a fragment.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        assert_eq!((self.duplicates, self.disordered, self.foreign), (0, 0, 0), "{self:?}");
    }
}

/// Looks at each line of `found`; `expected` names the writers and which of their lines there should be.
pub(super) fn verify(found: &[u8], expected: &[(&Log, Range<u32>)]) -> Report {
    let mut report = Report::default();
    let mut maps: Vec<Bitmap> = expected.iter().map(|(_, range)| Bitmap::of(range)).collect();
    let lines = found.strip_suffix(b"\n").unwrap_or(found).split(|byte| *byte == b'\n');
    for line in lines.filter(|_| !found.is_empty()) {
        let whose = expected.iter().zip(&mut maps).find_map(|((log, range), map)| {
            let number = log.number_of(line).filter(|number| range.contains(number))?;
            Some((number, map))
        });
        match whose {
            Some((number, map)) => map.see(number, &mut report),
            None => report.stranger(line),
        }
    }
    for ((log, _), map) in expected.iter().zip(&maps) {
        report.miss(log, map);
    }
    report
}

impl Report {
    fn stranger(&mut self, line: &[u8]) {
        const EXAMPLES_MAX: usize = 4;
        self.foreign += 1;
        if self.examples.len() < EXAMPLES_MAX {
            let shown = &line[..line.len().min(120)];
            let text = String::from_utf8_lossy(shown);
            self.examples.push(format!("{} bytes: {text:?}", line.len()));
        }
    }

    fn miss(&mut self, log: &Log, map: &Bitmap) {
        let missing = map.missing();
        for n in missing.iter().cloned().flatten() {
            self.missing_bytes += log.line(n).len() as u64;
        }
        if !missing.is_empty() {
            self.missing.insert(log.tag().to_owned(), missing);
        }
    }
}

/// Which numbers of a range were seen.
struct Bitmap {
    first: u32,
    seen: Vec<bool>,
    highest: Option<u32>,
}

impl Bitmap {
    fn of(range: &Range<u32>) -> Self {
        Self { first: range.start, seen: vec![false; range.len()], highest: None }
    }

    fn see(&mut self, number: u32, report: &mut Report) {
        let seen = &mut self.seen[(number - self.first) as usize];
        if std::mem::replace(seen, true) {
            report.duplicates += 1;
            return;
        }
        report.found += 1;
        report.disordered += u32::from(self.highest.is_some_and(|highest| number < highest));
        self.highest = self.highest.max(Some(number));
    }

    fn missing(&self) -> Vec<Range<u32>> {
        let mut missing: Vec<Range<u32>> = Vec::new();
        for (n, _) in (self.first..).zip(&self.seen).filter(|(_, seen)| !**seen) {
            match missing.last_mut().filter(|last| last.end == n) {
                Some(last) => last.end += 1,
                None => missing.push(n..n + 1),
            }
        }
        missing
    }
}

/// Waits until so many lines are found, or nothing has come for a while; gives how many there are.
pub(super) fn wait_for_lines(node: &Node, selector: &str, lines: u64) -> u64 {
    let (mut last, mut since) = (node.count(selector), Instant::now());
    while last < lines && since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(50));
        let count = node.count(selector);
        if count != last {
            (last, since) = (count, Instant::now());
        }
    }
    last
}

/// Waits for the lines of a container and judges them.
pub(super) fn verify_container(
    node: &Node,
    container: &str,
    expected: &[(&Log, Range<u32>)],
) -> Report {
    let selector = format!(r#"{{container="{container}", stream="stdout"}}"#);
    let lines: usize = expected.iter().map(|(_, range)| range.len()).sum();
    let counted = wait_for_lines(node, &selector, lines as u64);
    let report = verify(&node.export(&selector), expected);
    if counted != lines as u64 || report.found != counted as u32 {
        println!("{container}: of {lines} lines {counted} counted, {} right", report.found);
    }
    report
}

/// What the collector says it has lost: bytes by reason, without reasons for which nothing was lost.
pub(super) fn lost_bytes(node: &Node) -> BTreeMap<String, u64> {
    const NAME: &str = "sawlog_collector_lost_bytes_total{reason=\"";
    let (_, body) = node.get("/metrics", &[]);
    let text = String::from_utf8_lossy(&body);
    let series = text.lines().filter_map(|line| {
        let (reason, value) = line.strip_prefix(NAME)?.split_once("\"} ")?;
        Some((reason.to_owned(), value.parse::<f64>().expect("a counter has a number") as u64))
    });
    series.filter(|(_, bytes)| *bytes > 0).collect()
}

/// The collector has lost this, and nothing else.
#[track_caller]
pub(super) fn assert_lost(node: &Node, expected: &[(&str, u64)]) {
    let expected = expected.iter().map(|(reason, bytes)| ((*reason).to_owned(), *bytes));
    let expected: BTreeMap<String, u64> = expected.collect();
    assert_eq!(lost_bytes(node), expected, "what is lost must be told, and nothing else");
}

#[test]
fn every_kind_of_wrong_line_is_told_apart() {
    let log = Log::new("t", 60..=90);
    let whole = log.lines(0..50);
    let judge = |found: &[u8]| verify(found, &[(&log, 0..50)]);
    judge(&whole).assert_exactly();
    let half = log.line(3);
    let glued = [&half[..30], &log.line(4)[..], &log.lines(5..50)].concat();
    let report = judge(&[log.lines(0..3), glued].concat());
    assert_eq!((report.found, report.foreign), (48, 1));
    assert_eq!(report.missing["t"].first(), Some(&(3..5)));
    let again = judge(&[&whole[..], &log.line(7)].concat());
    assert_eq!((again.duplicates, again.disordered, again.foreign), (1, 0, 0));
    let swapped = [log.line(1), log.line(0), log.lines(2..50)].concat();
    assert_eq!(judge(&swapped).disordered, 1);
    let other = Log::new("u", 60..=90);
    assert_eq!(judge(&other.line(0)).foreign, 1);
    assert_eq!(judge(b"").missing_bytes, whole.len() as u64);
    let cut = judge(&whole[..whole.len() - 2]);
    assert_eq!((cut.found, cut.foreign), (49, 1));
}

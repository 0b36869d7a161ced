//! What it costs to find one id among a gigabyte of lines: blocks inflated, and time.
//!
//! ```text
//! cargo bench --bench rare_id                       1000 MB of each generated corpus
//! SAWLOG_BENCH_MB=50 cargo bench --bench rare_id    less; nothing is judged then
//! ```
//!
//! Some ids of each kind are hidden once each, in lines of their own. They are asked for with what
//! stands before and behind them (closed), alone (open: what stands around is not known), and in
//! part. Fewer than half a percent of the blocks may be inflated on average for whole ids; beside it
//! stands what looking at every block takes.

mod corpus;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corpus::Corpus;
use corpus::batches::Batches;
use corpus::random::Random;
use sawlog_aggregator::prune::Formula;
use sawlog_aggregator::{Selection, Store, StoreConfig};
use sawlog_query::engine::log::{self, Direction, LogQuery};
use sawlog_query::engine::{Budget, Limits};
use sawlog_query::lang::{ParseOptions, parse_log};

const DEFAULT_MB: u64 = 1000;
const TEST_MB: u64 = 8;
const SEED: u64 = 2;
/// Ids of each kind.
const IDS: usize = 32;
/// Blocks that may be inflated, on average.
const SHARE_MAX: f64 = 0.005;
/// A part of a literal that occurs nowhere and that no index can know: every block is looked at.
const NOWHERE: &str = "~^~";
const SEAL_BYTES: u64 = 64 << 20;
/// A question that took longer is not asked again.
const REPEATED: Duration = Duration::from_secs(1);

/// What is hidden, and how much of its ends a part of it leaves out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hex16,
    Uuid,
    Decimal10,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Hex16, Kind::Uuid, Kind::Decimal10];

    fn name(self) -> &'static str {
        match self {
            Kind::Hex16 => "16 hex digits",
            Kind::Uuid => "UUID",
            Kind::Decimal10 => "10 decimal digits",
        }
    }

    fn id(self, random: &mut Random) -> String {
        match self {
            Kind::Hex16 => format!("{:016x}", random.next()),
            Kind::Uuid => {
                let hex = format!("{:016x}{:016x}", random.next(), random.next());
                let (a, b, c, d) = (&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20]);
                format!("{a}-{b}-4{c}-8{d}-{}", &hex[20..])
            }
            Kind::Decimal10 => (1_000_000_000 + random.below(9_000_000_000)).to_string(),
        }
    }

    /// Whether the limit binds. Numbers show few keys when nothing stands around them, and where each
    /// line has an id and three random numbers, the filters' share of the text goes to the ids.
    fn is_judged(self, corpus: Corpus, form: &str) -> bool {
        self != Kind::Decimal10 || form == "closed" && corpus.name() != "hostile"
    }

    /// Characters of each end that a part of it leaves out.
    fn ends(self) -> usize {
        match self {
            Kind::Hex16 | Kind::Uuid => 2,
            Kind::Decimal10 => 1,
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = args.iter().any(|arg| arg == "--bench") && !args.iter().any(|a| a == "--test");
    let mb = match std::env::var("SAWLOG_BENCH_MB") {
        Ok(text) => text.parse().expect("SAWLOG_BENCH_MB is a number of megabytes"),
        Err(_) if is_bench => DEFAULT_MB,
        Err(_) => TEST_MB,
    };
    let named = |arg: &String| Corpus::GENERATED.iter().any(|corpus| corpus.name() == arg);
    let mut all_hold = true;
    for corpus in Corpus::GENERATED {
        if !args.iter().any(named) || args.iter().any(|arg| arg == corpus.name()) {
            all_hold &= measure(corpus, mb);
        }
    }
    if mb < DEFAULT_MB {
        println!("\ntoo small to judge: the verdicts above bind from the default size on");
        return ExitCode::SUCCESS;
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds a store and asks it; whether every kind is found cheaply enough.
fn measure(corpus: Corpus, mb: u64) -> bool {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let hidden = hidden_ids();
    let started = Instant::now();
    let store = build(corpus, mb * 1_000_000, &hidden, dir.path());
    let blocks = count_blocks(&store);
    let built = started.elapsed();
    println!("\n== {}: {mb} MB in {blocks} blocks, built in {built:.1?}", corpus.name());
    let scan = ask(&store, NOWHERE);
    assert_eq!((scan.lines.len(), scan.inflated), (0, blocks), "every block is looked at");
    let scan_ms = scan.took.as_secs_f64() * 1e3;
    println!("  looking at every block takes {scan_ms:.0} ms");
    println!(
        "  {:26} {:>8} {:>8} {:>6} {:>9} {:>9}",
        "", "inflated", "of all", "worst", "warm ms", "of scan"
    );
    let mut all_hold = true;
    for kind in Kind::ALL {
        let ids = || hidden.iter().filter(|(of, _)| *of == kind).map(|(_, id)| id.as_str());
        let ends = kind.ends();
        let questions: [(&str, bool, Literals<'_>); 3] = [
            ("closed", true, ids().map(|id| (id, format!(" id={id} "))).collect()),
            ("open", true, ids().map(|id| (id, id.to_owned())).collect()),
            ("a part", false, ids().map(|id| (id, id[ends..id.len() - ends].to_owned())).collect()),
        ];
        for (form, binds, literals) in questions {
            let cost = Cost::of(&store, &literals);
            let binds = binds && kind.is_judged(corpus, form);
            all_hold &= cost.print(&format!("{}, {form}", kind.name()), blocks, scan_ms, binds);
        }
    }
    all_hold
}

fn hidden_ids() -> Vec<(Kind, String)> {
    let mut random = Random::of(SEED, "hidden");
    // One of each kind in turn, so that neither kind gathers in one part of the corpus.
    (0..IDS).flat_map(|_| Kind::ALL).map(|kind| (kind, kind.id(&mut random))).collect()
}

/// Ids, and the literal that each is asked for with.
type Literals<'a> = Vec<(&'a str, String)>;

/// What finding the ids of one kind costs.
struct Cost {
    inflated: Vec<u64>,
    took: Vec<Duration>,
}

impl Cost {
    /// Asks for each literal, again if that is cheap, so that everything is warm; the line with its
    /// id must be in the answer.
    fn of(store: &Store, literals: &[(&str, String)]) -> Self {
        let mut this = Self { inflated: Vec::new(), took: Vec::new() };
        for (id, literal) in literals {
            let mut answer = ask(store, literal);
            if answer.took < REPEATED {
                answer = ask(store, literal);
            }
            let found = answer.lines.iter().filter(|line| is_in(id, line)).count();
            assert_eq!(found, 1, "{id} was hidden once");
            this.inflated.push(answer.inflated);
            this.took.push(answer.took);
        }
        this.took.sort();
        this
    }

    fn print(&self, what: &str, blocks: u64, scan_ms: f64, binds: bool) -> bool {
        let mean = self.inflated.iter().sum::<u64>() as f64 / self.inflated.len() as f64;
        let worst = self.inflated.iter().max().copied().unwrap_or_default();
        let share = mean / blocks as f64;
        let holds = !binds || share <= SHARE_MAX;
        let warm = self.took[self.took.len() / 2].as_secs_f64() * 1e3;
        println!(
            "  {what:26} {mean:>8.1} {:>6.2} % {worst:>6} {warm:>9.2} {:>9.4}  {}",
            share * 100.0,
            warm / scan_ms,
            match (binds, holds) {
                (false, _) => "-",
                (true, true) => "PASS",
                (true, false) => "FAIL (≤ 0.5 %)",
            },
        );
        holds
    }
}

fn is_in(id: &str, line: &[u8]) -> bool {
    memchr::memmem::find(line, id.as_bytes()).is_some()
}

struct Answer {
    lines: Vec<bytes::Bytes>,
    inflated: u64,
    took: Duration,
}

/// The newest hundred lines with the literal.
fn ask(store: &Store, literal: &str) -> Answer {
    let options = ParseOptions { allow_empty_selector: true };
    let log = parse_log(&format!("{{}} |= `{literal}`"), options).expect("a good query");
    let query = LogQuery {
        log: &log,
        from: i64::MIN,
        to: i64::MAX,
        limit: 100,
        direction: Direction::Backward,
    };
    let budget = Budget::new(Limits { time_max: Duration::from_secs(600), ..Limits::default() });
    let started = Instant::now();
    let entries = log::run(store, &query, &budget).expect("the store answers");
    let took = started.elapsed();
    assert!(budget.warnings().is_empty());
    let lines = entries.into_iter().map(|entry| entry.line).collect();
    Answer { lines, inflated: budget.stats().sources_inflated, took }
}

/// Stores the corpus, the ids spread evenly over it.
fn build(corpus: Corpus, bytes: u64, hidden: &[(Kind, String)], dir: &Path) -> Arc<Store> {
    let registry = prometheus::Registry::new();
    let config = StoreConfig::new(dir.join("store"));
    let (store, mut sealer) = Store::open(config, &registry).expect("the store opens");
    let chunks = corpus.chunks(SEED, bytes, usize::MAX).expect("it is generated");
    let mut batches = Batches::new(chunks);
    let (mut seen, mut hide) = (0, hidden.iter().enumerate().peekable());
    let mut see = |_: &str, text: &mut Vec<u8>| {
        seen += text.len() as u64;
        let due = |n: usize| (n as u64 + 1) * bytes / (hidden.len() as u64 + 1);
        if let Some((_, (_, id))) = hide.next_if(|(n, _)| seen > due(*n)) {
            corpus::put!(text, "request id={id} done\n");
        }
    };
    let (mut offset, mut unsealed) = (0, 0);
    while let Some(batch) = batches.next_batch(&mut see) {
        store.ingest(0, offset, batch.message).expect("it is a batch of this version");
        offset += 1;
        unsealed += batch.text_bytes;
        if unsealed >= SEAL_BYTES {
            sealer.seal_now().expect("a seal");
            unsealed = 0;
        }
    }
    assert!(hide.next().is_none(), "all ids are hidden");
    sealer.seal_now().expect("a seal");
    store
}

fn count_blocks(store: &Store) -> u64 {
    let formula = Formula::Any;
    let all = Selection { streams: None, from: i64::MIN, to: i64::MAX, formula: &formula };
    let sources = store.select(&all, || Ok::<_, sawlog_aggregator::StoreError>(()));
    sources.expect("the index is searched").len() as u64
}

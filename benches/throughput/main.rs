//! What storing logs costs: MB of log per CPU-second, bytes on disk, memory; of the collector and of
//! the aggregator apart, beside the physical floors and beside one tantivy document per line.
//!
//! ```text
//! cargo bench --bench throughput                      256 MB of each case
//! SAWLOG_BENCH_MB=8 cargo bench --bench throughput    a smaller size; nothing is judged then
//! cargo bench --bench throughput -- hostile           one case
//! ```
//!
//! Each measured thing runs in a process of its own, this program started again, so that CPU time
//! and memory are its own. What it reads was prepared before and lies in the page cache: batches, as
//! the collector encodes them, in an embedded log, and the same text in files. CPU time counts user
//! and system time of all threads of the process, compression, merges and fsyncs included.

#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../nowhere/mod.rs"]
mod nowhere;
#[path = "../process/mod.rs"]
mod process;
#[path = "../verdicts/mod.rs"]
mod verdicts;

mod aggregate;
mod baseline;
mod collect;
mod describe;
mod floor;
mod measure;
mod prepare;
mod report;

use std::path::Path;
use std::process::ExitCode;

use corpus::Corpus;
use measure::Task;
use process::Measured;
use report::Row;
use verdicts::Verdicts;

/// Below this size start-up costs and the last seal weigh too much to judge: MB.
const DEFAULT_MB: u64 = 256;
const TEST_MB: u64 = 8;
const SEED: u64 = 1;

/// A corpus, and how it arrives.
struct Case {
    name: &'static str,
    corpus: Corpus,
    /// The largest run: a backlog comes in full frames, live lines come in small runs, which the
    /// aggregator puts together and compresses again.
    run_bytes_max: usize,
    /// Whether it decides if the program fails.
    judged: bool,
}

const CASES: [Case; 4] = [
    Case { name: "services", corpus: Corpus::Services, run_bytes_max: usize::MAX, judged: true },
    Case { name: "hostile", corpus: Corpus::Hostile, run_bytes_max: usize::MAX, judged: true },
    Case { name: "recorded", corpus: Corpus::Recorded, run_bytes_max: usize::MAX, judged: false },
    Case { name: "small-runs", corpus: Corpus::Services, run_bytes_max: 16 << 10, judged: false },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, task, dir] = &args[..]
        && flag == process::CHILD_FLAG
    {
        Task::parse(task).run(Path::new(dir));
        return ExitCode::SUCCESS;
    }
    let mb = megabytes(&args);
    let named = |case: &Case| args.iter().any(|arg| arg == case.name);
    let all = !CASES.iter().any(named);
    let mut verdicts = Verdicts::new(mb >= DEFAULT_MB);
    for case in CASES.iter().filter(|case| all || named(case)) {
        case.measure(mb * 1_000_000, &mut verdicts);
    }
    verdicts.print()
}

/// From the environment; small if this is only a test that the program works.
fn megabytes(args: &[String]) -> u64 {
    let is_bench = args.iter().any(|arg| arg == "--bench") && !args.iter().any(|a| a == "--test");
    match std::env::var("SAWLOG_BENCH_MB") {
        Ok(text) => text.parse().expect("SAWLOG_BENCH_MB is a number of megabytes"),
        Err(_) if is_bench => DEFAULT_MB,
        Err(_) => TEST_MB,
    }
}

impl Case {
    fn measure(&self, bytes: u64, verdicts: &mut Verdicts) {
        let chunks = || self.corpus.chunks(SEED, bytes, self.run_bytes_max);
        let (Some(described), Some(prepared)) = (chunks(), chunks()) else {
            println!("\n== {}: not there", self.name);
            return;
        };
        println!("\n== {}: {}", self.name, describe::describe(described));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path();
        prepare::prepare(prepared, dir);
        let read = Task::Read.measure(dir);
        let zstd = Task::Compress.measure(dir);
        let collect = Task::Collect.measure(dir);
        let baseline = Baseline::measure(dir);
        let aggregate = Task::Aggregate.measure(dir);
        print_rows(&read, &zstd, &collect, &baseline, &aggregate, dir);
        if self.judged {
            let rates = aggregate.rate() / baseline.lines.rate();
            let what = format!("{}: MB per CPU-second, of the baseline's", self.name);
            verdicts.judge(&what, rates, rates >= 5.0, "≥ 5");
            let disks = aggregate.number("disk") / baseline.disk_least();
            let what = format!("{}: bytes on disk, of the baseline's", self.name);
            verdicts.judge(&what, disks, disks <= 0.5, "≤ 0.5");
        }
    }
}

/// One document per line, as its commits leave it, and merged to one segment.
struct Baseline {
    lines: Measured,
    merged: Measured,
}

impl Baseline {
    fn measure(dir: &Path) -> Self {
        let lines = Task::Lines.measure(dir);
        let merged = Task::Merge.measure(dir);
        baseline::remove(dir);
        Self { lines, merged }
    }

    fn disk_least(&self) -> f64 {
        self.lines.number("disk").min(self.merged.number("disk"))
    }
}

fn print_rows(
    read: &Measured,
    zstd: &Measured,
    collect: &Measured,
    baseline: &Baseline,
    aggregate: &Measured,
    dir: &Path,
) {
    report::print_head();
    let rate = |what, value: &Measured| Row {
        what,
        value: value.rate(),
        floors: [Some(read.rate()), Some(zstd.rate())],
        baseline: None,
    };
    rate("collector, MB per CPU-second", collect).print();
    Row {
        baseline: Some(baseline.lines.rate()),
        ..rate("aggregator, MB per CPU-second", aggregate)
    }
    .print();
    let raw = aggregate.number("raw");
    let least = baseline.disk_least() / raw;
    let disk = |what, bytes: f64, baseline| Row {
        what,
        value: bytes / raw,
        floors: [None, Some(zstd.number("disk") / raw)],
        baseline: Some(baseline),
    };
    disk("aggregator, bytes on disk per byte", aggregate.number("disk"), least).print();
    let with_log = aggregate.number("disk") + process::bytes_below(&dir.join(prepare::LOG)) as f64;
    disk("the same with what the log still holds", with_log, least).print();
    let memory = |what, value: &Measured, baseline: Option<&Measured>| Row {
        what,
        value: value.peak_mib,
        floors: [None, None],
        baseline: baseline.map(|baseline| baseline.peak_mib),
    };
    memory("collector, RssAnon peak, MiB", collect, None).print();
    memory("aggregator, RssAnon peak, MiB", aggregate, Some(&baseline.lines)).print();
    report::print_baseline(&baseline.lines, &baseline.merged, raw);
    report::print_work(aggregate);
}

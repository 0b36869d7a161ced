//! What storing logs costs: MB of log per CPU-second, bytes on disk, memory; of the collector and of
//! the aggregator apart, beside the physical floors and beside one tantivy document per line.
//!
//! ```text
//! cargo bench --bench throughput                      256 MB of each corpus
//! SAWLOG_BENCH_MB=8 cargo bench --bench throughput    a smaller size; nothing is judged then
//! cargo bench --bench throughput -- hostile           one corpus
//! ```
//!
//! Each measured thing runs in a process of its own, this program started again, so that CPU time
//! and memory are its own. What it reads was prepared before and lies in the page cache: batches, as
//! the collector encodes them, in an embedded log, and the same text in files. CPU time counts user
//! and system time of all threads of the process, compression, merges and fsyncs included.

#[path = "../corpus/mod.rs"]
mod corpus;

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
use measure::{Measured, Task};
use report::{Row, Verdicts};

/// Below this size start-up costs and the last seal weigh too much to judge: MB.
const DEFAULT_MB: u64 = 256;
const TEST_MB: u64 = 8;
const SEED: u64 = 1;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, task, dir] = &args[..]
        && flag == measure::CHILD_FLAG
    {
        Task::parse(task).run(Path::new(dir));
        return ExitCode::SUCCESS;
    }
    let mb = megabytes(&args);
    let wanted = |corpus: &&Corpus| {
        let named = |arg: &String| Corpus::ALL.iter().any(|corpus| corpus.name() == arg);
        !args.iter().any(named) || args.iter().any(|arg| arg == corpus.name())
    };
    let mut verdicts = Verdicts::new(mb >= DEFAULT_MB);
    for corpus in Corpus::ALL.iter().filter(wanted) {
        measure_corpus(*corpus, mb, &mut verdicts);
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

fn measure_corpus(corpus: Corpus, mb: u64, verdicts: &mut Verdicts) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let dir = dir.path();
    let Some(chunks) = corpus.chunks(SEED, mb * 1_000_000, usize::MAX) else {
        println!("\n== {}: not there", corpus.name());
        return;
    };
    println!("\n== {}", describe::describe(corpus, chunks));
    let chunks = corpus.chunks(SEED, mb * 1_000_000, usize::MAX).expect("it was there");
    prepare::prepare(chunks, dir);
    let read = Task::Read.measure(dir);
    let zstd = Task::Compress.measure(dir);
    let collect = Task::Collect.measure(dir);
    let baseline = Baseline::measure(dir);
    let aggregate = Task::Aggregate.measure(dir);
    print_rows(&read, &zstd, &collect, &baseline, &aggregate, dir);
    if Corpus::GENERATED.contains(&corpus) {
        let rates = aggregate.rate() / baseline.lines.rate();
        verdicts.judge(corpus, "MB per CPU-second, of the baseline's", rates, rates >= 5.0, "≥ 5");
        let disks = aggregate.bytes("disk") / baseline.disk_least();
        verdicts.judge(corpus, "bytes on disk, of the baseline's", disks, disks <= 0.5, "≤ 0.5");
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
        self.lines.bytes("disk").min(self.merged.bytes("disk"))
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
    let raw = aggregate.bytes("raw");
    let least = baseline.disk_least() / raw;
    let disk = |what, bytes: f64, baseline| Row {
        what,
        value: bytes / raw,
        floors: [None, Some(zstd.bytes("disk") / raw)],
        baseline: Some(baseline),
    };
    disk("aggregator, bytes on disk per byte", aggregate.bytes("disk"), least).print();
    let with_log = aggregate.bytes("disk") + measure::bytes_below(&dir.join(prepare::LOG)) as f64;
    disk("the same with what the log still holds", with_log, least).print();
    let memory = |what, value: &Measured, baseline: Option<&Measured>| Row {
        what,
        value: value.peak_mib,
        floors: [Some(read.peak_mib), Some(zstd.peak_mib)],
        baseline: baseline.map(|baseline| baseline.peak_mib),
    };
    memory("collector, RssAnon peak, MiB", collect, None).print();
    memory("aggregator, RssAnon peak, MiB", aggregate, Some(&baseline.lines)).print();
    report::print_baseline(&baseline.lines, &baseline.merged, raw);
    report::print_work(aggregate);
}

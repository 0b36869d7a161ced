//! What sending costs the producing side: MB of log per CPU-second through a real Kafka, with one
//! batch per message (as Sawlog does) and with one line per message (as most others do).
//!
//! ```text
//! cargo bench --bench kafka                      256 MB
//! SAWLOG_BENCH_MB=32 cargo bench --bench kafka   a smaller size
//! ```
//!
//! Takes Java 17 and Maven, for `deploy/kafka/kafka.sh`; says so and measures nothing without them.
//! Each row runs in a process of its own, from the files to the last acknowledgement; the broker's
//! CPU time does not count. The lines' producers have the same durability (idempotent, acks=all) and
//! the longest linger that keeps a line searchable within a second; they parse nothing.

#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../process/mod.rs"]
mod process;

mod batches;
mod broker;
mod lines;
mod text;

use std::path::Path;
use std::process::ExitCode;

use corpus::Corpus;
use process::Measured;

const DEFAULT_MB: u64 = 256;
const TEST_MB: u64 = 2;
const SEED: u64 = 1;

/// What is measured, and how it is called.
const ROWS: [(&str, &str); 5] = [
    ("read", "read and find lines"),
    ("batches", "one batch per message, from file to ack"),
    ("produce", "the same batches, sent only"),
    ("lines", "one line per message"),
    ("lines-zstd", "one line per message, client's zstd-1"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, work, dir, brokers] = &args[..]
        && flag == process::CHILD_FLAG
    {
        run(work, Path::new(dir), brokers);
        return ExitCode::SUCCESS;
    }
    let Some(broker) = broker::Broker::start() else { return ExitCode::SUCCESS };
    let mb = megabytes(&args);
    for corpus in Corpus::GENERATED {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let lines = text::write(corpus, mb * 1_000_000, dir.path());
        println!("\n== {}: {mb} MB, {lines} lines", corpus.name());
        table(dir.path(), broker.address());
    }
    ExitCode::SUCCESS
}

fn table(dir: &Path, brokers: &str) {
    println!("{:40} {:>12} {:>7} {:>8} {:>8}", "", "MB per CPU-s", "ratio", "seconds", "RSS MiB");
    let measured = ROWS.map(|(work, what)| {
        (what, process::measure([work.as_ref(), dir.as_os_str(), brokers.as_ref()]))
    });
    let floor = measured[0].1.rate();
    for (what, row) in &measured {
        print_row(what, row, floor);
    }
    let (batches, lines) = (&measured[1].1, &measured[3].1);
    println!("one batch per message / one line per message: {:.2}", batches.rate() / lines.rate());
}

fn print_row(what: &str, row: &Measured, floor: f64) {
    let sent = |(name, number): (&str, f64)| match name {
        "messages" => format!("{number} messages"),
        _ => format!("{:.1} MB {name}", number / 1e6),
    };
    let said: Vec<String> = row.numbers().filter(|(name, _)| *name != "cpu").map(sent).collect();
    println!(
        "{what:40} {:>12.1} {:>7.3} {:>8.1} {:>8.0}   {}",
        row.rate(),
        row.rate() / floor,
        row.elapsed.as_secs_f64(),
        row.peak_mib,
        said.join(", "),
    );
}

fn run(work: &str, dir: &Path, brokers: &str) {
    match work {
        "read" => lines::read(dir),
        "batches" => batches::collect(dir, brokers),
        "produce" => batches::produce(dir, brokers),
        "lines" => lines::send(dir, brokers, "none"),
        "lines-zstd" => lines::send(dir, brokers, "zstd"),
        other => panic!("there is no work '{other}'"),
    }
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

//! What the collector costs, from the file to the acknowledged batch, and how soon a line is on its way.
//!
//! ```text
//! cargo bench --bench collector                      all of it, 128 MB of each corpus
//! cargo bench --bench collector -- rate              MB per CPU-second; also `latency`, `watch`, `idle` (13 minutes)
//! SAWLOG_BENCH_MB=8 cargo bench --bench collector    a smaller size; nothing is judged then
//! ```
//!
//! Each measured thing runs in a process of its own, this program started again. The transport
//! acknowledges at once and keeps nothing, so that it is the collector that is measured. Rates are the
//! best of some repetitions, since other programs of a machine only ever make them worse; CPU time
//! counts user and system time of all threads.

#[path = "../corpus/mod.rs"]
mod corpus;
#[allow(dead_code, reason = "each program uses a part of it")]
#[path = "../nowhere/mod.rs"]
mod nowhere;
#[allow(dead_code, reason = "each program uses a part of it")]
#[path = "../process/mod.rs"]
mod process;
#[path = "../verdicts/mod.rs"]
mod verdicts;

mod collecting;
mod envelope;
mod idle;
mod latency;
mod rate;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use verdicts::Verdicts;

/// Below this size start-up costs weigh too much to judge: MB.
const DEFAULT_MB: u64 = 128;
const TEST_MB: u64 = 4;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, task, dir, rest @ ..] = &args[..]
        && flag == process::CHILD_FLAG
    {
        run(task, Path::new(dir), rest);
        return ExitCode::SUCCESS;
    }
    let is_bench = args.iter().any(|arg| arg == "--bench") && !args.iter().any(|a| a == "--test");
    let mb = match std::env::var("SAWLOG_BENCH_MB") {
        Ok(text) => text.parse().expect("SAWLOG_BENCH_MB is a number of megabytes"),
        Err(_) if is_bench => DEFAULT_MB,
        Err(_) => TEST_MB,
    };
    let parts = ["rate", "idle", "latency", "watch"];
    let named = |part: &str| args.iter().any(|arg| arg == part);
    let wanted = |part: &str| named(part) || !parts.iter().any(|part| named(part));
    let mut verdicts = Verdicts::new(mb >= DEFAULT_MB);
    if wanted("rate") {
        rate::measure(mb * 1_000_000, &mut verdicts);
    }
    if wanted("idle") {
        idle::measure(mb >= DEFAULT_MB, &mut verdicts);
    }
    if wanted("latency") {
        latency::measure();
    }
    if wanted("watch") {
        watch::measure(mb >= DEFAULT_MB);
    }
    verdicts.print()
}

/// Does the work of a measured process.
fn run(task: &str, dir: &Path, rest: &[String]) {
    match task {
        "zstd" => rate::compress(dir),
        "plain" => rate::collect(dir, false),
        "redacted" => rate::collect(dir, true),
        "idle" => idle::run(dir, rest),
        "alone" => latency::run_alone(dir),
        "beside" => latency::run_beside(dir),
        "watch" => watch::run(dir, rest),
        other => panic!("no task is called {other}"),
    }
}

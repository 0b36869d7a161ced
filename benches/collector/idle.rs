//! What ten thousand files cost that nobody writes to.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::collecting::{self, FILES};
use crate::nowhere::Nowhere;
use crate::process::{self, bytes_below, say, wait_for};
use crate::verdicts::Verdicts;

const FILES_COUNT: usize = 10_000;
/// Until what follows the last acknowledgement is done: checkpoints, questions for writers.
const SETTLE: Duration = Duration::from_secs(15);
const WATCHED: Duration = Duration::from_secs(30);
const CORE_SHARE_MAX: f64 = 0.001;
const RSS_MIB_MAX: f64 = 64.0;

pub(crate) fn measure(verdicts: &mut Verdicts) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let files = dir.path().join(FILES);
    std::fs::create_dir(&files).expect("the folder is new");
    // Their containers live: each file stays open for writing, here.
    let writers = write(&files);
    let idle = process::measure([OsStr::new("idle"), dir.path().as_os_str()]);
    drop(writers);
    let share = idle.number("share");
    println!(
        "\n{FILES_COUNT} quiet files: {:.4} % of a core over {} s, {:.0} open, RssAnon peak {:.1} MiB",
        share * 100.0,
        WATCHED.as_secs(),
        idle.number("open"),
        idle.peak_mib,
    );
    verdicts.judge(
        "10,000 quiet files: % of a core",
        share * 100.0,
        share < CORE_SHARE_MAX,
        "< 0.1",
    );
    verdicts.judge("10,000 quiet files: MiB", idle.peak_mib, idle.peak_mib < RSS_MIB_MAX, "< 64");
}

/// Writes a line into each file; gives the files, still open.
fn write(files: &Path) -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("up to its limit");
    let open = |n: usize| {
        let mut file = File::create(files.join(format!("quiet-{n}.log"))).expect("a file");
        writeln!(file, "2025-03-03T06:00:00Z INFO container {n} has started").expect("a line");
        file
    };
    (0..FILES_COUNT).map(open).collect()
}

pub(crate) fn run(dir: &Path) {
    let raw = bytes_below(&dir.join(FILES));
    let nowhere = Arc::new(Nowhere::new(|_: &_| ()));
    let (collector, _data) = collecting::start(dir, true, nowhere);
    wait_for(raw, || collector.status().bytes_acked);
    std::thread::sleep(SETTLE);
    let before = cpu_nanos();
    std::thread::sleep(WATCHED);
    say("share", (cpu_nanos() - before) as f64 / WATCHED.as_nanos() as f64);
    say("open", collector.status().files_open as f64);
    collecting::stop(collector);
}

/// CPU time of the threads that there are, as the scheduler counts it: in ticks it would be too coarse.
fn cpu_nanos() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux shows a process its threads");
    let nanos = |task: std::fs::DirEntry| -> Option<u64> {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok()
    };
    tasks.flatten().filter_map(nanos).sum()
}

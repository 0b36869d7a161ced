//! What ten thousand files cost that nobody writes to: as containers of an agent, and as the files of
//! one directory.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::collecting::{self, FILES};
use crate::nowhere::Nowhere;
use crate::process::{self, Measured, bytes_below, say, wait_for};
use crate::verdicts::Verdicts;

const FILES_COUNT: usize = 10_000;
/// Until what follows the last acknowledgement is done: checkpoints, the first questions for writers,
/// and the first checks, after which directories that stayed the same are checked more rarely.
const SETTLE: Duration = Duration::from_secs(200);
/// Three of the minutes in which everything is checked once.
const WATCHED: Duration = Duration::from_secs(180);
/// Where nothing is judged.
const TEST_WATCHED: Duration = Duration::from_secs(3);
const CORE_SHARE_MAX: f64 = 0.001;
const RSS_MIB_MAX: f64 = 64.0;

/// The path of one of the files, by its number.
type PathOf = fn(usize) -> String;

/// Where the files lie.
const LAYOUTS: [(&str, PathOf); 2] = [
    ("sandboxes", |n| format!("slaves/S1/frameworks/F/executors/task-{n}/runs/c{n}/stdout")),
    ("in one directory", |n| format!("quiet-{n}.log")),
];

pub(crate) fn measure(is_judged: bool, verdicts: &mut Verdicts) {
    let (settle, watched) =
        if is_judged { (SETTLE, WATCHED) } else { (TEST_WATCHED, TEST_WATCHED) };
    let seconds = [settle, watched].map(|time| time.as_secs().to_string());
    println!();
    // One after the other: the writers of both would be too many descriptors for most systems.
    for (layout, path) in LAYOUTS {
        let idle = measure_one(path, &seconds);
        let (percent, mib) = (idle.number("share") * 100.0, idle.peak_mib);
        println!(
            "{FILES_COUNT} quiet files, {layout}: {percent:.4} % of a core over {} s from {} s after the last byte on, {:.0} open, RssAnon peak {mib:.1} MiB",
            seconds[1],
            seconds[0],
            idle.number("open"),
        );
        let name = |what| format!("{FILES_COUNT} quiet files, {layout}: {what}");
        verdicts.judge(&name("% of a core"), percent, percent < CORE_SHARE_MAX * 100.0, "< 0.1");
        verdicts.judge(&name("MiB"), mib, mib < RSS_MIB_MAX, "< 64");
    }
}

fn measure_one(path: PathOf, seconds: &[String; 2]) -> Measured {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Their containers live: each file stays open for writing, here.
    let writers = write(&dir.path().join(FILES), path);
    let place = dir.path().to_str().expect("temporary folders have plain names");
    let idle = process::measure(["idle", place, &seconds[0], &seconds[1]]);
    drop(writers);
    idle
}

/// Writes a line into each file; gives the files, still open.
fn write(files: &Path, path: PathOf) -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("up to its limit");
    let open = |n: usize| {
        let path = files.join(path(n));
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        let mut file = File::create(path).expect("a file");
        writeln!(file, "2025-03-03T06:00:00Z INFO container {n} has started").expect("a line");
        file
    };
    (0..FILES_COUNT).map(open).collect()
}

/// `times`: seconds until it is settled, and seconds that are measured.
pub(crate) fn run(dir: &Path, times: &[String]) {
    let [settle, watched] = [0, 1].map(|n| Duration::from_secs(times[n].parse().expect("seconds")));
    let raw = bytes_below(&dir.join(FILES));
    let nowhere = Arc::new(Nowhere::new(|_: &_| ()));
    let (collector, _data) = collecting::start(dir, true, nowhere);
    wait_for(raw, || collector.status().bytes_acked);
    std::thread::sleep(settle);
    let before = cpu_nanos();
    std::thread::sleep(watched);
    say("share", (cpu_nanos() - before) as f64 / watched.as_nanos() as f64);
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

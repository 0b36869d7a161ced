//! Measures work in a process of its own: CPU time as the kernel counts it, memory as sampled from
//! outside, and what the work says of itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a measured process.
pub(crate) const CHILD_FLAG: &str = "--measured";
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(2);
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(120);
/// Clock ticks per second in `/proc`: fixed for programs, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// Starts this program again with these arguments behind [`CHILD_FLAG`], and waits for its end.
pub(crate) fn measure<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Measured {
    let args: Vec<S> = args.into_iter().collect();
    let started = Instant::now();
    // Not by its name: another build may have replaced it meanwhile.
    let mut child = Command::new("/proc/self/exe")
        .arg(CHILD_FLAG)
        .args(&args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts again");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let exit = loop {
        peak_kib = rss_anon_kib(&status).unwrap_or(0).max(peak_kib);
        if let Some(exit) = child.try_wait().expect("the child is ours") {
            break exit;
        }
        std::thread::sleep(SAMPLE_INTERVAL);
    };
    let mut said = String::new();
    let mut stdout = child.stdout.take().expect("stdout is piped");
    stdout.read_to_string(&mut said).expect("it says text");
    let work = args.first().map(|work| work.as_ref().to_string_lossy().into_owned());
    assert!(exit.success(), "{} failed: {exit}", work.unwrap_or_default());
    Measured::read(&said, peak_kib, started.elapsed())
}

/// What a measured process took and did.
pub(crate) struct Measured {
    /// Highest sampled RssAnon.
    pub(crate) peak_mib: f64,
    pub(crate) elapsed: Duration,
    numbers: BTreeMap<String, f64>,
}

impl Measured {
    fn read(said: &str, peak_kib: u64, elapsed: Duration) -> Self {
        let numbers = said.lines().filter_map(|line| {
            let (name, number) = line.split_once('=')?;
            Some((name.to_owned(), number.parse().ok()?))
        });
        Self { peak_mib: peak_kib as f64 / 1024.0, elapsed, numbers: numbers.collect() }
    }

    /// A number that the task reported.
    pub(crate) fn number(&self, name: &str) -> f64 {
        *self.numbers.get(name).unwrap_or_else(|| panic!("the task reports {name}"))
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        self.numbers.iter().map(|(name, number)| (name.as_str(), *number))
    }

    /// MB of log per CPU-second.
    pub(crate) fn rate(&self) -> f64 {
        // A run too short to be counted took less than one tick.
        self.number("raw") / 1e6 / self.number("cpu").max(1.0 / TICKS_PER_SECOND)
    }
}

/// Reports a number to the process that measures.
pub(crate) fn say(name: &str, number: f64) {
    println!("{name}={number}");
}

/// Waits until `progress` has come to `end`.
pub(crate) fn wait_for(end: u64, mut progress: impl FnMut() -> u64) {
    let mut last = (progress(), Instant::now());
    while last.0 < end {
        assert!(last.1.elapsed() < PATIENCE, "stuck at {} of {end}", last.0);
        std::thread::sleep(PROGRESS_INTERVAL);
        let now = progress();
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
}

/// CPU seconds of this process so far, user and system, all threads, also those that ended.
pub(crate) fn cpu_seconds() -> f64 {
    ticks("/proc/self/stat").expect("Linux tells a process its times") / TICKS_PER_SECOND
}

fn ticks(stat: impl AsRef<Path>) -> Option<f64> {
    let stat = std::fs::read_to_string(stat).ok()?;
    // The name, in brackets, may hold anything; the state is the first field behind it.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
}

fn rss_anon_kib(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

/// Bytes of all files below a folder.
pub(crate) fn bytes_below(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let metadata = entry.metadata().expect("nobody else removes files");
        bytes += if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() };
    }
    bytes
}

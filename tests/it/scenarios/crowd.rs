//! Scenario 10, noise: one container flat out, a hundred that are quiet, and five a second that live for
//! 400 ms and whose sandboxes are deleted; with few descriptors, and more events than the kernel keeps.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::process::{go_on, stop};
use super::verifier::{assert_lost, verify_container};
use super::work::Work;
use super::writer::{Log, append, append_to};
use crate::node::Node;

const QUIET: u32 = 100;
const SECONDS: u32 = 8;
/// Of the container that is flat out: what a disk and the index take along.
const FLAT_OUT_BYTES: usize = 150 << 20;
const SHORT_LIVED_EVERY: Duration = Duration::from_millis(200);
const SHORT_LIVED: u32 = SECONDS * 5;
const OPEN_FILES: u32 = 4096;

fn quiet(n: u32) -> (String, Log) {
    (format!("quiet{n:03}"), Log::new(&format!("q{n:03}"), 80..=120))
}

fn short(n: u32) -> (String, Log) {
    (format!("short{n:03}"), Log::new(&format!("s{n:03}"), 80..=120))
}

/// Each writes a line a second; they take turns, and stay open.
fn play_quiet(work: &Work) {
    let mut files: Vec<_> = (0..QUIET).map(|n| append_to(&work.stdout(&quiet(n).0))).collect();
    let started = Instant::now();
    for turn in 0..SECONDS * QUIET {
        let due = Duration::from_secs(1) / QUIET * turn;
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        let (n, line) = (turn % QUIET, turn / QUIET);
        files[n as usize].write_all(&quiet(n).1.line(line)).unwrap();
    }
}

/// Writes as fast as it may, rotating nothing; gives how many lines it wrote.
fn play_flat_out(work: &Work) -> u32 {
    let log = Log::new("flat", 100..=400);
    let mut file = append_to(&work.stdout("flat"));
    let (mut n, mut written) = (0, 0);
    while written < FLAT_OUT_BYTES {
        let lines = log.lines(n..n + 1000);
        file.write_all(&lines).unwrap();
        (n, written) = (n + 1000, written + lines.len());
    }
    n
}

/// A container that lives for 400 ms, writes 20 lines, and whose sandbox is deleted a second later.
fn play_short(work: &Work, n: u32) {
    let (name, log) = short(n);
    let path = work.stdout(&name);
    let mut file = append_to(&path);
    for line in 0..20 {
        file.write_all(&log.line(line)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(file);
    std::thread::sleep(Duration::from_secs(1));
    std::fs::remove_dir_all(path.parent().expect("it is in a sandbox")).unwrap();
}

fn play(work: &Work) -> u32 {
    std::thread::scope(|scope| {
        scope.spawn(|| play_quiet(work));
        scope.spawn(|| {
            for n in 0..SHORT_LIVED {
                scope.spawn(move || play_short(work, n));
                std::thread::sleep(SHORT_LIVED_EVERY);
            }
        });
        play_flat_out(work)
    })
}

/// What was found of a deleted sandbox's container too is in the store.
fn check(node: &Node, flat_lines: u32) {
    for (name, log) in (0..SHORT_LIVED).map(short) {
        verify_container(node, &name, &[(&log, 0..20)]).assert_exactly();
    }
    for (name, log) in (0..QUIET).map(quiet) {
        verify_container(node, &name, &[(&log, 0..SECONDS)]).assert_exactly();
    }
    let flat = Log::new("flat", 100..=400);
    verify_container(node, "flat", &[(&flat, 0..flat_lines)]).assert_exactly();
    assert_lost(node, &[]);
    assert_eq!(node.metric("sawlog_collector_scan_errors_total"), 0.0);
    assert!(!node.log().contains("Too many open files"), "{}", node.log());
}

/// How long a line of a quiet container takes to be found, meanwhile: printed, not judged.
fn measure(work: &Work, node: &Node, over: &AtomicBool) -> Vec<Duration> {
    let log = Log::new("probe", 80..=120);
    let path = work.stdout("probe");
    let mut times = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        append(&path, &log.line(n));
        let written = Instant::now();
        let selector = format!(r#"{{container="probe"}} |= "probe {n:08} ""#);
        while node.count(&selector) == 0 && !over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        times.push(written.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    times.sort();
    times
}

#[test]
fn noise_costs_the_quiet_and_the_short_lived_nothing() {
    let work = Work::new();
    let node = work.node().open_files(OPEN_FILES).start();
    let over = AtomicBool::new(false);
    let (lines, times) = std::thread::scope(|scope| {
        let measured = scope.spawn(|| measure(&work, &node, &over));
        let lines = play(&work);
        over.store(true, Ordering::Relaxed);
        (lines, measured.join().unwrap())
    });
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    println!("append to found, of {} lines: p50 {:?}, p99 {:?}", times.len(), at(50), at(99));
    check(&node, lines);
}

/// How many events the kernel keeps for a watcher.
fn events_max() -> usize {
    let text = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    text.trim().parse().unwrap()
}

/// More changes than the kernel keeps: two files in turn, so that none is like the one before.
fn overflow(paths: [&Path; 2], logs: [&Log; 2]) -> u32 {
    let mut files = paths.map(append_to);
    let turns = (events_max() / 2 + 500) as u32;
    for n in 0..turns {
        for (file, log) in files.iter_mut().zip(logs) {
            file.write_all(&log.line(n)).unwrap();
        }
    }
    turns
}

#[test]
fn more_events_than_the_kernel_keeps_lose_nothing() {
    let work = Work::new();
    let node = work.node().start();
    let logs = [Log::new("one", 80..=120), Log::new("two", 80..=120)];
    append(&work.stdout("one"), b"");
    append(&work.stdout("two"), b"");
    // Events of one file in a row are one event: both must be watched.
    let seen =
        || ["one", "two"].iter().all(|name| node.has_open(work.stdout(name).parent().unwrap()));
    crate::node::eventually("the files are known", seen, |open| *open);
    stop(&node);
    let lines = overflow([&work.stdout("one"), &work.stdout("two")], [&logs[0], &logs[1]]);
    // What begins when the queue is full is told by nobody.
    let (name, log) = short(0);
    append(&work.stdout(&name), &log.lines(0..20));
    go_on(&node);
    verify_container(&node, &name, &[(&log, 0..20)]).assert_exactly();
    verify_container(&node, "one", &[(&logs[0], 0..lines)]).assert_exactly();
    verify_container(&node, "two", &[(&logs[1], 0..lines)]).assert_exactly();
    assert_lost(&node, &[]);
}

#[test]
fn an_overflow_of_events_is_counted() {
    let work = Work::new();
    let node = work.node().start();
    append(&work.stdout("one"), b"");
    append(&work.stdout("two"), b"");
    // Events of one file in a row are one event: both must be watched.
    let seen =
        || ["one", "two"].iter().all(|name| node.has_open(work.stdout(name).parent().unwrap()));
    crate::node::eventually("the files are known", seen, |open| *open);
    stop(&node);
    let logs = [Log::new("one", 80..=120), Log::new("two", 80..=120)];
    overflow([&work.stdout("one"), &work.stdout("two")], [&logs[0], &logs[1]]);
    go_on(&node);
    let counted = || node.metric("sawlog_collector_event_overflows_total");
    crate::node::eventually("the overflow is counted", counted, |count| *count >= 1.0);
}

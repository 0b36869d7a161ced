//! From write() to the transport: of one quiet file, and of a hundred beside one that is written as fast
//! as it is read.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sawlog_collector::CollectorHandle;
use sawlog_transport::Batch;

use crate::collecting::{self, FILES};
use crate::nowhere::Nowhere;
use crate::process::{self, say};

/// What stands before the moment at which a line was written, in nanoseconds since the start.
const MARK: &str = "written@";
const ALONE_LINES: u64 = 200;
const QUIET_FILES: u64 = 100;
const BESIDE: Duration = Duration::from_secs(10);
/// What the loud file is ahead of the collector.
const LOUD_LAG_BYTES: u64 = 32 << 20;
/// All that it gets: disks are not endless.
const LOUD_BYTES_MAX: u64 = 4 << 30;

pub(crate) fn measure() {
    println!();
    for (task, what) in
        [("alone", "one file"), ("beside", "100 files, 1 line/s each, beside one flat out")]
    {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join(FILES)).expect("the folder is new");
        let found = process::measure([OsStr::new(task), dir.path().as_os_str()]);
        println!(
            "write() → transport, {what}: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms of {:.0} lines; \
             {:.0} MB of others",
            found.number("p50"),
            found.number("p99"),
            found.number("most"),
            found.number("lines"),
            found.number("others") / 1e6,
        );
    }
}

/// A collector, and the moments at which marked lines left it.
struct Measured {
    started: Instant,
    collector: CollectorHandle,
    latencies: Receiver<Duration>,
}

impl Measured {
    fn start(dir: &Path) -> Self {
        let started = Instant::now();
        let (sender, latencies) = channel();
        let nowhere = Nowhere::new(move |message: &Bytes| note(message, started, &sender));
        let (collector, _data) = collecting::start(dir, true, Arc::new(nowhere));
        Self { started, collector, latencies }
    }

    fn write(&self, file: &mut File, n: u64) {
        let line =
            format!("line {n} {MARK}{} of a quiet file\n", self.started.elapsed().as_nanos());
        file.write_all(line.as_bytes()).expect("the file takes a line");
    }

    /// Says what was found, once the last line has left.
    fn finish(self, lines: u64, others: u64) {
        let wait = Duration::from_secs(30);
        let mut found: Vec<f64> = (0..lines)
            .map(|_| self.latencies.recv_timeout(wait).expect("all lines leave").as_secs_f64())
            .collect();
        drop(self.collector);
        found.sort_by(f64::total_cmp);
        let at = |percent: usize| found[(found.len() - 1) * percent / 100] * 1000.0;
        say("p50", at(50));
        say("p99", at(99));
        say("most", at(100));
        say("lines", lines as f64);
        say("others", others as f64);
    }
}

/// Tells how old the marked lines of a message are.
fn note(message: &Bytes, started: Instant, latencies: &Sender<Duration>) {
    let now = started.elapsed();
    let batch = Batch::decode(message.clone()).expect("a batch");
    for frame in &batch.frames {
        let text = frame.text().expect("its text");
        for at in memchr::memmem::find_iter(&text, MARK) {
            let digits = text[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u64::from(digit - b'0'));
            // Nobody listens any more when the last line was counted.
            if latencies.send(now.saturating_sub(Duration::from_nanos(nanos))).is_err() {
                return;
            }
        }
    }
}

fn open(dir: &Path, name: &str) -> File {
    let path = dir.join(FILES).join(name);
    OpenOptions::new().create(true).append(true).open(path).expect("the file can be made")
}

pub(crate) fn run_alone(dir: &Path) {
    let mut file = open(dir, "quiet.log");
    let measured = Measured::start(dir);
    for n in 0..ALONE_LINES {
        // Moments that have nothing to do with the collector's own timers.
        std::thread::sleep(Duration::from_millis(20 + n * 37 % 90));
        measured.write(&mut file, n);
    }
    measured.finish(ALONE_LINES, 0);
}

pub(crate) fn run_beside(dir: &Path) {
    let mut files: Vec<File> =
        (0..QUIET_FILES).map(|n| open(dir, &format!("quiet-{n}.log"))).collect();
    let mut loud = open(dir, "loud.log");
    let measured = Measured::start(dir);
    let is_over = AtomicBool::new(false);
    let (lines, others) = std::thread::scope(|scope| {
        let loud = scope.spawn(|| be_loud(&mut loud, &measured.collector, &is_over));
        let (begin, mut lines) = (Instant::now(), 0);
        while begin.elapsed() < BESIDE {
            let file = &mut files[(lines % QUIET_FILES) as usize];
            measured.write(file, lines);
            lines += 1;
            std::thread::sleep(Duration::from_secs(1) / QUIET_FILES as u32);
        }
        is_over.store(true, Ordering::Relaxed);
        (lines, loud.join().expect("the loud file is written"))
    });
    measured.finish(lines, others);
}

/// Writes as fast as the collector reads; gives the bytes written.
fn be_loud(file: &mut File, collector: &CollectorHandle, is_over: &AtomicBool) -> u64 {
    let lines = "2025-03-03T06:00:00.000123Z INFO id=522f31ffb466e46b loud and quite long a line\n";
    let chunk = lines.repeat(800);
    let mut written = 0;
    while !is_over.load(Ordering::Relaxed) && written < LOUD_BYTES_MAX {
        if written > collector.status().bytes_acked + LOUD_LAG_BYTES {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        file.write_all(chunk.as_bytes()).expect("the file takes text");
        written += chunk.len() as u64;
    }
    written
}

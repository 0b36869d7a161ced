//! What being watched costs a container: the CPU time that write() of a line takes it, flat out and paced,
//! with no watch, with a directory's watch that nobody reads, and with the collector running, which has
//! no need of being told of a file that is written all the time.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

use crate::collecting::{self, FILES};
use crate::nowhere::Nowhere;
use crate::process::{self, say, wait_for};

/// With its newline.
const LINE_BYTES: usize = 100;
/// Writes of one measurement: flat out it lasts about a second.
const WRITES: u64 = 800_000;
const TEST_WRITES: u64 = 20_000;
/// Each is repeated and the best taken: other programs of a machine only ever make them worse.
const REPETITIONS: usize = 5;
/// Between two writes of a paced writer, of which there are fewer.
const PAUSE: Duration = Duration::from_micros(200);
const PACED_SHARE: u64 = 200;

/// In a directory of many logs the collector lets the kernel tell of each write.
const WAYS: [&str; 4] = [
    "no watch",
    "a directory's watch, unread",
    "the collector",
    "the collector, beside 20 other logs",
];
const OTHERS: usize = 20;

pub(crate) fn measure(is_judged: bool) {
    let writes = if is_judged { WRITES } else { TEST_WRITES };
    println!();
    for (pace, writes) in [("flat out", writes), ("paced", writes / PACED_SHARE)] {
        let mut bare = 0.0;
        for way in WAYS {
            let nanos = (0..REPETITIONS).map(|_| measure_one(way, pace, writes));
            let nanos = nanos.fold(f64::INFINITY, f64::min);
            bare = if way == WAYS[0] { nanos } else { bare };
            let more = (nanos / bare - 1.0) * 100.0;
            println!(
                "write() of {LINE_BYTES} bytes, {pace}, {way}: {nanos:.0} ns of CPU ({more:+.0} %)"
            );
        }
    }
}

fn measure_one(way: &str, pace: &str, writes: u64) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(dir.path().join(FILES)).expect("the folder is new");
    let writes = writes.to_string();
    let args = ["watch", way, pace, &writes].map(OsStr::new);
    let found = process::measure([args[0], dir.path().as_os_str(), args[1], args[2], args[3]]);
    found.number("nanos")
}

/// `rest`: the way, the pace, and how many writes.
pub(crate) fn run(dir: &Path, rest: &[String]) {
    let writes: u64 = rest[2].parse().expect("a number of writes");
    let pause = (rest[1] == "paced").then_some(PAUSE);
    let path = dir.join(FILES).join("watched.log");
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a file");
    write(&mut file, 1, None);
    match WAYS.iter().position(|way| *way == rest[0]) {
        Some(0) => say("nanos", write(&mut file, writes, pause)),
        Some(1) => {
            let inotify = init(CreateFlags::NONBLOCK).expect("inotify");
            add_watch(&inotify, dir.join(FILES), WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE)
                .expect("a watch");
            say("nanos", write(&mut file, writes, pause));
        }
        way => {
            let others = if way == Some(3) { OTHERS } else { 0 };
            for n in 0..others {
                File::create(dir.join(FILES).join(format!("quiet-{n}.log"))).expect("a file");
            }
            let nowhere = Arc::new(Nowhere::new(|_: &_| ()));
            let (collector, _data) = collecting::start(dir, true, nowhere);
            let bytes = LINE_BYTES as u64;
            wait_for(bytes, || collector.status().bytes_acked);
            say("nanos", write(&mut file, writes, pause));
            wait_for(bytes * (writes + 1), || collector.status().bytes_acked);
            collecting::stop(collector);
        }
    }
}

/// Writes so many lines; gives the CPU nanoseconds that one took this thread.
fn write(file: &mut File, writes: u64, pause: Option<Duration>) -> f64 {
    let mut line = [b'x'; LINE_BYTES];
    line[LINE_BYTES - 1] = b'\n';
    let before = cpu_nanos();
    for _ in 0..writes {
        file.write_all(&line).expect("the file takes a line");
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
    (cpu_nanos() - before) as f64 / writes as f64
}

/// CPU time of this thread, as the scheduler counts it.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let nanos = stat.split_whitespace().next().and_then(|text| text.parse().ok());
    nanos.expect("it begins with nanoseconds")
}

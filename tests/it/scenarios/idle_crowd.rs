//! Scenario 10, a crowd: 10,000 containers that write nothing cost no work and little memory. For 10 s
//! instead of 60.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use super::mock::{Mock, opened};
use super::process::{cpu_time, io_calls};
use super::work::Work;
use super::writer::{Log, append_to};
use crate::node::eventually;

const CONTAINERS: u32 = 10_000;
const WATCHED_FOR: Duration = Duration::from_secs(10);
/// Of a process with so many files open.
const RSS_ANON_MAX: u64 = 64 << 20;
/// Reads and writes of the whole process while nothing happens: the client's heartbeats, timers. One look
/// at each file would be ten times as much.
const CALLS_MAX: u64 = 1000;

fn log(n: u32) -> Log {
    Log::new(&format!("i{n:05}"), 80..=120)
}

/// A line in each; they stay open, as those of running containers do.
fn containers(work: &Work) -> Vec<File> {
    let begin = |n: u32| {
        let mut file = append_to(&work.stdout(&format!("idle{n:05}")));
        file.write_all(&log(n).line(0)).unwrap();
        file
    };
    (0..CONTAINERS).map(begin).collect()
}

#[test]
fn ten_thousand_quiet_containers_cost_no_work() {
    let work = Work::new();
    let mut mock = Mock::start();
    let mut files = containers(&work);
    let setup = mock.collector(&work.data()).arg("--mesos-work-dir", work.work_dir());
    let node = setup.start();
    opened(&node);
    mock.topic.read_until(&node, CONTAINERS as usize, Duration::from_secs(30));
    assert_eq!(mock.topic.received.lines(), CONTAINERS as usize, "one line of each");
    let lag = || node.metric("sawlog_collector_lag_bytes");
    eventually("at rest", lag, |bytes| *bytes == 0.0);
    // Questions about writers that were just asked are asked again ever more rarely.
    std::thread::sleep(Duration::from_secs(10));

    let (calls, cpu) = (io_calls(&node), cpu_time(&node));
    std::thread::sleep(WATCHED_FOR);
    let (calls, cpu) = (io_calls(&node) - calls, cpu_time(&node) - cpu);
    let share = cpu.as_secs_f64() / WATCHED_FOR.as_secs_f64() * 100.0;
    let rss = node.rss_anon();
    println!("{share:.2} % of a core, {calls} reads and writes, RssAnon {} MiB", rss >> 20);
    assert!(rss < RSS_ANON_MAX, "RssAnon is {rss} bytes");
    assert!(calls < CALLS_MAX, "{calls} reads and writes while nothing happened");

    // And each of them is still heard.
    for (n, file) in (0..CONTAINERS).zip(&mut files).step_by(1000) {
        file.write_all(&log(n).line(1)).unwrap();
    }
    mock.topic.read_until(&node, CONTAINERS as usize + 10, Duration::from_secs(20));
    assert_eq!(mock.topic.received.lines(), CONTAINERS as usize + 10);
}

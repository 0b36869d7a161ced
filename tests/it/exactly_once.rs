//! The promise: what containers write comes back exactly once, byte for byte, in the order of the
//! file; through rotation, `kill -9`, and a lost checkpoint.

use std::time::{Duration, Instant};

use crate::agent::{Agent, wait_all};
use crate::node::{PATIENCE, Setup, eventually};
use crate::random::Random;

const WRITERS: u32 = 20;
const LINES: u32 = 10_000;
const RSS_ANON_MAX: u64 = 300 << 20;

fn setup(agent: &Agent, seal_interval: &str) -> Setup {
    Setup::new(&agent.data())
        .arg("--mesos-work-dir", agent.work_dir())
        .arg("--seal-interval", seal_interval)
}

/// 200,000 lines, 20 processes, rotation every MiB; memory stays bounded; then the collector's
/// checkpoints are deleted and everything is read again, and nothing is stored twice.
#[test]
fn each_line_once_through_rotation_and_a_lost_checkpoint() {
    let agent = Agent::new(WRITERS, LINES);
    let node = setup(&agent, "2s").start();
    let mut writers = agent.spawn_writers(Duration::from_millis(20));
    let mut highest = 0;
    while writers.iter_mut().any(|writer| writer.try_wait().unwrap().is_none()) {
        highest = highest.max(node.rss_anon());
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_all(writers);
    agent.check(&node);
    highest = highest.max(node.rss_anon());
    println!("RssAnon at most {} MiB", highest >> 20);
    assert!(highest < RSS_ANON_MAX, "RssAnon reached {highest} bytes");
    assert_eq!(node.terminate(), Some(0));

    std::fs::remove_file(agent.data().join("collector/checkpoints")).unwrap();
    let node = setup(&agent, "2s").start();
    let written = agent.written() as f64;
    let read = || node.metric("sawlog_aggregator_duplicate_bytes_total");
    eventually("bytes that came again", read, |bytes| *bytes >= written);
    agent.check(&node);
    assert_eq!(read(), written, "each byte came again once and was not taken");
}

/// The same with `kill -9` ten times at random moments, with a seal under way in most of them.
#[test]
fn each_line_once_through_ten_kills() {
    let agent = Agent::new(WRITERS, LINES);
    let mut node = setup(&agent, "100ms").start();
    let writers = agent.spawn_writers(Duration::from_millis(60));
    let mut random = Random::from_environment();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(50 + random.below(900)));
        node.kill();
        node = setup(&agent, "100ms").start();
    }
    wait_all(writers);
    agent.check(&node);
    assert_eq!(node.terminate(), Some(0));
    // And what a clean stop leaves is the same again.
    agent.check(&setup(&agent, "100ms").start());
}

/// A line can be found soon after it was written, while the process that wrote it still runs.
#[test]
fn a_line_is_found_without_any_seal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    std::fs::write(&path, "").unwrap();
    let node = Setup::new(&dir.path().join("data")).arg("--path", &path).start();
    std::fs::write(&path, "needle in the tail\n").unwrap();
    let started = Instant::now();
    eventually("needle", || node.count(r#"{app="app"} |= "needle""#), |n| *n == 1);
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(node.metric("sawlog_aggregator_seals_total"), 0.0);
}

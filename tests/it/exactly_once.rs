//! The promise: what containers write comes back exactly once, byte for byte, in the order of the
//! file; through rotation, `kill -9`, and a lost checkpoint.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::mesos_logger::{Job, spawn};
use crate::node::{Node, PATIENCE, Setup, assert_same_bytes, eventually};

const WRITERS: u32 = 20;
const LINES: u32 = 10_000;
const ROTATE_BYTES: usize = 1 << 20;
const RSS_ANON_MAX: u64 = 300 << 20;

/// An agent's work directory and what its containers wrote.
struct Agent {
    dir: tempfile::TempDir,
}

impl Agent {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("truth")).unwrap();
        std::fs::create_dir_all(dir.path().join("work/slaves")).unwrap();
        Self { dir }
    }

    fn work_dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn truth(&self, writer: u32) -> PathBuf {
        self.dir.path().join(format!("truth/{writer}"))
    }

    fn setup(&self, seal_interval: &str) -> Setup {
        Setup::new(&self.data())
            .arg("--mesos-work-dir", self.work_dir())
            .arg("--seal-interval", seal_interval)
    }

    fn spawn_writers(&self, pause: Duration) -> Vec<Child> {
        let run_of = |writer: u32| {
            self.work_dir()
                .join(format!("slaves/S1/frameworks/F1/executors/e{writer}/runs/c{writer}"))
        };
        (0..WRITERS)
            .map(|writer| {
                spawn(&Job {
                    sandbox: run_of(writer),
                    truth: self.truth(writer),
                    writer,
                    lines: LINES,
                    rotate_bytes: ROTATE_BYTES,
                    pause,
                })
            })
            .collect()
    }

    /// Waits until as many lines are found as were written, then compares each byte.
    fn check(&self, node: &Node) {
        let all = u64::from(WRITERS * LINES);
        eventually("lines found", || node.count(r#"{stream="stdout"}"#), |n| *n >= all);
        // What came too often would come now.
        assert_eq!(node.count(r#"{stream="stdout"}"#), all);
        for writer in 0..WRITERS {
            let truth = std::fs::read(self.truth(writer)).unwrap();
            let found = node.export(&format!(r#"{{container="c{writer}"}}"#));
            assert_same_bytes(&found, &truth, &format!("container c{writer}"));
        }
        assert!(rotated(&self.work_dir()), "the writers rotated their files");
    }
}

fn rotated(work_dir: &Path) -> bool {
    work_dir.join("slaves/S1/frameworks/F1/executors/e0/runs/c0/stdout.1").exists()
}

fn wait_all(writers: Vec<Child>) {
    for mut writer in writers {
        assert!(writer.wait().unwrap().success(), "a writer failed");
    }
}

/// 200,000 lines, 20 processes, rotation every MiB; memory stays bounded; then the collector's
/// checkpoints are deleted and everything is read again, and nothing is stored twice.
#[test]
fn each_line_once_through_rotation_and_a_lost_checkpoint() {
    let agent = Agent::new();
    let node = agent.setup("2s").start();
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
    let node = agent.setup("2s").start();
    let written: f64 = (0..WRITERS)
        .map(|writer| std::fs::metadata(agent.truth(writer)).unwrap().len() as f64)
        .sum();
    let read = || node.metric("sawlog_aggregator_duplicate_bytes_total");
    eventually("bytes that came again", read, |bytes| *bytes >= written);
    agent.check(&node);
    assert_eq!(read(), written, "each byte came again once and was not taken");
}

/// The same with `kill -9` ten times at random moments, with a seal under way in most of them.
#[test]
fn each_line_once_through_ten_kills() {
    let agent = Agent::new();
    let mut node = agent.setup("100ms").start();
    let writers = agent.spawn_writers(Duration::from_millis(60));
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let given = std::env::var("SAWLOG_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed: u64 = given.unwrap_or(clock.as_nanos() as u64);
    println!("SAWLOG_TEST_SEED={seed}");
    let mut random = seed | 1;
    for _ in 0..10 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_millis(50 + random % 900));
        node.kill();
        node = agent.setup("100ms").start();
    }
    wait_all(writers);
    agent.check(&node);
    assert_eq!(node.terminate(), Some(0));
    // And what a clean stop leaves is the same again.
    agent.check(&agent.setup("100ms").start());
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

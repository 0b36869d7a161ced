//! A crowd of containers on a host that gives few descriptors: quiet ones, one that writes as much as
//! it can, and many that live shorter than a blink.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::agent::Agent;
use crate::node::{Node, Setup, assert_same_bytes, eventually};

/// Fewer than there are quiet containers.
const OPEN_FILES: u32 = 256;
const QUIET: u32 = 300;
const SHORT_LIVED: u32 = 25;
/// Lines of a short-lived container.
const LINES: u32 = 20;
/// What the loud container writes at most, in bytes.
const LOUD_BYTES_MAX: u64 = 96 << 20;

fn create(agent: &Agent, name: &str) -> File {
    let sandbox = agent.sandbox(name);
    std::fs::create_dir_all(&sandbox).unwrap();
    File::create(sandbox.join("stdout")).unwrap()
}

/// The lines of one container, whose writer is gone when this returns.
fn live_shortly(agent: &Agent, name: &str) -> String {
    let mut file = create(agent, name);
    let mut text = String::new();
    for line in 0..LINES {
        let line = format!("line {line} of {name}\n");
        file.write_all(line.as_bytes()).unwrap();
        text += &line;
        std::thread::sleep(Duration::from_millis(400) / LINES);
    }
    text
}

/// Writes until it is told to stop; gives how many lines.
fn write_loudly(file: &mut File, stop: &AtomicBool, written: &AtomicU64) -> u64 {
    let mut lines = 0;
    while !stop.load(Ordering::Relaxed) {
        if written.load(Ordering::Relaxed) > LOUD_BYTES_MAX {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let mut text = String::new();
        for _ in 0..500 {
            text += &format!("loud {lines:08} and as much as it can, again and again and again\n");
            lines += 1;
        }
        file.write_all(text.as_bytes()).unwrap();
        written.fetch_add(text.len() as u64, Ordering::Relaxed);
    }
    lines
}

/// Five short-lived containers a second; each directory is deleted a second after its end.
fn short_lives(agent: &Agent) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    std::thread::scope(|scope| {
        let mut lives = Vec::new();
        for n in 0..SHORT_LIVED {
            lives.push(scope.spawn(move || {
                let name = format!("short{n}");
                let text = live_shortly(agent, &name);
                std::thread::sleep(Duration::from_secs(1));
                std::fs::remove_dir_all(agent.sandbox(&name)).unwrap();
                (name, text)
            }));
            std::thread::sleep(Duration::from_millis(200));
        }
        texts.extend(lives.into_iter().map(|life| life.join().unwrap()));
    });
    texts
}

fn check(node: &Node, name: &str, text: &str) {
    let query = format!(r#"{{container="c{name}"}}"#);
    let lines = text.lines().count() as u64;
    eventually(name, || node.count(&query), |found| *found >= lines);
    assert_same_bytes(&node.export(&query), text.as_bytes(), name);
}

#[test]
fn short_lived_containers_are_exact_in_a_noisy_crowd_with_few_descriptors() {
    let agent = Agent::new(0, 0);
    let mut quiet: Vec<File> = (0..QUIET).map(|n| create(&agent, &format!("quiet{n}"))).collect();
    for file in &mut quiet {
        file.write_all(b"first\n").unwrap();
    }
    let node = Setup::new(&agent.data())
        .arg("--mesos-work-dir", agent.work_dir())
        .open_files(OPEN_FILES)
        .start();
    let first = || node.count(r#"{container=~"cquiet.*"}"#);
    eventually("the quiet ones", first, |found| *found == u64::from(QUIET));

    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut loud = create(&agent, "loud");
    let (short, loud_lines) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_loudly(&mut loud, &stop, &written));
        let short = short_lives(&agent);
        stop.store(true, Ordering::Relaxed);
        (short, writer.join().unwrap())
    });
    // Those that were closed to make room are heard when they speak again.
    for file in &mut quiet {
        file.write_all(b"second\n").unwrap();
    }
    for (name, text) in &short {
        check(&node, name, text);
    }
    for n in 0..QUIET {
        check(&node, &format!("quiet{n}"), "first\nsecond\n");
    }
    let loud = || node.count(r#"{container="cloud"}"#);
    eventually("the loud one", loud, |found| *found == loud_lines);
    assert!(node.metric("sawlog_collector_parked_files_total") > 0.0);
    assert_eq!(node.metric("sawlog_collector_descriptor_shortages_total"), 0.0);
    assert_eq!(node.metric("sawlog_collector_lost_bytes_total"), 0.0);
    assert!(is_limited(&node, &agent.data()), "the limit was in force");
    assert_eq!(node.terminate(), Some(0));
}

/// Whether the node runs, holding files of its data directory open, with fewer descriptors than there
/// are containers.
fn is_limited(node: &Node, data: &Path) -> bool {
    node.has_open(data) && node.metric("sawlog_collector_files_open") < f64::from(OPEN_FILES)
}

//! Scenario 1, a banner crowd: 200 short-lived containers whose files begin alike; some are all alike,
//! some end without a newline, and `latest` shows each of them again. In 5 s instead of 10.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use super::batches::Received;
use super::verifier::assert_lost;
use super::work::Work;
use super::writer::{Log, append_to};
use crate::node::{Node, assert_same_bytes, eventually};
use crate::unprivileged::{WITHOUT_LEASES, can_restrict};

const CONTAINERS: usize = 200;
const CREATED_EVERY: Duration = Duration::from_millis(25);
/// Those whose files are the same byte for byte.
const TWINS: std::ops::Range<usize> = 100..110;

fn container(k: usize) -> String {
    format!("run{k:03}")
}

/// Every tenth ends without a newline, and is no twin.
fn is_unterminated(k: usize) -> bool {
    k % 10 == 3 && !TWINS.contains(&k) || k == 7
}

/// The same 1,500 bytes in each.
fn banner() -> Vec<u8> {
    Log::new("banner", 100..=100).lines(0..15)
}

/// What follows the banner: up to three lines, and perhaps an unfinished one.
fn own(k: usize) -> Vec<u8> {
    let log = if TWINS.contains(&k) { "twin".to_owned() } else { container(k) };
    let lines = if TWINS.contains(&k) { 2 } else { k as u32 % 4 };
    let mut text = Log::new(&log, 60..=120).lines(0..lines);
    if is_unterminated(k) {
        text.extend_from_slice(format!("the last words of {k}").as_bytes());
    }
    text
}

/// Something that a container does.
enum Act {
    Begins,
    Writes,
    Ends,
}

/// When each container does what; it lives for 0.2 to 2 s.
fn schedule() -> Vec<(Duration, usize, Act)> {
    let mut acts = Vec::new();
    for k in 0..CONTAINERS {
        let begins = CREATED_EVERY * k as u32;
        let lives = Duration::from_millis(200 + (k as u64 * 7919) % 1800);
        acts.push((begins, k, Act::Begins));
        acts.push((begins + lives / 2, k, Act::Writes));
        acts.push((begins + lives, k, Act::Ends));
    }
    acts.sort_by_key(|(at, ..)| *at);
    acts
}

/// Lets `latest` show another container, as the agent does.
fn point_latest_at(work: &Work, k: usize) {
    let new = work.runs().join("latest.new");
    std::os::unix::fs::symlink(container(k), &new).unwrap();
    std::fs::rename(&new, work.runs().join("latest")).unwrap();
}

fn play(work: &Work) {
    let mut open: Vec<Option<File>> = (0..CONTAINERS).map(|_| None).collect();
    let started = Instant::now();
    for (at, k, act) in schedule() {
        std::thread::sleep(at.saturating_sub(started.elapsed()));
        match act {
            Act::Begins => {
                let file = open[k].insert(append_to(&work.stdout(&container(k))));
                file.write_all(&banner()[..1000]).unwrap();
                point_latest_at(work, k);
            }
            Act::Writes => {
                let text = [&banner()[1000..], &own(k)].concat();
                open[k].as_mut().expect("it began").write_all(&text).unwrap();
            }
            Act::Ends => open[k] = None,
        }
    }
}

#[test]
fn each_of_many_files_that_begin_alike_is_itself() {
    let work = Work::new();
    let node = work.node().start();
    crowd(&work, node);
}

/// Nobody tells the collector who writes a file, only that it was closed.
#[test]
fn without_leases_each_of_many_files_that_begin_alike_is_itself() {
    if !can_restrict() {
        return;
    }
    let work = Work::new();
    let node = work.node().capable(work.path(), WITHOUT_LEASES).start();
    crowd(&work, node);
}

fn crowd(work: &Work, mut node: Node) {
    assert_eq!((0..CONTAINERS).filter(|k| is_unterminated(*k)).count(), 20);
    play(work);
    let partial = || node.metric("sawlog_collector_partial_lines_total");
    eventually("unterminated lines", partial, |lines| *lines >= 20.0);
    check(work, &node);
    assert_eq!(partial(), 20.0);
    assert_lost(&node, &[]);
    node.kill();
    check_sent(&Received::from_embedded_log(&work.data().join("log")));
}

/// What batches say of it: whose lines they are, and which of them had no end.
fn check_sent(sent: &Received) {
    let names: Vec<String> = (0..CONTAINERS).map(container).collect();
    assert_eq!(sent.containers(), names.iter().map(String::as_str).collect());
    let last = |k: &usize| (container(*k), format!("the last words of {k}"));
    let expected: Vec<_> = (0..CONTAINERS).filter(|k| is_unterminated(*k)).collect();
    let expected: Vec<_> = expected.iter().map(last).collect();
    let expected = expected.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    assert_eq!(sent.partial(), expected);
    assert_eq!((sent.repeated, sent.lost()), (0, Default::default()));
}

fn check(work: &Work, node: &Node) {
    let expected = |k| [banner(), own(k), b"\n".repeat(usize::from(is_unterminated(k)))].concat();
    let lines = |k| memchr::memchr_iter(b'\n', &expected(k)).count() as u64;
    let all: u64 = (0..CONTAINERS).map(lines).sum();
    let found = || node.count(r#"{stream="stdout"}"#);
    eventually("all lines", found, |found| *found >= all);
    for k in 0..CONTAINERS {
        let name = container(k);
        let text = node.export(&format!(r#"{{container="{name}"}}"#));
        assert_same_bytes(&text, &expected(k), &name);
    }
    assert_eq!(found(), all, "nothing comes from anywhere else");
    assert_eq!(node.count(r#"{container=~"latest.*"}"#), 0);
    let written: u64 =
        (0..CONTAINERS).map(|k| std::fs::metadata(work.stdout(&container(k))).unwrap().len()).sum();
    assert_eq!(node.metric("sawlog_collector_read_bytes_total"), written as f64);
}

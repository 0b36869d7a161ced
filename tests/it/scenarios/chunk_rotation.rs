//! Scenario 4, the Mesos logger's rotation in chunks of a page, which cuts lines: 20 MB/s, a rotation every
//! MiB; 100 of them instead of 200.

use std::time::{Duration, Instant};

use super::verifier::{assert_lost, verify_container, wait_for_lines};
use super::work::Work;
use super::writer::{Log, Logger};
use crate::node::{Node, eventually};

const CONTAINER: &str = "c1";
const ROTATE_BYTES: usize = 1 << 20;
const BYTES_PER_SECOND: f64 = 20e6;

/// A container's output through its logger, at a steady rate.
struct Output {
    log: Log,
    logger: Logger,
    next: u32,
    written: usize,
}

impl Output {
    fn new(work: &Work, keep: u32) -> Self {
        let logger = Logger::new(&work.stdout(CONTAINER), ROTATE_BYTES, keep);
        Self { log: Log::new("w", 50..=9000), logger, next: 0, written: 0 }
    }

    /// Where, of all that was written, the file that is being written begins.
    fn file_begins(&self) -> usize {
        self.written - self.logger.written
    }

    /// Writes until the file was rotated so often in all.
    fn until_rotations(&mut self, rotations: u32) {
        let (started, before) = (Instant::now(), self.written);
        while self.logger.rotations < rotations {
            // What is in a pipe is read at once, up to its 64 KiB.
            let mut pipe = Vec::new();
            while pipe.len() < 32 << 10 {
                pipe.extend_from_slice(&self.log.line(self.next));
                self.next += 1;
            }
            self.logger.write(&pipe).unwrap();
            self.written += pipe.len();
            let due = Duration::from_secs_f64((self.written - before) as f64 / BYTES_PER_SECOND);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }

    fn check(&self, node: &Node, rejoined_before: f64) {
        let report = verify_container(node, CONTAINER, &[(&self.log, 0..self.next)]);
        report.assert_exactly();
        assert_lost(node, &[]);
        let rejoined = node.metric("sawlog_collector_lines_rejoined_total") + rejoined_before;
        println!("{} rotations cut {} lines", self.logger.rotations, self.logger.cut);
        assert!(self.logger.cut > 0, "lines are cut");
        assert_eq!(rejoined, f64::from(self.logger.cut));
    }
}

#[test]
fn lines_that_a_rotation_cuts_are_whole_again() {
    let work = Work::new();
    let node = work.node().start();
    let mut output = Output::new(&work, 3);
    output.until_rotations(100);
    output.check(&node, 0.0);
}

#[test]
fn with_rotated_files_unlinked_at_once_nothing_is_missing() {
    let work = Work::new();
    let node = work.node().start();
    let mut output = Output::new(&work, 0);
    output.until_rotations(100);
    output.check(&node, 0.0);
}

#[test]
fn two_rotations_while_the_collector_is_down_lose_nothing() {
    let work = Work::new();
    let node = work.node().start();
    let mut output = Output::new(&work, 3);
    output.until_rotations(8);
    // Only what three rotated files hold can be read later.
    let selector = format!(r#"{{container="{CONTAINER}"}}"#);
    wait_for_lines(&node, &selector, u64::from(output.next) - 1);
    let rejoined = node.metric("sawlog_collector_lines_rejoined_total");
    assert_eq!(node.terminate(), Some(0));
    output.until_rotations(10);
    let node = work.node().start().ready();
    output.until_rotations(20);
    output.check(&node, rejoined);
}

/// `rotate 0` while the collector is down: what only the files held that came and went meanwhile is missing,
/// and nothing else. Of a line that only half of is left, the half is kept.
#[test]
fn what_only_files_had_that_were_deleted_while_the_collector_was_down_is_missing_and_nothing_else()
{
    let work = Work::new();
    let node = work.node().start();
    let mut output = Output::new(&work, 0);
    output.until_rotations(8);
    let (before, read_to) = (output.next, output.written);
    let read = || node.metric("sawlog_collector_read_bytes_total");
    eventually("all is read", read, |bytes| *bytes == read_to as f64);
    assert_eq!(node.terminate(), Some(0));
    output.until_rotations(10);
    let begins = output.file_begins();
    let node = work.node().start().ready();
    output.until_rotations(20);
    let report = verify_container(&node, CONTAINER, &[(&output.log, 0..output.next)]);
    // The first file that is left begins inside a line, whose head is gone.
    let all = output.log.lines(before..output.next);
    let rest = &all[begins - read_to..];
    let tail = rest.iter().position(|byte| *byte == b'\n').expect("there are lines") + 1;
    let gone = all[..begins - read_to + tail].iter().filter(|byte| **byte == b'\n').count() as u32;
    let range = before..before + gone;
    assert_eq!((report.missing.len(), &report.missing["w"]), (1, &vec![range]), "{report:?}");
    assert_eq!(report.missing_bytes as usize, begins - read_to + tail);
    assert_eq!((report.duplicates, report.disordered, report.foreign), (0, 0, 1), "{report:?}");
    let text = String::from_utf8_lossy(&rest[..(tail - 1).min(120)]);
    assert_eq!(report.examples, [format!("{} bytes: {text:?}", tail - 1)], "the tail is kept");
    // Nobody can know how much there was.
    assert_lost(&node, &[]);
}

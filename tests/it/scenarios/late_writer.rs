//! Scenario 5, a late writer: a file is moved out of the tree and unlinked while somebody still has it
//! open and writes, after 1 s and once more after 13 s (instead of 3 and 30).

use std::io::Write;
use std::time::Duration;

use super::process::deleted;
use super::verifier::{assert_lost, verify_container};
use super::work::Work;
use super::writer::{Log, append, append_to};
use crate::node::eventually;

const CONTAINER: &str = "c1";

#[test]
fn what_is_written_late_to_a_deleted_file_is_read() {
    let work = Work::new();
    let (path, aside) = (work.stdout(CONTAINER), work.path().join("aside"));
    let (old, new) = (Log::new("old", 80..=120), Log::new("new", 80..=120));
    let mut writer = append_to(&path);
    writer.write_all(&old.lines(0..100)).unwrap();
    let node = work.node().start();
    let acknowledged = || node.metric("sawlog_collector_acked_bytes_total");
    let bytes = old.lines(0..100).len() as f64;
    eventually("A is acknowledged", acknowledged, |acked| *acked == bytes);

    std::fs::rename(&path, &aside).unwrap();
    std::fs::remove_file(&aside).unwrap();
    append(&path, &new.lines(0..100));
    std::thread::sleep(Duration::from_secs(1));
    writer.write_all(&old.lines(100..150)).unwrap();
    // Longer than a file without news may stay open, were there no writer.
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(deleted(&node, work.path()).len(), 1, "held while somebody may write");
    writer.write_all(&old.lines(150..200)).unwrap();
    drop(writer);

    verify_container(&node, CONTAINER, &[(&old, 0..200), (&new, 0..100)]).assert_exactly();
    assert_lost(&node, &[]);
    let held = || deleted(&node, work.path());
    eventually("the descriptor is released", held, Vec::is_empty);
}

//! The process is aborted at every step of a seal, of the embedded log and of the collector, then
//! started again: the store holds exactly what was written.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::node::{Setup, assert_same_bytes, eventually};

const POINTS: [&str; 22] = [
    "seal::begin",
    "seal::slice_created",
    "seal::blocks_written",
    "seal::blocks_synced",
    "seal::filters_written",
    "seal::filters_synced",
    "seal::index_added",
    "seal::catalog_written",
    "seal::catalog_synced",
    "seal::index_prepared",
    "seal::index_committed",
    "seal::index_synced",
    "seal::before_manifest",
    "seal::manifest_written",
    "seal::manifest_synced",
    "seal::end",
    "embedded::after_append",
    "embedded::after_sync",
    "collector::before_send",
    "collector::after_ack",
    "collector::checkpoint_written",
    "aggregator::ingested",
];

#[test]
fn aborted_at_any_step_the_store_holds_what_was_written() {
    let next = std::sync::atomic::AtomicUsize::new(0);
    // Two at a time: most of each is waiting.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(point) = POINTS.get(n) else { break };
                    // A slice is created once in a store's first day.
                    let passes: &[u32] =
                        if *point == "seal::slice_created" { &[1] } else { &[1, 3] };
                    for nth in passes {
                        abort_at(point, *nth);
                    }
                }
            });
        }
    });
}

fn abort_at(point: &str, nth: u32) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.log");
    let setup =
        Setup::new(&dir.path().join("data")).arg("--path", &file).arg("--seal-interval", "100ms");
    append(&file, 0);
    let mut written = 1;
    // Some points are passed before it listens.
    let mut node = setup.clone().abort_at(point, nth).try_start().ok();
    if let Some(node) = &mut node {
        eventually(
            &format!("abort at {point}"),
            || {
                append(&file, written);
                written += 1;
                node.has_aborted()
            },
            |aborted| *aborted,
        );
    }
    append(&file, written);
    let truth = std::fs::read(&file).unwrap();
    for start in 0..2 {
        let node = setup.start();
        let count = truth.iter().filter(|byte| **byte == b'\n').count() as u64;
        eventually(&format!("{point}: lines"), || node.count(r#"{app="app"}"#), |n| *n >= count);
        let what = format!("{point}, pass {nth}, start {start}");
        assert_same_bytes(&node.export(r#"{app="app"}"#), &truth, &what);
        assert_eq!(node.count(r#"{app="app"}"#), count, "{what}");
        assert_eq!(node.terminate(), Some(0));
    }
}

/// Appends some lines whose text says where they belong.
fn append(path: &Path, round: u32) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    let text: String = (0..50)
        .map(|n| format!("round {round} line {n} of some words, id {round:08x}{n:04x}\n"))
        .collect();
    file.write_all(text.as_bytes()).unwrap();
}

//! The collector alone: real files, and a transport that acknowledges at once and keeps nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sawlog_collector::{Collector, Config};

use crate::nowhere::Nowhere;
use crate::prepare::FILES;
use crate::process::{bytes_below, cpu_seconds, say, wait_for};

/// How long a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Collects all files until the last byte is acknowledged.
pub(crate) fn run(dir: &Path) {
    let files = dir.join(FILES);
    let raw = bytes_below(&files);
    let data = tempfile::tempdir_in(dir).expect("a folder for the collector");
    let config = Config {
        paths: vec![files.join("*.log").to_string_lossy().into_owned()],
        ..Config::new(data.path(), "bench-host")
    };
    let nowhere = Arc::new(Nowhere::new(|_| ()));
    let before = cpu_seconds();
    let registry = prometheus::Registry::new();
    let collector =
        Collector::start(config, nowhere.clone(), &registry).expect("the collector starts");
    wait_for(raw, || collector.status().bytes_acked);
    say("cpu", cpu_seconds() - before);
    let stopped = collector.stop(Instant::now() + PATIENCE).expect("the collector stops");
    assert_eq!(stopped.unacknowledged_bytes, 0);
    say("raw", raw as f64);
    say("disk", nowhere.bytes.load(Ordering::Relaxed) as f64);
    say("batches", nowhere.messages.load(Ordering::Relaxed) as f64);
}

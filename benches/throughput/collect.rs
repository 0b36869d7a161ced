//! The collector alone: real files, and a transport that acknowledges at once and keeps nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sawlog_collector::{Collector, Config};
use sawlog_transport::{Ack, AckSender, Position, Producer, SendError};

use crate::prepare::FILES;
use crate::process::{bytes_below, cpu_seconds, say, wait_for};

/// How long a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Nowhere {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Producer for Nowhere {
    fn partitions(&self) -> u32 {
        1
    }

    fn send(
        &self,
        partition: u32,
        message: Bytes,
        tag: u64,
        acks: &AckSender,
    ) -> Result<(), SendError> {
        let offset = self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        let ack = Ack { tag, result: Ok(Position { partition, offset }) };
        acks.send(ack).map_err(|_| SendError::Full)
    }
}

/// Collects all files until the last byte is acknowledged.
pub(crate) fn run(dir: &Path) {
    let files = dir.join(FILES);
    let raw = bytes_below(&files);
    let data = tempfile::tempdir_in(dir).expect("a folder for the collector");
    let config = Config {
        paths: vec![files.join("*.log").to_string_lossy().into_owned()],
        ..Config::new(data.path(), "bench-host")
    };
    let nowhere = Arc::new(Nowhere::default());
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

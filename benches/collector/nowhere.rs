//! A transport that acknowledges at once and keeps nothing, and a collector before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::Registry;
use sawlog_collector::{Collector, CollectorHandle, Config};
use sawlog_transport::{Ack, AckSender, Position, Producer, SendError};

/// The folder of the text, beneath that of a measurement.
pub(crate) const FILES: &str = "files";
/// How long a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Shows each message to `see` before it acknowledges it.
pub(crate) struct Nowhere<F> {
    messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    see: F,
}

impl<F: Fn(&Bytes)> Nowhere<F> {
    pub(crate) fn new(see: F) -> Self {
        Self { messages: AtomicU64::new(0), bytes: AtomicU64::new(0), see }
    }
}

impl<F: Fn(&Bytes) + Send + Sync> Producer for Nowhere<F> {
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
        (self.see)(&message);
        let offset = self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        acks.send(Ack { tag, result: Ok(Position { partition, offset }) })
            .map_err(|_| SendError::Full)
    }
}

/// Starts a collector of the files of a measurement.
pub(crate) fn start(
    dir: &Path,
    redaction: bool,
    producer: Arc<dyn Producer>,
) -> (CollectorHandle, PathBuf) {
    let data = dir.join(format!("data-{}", std::process::id()));
    std::fs::create_dir(&data).expect("the folder is new");
    let config = Config {
        paths: vec![dir.join(FILES).join("*.log").to_string_lossy().into_owned()],
        redaction,
        ..Config::new(&data, "bench-host")
    };
    let handle = Collector::start(config, producer, &Registry::new());
    (handle.expect("the collector starts"), data)
}

pub(crate) fn stop(collector: CollectorHandle) {
    let stopped = collector.stop(Instant::now() + PATIENCE).expect("the collector stops");
    assert_eq!(stopped.unacknowledged_bytes, 0);
}

//! A collector of the files of one measurement, started and stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use sawlog_collector::{Collector, CollectorHandle, Config};
use sawlog_transport::Producer;

/// The folder of the text, beneath that of a measurement.
pub(crate) const FILES: &str = "files";
/// How long a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts a collector of the files of a measurement: the work directory of an agent if they look
/// like one, plain files else.
pub(crate) fn start(
    dir: &Path,
    redaction: bool,
    producer: Arc<dyn Producer>,
) -> (CollectorHandle, PathBuf) {
    let data = dir.join(format!("data-{}", std::process::id()));
    std::fs::create_dir(&data).expect("the folder is new");
    let mut config = Config { redaction, ..Config::new(&data, "bench-host") };
    let files = dir.join(FILES);
    if files.join("slaves").exists() {
        config.mesos_work_dirs = vec![files];
    } else {
        config.paths = vec![files.join("*.log").to_string_lossy().into_owned()];
    }
    let handle = Collector::start(config, producer, &Registry::new());
    (handle.expect("the collector starts"), data)
}

pub(crate) fn stop(collector: CollectorHandle) {
    let stopped = collector.stop(Instant::now() + PATIENCE).expect("the collector stops");
    assert_eq!(stopped.unacknowledged_bytes, 0);
}

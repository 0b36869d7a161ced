//! The collector of a role: what it collects, its start and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use sawlog_collector::{Collector, CollectorHandle, JournalSource};
use sawlog_transport::Producer;

use super::STOP_TIMEOUT;
use crate::config::Config;
use crate::demo::Demo;
use crate::places::{self, Sources};

/// How long a file may be known and not yet read, because it is being renamed.
const SETTLE: Duration = Duration::from_millis(700);
const CATCH_UP_POLL: Duration = Duration::from_millis(20);

/// What was named, and the demo; else what the usual places have.
fn sources(config: &Config, demo: Option<&Demo>) -> Sources {
    let mut work_dirs: Vec<_> = config.mesos_work_dir.iter().cloned().collect();
    work_dirs.extend(demo.map(|demo| demo.work_dir().to_owned()));
    let named = Sources { work_dirs, paths: config.paths.clone() };
    if !named.is_empty() || config.journal {
        for doubt in places::doubts(config.mesos_work_dir.as_deref(), &config.paths) {
            tracing::warn!("{doubt}");
        }
        return named;
    }
    let (found, findings) = places::look(&config.look_under);
    for finding in findings {
        if finding.is_unreadable() {
            tracing::warn!("{finding}");
        } else {
            tracing::info!("{finding}");
        }
    }
    found
}

/// Starts a collector; `None` without anything to collect. `otherwise` says what else can be done then.
pub(super) fn start(
    config: &Config,
    demo: Option<&Demo>,
    otherwise: &str,
    producer: Arc<dyn Producer>,
    registry: &prometheus::Registry,
) -> anyhow::Result<Option<CollectorHandle>> {
    let sources = sources(config, demo);
    if sources.is_empty() && !config.journal {
        tracing::warn!(
            "nothing to collect yet: restart when it is there, or name --mesos-work-dir or --path{otherwise}"
        );
        return Ok(None);
    }
    let dir = config.data.join("collector");
    // The demo's work directory has no agent.
    let has_agent = config.mesos_work_dir.is_some() || demo.is_none();
    let mut collector = sawlog_collector::Config {
        mesos_work_dirs: sources.work_dirs,
        mesos: has_agent.then(|| config.mesos.clone()),
        paths: sources.paths,
        journal: config.journal.then(|| JournalSource {
            program: "journalctl".into(),
            directory: config.journal_dir.clone(),
        }),
        redaction: config.redaction,
        secret_files: config.secret_files.clone(),
        ..sawlog_collector::Config::new(dir, host_name())
    };
    if let Some(limits) = &config.collector {
        limits.apply(&mut collector);
    }
    let handle = Collector::start(collector, producer, registry);
    handle.map(Some).context("cannot start the collector")
}

/// This machine's name, as streams carry it.
pub(super) fn host_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if host.is_empty() { "localhost".to_owned() } else { host }
}

/// An error if the collector ended by itself.
pub(super) fn check(collector: Option<&CollectorHandle>) -> anyhow::Result<()> {
    if collector.is_some_and(|collector| !collector.is_running()) {
        anyhow::bail!("the collector ended by itself: the log says why");
    }
    Ok(())
}

/// Waits until the collector has read what was written before, or for [`STOP_TIMEOUT`].
pub(super) fn catch_up(collector: &CollectorHandle) {
    let begin = Instant::now();
    let turns = collector.turns();
    while begin.elapsed() < STOP_TIMEOUT && collector.is_running() {
        // The turn under way may have looked before the last line, the next one has not.
        let has_looked = collector.turns() >= turns + 2;
        if has_looked && begin.elapsed() >= SETTLE && collector.status().at_rest {
            return;
        }
        std::thread::sleep(CATCH_UP_POLL);
    }
}

/// Sends what was read and waits until `deadline` for its acknowledgement.
pub(super) fn stop(collector: Option<CollectorHandle>, deadline: Instant) -> anyhow::Result<()> {
    let Some(collector) = collector else { return Ok(()) };
    let stopped = collector.stop(deadline)?;
    if stopped.unacknowledged_bytes > 0 {
        let bytes = stopped.unacknowledged_bytes;
        tracing::warn!(bytes, "not acknowledged in time; the next start reads them again");
    }
    Ok(())
}

//! Opens the data directory and the roots, and puts a loop together.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::Producer;

use super::Loop;
use super::lag::Lag;
use crate::batcher::Batcher;
use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::collector_id::Incarnation;
use crate::config::Config;
use crate::discover::{Hot, Tree};
use crate::inflight::{Company, InFlight};
use crate::intake::Streams;
use crate::mesos::{Metadata, Secrets};
use crate::metrics::Metrics;
use crate::periodic::Periodic;
use crate::rate::{Rates, Rules};
use crate::reader::Buffers;
use crate::redact::Redactor;
use crate::relabel::Relabelling;
use crate::schedule::Schedule;
use crate::spill::{Pinned, Spool};
use crate::start::{StartError, lock, roots};
use crate::times::agent_zone;
use crate::why::ClosedFiles;

/// How often the lag is summed up.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often quiet files are closed at most, where descriptors are short.
const PARK_EVERY: Duration = Duration::from_millis(100);
/// How often the secret files are looked at.
const SECRET_FILES_EVERY: Duration = Duration::from_secs(1);

impl Loop {
    /// Opens the data directory and the roots.
    ///
    /// # Errors
    /// The configuration is wrong, or a directory in it cannot be used.
    pub(crate) fn open(
        config: Config,
        producer: Arc<dyn Producer>,
        metrics: Metrics,
        now: Now,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let metadata = Arc::new(Metadata::default());
        let roots = roots(&config, &metadata)?;
        let lock = lock(&config.data_dir)?;
        let redactor = open_redactor(&config)?;
        let mut secrets = Secrets::new(redactor, metrics.clone());
        metadata.load(&config.data_dir, |facts| secrets.clean(facts));
        let incarnation = Incarnation::begin(&config.data_dir)?;
        let checkpoints = Checkpoints::open(&config.data_dir).map_err(|source| {
            StartError::DataDir { path: config.data_dir.join("checkpoints"), source }
        })?;
        let redactor = open_redactor(&config)?;
        metrics.checkpoint_records_lost.inc_by(checkpoints.damaged());
        let rules =
            Rules::new(config.rate_limit_bytes_per_second, config.on_limit, &config.rate_rules)?;
        let collector = incarnation.collector;
        // What is live and what is read back from the spool are judged together.
        let company = Company::default();
        let spool =
            Spool::open(&config, collector, producer.clone(), company.clone(), now.monotonic)?;
        Ok(Self {
            metadata,
            relabelling: Relabelling::default(),
            tree: Tree::new(roots, metrics.clone()),
            streams: Streams::default(),
            schedule: Schedule::default(),
            rates: Rates::new(rules),
            timers: BinaryHeap::new(),
            batcher: Batcher::new(incarnation),
            in_flight: InFlight::new(producer, collector, &config, company),
            spool,
            spool_first: true,
            pinned: Pinned::default(),
            is_spilling: false,
            checkpoints,
            buffers: Buffers::new(),
            redactor,
            zone: Box::new(agent_zone()),
            started: now.wall,
            rescans: Periodic::new(config.rescan_every, now.monotonic),
            sweeps: Periodic::new(config.sweep_every, now.monotonic),
            looks: Periodic::new(config.sweep_every, now.monotonic),
            parkings: Periodic::new(PARK_EVERY, now.monotonic),
            lag_sums: Periodic::new(LAG_EVERY, now.monotonic),
            secret_files: Periodic::new(SECRET_FILES_EVERY, now.monotonic),
            flushed_at: now.monotonic,
            flushed_bytes: metrics.acked_bytes.get(),
            names_due: now.monotonic,
            begun_due: now.monotonic,
            lag: Lag::default(),
            lag_bytes: 0,
            hot: Hot::default(),
            unchecked: VecDeque::new(),
            closed_files: ClosedFiles::default(),
            events_lost: false,
            _lock: lock,
            config,
            metrics,
        })
    }
}

fn open_redactor(config: &Config) -> Result<Option<Redactor>, StartError> {
    let open = || Redactor::open(&config.data_dir, &config.secret_files);
    Ok(config.redaction.then(open).transpose()?)
}

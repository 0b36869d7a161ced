//! All roles in one process: starts them in the order in which data flows back, stops them in the
//! order in which it flows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use sawlog_aggregator::{Aggregator, Store, StoreConfig};
use sawlog_collector::{Collector, CollectorHandle, Incarnation};
use sawlog_query::engine::Limits;
use sawlog_query::http::Api;
use sawlog_query::push::Receiver;
use sawlog_transport::Producer;
use sawlog_transport::embedded::{EmbeddedConfig, EmbeddedLog};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;

/// How long a stop waits for acknowledgements and for answers under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Partitions of the embedded log: one process reads them all, so one is enough.
const PARTITIONS: u32 = 1;
/// How often it is looked whether the roles still run.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // The port first: nothing is touched if another process has it.
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("cannot listen on {}: stop what has it, or choose another --listen", config.listen)
    })?;
    let mut stop = Stop::new()?;
    let registry = prometheus::Registry::new();
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("cannot create --data {}", config.data.display()))?;
    let store_config = StoreConfig {
        seal_interval: config.seal_interval,
        ..StoreConfig::new(config.data.join("store"))
            .with_retention(config.retention, config.retention_bytes)
    };
    let (store, sealer) = Store::open(store_config, &registry).context("cannot open the store")?;
    let log_config = EmbeddedConfig {
        continue_at: (0..PARTITIONS).map(|partition| store.position(partition)).collect(),
        ..EmbeddedConfig::new(config.data.join("log"), PARTITIONS)
    };
    let log = EmbeddedLog::open(log_config).context("cannot open the embedded log")?;
    let producer: Arc<dyn Producer> = Arc::new(log.producer());
    let receiver_dir = config.data.join("receiver");
    std::fs::create_dir_all(&receiver_dir)
        .with_context(|| format!("cannot create {}", receiver_dir.display()))?;
    let me = Incarnation::begin(&receiver_dir)?;
    let receiver = Receiver::new(store.clone(), producer.clone(), me.collector, me.number);
    let api = Api::new(store.clone(), receiver, registry.clone(), Limits::default())?;
    let collector = start_collector(&config, producer, &registry)?;
    let aggregator = Aggregator::start(store.clone(), sealer, Box::new(log.consumer()))
        .context("cannot start the aggregator")?;
    announce(&config, listener.local_addr()?);

    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, api.router()).with_graceful_shutdown(async {
        // The sender's end is the signal, whether it is sent or dropped.
        end.await.unwrap_or_default();
    });
    let server = tokio::spawn(server.into_future());
    let outcome = stop.wait(collector.as_ref(), &aggregator).await;

    tracing::info!("stopping");
    drop(ended);
    let stopped = tokio::task::spawn_blocking(move || stop_collector(collector)).await?;
    if tokio::time::timeout(STOP_TIMEOUT, server).await.is_err() {
        tracing::warn!("answers under way were broken off");
    }
    tokio::task::spawn_blocking(move || aggregator.stop()).await?;
    log.shutdown();
    tracing::info!("stopped");
    outcome.and(stopped)
}

/// `None` without anything to collect: the process then only takes pushes.
fn start_collector(
    config: &Config,
    producer: Arc<dyn Producer>,
    registry: &prometheus::Registry,
) -> anyhow::Result<Option<CollectorHandle>> {
    if config.mesos_work_dir.is_none() && config.paths.is_empty() {
        tracing::warn!(
            "nothing to collect: name --mesos-work-dir or --path; pushes are taken all the same"
        );
        return Ok(None);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    let dir = config.data.join("collector");
    let collector = sawlog_collector::Config {
        mesos_work_dir: config.mesos_work_dir.clone(),
        paths: config.paths.clone(),
        ..sawlog_collector::Config::new(dir, host)
    };
    let handle = Collector::start(collector, producer, registry);
    handle.map(Some).context("cannot start the collector")
}

fn stop_collector(collector: Option<CollectorHandle>) -> anyhow::Result<()> {
    let Some(collector) = collector else { return Ok(()) };
    let stopped = collector.stop(Instant::now() + STOP_TIMEOUT)?;
    if stopped.unacknowledged_bytes > 0 {
        let bytes = stopped.unacknowledged_bytes;
        tracing::warn!(bytes, "not acknowledged in time; the next start reads them again");
    }
    Ok(())
}

fn announce(config: &Config, addr: std::net::SocketAddr) {
    eprintln!(
        "sawlog listens on http://{addr} and keeps its data in {}\n\
         search with: sawlog search --addr http://{addr} error",
        config.data.display()
    );
}

/// What ends a run.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        let install = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal; an error if a role ends by itself.
    async fn wait(
        &mut self,
        collector: Option<&CollectorHandle>,
        aggregator: &Aggregator,
    ) -> anyhow::Result<()> {
        let mut watch = tokio::time::interval(WATCH_INTERVAL);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ok(()),
                _ = self.interrupt.recv() => return Ok(()),
                _ = watch.tick() => {
                    if collector.is_some_and(|collector| !collector.is_running()) {
                        anyhow::bail!("the collector ended by itself: the log says why");
                    }
                    if !aggregator.is_running() {
                        anyhow::bail!("the aggregator ended by itself: the log says why");
                    }
                }
            }
        }
    }
}

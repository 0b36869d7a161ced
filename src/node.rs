//! All roles in one process: starts them in the order in which data flows back, stops them in the
//! order in which it flows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
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

use crate::build_info::BUILD;
use crate::config::Config;
use crate::demo::{self, Demo};
use crate::places::{self, Sources};

/// How long a stop waits for acknowledgements and for answers under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long tasks that are still at work at the end are waited for.
const TASKS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a file may be known and not yet read, because it is being renamed.
const SETTLE: Duration = Duration::from_millis(700);
const CATCH_UP_POLL: Duration = Duration::from_millis(20);
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
    let outcome = runtime.block_on(serve(config));
    // A task that hangs must not keep the store locked once all is said to have stopped.
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    outcome
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // The port first: nothing is touched if another process has it.
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| anyhow::anyhow!("{}: {error}", why_deaf(config.listen, &error)))?;
    let mut stop = Stop::new()?;
    let registry = prometheus::Registry::new();
    create_data(&config.data)?;
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
    let api = Api::new(store.clone(), receiver, registry.clone(), Limits::default(), BUILD)?;
    let tails = api.tail_stopper();
    let demo = start_demo(&config)?;
    let collector = start_collector(&config, demo.as_ref(), producer, &registry)?;
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
    // They would hold up the stop for as long as somebody reads them.
    tails.stop();
    drop(ended);
    let stopped = tokio::task::spawn_blocking(move || stop_collecting(demo, collector)).await?;
    if tokio::time::timeout(STOP_TIMEOUT, server).await.is_err() {
        tracing::warn!("answers under way were broken off");
    }
    tokio::task::spawn_blocking(move || aggregator.stop()).await?;
    log.shutdown();
    tracing::info!("stopped");
    outcome.and(stopped)
}

/// What kept us from listening, and the way out.
fn why_deaf(listen: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "cannot listen on {listen}: this machine does not have the address {}, name one of \
                 its own with --listen",
                listen.ip()
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "cannot listen on {listen}: ports below 1024 take root or CAP_NET_BIND_SERVICE, choose \
             another --listen"
        ),
        _ => format!("cannot listen on {listen}: stop what has it, or choose another --listen"),
    }
}

fn create_data(data: &Path) -> anyhow::Result<()> {
    if data.is_file() {
        anyhow::bail!("--data {} is a file: name a directory", data.display());
    }
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot create --data {}", data.display()))
}

fn start_demo(config: &Config) -> anyhow::Result<Option<Demo>> {
    if !config.demo {
        return Ok(None);
    }
    Demo::start(&config.data, config.demo_rotate_bytes).map(Some)
}

/// What was named, and the demo; else what the usual places have.
fn sources(config: &Config, demo: Option<&Demo>) -> Sources {
    let mut work_dirs: Vec<_> = config.mesos_work_dir.iter().cloned().collect();
    work_dirs.extend(demo.map(|demo| demo.work_dir().to_owned()));
    let named = Sources { work_dirs, paths: config.paths.clone() };
    if !named.is_empty() {
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

/// `None` without anything to collect: the process then only takes pushes.
fn start_collector(
    config: &Config,
    demo: Option<&Demo>,
    producer: Arc<dyn Producer>,
    registry: &prometheus::Registry,
) -> anyhow::Result<Option<CollectorHandle>> {
    let sources = sources(config, demo);
    if sources.is_empty() {
        tracing::warn!(
            "nothing to collect yet: restart when it is there, or name --mesos-work-dir or --path, or \
             try --demo; pushes are taken all the same"
        );
        return Ok(None);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    let dir = config.data.join("collector");
    let collector = sawlog_collector::Config {
        mesos_work_dirs: sources.work_dirs,
        paths: sources.paths,
        ..sawlog_collector::Config::new(dir, host)
    };
    let handle = Collector::start(collector, producer, registry);
    handle.map(Some).context("cannot start the collector")
}

/// The containers first, so that their last lines are collected.
fn stop_collecting(demo: Option<Demo>, collector: Option<CollectorHandle>) -> anyhow::Result<()> {
    if let Some(demo) = demo {
        demo.stop();
        if let Some(collector) = &collector {
            catch_up(collector);
        }
    }
    stop_collector(collector)
}

/// Waits until the collector has read what was written before, or for [`STOP_TIMEOUT`].
fn catch_up(collector: &CollectorHandle) {
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

fn stop_collector(collector: Option<CollectorHandle>) -> anyhow::Result<()> {
    let Some(collector) = collector else { return Ok(()) };
    let stopped = collector.stop(Instant::now() + STOP_TIMEOUT)?;
    if stopped.unacknowledged_bytes > 0 {
        let bytes = stopped.unacknowledged_bytes;
        tracing::warn!(bytes, "not acknowledged in time; the next start reads them again");
    }
    Ok(())
}

/// An address at which this machine reaches what listens on `addr`.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

fn announce(config: &Config, addr: SocketAddr) {
    let data = config.data.display();
    eprintln!("sawlog listens on http://{addr} and keeps its data in {data}");
    let addr = reachable(addr);
    if config.demo {
        let program = std::env::args_os().next().unwrap_or_else(|| "sawlog".into());
        eprintln!("{}", demo::invitation(&program.to_string_lossy(), addr, &config.data));
    } else {
        eprintln!("search with: sawlog search --addr http://{addr} error");
    }
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

//! All roles in one process: starts them in the order in which data flows back, stops them in the
//! order in which it flows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use sawlog_aggregator::{Aggregator, EMBEDDED_SOURCE, Store, StoreConfig};
use sawlog_collector::CollectorHandle;
use sawlog_query::engine::Limits;
use sawlog_query::http::Api;
use sawlog_transport::Producer;
use sawlog_transport::embedded::{EmbeddedConfig, EmbeddedLog};

use super::listen::{Server, announce, bind, create_data, reachable};
use super::stop::Stop;
use super::{
    STOP_TIMEOUT, bind_source, check_aggregator, collecting, expect_source, receiver, why,
};
use crate::build_info::BUILD;
use crate::config::Config;
use crate::demo::{self, Demo};

/// Partitions of the embedded log: one process reads them all, so one is enough.
const PARTITIONS: u32 = 1;
/// What can be done where there is nothing to collect.
const OTHERWISE: &str = ", or try --demo; pushes are taken all the same";

/// Runs until SIGTERM or SIGINT.
pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    let listener = bind(&config).await?;
    let mut stop = Stop::new()?;
    let registry = prometheus::Registry::new();
    create_data(&config.data)?;
    let store_config = StoreConfig {
        seal_interval: config.seal_interval,
        ..StoreConfig::new(config.data.join("store"))
            .with_retention(config.retention, config.retention_bytes)
    };
    let (store, sealer) = Store::open(store_config, &registry).context("cannot open the store")?;
    expect_source(&config.data, &store)?;
    bind_source(&store, EMBEDDED_SOURCE)?;
    let log_config = EmbeddedConfig {
        continue_at: (0..PARTITIONS).map(|partition| store.position(partition)).collect(),
        ..EmbeddedConfig::new(config.data.join("log"), PARTITIONS)
    };
    let log = EmbeddedLog::open(log_config).context("cannot open the embedded log")?;
    let producer: Arc<dyn Producer> = Arc::new(log.producer());
    let receiver = receiver(&config, &store, producer.clone())?;
    let api = Api::new(store.clone(), receiver, registry.clone(), Limits::default(), BUILD)?;
    let tails = api.tail_stopper();
    let demo = start_demo(&config)?;
    let collector = collecting::start(&config, demo.as_ref(), OTHERWISE, producer, &registry)?;
    let aggregator = Aggregator::start(store.clone(), sealer, Box::new(log.consumer()))
        .context("cannot start the aggregator")?;
    greet(&config, listener.local_addr()?);
    let router = api.router().merge(why::routes(collector.as_ref()));
    let server = Server::start(listener, router);
    let check = || {
        collecting::check(collector.as_ref())?;
        check_aggregator(&aggregator)
    };
    let outcome = stop.wait(check).await;

    tracing::info!("stopping");
    // They would hold up the stop for as long as somebody reads them.
    tails.stop();
    let server = server.stop();
    let stopped = tokio::task::spawn_blocking(move || stop_collecting(demo, collector)).await?;
    server.wait().await;
    tokio::task::spawn_blocking(move || aggregator.stop()).await?;
    log.shutdown();
    tracing::info!("stopped");
    outcome.and(stopped)
}

fn start_demo(config: &Config) -> anyhow::Result<Option<Demo>> {
    if !config.demo {
        return Ok(None);
    }
    Demo::start(&config.data, config.demo_rotate_bytes).map(Some)
}

/// The containers first, so that their last lines are collected.
fn stop_collecting(demo: Option<Demo>, collector: Option<CollectorHandle>) -> anyhow::Result<()> {
    if let Some(demo) = demo {
        demo.stop();
        if let Some(collector) = &collector {
            collecting::catch_up(collector);
        }
    }
    collecting::stop(collector, Instant::now() + STOP_TIMEOUT)
}

fn greet(config: &Config, addr: SocketAddr) {
    announce(config, addr);
    let addr = reachable(addr);
    if config.demo {
        let program = std::env::args_os().next().unwrap_or_else(|| "sawlog".into());
        eprintln!("{}", demo::invitation(&program.to_string_lossy(), addr, &config.data));
    } else {
        eprintln!("search with: sawlog search --addr http://{addr} error");
    }
}

//! The roles: `run` is all of them in one process; `collector` and `aggregator` have Kafka between them.

#[cfg(feature = "kafka")]
mod aggregator;
mod collecting;
#[cfg(feature = "kafka")]
mod collector;
mod listen;
#[cfg(feature = "kafka")]
mod pin;
mod run;
mod stop;
#[cfg(feature = "kafka")]
mod topic;
mod why;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sawlog_aggregator::{Aggregator, EMBEDDED_SOURCE, Store, StoreError};
use sawlog_collector::Incarnation;
use sawlog_query::push::Receiver;
use sawlog_transport::Producer;

use crate::config::Config;

/// How long a stop waits for acknowledgements and for answers under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long tasks that are still at work at the end are waited for.
const TASKS_TIMEOUT: Duration = Duration::from_secs(1);

/// What the receiver of pushes keeps, inside the data directory; with Kafka also how many partitions of each
/// topic are used.
const RECEIVER_DIR: &str = "receiver";
const PIN_FILE: &str = "partitions";

/// Something that trying again does not mend: a person has to change a setting, or something outside.
#[derive(Debug)]
pub(crate) struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// Collects, stores and serves in one process, until SIGTERM or SIGINT.
///
/// # Errors
/// Something cannot be started, or ended by itself.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    block_on(run::serve(config))
}

/// Collects and sends to Kafka, until SIGTERM or SIGINT.
///
/// # Errors
/// As [`run`]; [`Unusable`] if the topic cannot be used.
#[cfg(feature = "kafka")]
pub(crate) fn collector(config: Config) -> anyhow::Result<()> {
    let kafka = kafka_of(&config)?;
    block_on(collector::serve(config, kafka))
}

/// Stores what Kafka brings and serves it, until SIGTERM or SIGINT.
///
/// # Errors
/// As [`run`]; [`Unusable`] if topic and store cannot be used, or not together.
#[cfg(feature = "kafka")]
pub(crate) fn aggregator(config: Config) -> anyhow::Result<()> {
    let kafka = kafka_of(&config)?;
    block_on(aggregator::serve(config, kafka))
}

#[cfg(feature = "kafka")]
fn kafka_of(config: &Config) -> anyhow::Result<crate::config::Kafka> {
    config.kafka.clone().context("this role knows no Kafka")
}

#[cfg(not(feature = "kafka"))]
pub(crate) use refuse as collector;
#[cfg(not(feature = "kafka"))]
pub(crate) use refuse as aggregator;

/// What the roles are in a build without Kafka.
#[cfg(not(feature = "kafka"))]
pub(crate) fn refuse(_: Config) -> anyhow::Result<()> {
    Err(Unusable(crate::config::WITHOUT_KAFKA.to_owned()).into())
}

fn block_on(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(role);
    // A task that hangs must not keep the store locked once all is said to have stopped.
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    outcome
}

/// Says from which log the store is filled.
///
/// # Errors
/// [`Unusable`] if it was filled from another one.
fn bind_source(store: &Store, source: &str) -> anyhow::Result<()> {
    store.bind_source(source).map_err(|error| match error {
        StoreError::Source { .. } => Unusable(error.to_string()).into(),
        error => anyhow::Error::from(error).context("cannot use the store"),
    })
}

/// Refuses a store that Kafka has filled and that no longer says so: without its `source` file it is taken
/// for that of an embedded log, whose positions are others.
///
/// # Errors
/// [`Unusable`], naming the file.
fn expect_source(data: &Path, store: &Store) -> anyhow::Result<()> {
    let (source, pins) = (data.join("store/source"), data.join(RECEIVER_DIR).join(PIN_FILE));
    let is_assumed = store.source()?.as_deref() == Some(EMBEDDED_SOURCE) && !source.exists();
    if is_assumed && pins.exists() {
        let (source, pins) = (source.display(), pins.display());
        let why = format!(
            "{source} is missing: the store was filled through Kafka, and which topic's positions it \
             holds is not known without. Restore it, a line such as 'kafka cluster=… topic=… id=…' ({pins} \
             names the topics that were used, the latest last), or go on with an empty --data"
        );
        return Err(Unusable(why).into());
    }
    Ok(())
}

/// What takes pushes; its name and count of starts are kept in the data directory.
fn receiver(
    config: &Config,
    store: &Arc<Store>,
    producer: Arc<dyn Producer>,
) -> anyhow::Result<Receiver> {
    let dir = config.data.join(RECEIVER_DIR);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let me = Incarnation::begin(&dir)?;
    Ok(Receiver::new(store.clone(), producer, me.collector, me.number))
}

/// An error if the aggregator ended by itself.
fn check_aggregator(aggregator: &Aggregator) -> anyhow::Result<()> {
    anyhow::ensure!(aggregator.is_running(), "the aggregator ended by itself: the log says why");
    Ok(())
}

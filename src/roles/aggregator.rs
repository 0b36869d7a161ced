//! An aggregator with Kafka before it: serves what it has from the first moment, consumes once the topic
//! is known to be the one that filled its store.

use std::sync::Arc;

use anyhow::Context;
use sawlog_aggregator::{Aggregator, EMBEDDED_SOURCE, Sealer, Store, StoreConfig};
use sawlog_query::engine::Limits;
use sawlog_query::http::Api;
use sawlog_transport::kafka::{KafkaConfig, KafkaConsumer, KafkaProducer, Topic};

use super::listen::{Server, announce, bind, create_data, reachable};
use super::pin::source_of;
use super::stop::Stop;
use super::topic::{self, Waiting};
use super::{RECEIVER_DIR, Unusable, bind_source, check_aggregator, expect_source, receiver};
use crate::build_info::BUILD;
use crate::config::{Config, Kafka};

/// Runs until SIGTERM or SIGINT, or until the topic turns out to be unusable.
pub(super) async fn serve(config: Config, kafka: Kafka) -> anyhow::Result<()> {
    let listener = bind(&config).await?;
    let mut stop = Stop::new()?;
    let registry = prometheus::Registry::new();
    create_data(&config.data)?;
    let client = topic::client(&kafka, "aggregator")?;
    let (store, sealer) = open_store(&config, &registry)?;
    let producer = Arc::new(KafkaProducer::new(&client)?);
    let receiver = receiver(&config, &store, producer.clone())?;
    let waiting = Waiting::new(&kafka);
    let reason = waiting.clone();
    let api = Api::new(store.clone(), receiver, registry, Limits::default(), BUILD)?
        .with_not_ready(Arc::new(move || reason.reason()));
    let tails = api.tail_stopper();
    let addr = listener.local_addr()?;
    announce(&config, addr);
    eprintln!("search with: sawlog search --addr http://{} error", reachable(addr));
    let server = Server::start(listener, api.router());
    let own = format!(" topic={} ", kafka.topic);
    let is_filled = store.source()?.is_some_and(|source| source.contains(&own));
    let found = topic::find(client.clone(), &kafka, is_filled, waiting.clone())?;

    let mut outcome = tokio::select! {
        ended = stop.wait(|| Ok(())) => ended.map(|()| None),
        found = found => found?.map(Some),
    };
    let mut running = None;
    if let Ok(Some(topic)) = &outcome {
        let parts = Parts { config: &config, kafka: &kafka, client: &client, topic };
        outcome = match parts.start(&store, sealer, &producer) {
            Ok(aggregator) => {
                waiting.over();
                let ended = stop.wait(|| check_aggregator(&aggregator)).await;
                running = Some(aggregator);
                ended.map(|()| None)
            }
            Err(error) => Err(error),
        };
    }

    tracing::info!("stopping");
    // They would hold up the stop for as long as somebody reads them.
    tails.stop();
    server.stop().wait().await;
    tokio::task::spawn_blocking(move || running.map(Aggregator::stop)).await?;
    tracing::info!("stopped");
    outcome.map(|_| ())
}

fn open_store(
    config: &Config,
    registry: &prometheus::Registry,
) -> anyhow::Result<(Arc<Store>, Sealer)> {
    let store_config = StoreConfig {
        seal_interval: config.seal_interval,
        ..StoreConfig::new(config.data.join("store"))
            .with_retention(config.retention, config.retention_bytes)
    };
    let (store, sealer) = Store::open(store_config, registry).context("cannot open the store")?;
    expect_source(&config.data, &store)?;
    let source = store.source()?;
    // Such a log may hold lines that no store has yet.
    let has_log = source.is_none() && config.data.join("log").exists();
    if has_log || source.as_deref() == Some(EMBEDDED_SOURCE) {
        let why = format!(
            "--data {} is that of `sawlog run`, whose positions mean nothing in Kafka: choose another \
             --data, or go on with `sawlog run`",
            config.data.display()
        );
        return Err(Unusable(why).into());
    }
    Ok((store, sealer))
}

/// What is known once the topic is.
struct Parts<'a> {
    config: &'a Config,
    kafka: &'a Kafka,
    client: &'a KafkaConfig,
    topic: &'a Topic,
}

impl Parts<'_> {
    /// Binds the store to the topic and begins to consume.
    fn start(
        &self,
        store: &Arc<Store>,
        sealer: Sealer,
        producer: &KafkaProducer,
    ) -> anyhow::Result<Aggregator> {
        bind_source(store, &source_of(self.topic))?;
        let partitions = topic::pinned(&self.config.data.join(RECEIVER_DIR), self.topic)?;
        let consumer = KafkaConsumer::new(self.client, &self.kafka.group, self.topic)?;
        let aggregator = Aggregator::start(store.clone(), sealer, Box::new(consumer))
            .context("cannot start the aggregator")?;
        producer.open(partitions);
        Ok(aggregator)
    }
}

//! A collector with Kafka behind it: tails from the first moment, sends once the topic is known.

use std::sync::Arc;
use std::time::Instant;

use sawlog_collector::CollectorHandle;
use sawlog_query::http::{Operate, operate_router};
use sawlog_transport::kafka::{KafkaProducer, Topic};

use super::listen::{Server, announce, bind, create_data};
use super::stop::Stop;
use super::topic::{self, Waiting};
use super::{STOP_TIMEOUT, collecting, why};
use crate::build_info::BUILD;
use crate::config::{Config, Kafka};

/// What can be done where there is nothing to collect.
const OTHERWISE: &str = "";

/// Runs until SIGTERM or SIGINT, or until the topic turns out to be unusable.
pub(super) async fn serve(config: Config, kafka: Kafka) -> anyhow::Result<()> {
    let listener = bind(&config).await?;
    let mut stop = Stop::new()?;
    let registry = prometheus::Registry::new();
    create_data(&config.data)?;
    let client = topic::client(&kafka, "collector")?;
    let producer = Arc::new(KafkaProducer::new(&client)?);
    let collector = collecting::start(&config, None, OTHERWISE, producer.clone(), &registry)?;
    let waiting = Waiting::new(&kafka);
    let trouble = collector.as_ref().map(CollectorHandle::trouble);
    let reason = waiting.clone();
    let not_ready = move || reason.reason().or_else(|| trouble.as_ref()?());
    let router = router(&registry, not_ready)?.merge(why::routes(collector.as_ref()));
    announce(&config, listener.local_addr()?);
    let server = Server::start(listener, router);
    let found = topic::find(client, &kafka, false, waiting.clone())?;

    let check = || collecting::check(collector.as_ref());
    let mut outcome = tokio::select! {
        ended = stop.wait(check) => ended.map(|()| None),
        found = found => found?.map(Some),
    };
    let mut is_open = false;
    if let Ok(Some(topic)) = &outcome {
        let opened = open(&config, topic, &producer);
        is_open = opened.is_ok();
        if is_open {
            waiting.over();
        }
        outcome = match opened {
            Ok(()) => stop.wait(check).await.map(|()| None),
            Err(error) => Err(error),
        };
    }

    tracing::info!("stopping");
    let server = server.stop();
    // What was never taken is not waited for: the next start reads it again.
    let deadline = Instant::now() + if is_open { STOP_TIMEOUT } else { std::time::Duration::ZERO };
    let stopped =
        tokio::task::spawn_blocking(move || collecting::stop(collector, deadline)).await?;
    server.wait().await;
    tracing::info!("stopped");
    outcome.map(|_| ()).and(stopped)
}

fn open(config: &Config, topic: &Topic, producer: &KafkaProducer) -> anyhow::Result<()> {
    let dir = config.data.join("collector");
    std::fs::create_dir_all(&dir)?;
    producer.open(topic::pinned(&dir, topic)?);
    Ok(())
}

fn router(
    registry: &prometheus::Registry,
    not_ready: impl Fn() -> Option<String> + Send + Sync + 'static,
) -> prometheus::Result<axum::Router> {
    operate_router(Operate {
        registry: registry.clone(),
        build: BUILD,
        welcome: format!(
            "This is a collector of Sawlog {}: it sends logs to Kafka and answers no searches, an \
             aggregator does. See /ready and /metrics.\n",
            BUILD.version
        ),
        not_ready: Arc::new(not_ready),
    })
}

//! A collector and an aggregator with a broker between them: each a process that may be killed.

use std::time::Duration;

use sawlog_transport::kafka::{KafkaConfig, KafkaProducer};

use super::broker::Broker;
use crate::agent::Agent;
use crate::node::Setup;

pub(super) const TOPIC: &str = "logs";
pub(super) const PARTITIONS: u32 = 4;

/// How the two processes are started.
pub(super) struct Pipeline {
    pub(super) agent: Agent,
    bootstrap: String,
}

impl Pipeline {
    pub(super) fn new(broker: &Broker, agent: Agent) -> Self {
        Self { agent, bootstrap: broker.bootstrap().to_owned() }
    }

    pub(super) fn collector(&self) -> Setup {
        Setup::new(&self.agent.data())
            .role("collector")
            .arg("--mesos-work-dir", self.agent.work_dir())
            .arg("--brokers", &self.bootstrap)
            .arg("--topic", TOPIC)
            .arg("--topic-partitions", PARTITIONS.to_string())
    }

    pub(super) fn aggregator(&self, seal_interval: &str) -> Setup {
        Setup::new(&self.agent.data())
            .role("aggregator")
            .arg("--seal-interval", seal_interval)
            .arg("--brokers", &self.bootstrap)
            .arg("--topic", TOPIC)
            .arg("--topic-partitions", PARTITIONS.to_string())
    }

    /// Somebody else who may write to the topic.
    pub(super) fn stranger(&self) -> KafkaProducer {
        let config = KafkaConfig {
            brokers: self.bootstrap.clone(),
            topic: TOPIC.to_owned(),
            client_id: "stranger".to_owned(),
            tls_ca: None,
        };
        let producer = KafkaProducer::new(&config).unwrap();
        producer.open(PARTITIONS);
        producer
    }
}

/// A pause after each hundred lines with which `lines` lines take so long, at least.
pub(super) fn pause_for(lines: u32, all: Duration) -> Duration {
    all / (lines / 100)
}

//! librdkafka's mock of a cluster in this process, and the collector that sends to it.

use std::path::Path;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::front;
use super::topic::Topic;
use crate::node::{Node, Setup, eventually};

pub(super) const TOPIC: &str = "logs";

/// One broker, and one topic of one partition; the mock keeps its last 5 MiB.
pub(super) struct Mock {
    pub(super) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(super) topic: Topic,
    /// Where a collector finds it.
    front: String,
}

impl Mock {
    pub(super) fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        let topic = Topic::new(&cluster.bootstrap_servers(), TOPIC);
        let front = front::before(&cluster.bootstrap_servers());
        Self { cluster, topic, front }
    }

    /// A collector that sends here.
    pub(super) fn collector(&self, data: &Path) -> Setup {
        Setup::new(data)
            .role("collector")
            .arg("--brokers", &self.front)
            .arg("--topic", TOPIC)
            .flag("--no-create-topic")
    }

    /// The next requests to store something are answered with an error.
    pub(super) fn refuse(&self, error: RDKafkaRespErr, times: usize) {
        self.cluster.request_errors(RDKafkaApiKey::Produce, &vec![error; times]);
    }

    /// From now on they are answered as usual.
    pub(super) fn refuse_nothing(&self) {
        self.cluster.clear_request_errors(RDKafkaApiKey::Produce);
    }
}

/// Waits until a collector has found the topic.
pub(super) fn opened(collector: &Node) {
    let ready = || String::from_utf8(collector.get("/ready", &[]).1).unwrap();
    eventually("the topic is found", ready, |_| collector.get("/ready", &[]).0 == 200);
}

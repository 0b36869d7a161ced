//! The little of a Kafka client that a test needs: topics, messages in and out, each step to its end.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::node::{PATIENCE, eventually};

/// How long one request may take; those that may be asked again are, until [`PATIENCE`] is over.
const REQUEST: Duration = Duration::from_secs(10);

/// Everything goes to partition 0, so that the order is that of sending.
const PARTITION: i32 = 0;

/// A client of the brokers at `bootstrap`.
pub(super) struct Client {
    config: ClientConfig,
}

/// Messages of a topic that a group says it has processed, and those behind them.
#[derive(Debug)]
pub(super) struct Lag {
    pub(super) committed: i64,
    pub(super) behind: i64,
}

/// What became of each message.
#[derive(Default)]
struct Reports(Mutex<Vec<Result<(), KafkaError>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let result = result.as_ref().map(|_| ()).map_err(|(err, _)| err.clone());
        self.0.lock().unwrap().push(result);
    }
}

impl Client {
    pub(super) fn new(bootstrap: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        // A broker that was away is found again within a second.
        config.set("reconnect.backoff.max.ms", "500");
        Self { config }
    }

    /// A topic on as many brokers as there are.
    pub(super) fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            AdminClient::from_config(&self.config).unwrap();
        let replicas = i32::try_from(self.brokers().len()).unwrap();
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let created = block_on(admin.create_topics(&[new], &options)).unwrap();
        assert_eq!(created, [Ok(topic.to_owned())]);
    }

    /// Sends the messages and waits until each is acknowledged by all replicas in sync.
    pub(super) fn produce(&self, topic: &str, messages: &[&str]) {
        let mut config = self.config.clone();
        config.set("acks", "all").set("enable.idempotence", "true");
        let producer: BaseProducer<Reports> =
            BaseProducer::from_config_and_context(&config, Reports::default()).unwrap();
        for message in messages {
            let record = BaseRecord::<(), str>::to(topic).partition(PARTITION).payload(message);
            producer.send(record).map_err(|(err, _)| err).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let reports = producer.context().0.lock().unwrap();
        assert_eq!(*reports, vec![Ok(()); messages.len()]);
    }

    /// All messages of the topic, from the first on.
    pub(super) fn read(&self, topic: &str) -> Vec<String> {
        let mut config = self.config.clone();
        config.set("group.id", "test").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let marks = || consumer.fetch_watermarks(topic, PARTITION, REQUEST);
        let marks = eventually("offsets of the topic", marks, |marks| marks.is_ok());
        let (first, end) = marks.unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, PARTITION, Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut messages = Vec::new();
        while messages.len() < usize::try_from(end - first).unwrap() {
            assert!(Instant::now() < deadline, "of {first}..{end} only {messages:?}");
            // Errors are those of a broker that was away.
            if let Some(Ok(message)) = consumer.poll(REQUEST) {
                let text = message.payload_view::<str>().expect("with a payload");
                messages.push(text.expect("that is text").to_owned());
            }
        }
        messages
    }

    /// The numbers of the nodes that are up.
    pub(super) fn brokers(&self) -> Vec<i32> {
        let metadata = self.metadata();
        let mut ids: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
        ids.sort_unstable();
        ids
    }

    /// The node that takes the messages of the topic.
    pub(super) fn leader(&self, topic: &str) -> u8 {
        let metadata = self.metadata();
        let topic = metadata.topics().iter().find(|known| known.name() == topic);
        let partitions = topic.expect("the topic is there").partitions();
        let partition = partitions.iter().find(|partition| partition.id() == PARTITION);
        u8::try_from(partition.expect("the partition is there").leader()).expect("it has a leader")
    }

    pub(super) fn partitions(&self, topic: &str) -> usize {
        let metadata = self.metadata();
        let topic = metadata.topics().iter().find(|known| known.name() == topic);
        topic.expect("the topic is there").partitions().len()
    }

    /// The partition with the most messages.
    pub(super) fn fullest_partition(&self, topic: &str) -> u32 {
        let client: BaseConsumer = self.config.create().unwrap();
        let partitions = i32::try_from(self.partitions(topic)).unwrap();
        let messages = |partition: &i32| {
            let (first, end) = client.fetch_watermarks(topic, *partition, REQUEST).unwrap();
            end - first
        };
        let fullest = (0..partitions).max_by_key(messages);
        u32::try_from(fullest.expect("a topic has partitions")).unwrap()
    }

    /// How far a group is, over all partitions.
    pub(super) fn lag(&self, group: &str, topic: &str) -> Lag {
        let mut config = self.config.clone();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        let partitions = i32::try_from(self.partitions(topic)).unwrap();
        list.add_partition_range(topic, 0, partitions - 1);
        let committed = consumer.committed_offsets(list, REQUEST).unwrap();
        let mut lag = Lag { committed: 0, behind: 0 };
        for known in committed.elements() {
            let (first, end) =
                consumer.fetch_watermarks(topic, known.partition(), REQUEST).unwrap();
            let at = known.offset().to_raw().filter(|at| *at >= 0).unwrap_or(first);
            lag.committed += at;
            lag.behind += end - at;
        }
        lag
    }

    fn metadata(&self) -> Metadata {
        let client: BaseConsumer = self.config.create().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match client.fetch_metadata(None, REQUEST) {
                Ok(metadata) => return metadata,
                Err(err) => assert!(Instant::now() < deadline, "no metadata: {err}"),
            }
        }
    }
}

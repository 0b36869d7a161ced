//! Reads a topic of one partition, a piece at a time, whether its broker is real or a mock.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::batches::Received;
use crate::node::{Node, PATIENCE};

const PARTITION: i32 = 0;
/// Brokers may be slow on purpose.
const REQUEST: Duration = Duration::from_secs(15);

/// How far the topic was read, and what was in it.
pub(super) struct Topic {
    bootstrap: String,
    name: String,
    next: i64,
    pub(super) received: Received,
}

impl Topic {
    pub(super) fn new(bootstrap: &str, name: &str) -> Self {
        let (bootstrap, name) = (bootstrap.to_owned(), name.to_owned());
        Self { bootstrap, name, next: 0, received: Received::default() }
    }

    /// Takes in what arrived since the last time; `false` if the broker does not answer now. Each time
    /// with a new client: an old one would remember how the broker failed it.
    pub(super) fn read(&mut self) -> bool {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "verifier")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("reconnect.backoff.max.ms", "200")
            .set_log_level(RDKafkaLogLevel::Emerg);
        let consumer: BaseConsumer = config.create().unwrap();
        let Ok((first, end)) = consumer.fetch_watermarks(&self.name, PARTITION, REQUEST) else {
            return false;
        };
        assert!(first <= self.next, "messages {}..{first} are forgotten already", self.next);
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.name, PARTITION, Offset::Offset(self.next)).unwrap();
        consumer.assign(&from).unwrap();
        let started = Instant::now();
        while self.next < end {
            assert!(started.elapsed() < PATIENCE, "message {} of {end} cannot be read", self.next);
            // Errors are those of a broker that was away.
            if let Some(Ok(message)) = consumer.poll(REQUEST) {
                let payload = message.payload().expect("batches have bytes");
                self.received.add(Bytes::copy_from_slice(payload));
                self.next = message.offset() + 1;
            }
        }
        true
    }

    /// Reads; what the collector takes for acknowledged must be there.
    pub(super) fn sample(&mut self, collector: &Node) {
        // Asked before the topic is read: what is acknowledged later does not count.
        let acknowledged = collector.metric("sawlog_collector_acked_bytes_total") as u64;
        // What the spool has is acknowledged too.
        let spilled = collector.metric("sawlog_collector_spilled_bytes_total") as u64;
        if self.read() {
            let stored = self.received.source_bytes() + spilled;
            assert!(acknowledged <= stored, "{acknowledged} acknowledged of {stored} bytes stored");
        }
    }

    /// Samples until so many lines are there, or nothing has come for `quiet`.
    pub(super) fn read_until(&mut self, collector: &Node, lines: usize, quiet: Duration) {
        let (mut last, mut since) = (self.received.lines(), Instant::now());
        while self.received.lines() < lines && since.elapsed() < quiet {
            self.sample(collector);
            if self.received.lines() != last {
                (last, since) = (self.received.lines(), Instant::now());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

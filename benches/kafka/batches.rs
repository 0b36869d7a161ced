//! One batch per message: the real collector, and what of it is Kafka's client.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sawlog_collector::{Collector, Config};
use sawlog_transport::kafka::{KafkaConfig, KafkaProducer, TopicWishes, ensure_topic};
use sawlog_transport::memory::{Faults, MemoryTransport};
use sawlog_transport::{Ack, Consumer, Event, Producer, SendError};

use crate::process::{bytes_below, cpu_seconds, say, wait_for};

const PATIENCE: Duration = Duration::from_secs(120);
const PARTITIONS: u32 = 4;

/// Creates the topic; gives a producer that is ready.
fn connect(brokers: &str) -> KafkaProducer {
    let config = KafkaConfig {
        brokers: brokers.to_owned(),
        topic: "batches".to_owned(),
        client_id: "bench".to_owned(),
        tls_ca: None,
    };
    let wishes = TopicWishes {
        create: true,
        partitions: PARTITIONS,
        replication: None,
        retention: Duration::from_secs(86_400),
        retention_min: Duration::from_secs(3_600),
    };
    let topic = ensure_topic(&config, &wishes, PATIENCE).expect("the topic is there");
    let producer = KafkaProducer::new(&config).expect("a producer");
    producer.open(topic.partitions);
    producer
}

/// Files to acknowledged batches.
pub(crate) fn collect(dir: &Path, brokers: &str) {
    let producer = Arc::new(connect(brokers));
    let before = cpu_seconds();
    let raw = run_collector(dir, producer);
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
}

/// Collects all files until the last byte is acknowledged; gives their bytes.
fn run_collector(dir: &Path, producer: Arc<dyn Producer>) -> u64 {
    let raw = bytes_below(dir);
    let data = tempfile::tempdir().expect("a folder for the collector");
    let config = Config {
        paths: vec![dir.join("*.log").to_string_lossy().into_owned()],
        ..Config::new(data.path(), "bench-host")
    };
    let registry = prometheus::Registry::new();
    let collector = Collector::start(config, producer, &registry).expect("the collector starts");
    wait_for(raw, || collector.status().bytes_acked);
    let stopped = collector.stop(Instant::now() + PATIENCE).expect("the collector stops");
    assert_eq!(stopped.unacknowledged_bytes, 0);
    raw
}

/// All batches of the files, in memory: as many as `MEMORY_BYTES_MAX` allows.
fn encode(dir: &Path) -> (u64, Vec<Bytes>) {
    let transport = MemoryTransport::new(1, Faults::default());
    let raw = run_collector(dir, Arc::new(transport.producer()));
    let mut consumer = transport.consumer();
    consumer.assign(0, 0).expect("there is one partition");
    let mut messages = Vec::new();
    while let Some(event) = consumer.poll(Duration::ZERO).expect("memory can be read") {
        if let Event::Message { message, .. } = event {
            messages.push(message);
        }
    }
    (raw, messages)
}

/// The same batches, encoded before the clock starts.
pub(crate) fn produce(dir: &Path, brokers: &str) {
    let (raw, messages) = encode(dir);
    let sent: usize = messages.iter().map(Bytes::len).sum();
    let producer = connect(brokers);
    let (acks, arrived) = mpsc::channel();
    let before = cpu_seconds();
    for (tag, message) in messages.iter().enumerate() {
        while let Err(error) = producer.send(0, message.clone(), tag as u64, &acks) {
            assert!(matches!(error, SendError::Full), "{error}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for Ack { result, .. } in arrived.iter().take(messages.len()) {
        result.expect("the broker stores what it is sent");
    }
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
    say("messages", messages.len() as f64);
    say("sent", sent as f64);
}

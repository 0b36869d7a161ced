//! Producer and consumer against librdkafka's own mock of a cluster: errors that a real broker does
//! not give on request. What is durable is shown with real brokers, in `tests/it/kafka`.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::config::PRODUCER_BYTES_MAX;
use super::*;
use crate::consumer::{ConsumeError, Consumer, Event};
use crate::producer::{Ack, Producer, SendError};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 3;

struct Cluster {
    mock: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    config: KafkaConfig,
}

impl Cluster {
    fn start() -> Self {
        let mock = MockCluster::new(1).expect("mock cluster");
        mock.create_topic("logs", PARTITIONS as i32, 1).expect("topic");
        let config = KafkaConfig {
            brokers: mock.bootstrap_servers(),
            topic: "logs".to_owned(),
            client_id: "test".to_owned(),
            tls_ca: None,
        };
        Self { mock, config }
    }

    fn producer(&self) -> KafkaProducer {
        let producer = KafkaProducer::new(&self.config).expect("producer");
        producer.open(PARTITIONS);
        producer
    }

    fn consumer(&self) -> KafkaConsumer {
        let topic = Topic {
            name: "logs".to_owned(),
            cluster: "mock".to_owned(),
            id: 0,
            partitions: PARTITIONS,
            doubts: Vec::new(),
        };
        KafkaConsumer::new(&self.config, "group", &topic).expect("consumer")
    }
}

fn message(n: u64) -> Bytes {
    Bytes::from(format!("message {n}"))
}

fn send(producer: &KafkaProducer, partition: u32, tags: std::ops::Range<u64>) -> Vec<Ack> {
    let (acks, arrived) = mpsc::channel();
    let count = tags.clone().count();
    for tag in tags {
        producer.send(partition, message(tag), tag, &acks).expect("taken");
    }
    (0..count).map(|_| arrived.recv_timeout(PATIENCE).expect("a report")).collect()
}

/// Polls until so many messages have come; gives their offsets and texts.
fn read(consumer: &mut KafkaConsumer, count: usize) -> Vec<(u32, u64, String)> {
    let (started, mut read) = (Instant::now(), Vec::new());
    while read.len() < count {
        assert!(started.elapsed() < PATIENCE, "{} of {count} messages came", read.len());
        match consumer.poll(Duration::from_millis(50)).expect("readable") {
            Some(Event::Message { partition, offset, message, stored_at }) => {
                assert!(stored_at > 0);
                read.push((partition, offset, String::from_utf8_lossy(&message).into_owned()));
            }
            None => {}
            Some(event) => panic!("{event:?}"),
        }
    }
    read
}

#[test]
fn what_is_acknowledged_is_read_from_the_position_that_is_asked_for() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    for (n, ack) in send(&producer, 1, 0..5).into_iter().enumerate() {
        let position = ack.result.expect("stored");
        assert_eq!((ack.tag, position.partition, position.offset), (n as u64, 1, n as u64));
    }
    send(&producer, 2, 5..6);
    let mut consumer = cluster.consumer();
    assert_eq!(consumer.bounds(1).expect("bounds").high, 5);
    consumer.assign(1, 3).expect("assigned");
    consumer.assign(2, 0).expect("assigned");
    let mut found = read(&mut consumer, 3);
    found.sort();
    let expected = [(1, 3, "message 3"), (1, 4, "message 4"), (2, 0, "message 5")];
    assert_eq!(found, expected.map(|(p, o, text)| (p, o, text.to_owned())));
    // What was read comes again when it is asked for again.
    consumer.assign(1, 4).expect("assigned again");
    assert_eq!(read(&mut consumer, 1), [(1, 4, "message 4".to_owned())]);
}

#[test]
fn a_paused_partition_gives_nothing_and_loses_nothing() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    send(&producer, 0, 0..3);
    let mut consumer = cluster.consumer();
    consumer.assign(0, 0).expect("assigned");
    assert_eq!(read(&mut consumer, 1)[0].1, 0);
    consumer.pause(0, true);
    send(&producer, 0, 3..5);
    for _ in 0..10 {
        assert!(consumer.poll(Duration::from_millis(30)).expect("polls on").is_none());
    }
    consumer.pause(0, false);
    let offsets: Vec<u64> =
        read(&mut consumer, 4).into_iter().map(|(_, offset, _)| offset).collect();
    assert_eq!(offsets, [1, 2, 3, 4]);
}

#[test]
fn what_is_assigned_again_is_not_paused() {
    let cluster = Cluster::start();
    send(&cluster.producer(), 0, 0..3);
    let mut consumer = cluster.consumer();
    consumer.assign(0, 0).expect("assigned");
    assert_eq!(read(&mut consumer, 1)[0].1, 0);
    consumer.pause(0, true);
    consumer.assign(0, 1).expect("assigned again");
    assert_eq!(read(&mut consumer, 2)[0].1, 1);
    consumer.pause(0, true);
    consumer.revoke(0);
    consumer.assign(0, 2).expect("assigned after it was revoked");
    assert_eq!(read(&mut consumer, 1)[0].1, 2);
}

#[test]
fn a_revoked_partition_gives_nothing() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    send(&producer, 0, 0..3);
    send(&producer, 1, 3..4);
    let mut consumer = cluster.consumer();
    consumer.assign(0, 0).expect("assigned");
    assert_eq!(read(&mut consumer, 1).len(), 1);
    consumer.revoke(0);
    consumer.assign(1, 0).expect("assigned");
    assert_eq!(read(&mut consumer, 1), [(1, 0, "message 3".to_owned())]);
    assert!(consumer.poll(Duration::from_millis(300)).expect("polls on").is_none());
}

#[test]
fn a_position_beyond_the_end_is_an_error() {
    let cluster = Cluster::start();
    send(&cluster.producer(), 0, 0..3);
    let error = cluster.consumer().assign(0, 4).expect_err("only three");
    assert!(
        matches!(error, ConsumeError::BeyondEnd { partition: 0, position: 4, high: 3 }),
        "{error}"
    );
    let error = cluster.consumer().assign(PARTITIONS, 0).expect_err("no such partition");
    assert!(matches!(error, ConsumeError::NoPartition { .. }), "{error}");
}

#[test]
fn a_fatal_error_fails_what_is_under_way_and_the_next_producer_goes_on() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    send(&producer, 0, 0..1);
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.mock.request_errors(RDKafkaApiKey::Produce, &[error; 3]);
    let (acks, arrived) = mpsc::channel();
    let mut waiting: Vec<u64> = (1..6).collect();
    let mut failures = 0;
    let started = Instant::now();
    while !waiting.is_empty() {
        assert!(started.elapsed() < PATIENCE, "{waiting:?} are never stored");
        let sent = std::mem::take(&mut waiting);
        for tag in &sent {
            producer.send(0, message(*tag), *tag, &acks).expect("taken");
        }
        for _ in sent {
            let ack = arrived.recv_timeout(PATIENCE).expect("each is reported");
            if let Err(error) = ack.result {
                assert!(matches!(error, SendError::Failed { .. }), "{error}");
                failures += 1;
                waiting.push(ack.tag);
            }
        }
    }
    assert!(failures > 0, "the error was not injected");
    let mut consumer = cluster.consumer();
    consumer.assign(0, 0).expect("assigned");
    let count = consumer.bounds(0).expect("bounds").high as usize;
    let mut found: Vec<String> =
        read(&mut consumer, count).into_iter().map(|(_, _, text)| text).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, (0..6).map(|n| format!("message {n}")).collect::<Vec<_>>());
}

#[test]
fn nothing_is_taken_before_the_topic_is_known_nor_beyond_the_limit() {
    let cluster = Cluster::start();
    let producer = KafkaProducer::new(&cluster.config).expect("producer");
    let (acks, arrived) = mpsc::channel();
    assert!(matches!(producer.send(0, message(0), 0, &acks), Err(SendError::Full)));
    producer.open(PARTITIONS);
    let beyond = producer.send(PARTITIONS, message(0), 0, &acks);
    assert!(matches!(beyond, Err(SendError::NoPartition { .. })));
    let large = Bytes::from(vec![7; crate::limits::MESSAGE_BYTES_MAX + 1]);
    assert!(matches!(producer.send(0, large, 0, &acks), Err(SendError::TooLarge { .. })));
    cluster.mock.broker_down(-1).expect("down");
    let message = Bytes::from(vec![7; 1 << 20]);
    let mut taken = 0;
    let refused = loop {
        match producer.send(0, message.clone(), taken, &acks) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken as usize * message.len() <= PRODUCER_BYTES_MAX);
    };
    assert!(matches!(refused, SendError::Full), "{refused}");
    assert_eq!(taken as usize, PRODUCER_BYTES_MAX / message.len());
    assert!(arrived.try_recv().is_err(), "nothing is given up while the brokers are away");
    // What is under way when the producer goes is not told as stored.
    drop(producer);
    let reports: Vec<Ack> = arrived.try_iter().collect();
    assert_eq!(reports.len() as u64, taken);
    assert!(reports.iter().all(|ack| ack.result.is_err()));
}

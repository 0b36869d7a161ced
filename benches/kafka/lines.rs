//! One line per message, through the same client with the same durability.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};

use crate::process::{cpu_seconds, say, wait_for};

/// What is read at once.
const READ_BYTES: usize = 256 * 1024;

#[derive(Clone, Default)]
struct Delivered(Arc<AtomicU64>);

impl rdkafka::ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        assert!(report.is_ok(), "the broker stores what it is sent");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn producer(
    brokers: &str,
    compression: &str,
    delivered: &Delivered,
) -> ThreadedProducer<Delivered> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", compression)
        .set("linger.ms", "200")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "65536");
    if compression != "none" {
        config.set("compression.level", "1");
    }
    ThreadedProducer::from_config_and_context(&config, delivered.clone()).expect("a producer")
}

/// Sends each line of all files, those of a file to one partition.
pub(crate) fn send(dir: &Path, brokers: &str, compression: &str) {
    let delivered = Delivered::default();
    let producer = producer(brokers, compression, &delivered);
    let before = cpu_seconds();
    let (mut messages, mut sent) = (0, 0);
    let raw = for_each_line(dir, |line| {
        let mut record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to("batches").payload(line).partition(1);
        while let Err((error, refused)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
            record = refused;
            std::thread::sleep(Duration::from_millis(1));
        }
        messages += 1;
        sent += line.len();
    });
    wait_for(messages, || delivered.0.load(Ordering::Relaxed));
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
    say("messages", messages as f64);
    say("sent", sent as f64);
}

/// The floor: the lines are found and nothing is done with them.
pub(crate) fn read(dir: &Path) {
    let before = cpu_seconds();
    let mut lines = 0;
    let raw = for_each_line(dir, |_| lines += 1);
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
    say("messages", f64::from(lines));
    say("sent", 0.0);
}

/// Shows each line without its terminator; gives the bytes read.
fn for_each_line(dir: &Path, mut see: impl FnMut(&[u8])) -> usize {
    let mut raw = 0;
    let mut text = Vec::with_capacity(2 * READ_BYTES);
    for entry in std::fs::read_dir(dir).expect("the files are there") {
        let mut file = File::open(entry.expect("a file").path()).expect("the file opens");
        text.clear();
        loop {
            let mut part = (&mut file).take(READ_BYTES as u64);
            let read = part.read_to_end(&mut text).expect("the file is read");
            let mut from = 0;
            for end in memchr::memchr_iter(b'\n', &text) {
                see(&text[from..end]);
                from = end + 1;
            }
            text.drain(..from);
            raw += read;
            if read == 0 {
                break;
            }
        }
    }
    raw
}

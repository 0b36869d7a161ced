//! What strangers, accidents and newer versions put into the topic costs nobody else a line.

use std::io::Write;
use std::sync::{Arc, mpsc};

use sawlog_transport::batch::{BatchBuilder, BatchHeader, Codec, RunInput};
use sawlog_transport::kafka::KafkaProducer;
use sawlog_transport::{
    CollectorId, GenerationId, Labels, Level, LineColumns, LineFlags, Piece, PieceKind, Producer,
    StreamId,
};

use super::broker::Broker;
use super::client::Client;
use super::pipeline::{PARTITIONS, Pipeline, TOPIC};
use crate::agent::Agent;
use crate::node::{Node, PATIENCE, eventually};

/// What Kafka's own compression makes small enough for the topic.
const INFLATING_BYTES: usize = 100 << 20;
/// What a bomb claims to hold.
const TEN_GIB: u64 = 10 << 30;
const RSS_ANON_MAX: u64 = 300 << 20;

fn put(stranger: &KafkaProducer, partition: u32, messages: &[Vec<u8>]) {
    let (acks, arrived) = mpsc::channel();
    for (tag, message) in messages.iter().enumerate() {
        stranger.send(partition, message.clone().into(), tag as u64, &acks).unwrap();
    }
    for _ in messages {
        arrived.recv_timeout(PATIENCE).unwrap().result.unwrap();
    }
}

/// A batch with one line, as version 1 has it.
fn batch(text: &str) -> Vec<u8> {
    let header =
        BatchHeader { collector: CollectorId(1), incarnation: 1, number: 0, config_generation: 0 };
    let mut builder = BatchBuilder::new(header, Codec::Zstd(1));
    let mut lines = LineColumns::default();
    let len = text.len() as u32;
    lines.push(1_700_000_000_000_000_000, len, len + 1, LineFlags::new(Level::Info, 0));
    let piece = Piece {
        generation: GenerationId(1),
        from: 0,
        to: u64::from(len) + 1,
        kind: PieceKind::Text,
    };
    let text = format!("{text}\n");
    let run = RunInput { read_time: 1, pieces: &[piece], lines: &lines, text: text.as_bytes() };
    let labels = Labels::from_pairs([("app", "stranger")]).unwrap();
    builder.push_run(StreamId(7), &Arc::new(labels), run).unwrap();
    builder.finish().to_vec()
}

/// Makes the header's checksum right again.
fn sign(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&batch[..76]);
    batch[76..80].copy_from_slice(&crc.to_le_bytes());
    batch
}

fn newer() -> Vec<u8> {
    let mut batch = batch("from the future");
    batch[4] = 99;
    sign(batch)
}

/// A zstd frame of some 300 KB that inflates to ten GiB of zeros: blocks of one repeated byte.
fn zstd_bomb() -> Vec<u8> {
    const BLOCK: u64 = 128 << 10;
    // Magic; content size in 8 bytes; a window of 128 KiB.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x38];
    bomb.extend_from_slice(&TEN_GIB.to_le_bytes());
    let blocks = TEN_GIB / BLOCK;
    for block in 1..=blocks {
        let is_last = u64::from(block == blocks);
        let header = BLOCK << 3 | 1 << 1 | is_last;
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    bomb
}

/// Tables that claim to be within the limit and inflate to ten GiB.
fn bomb_in_the_tables(claimed: u32) -> Vec<u8> {
    let bomb = zstd_bomb();
    let mut batch = batch("")[..80].to_vec();
    let total = (80 + bomb.len()) as u32;
    batch[8..12].copy_from_slice(&total.to_le_bytes());
    batch[12..16].copy_from_slice(&claimed.to_le_bytes());
    batch[16..20].copy_from_slice(&(bomb.len() as u32).to_le_bytes());
    batch[20..24].copy_from_slice(&0_u32.to_le_bytes());
    batch[72..76].copy_from_slice(&crc32c::crc32c(&bomb).to_le_bytes());
    batch.extend_from_slice(&bomb);
    sign(batch)
}

/// A right batch whose frame's text is the bomb.
fn bomb_in_a_frame() -> Vec<u8> {
    let mut batch = batch("harmless");
    let stored =
        |batch: &[u8], at: usize| u32::from_le_bytes(batch[at..at + 4].try_into().unwrap());
    let frame = 80 + stored(&batch, 16) as usize;
    let columns = stored(&batch, frame + 24) as usize;
    batch.truncate(frame + 36 + columns);
    let bomb = zstd_bomb();
    batch[frame + 8..frame + 12].copy_from_slice(&(256_u32 << 10).to_le_bytes());
    batch[frame + 12..frame + 16].copy_from_slice(&(bomb.len() as u32).to_le_bytes());
    batch[frame + 16..frame + 20].copy_from_slice(&crc32c::crc32c(&bomb).to_le_bytes());
    let crc = crc32c::crc32c(&batch[frame..frame + 32]);
    batch[frame + 32..frame + 36].copy_from_slice(&crc.to_le_bytes());
    batch.extend_from_slice(&bomb);
    let total = batch.len() as u32;
    batch[8..12].copy_from_slice(&total.to_le_bytes());
    sign(batch)
}

fn random_bytes(count: usize) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Writes a line into the container, and waits until it is found.
fn a_line_gets_through(pipeline: &Pipeline, aggregator: &Node, n: u32) {
    let sandbox = pipeline.agent.sandbox("0");
    std::fs::create_dir_all(&sandbox).unwrap();
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(sandbox.join("stdout")).unwrap();
    writeln!(file, "line number {n}").unwrap();
    let query = format!(r#"{{container="c0"}} |= "line number {n}""#);
    eventually(&query, || aggregator.count(&query), |lines| *lines == 1);
}

#[test]
fn no_message_stops_or_bursts_the_aggregator() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(1, 1));
    let aggregator = pipeline.aggregator("1s").start();
    let collector = pipeline.collector().start();
    a_line_gets_through(&pipeline, &aggregator, 0);
    let bad = [
        random_bytes(0),
        random_bytes(1),
        random_bytes(80),
        random_bytes(1 << 20),
        batch("cut short")[..100].to_vec(),
        bomb_in_the_tables(u32::MAX),
        bomb_in_the_tables(256 << 10),
        bomb_in_a_frame(),
    ];
    let stranger = pipeline.stranger();
    // Each partition, so also the one that the collector uses.
    for partition in 0..PARTITIONS {
        put(&stranger, partition, &bad);
    }
    let inflating = vec![0; INFLATING_BYTES];
    let client = Client::new(broker.bootstrap());
    for codec in ["gzip", "zstd"] {
        let used = client.fullest_partition(TOPIC);
        let told = client.produce_compressed((TOPIC, used), codec, &inflating);
        assert!(
            told.is_err(),
            "{codec}: the broker hands on what inflates beyond the topic's limit"
        );
    }
    a_line_gets_through(&pipeline, &aggregator, 1);
    let rejected = || aggregator.metric("sawlog_aggregator_rejected_batches_total");
    let count = f64::from(PARTITIONS) * bad.len() as f64;
    eventually("rejected batches", rejected, |rejected| *rejected == count);
    assert!(aggregator.rss_anon() < RSS_ANON_MAX, "it holds {} bytes", aggregator.rss_anon());
    let log = aggregator.log();
    for word in ["partition", "offset", "limit"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(aggregator.count(r#"{app="stranger"}"#), 0);
    assert_eq!(collector.terminate(), Some(0));
    assert_eq!(aggregator.terminate(), Some(0));
}

/// What only a newer aggregator can read waits for it, with all that stands behind it in its partition;
/// the other partitions go on.
#[test]
fn a_newer_version_holds_up_its_partition_alone_and_says_so() {
    let Some(broker) = Broker::start(1, &[]) else { return };
    let pipeline = Pipeline::new(&broker, Agent::new(1, 1));
    let aggregator = pipeline.aggregator("1s").start();
    let _collector = pipeline.collector().start();
    a_line_gets_through(&pipeline, &aggregator, 0);
    let used = Client::new(broker.bootstrap()).fullest_partition(TOPIC);
    let other = (used + 1) % PARTITIONS;
    let stranger = pipeline.stranger();
    put(&stranger, other, &[batch("readable"), newer(), batch("waits")]);
    let waiting = || aggregator.metric("sawlog_aggregator_waiting_partitions");
    eventually("waiting partitions", waiting, |waiting| *waiting == 1.0);
    a_line_gets_through(&pipeline, &aggregator, 1);
    let stranger_lines = || aggregator.count(r#"{app="stranger"}"#);
    eventually("the line before it", stranger_lines, |lines| *lines == 1);
    let named = format!("{other} (at offset 1)");
    let (status, said) = aggregator.get("/ready", &[]);
    assert!(status == 200 && String::from_utf8_lossy(&said).contains(&named), "{said:?}");
    let (_, found) = aggregator.get("/loki/api/v1/query", &[("query", r#"{app="x"}"#)]);
    let found = String::from_utf8_lossy(&found).into_owned();
    assert!(found.contains("warnings") && found.contains(&named), "{found}");
    let log = aggregator.log();
    for word in [&format!("partition={other}"), "offset=1", "version 99", "upgrade"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    // After a restart it is the same.
    assert_eq!(aggregator.terminate(), Some(0));
    let aggregator = pipeline.aggregator("1s").start().ready();
    a_line_gets_through(&pipeline, &aggregator, 2);
    let waiting = || aggregator.metric("sawlog_aggregator_waiting_partitions");
    eventually("waiting partitions", waiting, |waiting| *waiting == 1.0);
    assert_eq!(aggregator.count(r#"{app="stranger"}"#), 1);
}

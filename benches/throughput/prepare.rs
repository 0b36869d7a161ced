//! Prepares what is measured: batches in an embedded log, and the same text in files.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::embedded::{EmbeddedConfig, EmbeddedLog, EmbeddedProducer};
use sawlog_transport::{Ack, AckSender, Consumer, Producer, SendError};

use crate::corpus::Chunks;
use crate::corpus::batches::Batches;

/// The folder of the embedded log.
pub(crate) const LOG: &str = "log";
/// The folder of the text, one file a stream.
pub(crate) const FILES: &str = "files";

/// Writes the corpus into both.
pub(crate) fn prepare(chunks: Chunks, dir: &Path) {
    let files = dir.join(FILES);
    std::fs::create_dir(&files).expect("the folder is new");
    let log = open_log(dir);
    let producer = log.producer();
    let (acks, acked) = mpsc::channel();
    let mut batches = Batches::new(chunks);
    let mut append = |name: &str, text: &mut Vec<u8>| {
        let path = files.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(text)).expect("text can be written");
    };
    let mut sent = 0;
    while let Some(batch) = batches.next_batch(&mut append) {
        send(&producer, &batch.message, sent, &acks);
        sent += 1;
    }
    for Ack { result, .. } in acked.iter().take(sent as usize) {
        result.expect("the log stores what it took");
    }
    log.shutdown();
}

fn send(producer: &EmbeddedProducer, message: &Bytes, tag: u64, acks: &AckSender) {
    loop {
        match producer.send(0, message.clone(), tag, acks) {
            Ok(()) => return,
            Err(SendError::Full) => std::thread::sleep(Duration::from_millis(1)),
            Err(err) => panic!("the log takes a batch: {err}"),
        }
    }
}

/// Opens the log; it may grow as large as a corpus needs.
pub(crate) fn open_log(dir: &Path) -> EmbeddedLog {
    let config =
        EmbeddedConfig { bytes_max: u64::MAX / 2, ..EmbeddedConfig::new(dir.join(LOG), 1) };
    EmbeddedLog::open(config).expect("the log opens")
}

/// The offset behind the log's last message.
pub(crate) fn end_of(consumer: &dyn Consumer) -> u64 {
    consumer.bounds(0).expect("the log has a partition").high
}

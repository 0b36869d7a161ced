//! Calls that fail: what senders are told, and that offsets neither skip nor repeat. And the limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::test_disk::{Failures, Fixture, messages};
use super::{BYTES_MAX_MIN, EmbeddedConfig, EmbeddedLog, OpenError, QUEUE_BYTES_MAX};
use crate::consumer::{Bounds, Consumer};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::producer::{Ack, Producer, SendError};

fn text(offset: u64) -> Bytes {
    Bytes::from(format!("message {offset}"))
}

fn config(dir: &tempfile::TempDir) -> EmbeddedConfig {
    EmbeddedConfig { sync_delay: Duration::from_secs(3600), ..EmbeddedConfig::new(dir.path(), 1) }
}

fn failure(ack: Ack) -> (String, String) {
    match ack.result {
        Err(SendError::Failed { place, reason }) => (place, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_disk_cuts_the_partial_record_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Fixture::open(config(&dir));
    assert_eq!(log.store(0, text(0)), 0);
    log.disk.fail(Failures { appends: 1, ..Failures::default() });
    log.send(0, text(9));
    let (place, reason) = failure(log.ack());
    assert!(place.ends_with("0/00000000000000000000.log"), "{place}");
    assert!(reason.contains("storage"), "{reason}");
    assert_eq!(log.store(0, text(1)), 1);
    log.reopen();
    assert_eq!(log.read(0, 0), messages(0..2, text));
}

#[test]
fn a_failed_sync_takes_the_unsynced_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Fixture::open(config(&dir));
    assert_eq!(log.store(0, text(0)), 0);
    log.disk.fail(Failures { syncs: 1, ..Failures::default() });
    log.send(0, text(8));
    log.send(0, text(9));
    failure(log.ack());
    // The two may have been in different syncs; then the second one was stored.
    let second = log.ack().result;
    let stored = u64::from(second.is_ok());
    let bounds = log.log().consumer().bounds(0).expect("known");
    assert_eq!(bounds, Bounds { low: 0, high: 1 + stored });
    assert_eq!(log.store(0, text(1)), 1 + stored);
    let before = log.read(0, 0);
    assert_eq!(before.len() as u64, 2 + stored);
    let bytes = log.log().bytes();
    log.reopen();
    assert_eq!(log.read(0, 0), before);
    assert_eq!(log.log().bytes(), bytes);
}

#[test]
fn a_tail_that_cannot_be_cut_closes_the_partition() {
    for failures in [
        Failures { syncs: 1, truncates: 1, ..Failures::default() },
        Failures { syncs: 2, ..Failures::default() },
        Failures { appends: 1, truncates: 1, ..Failures::default() },
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Fixture::open(config(&dir));
        assert_eq!(log.store(0, text(0)), 0);
        log.disk.fail(failures);
        let disk = Arc::clone(&log.disk);
        let still = disk.hold_appends();
        log.send(0, text(8));
        log.send(0, text(9));
        drop(still);
        failure(log.ack());
        failure(log.ack());
        let (acks, _) = std::sync::mpsc::channel();
        let refused = log.log().producer().send(0, text(1), 7, &acks);
        let Err(SendError::Failed { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains("could not be cut off"), "{reason}");
        assert_eq!(log.read(0, 0), messages(0..1, text), "only what is durable is shown");
        log.reopen();
        let high = log.log().consumer().bounds(0).expect("known").high;
        assert_eq!(log.store(0, text(1)), high, "opened again it works");
    }
}

#[test]
fn a_file_that_cannot_be_begun_is_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    // After two records a third one does not fit, but an empty message would.
    let file_bytes_max = 8 + 2 * 33 + 24;
    let mut log = Fixture::open(EmbeddedConfig { file_bytes_max, ..config(&dir) });
    assert_eq!(log.store(0, text(0)), 0);
    assert_eq!(log.store(0, text(1)), 1);
    for failures in [
        Failures { creates: 1, ..Failures::default() },
        Failures { appends: 1, ..Failures::default() },
        Failures { syncs: 1, ..Failures::default() },
    ] {
        log.disk.fail(failures);
        log.send(0, text(2));
        let (place, _) = failure(log.ack());
        assert!(place.ends_with("00000000000000000002.log"), "{place}");
    }
    assert_eq!(log.store(0, ""), 2);
    assert_eq!(log.store(0, text(3)), 3);
    log.reopen();
    let expected = messages(0..4, |offset| if offset == 2 { Bytes::new() } else { text(offset) });
    assert_eq!(log.read(0, 0), expected);
}

#[test]
fn a_file_that_cannot_be_deleted_is_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Fixture::open(EmbeddedConfig { file_bytes_max: 1, ..config(&dir) });
    for offset in 0..3 {
        log.store(0, text(offset));
    }
    let files = || std::fs::read_dir(dir.path().join("0")).expect("readable").count();
    log.disk.fail(Failures { removes: 1, ..Failures::default() });
    log.log().consumer().processed(0, 2);
    log.store(0, text(3));
    assert_eq!(files(), 3, "one of two was deleted");
    log.log().consumer().processed(0, 2);
    log.store(0, text(4));
    assert_eq!(files(), 3, "the other one, too, and one was begun");
    log.reopen();
    assert_eq!(log.read(0, 2), messages(2..5, text));
}

#[test]
fn what_is_not_stored_yet_cannot_have_been_processed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Fixture::open(EmbeddedConfig { file_bytes_max: 1, ..config(&dir) });
    log.store(0, text(0));
    log.log().consumer().processed(0, 1000);
    for offset in 1..4 {
        log.store(0, text(offset));
    }
    // Makes the log look for files to delete; done when the next message is stored.
    log.log().consumer().processed(0, 0);
    log.store(0, text(4));
    assert_eq!(log.log().consumer().bounds(0).expect("known"), Bounds { low: 1, high: 5 });
    let files = std::fs::read_dir(dir.path().join("0")).expect("readable");
    let bytes = files.map(|file| file.expect("a file").metadata().expect("its length").len());
    assert_eq!(log.log().bytes(), bytes.sum::<u64>(), "bytes are counted right");
}

#[test]
fn a_log_whose_thread_panicked_takes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Fixture::open(config(&dir));
    log.disk.panic_at_next_append();
    log.send(0, text(0));
    while !log.log().shared.lock().stopping {
        std::thread::yield_now();
    }
    let (acks, _) = std::sync::mpsc::channel();
    let refused = log.log().producer().send(0, text(1), 7, &acks);
    assert!(matches!(refused, Err(SendError::Failed { .. })), "{refused:?}");
}

#[test]
fn a_hundred_quick_messages_need_few_syncs() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = 24 + 10;
    for (sync_bytes, expected) in [(1 << 20, 1), (50 * record, 2), (10 * record, 10)] {
        let dir = dir.path().join(sync_bytes.to_string());
        let config = EmbeddedConfig {
            sync_bytes,
            sync_delay: Duration::from_secs(3600),
            ..EmbeddedConfig::new(dir, 1)
        };
        let log = EmbeddedLog::open(config).expect("opens");
        let (acks, results) = std::sync::mpsc::channel();
        for tag in 0..100 {
            log.producer().send(0, Bytes::from(vec![7; 10]), tag, &acks).expect("taken");
        }
        log.shutdown();
        assert_eq!(log.syncs(), expected);
        let acked: Vec<u64> =
            results.try_iter().map(|ack| ack.result.map(|at| at.offset).expect("stored")).collect();
        assert_eq!(acked, (0..100).collect::<Vec<u64>>());
    }
}

#[test]
fn nothing_is_shown_or_acknowledged_before_it_is_durable() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Fixture::open(config(&dir));
    log.store(0, text(0));
    log.send(0, text(1));
    while log.log().shared.lock().queued_bytes > 0 {
        std::thread::yield_now();
    }
    assert_eq!(log.take_acks().len(), 0);
    assert_eq!(log.read(0, 0), messages(0..1, text));
    assert_eq!(log.ack().result.expect("stored").offset, 1);
    assert_eq!(log.read(0, 0), messages(0..2, text));
}

#[test]
fn a_sync_comes_without_being_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EmbeddedLog::open(EmbeddedConfig::new(dir.path(), 2)).expect("opens");
    let (acks, results) = std::sync::mpsc::channel();
    log.producer().send(1, text(0), 5, &acks).expect("taken");
    let ack = results.recv().expect("an ack");
    assert_eq!((ack.tag, ack.result.expect("stored").partition), (5, 1));
}

#[test]
fn the_queue_is_bounded_while_the_writer_stands_still() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Fixture::open(config(&dir));
    let (acks, _) = std::sync::mpsc::channel();
    let message = Bytes::from(vec![0; MESSAGE_BYTES_MAX]);
    let mut taken = 0;
    let still = log.disk.hold_appends();
    loop {
        match log.log().producer().send(0, message.clone(), taken, &acks) {
            Ok(()) => taken += 1,
            Err(SendError::Full) => break,
            Err(other) => panic!("{other}"),
        }
    }
    drop(still);
    assert_eq!(taken, QUEUE_BYTES_MAX / MESSAGE_BYTES_MAX as u64 - 1);
}

#[test]
fn too_large_and_unknown_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Fixture::open(config(&dir));
    let producer = log.log().producer();
    let (acks, _) = std::sync::mpsc::channel();
    let large = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
    let refused = producer.send(0, large, 0, &acks);
    assert!(matches!(refused, Err(SendError::TooLarge { .. })), "{refused:?}");
    let refused = producer.send(1, text(0), 0, &acks);
    assert!(matches!(refused, Err(SendError::NoPartition { partition: 1, partitions: 1 })));
    log.log().shutdown();
    let refused = producer.send(0, text(0), 0, &acks);
    assert!(matches!(refused, Err(SendError::Failed { .. })), "{refused:?}");
}

#[test]
fn impossible_configurations_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = EmbeddedLog::open(EmbeddedConfig::new(dir.path(), 0)).unwrap_err();
    assert!(matches!(error, OpenError::PartitionCount { found: 0 }), "{error}");
    let small = EmbeddedConfig { bytes_max: BYTES_MAX_MIN - 1, ..config(&dir) };
    let error = EmbeddedLog::open(small).unwrap_err();
    assert!(matches!(error, OpenError::TooSmall { .. }), "{error}");
}

/// All of it lies in the files being written, which are never deleted: they have to be closed.
#[test]
fn a_full_log_takes_nothing_until_its_messages_are_processed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Fixture::open(EmbeddedConfig {
        bytes_max: BYTES_MAX_MIN,
        ..EmbeddedConfig::new(dir.path(), 2)
    });
    let message = Bytes::from(vec![1; MESSAGE_BYTES_MAX / 4]);
    let stored = fill(&mut log, &message);
    assert_eq!(stored, 7, "the eighth would be above the limit by the headers");
    assert!(log.log().bytes() <= BYTES_MAX_MIN);
    let mut consumer = log.log().consumer();
    consumer.processed(0, 2);
    assert_eq!(fill(&mut log, &message), 0, "a file that is in use stays");
    for partition in 0..2 {
        let high = consumer.bounds(partition).expect("known").high;
        consumer.processed(partition, high);
    }
    // What was reported is done before the next message is.
    while log.log().bytes() > 16 {
        std::thread::yield_now();
    }
    assert_eq!(consumer.bounds(0).expect("known"), Bounds { low: 4, high: 4 });
    assert_eq!(fill(&mut log, &message), 7);
    log.reopen();
    assert_eq!(log.log().consumer().bounds(0).expect("known"), Bounds { low: 4, high: 8 });
}

/// Stores in turn until the log is full; returns how many it took.
fn fill(log: &mut Fixture, message: &Bytes) -> u64 {
    let (acks, results) = std::sync::mpsc::channel();
    for n in 0.. {
        match log.log().producer().send((n % 2) as u32, message.clone(), n, &acks) {
            Ok(()) => {
                log.log().flush();
                results.recv().expect("an ack").result.expect("stored");
            }
            Err(SendError::Full) => return n,
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("a log is bounded")
}

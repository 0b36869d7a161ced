//! Torn tails and flipped bytes: what is cut, what is kept, and what a consumer is told.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::log_file::{self, FILE_HEADER};
use super::test_disk::{Fixture, Seen, messages};
use super::{EmbeddedConfig, EmbeddedLog, OpenError};
use crate::consumer::{Consumer, Event};

fn text(offset: u64) -> Bytes {
    Bytes::from(format!("message {offset}").repeat(3))
}

/// A closed log of one partition with `n` messages; small files if asked for.
fn filled(dir: &tempfile::TempDir, n: u64, file_bytes_max: u64) -> Fixture {
    let config = EmbeddedConfig {
        file_bytes_max,
        sync_delay: Duration::from_secs(3600),
        ..EmbeddedConfig::new(dir.path(), 1)
    };
    let mut log = Fixture::open(config);
    for offset in 0..n {
        log.send(0, text(offset));
    }
    log.close();
    assert!(log.take_acks().iter().all(|ack| ack.result.is_ok()));
    log
}

fn file(dir: &tempfile::TempDir, first: u64) -> PathBuf {
    log_file::path(&log_file::partition_dir(dir.path(), 0), first)
}

#[test]
fn a_tail_torn_anywhere_costs_the_last_record_only() {
    let record = 24 + text(2).len();
    for cut in 1..=record {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = filled(&dir, 3, 1 << 20);
        let bytes = fs::read(file(&dir, 0)).expect("readable");
        fs::write(file(&dir, 0), &bytes[..bytes.len() - cut]).expect("writable");
        log.reopen();
        assert_eq!(log.read(0, 0), messages(0..2, text), "{cut} bytes cut");
        assert_eq!(log.store(0, text(2)), 2, "{cut} bytes cut");
        log.reopen();
        assert_eq!(log.read(0, 0), messages(0..3, text), "{cut} bytes cut");
    }
}

#[test]
fn a_header_torn_anywhere_is_made_anew() {
    for kept in 0..FILE_HEADER.len() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = filled(&dir, 3, 1);
        fs::write(file(&dir, 2), &FILE_HEADER[..kept]).expect("writable");
        log.reopen();
        assert_eq!(log.read(0, 0), messages(0..2, text), "{kept} bytes kept");
        assert_eq!(log.store(0, text(2)), 2);
        log.reopen();
        assert_eq!(log.read(0, 0), messages(0..3, text), "{kept} bytes kept");
    }
}

/// Every byte of every record but the last one of the last file, in an earlier file and in the last.
#[test]
fn a_flipped_byte_costs_one_record() {
    let record = 24 + text(0).len();
    for file_bytes_max in [1 << 20, (8 + 3 * record) as u64] {
        for at in 8..8 + 3 * record {
            let dir = tempfile::tempdir().expect("a directory");
            let mut log = filled(&dir, 5, file_bytes_max);
            let mut bytes = fs::read(file(&dir, 0)).expect("readable");
            bytes[at] ^= 0x41;
            fs::write(file(&dir, 0), bytes).expect("writable");
            log.reopen();
            let hit = ((at - 8) / record) as u64;
            let mut expected = messages(0..5, text);
            expected[hit as usize] = Seen::Missing(hit, hit + 1);
            assert_eq!(log.read(0, 0), expected, "byte {at}");
            // Seeking passes the damage, too.
            assert_eq!(log.read(0, hit + 1), messages(hit + 1..5, text), "byte {at}");
            assert_eq!(log.store(0, text(5)), 5, "byte {at}");
        }
    }
}

#[test]
fn damage_is_reported_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = filled(&dir, 3, 1 << 20);
    let mut bytes = fs::read(file(&dir, 0)).expect("readable");
    bytes[8 + 24] ^= 1;
    fs::write(file(&dir, 0), bytes).expect("writable");
    log.reopen();
    let mut consumer = log.log().consumer();
    consumer.assign(0, 0).expect("within the bounds");
    let event = consumer.poll(Duration::ZERO).expect("readable");
    let Some(Event::Missing { partition: 0, from: 0, to: 1, reason }) = event else {
        panic!("{event:?}");
    };
    let place = format!("{}: byte 8: ", file(&dir, 0).display());
    assert!(reason.starts_with(&place) && reason.ends_with("checksum is wrong"), "{reason}");
}

#[test]
fn the_end_of_an_earlier_file_may_be_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = 24 + text(0).len();
    let mut log = filled(&dir, 7, (8 + 3 * record) as u64);
    let bytes = fs::read(file(&dir, 0)).expect("readable");
    fs::write(file(&dir, 0), &bytes[..8 + record + 30]).expect("writable");
    log.reopen();
    let mut expected = messages(0..1, text);
    expected.push(Seen::Missing(1, 3));
    expected.extend(messages(3..7, text));
    assert_eq!(log.read(0, 0), expected);
}

#[test]
fn a_file_may_shrink_while_it_is_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = filled(&dir, 5, 1 << 20);
    log.reopen();
    let record = 24 + text(0).len();
    let bytes = fs::OpenOptions::new().write(true).open(file(&dir, 0)).expect("writable");
    bytes.set_len((8 + 2 * record + 30) as u64).expect("cut");
    let mut expected = messages(0..2, text);
    expected.push(Seen::Missing(2, 5));
    assert_eq!(log.read(0, 0), expected);
}

#[test]
fn an_earlier_file_may_be_missing_as_a_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = 24 + text(0).len();
    let mut log = filled(&dir, 7, (8 + 2 * record) as u64);
    fs::remove_file(file(&dir, 2)).expect("removed");
    // Found when it is opened as well as when it is read.
    for _ in 0..2 {
        log.reopen();
        let mut expected = messages(0..2, text);
        expected.push(Seen::Missing(2, 4));
        expected.extend(messages(4..7, text));
        assert_eq!(log.read(0, 0), expected);
        fs::write(file(&dir, 2), b"").expect("written");
    }
    fs::remove_file(file(&dir, 4)).expect("removed");
    let mut expected = messages(0..2, text);
    expected.extend([Seen::Missing(2, 4), Seen::Missing(4, 6)]);
    expected.extend(messages(6..7, text));
    assert_eq!(log.read(0, 0), expected);
}

#[test]
fn a_newer_format_is_refused() {
    for first in [0, 1] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = filled(&dir, 2, 1);
        let mut bytes = fs::read(file(&dir, first)).expect("readable");
        bytes[7] = 2;
        fs::write(file(&dir, first), bytes).expect("writable");
        let error = EmbeddedLog::open(log.config.clone()).unwrap_err();
        assert!(matches!(error, OpenError::Version { found: 2, known: 1, .. }), "{error}");
    }
}

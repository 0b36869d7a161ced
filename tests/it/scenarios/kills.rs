//! Scenario 7, `kill -9` in a backlog: 400,000 lines wait, the process is killed again and again, and its
//! checkpoints are damaged between two starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::batches::Received;
use super::verifier::{assert_lost, verify_container};
use super::work::Work;
use super::writer::{Log, append};
use crate::node::{Node, Setup, eventually};
use crate::random::Random;

const CONTAINERS: u32 = 20;
const LINES: u32 = 20_000;
const KILLS: u32 = 20;
/// How long a process lives at most, once it listens.
const LIFE: Duration = Duration::from_millis(90);

/// Of the file of checkpoints, the header included: enough that its middle is a record.
const RECORDS_MIN: usize = 5;
const RECORD_BYTES: usize = 128;

fn container(n: u32) -> String {
    format!("c{n}")
}

fn log(n: u32) -> Log {
    Log::new(&format!("t{n:02}"), 300..=700)
}

fn checkpoints(work: &Work) -> PathBuf {
    work.data().join("collector/checkpoints")
}

/// Writes all lines; gives their bytes.
fn backlog(work: &Work) -> u64 {
    let write = |n| {
        let lines = log(n).lines(0..LINES);
        append(&work.stdout(&container(n)), &lines);
        lines.len() as u64
    };
    (0..CONTAINERS).map(write).sum()
}

fn check(node: &Node) {
    for n in 0..CONTAINERS {
        let log = log(n);
        verify_container(node, &container(n), &[(&log, 0..LINES)]).assert_exactly();
    }
    assert_lost(node, &[]);
}

/// A life that ends by `kill -9` after a while; gives how far it came with reading.
fn life(setup: &Setup, random: &mut Random) -> u64 {
    let mut node = setup.start();
    std::thread::sleep(Duration::from_millis(random.below(LIFE.as_millis() as u64)));
    let read = node.metric("sawlog_collector_read_bytes_total") as u64;
    node.kill();
    read
}

/// A life that ends by `kill -9` once there are records that can be damaged; gives how many damaged ones
/// it found at its start.
fn life_until_records(setup: &Setup, checkpoints: &Path) -> u64 {
    let mut node = setup.start();
    eventually("checkpoints", || length(checkpoints), |bytes| *bytes >= RECORDS_MIN * RECORD_BYTES);
    let damaged = node.metric("sawlog_collector_checkpoint_records_lost_total") as u64;
    node.kill();
    damaged
}

/// What may happen to a file of records between two starts.
fn flip_bit(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len.saturating_sub(bytes)).unwrap();
}

fn length(path: &Path) -> usize {
    std::fs::metadata(path).unwrap().len() as usize
}

#[test]
fn each_line_once_through_kills_in_a_backlog_and_damaged_checkpoints() {
    let work = Work::new();
    let all = backlog(&work);
    let setup = work.node().arg("--seal-interval", "300ms");
    let mut random = Random::from_environment();
    let mut read = Vec::new();
    for _ in 0..KILLS {
        read.push(life(&setup, &mut random) * 100 / all);
    }
    println!("% of the backlog that each life read: {read:?}");
    let path = checkpoints(&work);
    life_until_records(&setup, &path);
    cut(&path, 1 + random.below(20));
    life_until_records(&setup, &path);
    flip_bit(&path, length(&path) - 10);
    let last = life_until_records(&setup, &path);
    flip_bit(&path, length(&path) / 2);
    let middle = life_until_records(&setup, &path);
    println!("damaged records that a start found: {last} behind the last, {middle} in the middle");
    assert!(last > 0 && middle > 0, "a damaged record is counted");
    // What was not synced when the power failed.
    cut(&path, (length(&path) as u64).min(4096));
    check(&setup.start().ready());
}

/// All is acknowledged; then one bit of the checkpoints flips.
#[test]
fn one_bad_record_costs_no_more_than_one_file() {
    let work = Work::new();
    let all = backlog(&work);
    let file = std::fs::metadata(work.stdout(&container(0))).unwrap().len();
    let node = work.node().start();
    let acknowledged = || node.metric("sawlog_collector_acked_bytes_total");
    eventually("all is acknowledged", acknowledged, |bytes| *bytes == all as f64);
    assert_eq!(node.terminate(), Some(0));
    let path = checkpoints(&work);
    flip_bit(&path, length(&path) / 2);
    let node = work.node().start().ready();
    check(&node);
    let lag = || node.metric("sawlog_collector_lag_bytes");
    eventually("at rest", lag, |bytes| *bytes == 0.0);
    let read = node.metric("sawlog_collector_read_bytes_total");
    println!("{read} bytes were read again, a file has about {file}");
    assert!(read < 1.1 * file as f64, "one record costs one file at most");
}

const SMALL_LINES: u32 = 4_000;
const SMALL_KILLS: u32 = 12;
const IN_FLIGHT: u64 = 2 << 20;

/// What a killed process had in flight is sent again, and what was acknowledged since its last checkpoint,
/// which is at most half as much. Nothing is sealed here, so that the log keeps all that was ever sent.
#[test]
fn a_kill_makes_no_more_come_again_than_was_in_flight() {
    let work = Work::new();
    let expected: Vec<_> = (0..CONTAINERS).map(|n| (log(n), 0..SMALL_LINES)).collect();
    for (n, (log, lines)) in (0..CONTAINERS).zip(&expected) {
        append(&work.stdout(&container(n)), &log.lines(lines.clone()));
    }
    let config = work.path().join("sawlog.toml");
    std::fs::write(&config, format!("[collector]\nin_flight_bytes = \"{}KiB\"\n", IN_FLIGHT >> 10))
        .unwrap();
    let setup = work.node().arg("--config", &config);
    let (mut random, mut again) = (Random::from_environment(), Vec::new());
    for _ in 0..SMALL_KILLS {
        life(&setup, &mut random);
        let sent = Received::from_embedded_log(&work.data().join("log"));
        again.push(sent.repeated_bytes);
    }
    let node = setup.start().ready();
    for (n, (log, lines)) in (0..CONTAINERS).zip(&expected) {
        verify_container(&node, &container(n), &[(log, lines.clone())]).assert_exactly();
    }
    assert_lost(&node, &[]);
    assert_eq!(node.metric("sawlog_aggregator_seals_total"), 0.0);
    drop(node);
    let sent = Received::from_embedded_log(&work.data().join("log"));
    again.push(sent.repeated_bytes);
    println!("bytes that had come again after each kill: {again:?}");
    assert!(again.last() > Some(&0), "kills hit something that was in flight");
    // Over all kills so far: what one life sent, the next one need not come to.
    for (kills, bytes) in (0..).zip(&again) {
        assert!(*bytes <= kills * IN_FLIGHT * 3 / 2, "{bytes} after {kills} kills");
    }
    assert_eq!(sent.lost(), Default::default());
}

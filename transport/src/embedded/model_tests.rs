//! Random histories against a model: what was acknowledged is never lost, moved or changed, whatever
//! crashes come between.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::EmbeddedConfig;
use super::log_file;
use super::test_disk::{Fixture, Seen};
use crate::consumer::{Bounds, Consumer};

const PARTITIONS: u32 = 2;

#[derive(Clone, Debug)]
enum Op {
    Append {
        partition: u32,
        bytes: usize,
    },
    /// Waits until everything is acknowledged.
    Sync,
    Reopen,
    Processed {
        partition: u32,
        percent: u64,
    },
    /// The power fails; each partition loses up to so many bytes of what was not synced, and so many
    /// at a place of the rest are zeros.
    Crash {
        drained: bool,
        cut: u64,
        zeros_at: u64,
        zeros: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let crash = (any::<bool>(), 0..400u64, 0..400u64, 0..40u64);
    prop_oneof![
        8 => (0..PARTITIONS, 0..200usize)
            .prop_map(|(partition, bytes)| Op::Append { partition, bytes }),
        2 => Just(Op::Sync),
        1 => Just(Op::Reopen),
        1 => (0..PARTITIONS, 0..=100u64)
            .prop_map(|(partition, percent)| Op::Processed { partition, percent }),
        1 => crash.prop_map(|(drained, cut, zeros_at, zeros)| Op::Crash {
            drained, cut, zeros_at, zeros
        }),
    ]
}

/// What is known of one partition.
#[derive(Default)]
struct Partition {
    /// By offset; the acknowledged ones.
    acked: BTreeMap<u64, Bytes>,
    /// Sent and not yet acknowledged, in order.
    sent: Vec<(u64, Bytes)>,
    /// The offset that the first of `sent` gets.
    next: u64,
    /// Offsets that were shown as missing once and stay so.
    holes: Vec<u64>,
    processed: u64,
}

struct Model {
    log: Fixture,
    partitions: Vec<Partition>,
    /// Makes every message different.
    serial: u64,
}

impl Model {
    fn new(dir: &tempfile::TempDir) -> Self {
        let log = Fixture::open(EmbeddedConfig {
            file_bytes_max: 600,
            sync_bytes: 500,
            sync_delay: Duration::from_secs(3600),
            ..EmbeddedConfig::new(dir.path(), PARTITIONS)
        });
        Self { log, partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(), serial: 0 }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append { partition, bytes } => self.append(partition, bytes),
            Op::Sync => self.sync(),
            Op::Reopen => {
                self.log.reopen();
                self.collect_acks();
                assert!(self.partitions.iter().all(|p| p.sent.is_empty()), "closing syncs");
                self.check();
            }
            Op::Processed { partition, percent } => {
                let known = &mut self.partitions[partition as usize];
                let mut consumer = self.log.log().consumer();
                let high = consumer.bounds(partition).expect("known").high;
                let upto = high * percent / 100;
                known.processed = known.processed.max(upto);
                consumer.processed(partition, upto);
            }
            Op::Crash { drained, cut, zeros_at, zeros } => {
                self.crash(drained, cut, zeros_at, zeros)
            }
        }
    }

    fn append(&mut self, partition: u32, bytes: usize) {
        let mut message = self.serial.to_le_bytes().to_vec();
        message.resize(8 + bytes, partition as u8);
        self.serial += 1;
        let message = Bytes::from(message);
        let tag = self.log.send(partition, message.clone());
        self.partitions[partition as usize].sent.push((tag, message));
    }

    fn sync(&mut self) {
        self.log.log().flush();
        while self.partitions.iter().any(|known| !known.sent.is_empty()) {
            if !self.collect_acks() {
                self.log.log().flush();
                std::thread::yield_now();
            }
        }
        self.check();
    }

    /// Takes the acks that came; each is for the oldest message of its partition and has the next
    /// offset.
    fn collect_acks(&mut self) -> bool {
        let acks = self.log.take_acks();
        let is_any = !acks.is_empty();
        for ack in acks {
            let Ok(position) = ack.result else { continue };
            let known = &mut self.partitions[position.partition as usize];
            let (tag, message) = known.sent.remove(0);
            assert_eq!((tag, known.next), (ack.tag, position.offset));
            known.acked.insert(position.offset, message);
            known.next += 1;
        }
        is_any
    }

    fn crash(&mut self, drained: bool, cut: u64, zeros_at: u64, zeros: u64) {
        while drained && self.log.log().shared.lock().queued_bytes > 0 {
            std::thread::yield_now();
        }
        self.log.disk.kill();
        self.log.close();
        self.collect_acks();
        for partition in 0..PARTITIONS {
            self.damage(partition, cut, zeros_at, zeros);
        }
        self.log.disk.revive();
        self.log.reopen();
        for partition in 0..PARTITIONS {
            self.adopt(partition);
        }
        self.check();
    }

    /// Does to the unsynced end of a partition's last file what a power cut may do.
    fn damage(&self, partition: u32, cut: u64, zeros_at: u64, zeros: u64) {
        let dir = log_file::partition_dir(&self.log.config.dir, partition);
        let last = *log_file::list(&dir).expect("readable").last().expect("one file at least");
        let path = log_file::path(&dir, last);
        let synced = self.log.disk.synced_bytes(&path);
        let file = OpenOptions::new().write(true).open(&path).expect("writable");
        let bytes = fs::metadata(&path).expect("a file").len();
        let left = bytes.saturating_sub(cut).max(synced);
        file.set_len(left).expect("cut");
        let from = (synced + zeros_at).min(left);
        let to = (from + zeros).min(left);
        file.write_all_at(&vec![0; (to - from) as usize], from).expect("written");
    }

    /// After a crash: some of what was sent is there, at the offset it would have had.
    fn adopt(&mut self, partition: u32) {
        let from = self.partitions[partition as usize].next;
        let seen = self.log.read(partition, from);
        let high = self.log.log().consumer().bounds(partition).expect("known").high;
        let known = &mut self.partitions[partition as usize];
        for one in seen {
            match one {
                Seen::Message(offset, message) => {
                    let (_, sent) = &known.sent[(offset - from) as usize];
                    assert_eq!(*sent, message, "offset {offset}");
                    known.acked.insert(offset, message);
                }
                Seen::Missing(from, to) => known.holes.extend(from..to),
            }
        }
        known.next = high;
        known.sent.clear();
    }

    /// Everything that a partition holds. Files are deleted in the background: reads again if that
    /// happened in between.
    fn read_all(&self, partition: u32) -> (Bounds, Vec<Seen>) {
        let consumer = self.log.log().consumer();
        loop {
            let before = consumer.bounds(partition).expect("known");
            let seen = self.log.read(partition, before.low);
            if consumer.bounds(partition).expect("known") == before {
                return (before, seen);
            }
        }
    }

    /// Everything acknowledged and not processed is there, in order, and nothing else.
    fn check(&mut self) {
        self.collect_acks();
        for (partition, known) in (0..).zip(&self.partitions) {
            let (Bounds { low, high }, seen) = self.read_all(partition);
            assert!(low <= known.processed, "{low} is above {}", known.processed);
            if known.sent.is_empty() {
                assert_eq!(high, known.next);
            }
            let mut expected: Vec<Seen> = Vec::new();
            for offset in low..high {
                match (known.acked.get(&offset), expected.last_mut()) {
                    (Some(message), _) => expected.push(Seen::Message(offset, message.clone())),
                    (None, Some(Seen::Missing(_, to))) if *to == offset => *to = offset + 1,
                    (None, _) => {
                        assert!(known.holes.contains(&offset), "offset {offset} is lost");
                        expected.push(Seen::Missing(offset, offset + 1));
                    }
                }
            }
            assert_eq!(seen, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_messages_survive(ops in prop::collection::vec(op(), 1..60)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut model = Model::new(&dir);
        for op in &ops {
            model.apply(op);
        }
        model.sync();
    }
}

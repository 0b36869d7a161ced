//! A spool and a transport with faults: what goes in comes out, or is declared.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use sawlog_transport::memory::{Faults, MemoryTransport};
use sawlog_transport::{Batch, CollectorId, Consumer, Event, PieceKind};

use super::Spool;
use crate::batcher::tests::batch_of;
use crate::config::Config;
use crate::inflight::{Company, ToSpool};
use crate::metrics::Metrics;

struct Setup {
    spool: Spool,
    transport: MemoryTransport,
    metrics: Metrics,
    now: Duration,
}

fn setup(data: &Path, limit: u64, faults: Faults) -> Setup {
    let transport = MemoryTransport::new(1, faults);
    let mut config = Config::new(data, "h");
    config.spool_bytes_max = limit;
    let producer = Arc::new(transport.producer());
    let spool = Spool::open(&config, CollectorId(7), producer, Company::default(), Duration::ZERO)
        .expect("opens");
    let metrics = Metrics::register(&Registry::new()).expect("metrics");
    Setup { spool, transport, metrics, now: Duration::ZERO }
}

impl Setup {
    /// Stores the lines `range`, one a batch, each ten bytes long.
    fn store(&mut self, range: std::ops::Range<u64>, is_spilled: bool) {
        self.spool.begin(self.now).expect("opens");
        for number in range {
            let message = batch_of(&[(1, number * 10, format!("{number:09}\n").as_bytes())]);
            let batch = ToSpool { number, message, source_bytes: 10, is_spilled };
            self.spool.store(batch, self.now, &self.metrics);
        }
    }

    /// Goes on until so many batches are durable.
    fn durable(&mut self, count: usize) {
        let mut durable = BTreeSet::new();
        while durable.len() < count {
            durable.extend(self.spool.receive(self.now, &self.metrics));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(durable.len(), count);
    }

    fn deliver(&mut self) {
        while !self.spool.is_empty() {
            self.now += Duration::from_millis(50);
            self.spool.send(self.now, &self.metrics);
            self.transport.flush();
            self.spool.receive(self.now, &self.metrics);
        }
    }

    /// Where the pieces begin that the transport has, in their order, by kind.
    fn delivered(&self, kind: PieceKind) -> Vec<(u64, u64)> {
        let mut consumer = self.transport.consumer();
        consumer.assign(0, 0).expect("there is one");
        let mut found = Vec::new();
        while let Some(event) = consumer.poll(Duration::ZERO).expect("readable") {
            let Event::Message { message, .. } = event else { continue };
            let runs = Batch::decode(message).expect("a batch").runs.into_iter();
            let pieces = runs.flat_map(|run| run.pieces).filter(|piece| piece.kind == kind);
            found.extend(pieces.map(|piece| (piece.from, piece.to)));
        }
        found
    }
}

#[test]
fn everything_comes_out_through_faults_and_a_restart() {
    let data = tempfile::tempdir().expect("temp dir");
    let faults = Faults {
        seed: 5,
        fail_percent: 20,
        duplicate_percent: 10,
        full_percent: 20,
        ack_delay_sends: 3,
    };
    let mut s = setup(data.path(), 1 << 30, faults);
    s.store(0..200, true);
    s.durable(200);
    drop(s);
    let mut s = setup(data.path(), 1 << 30, faults);
    assert!(!s.spool.is_empty());
    s.store(200..230, true);
    s.durable(30);
    s.deliver();
    let found: BTreeSet<u64> =
        s.delivered(PieceKind::Text).into_iter().map(|(from, _)| from / 10).collect();
    assert_eq!(found, (0..230).collect());
    assert!(s.delivered(PieceKind::OverBudget).is_empty());
    s.now += super::EMPTY_FOR * 2;
    s.spool.receive(s.now, &s.metrics);
    s.now += super::EMPTY_FOR;
    s.spool.receive(s.now, &s.metrics);
    assert!(!data.path().join("spool").exists());
}

#[test]
fn the_oldest_makes_room_and_is_declared_to_the_byte() {
    let data = tempfile::tempdir().expect("temp dir");
    // A batch of one line takes some 300 bytes.
    let mut s = setup(data.path(), 10_000, Faults::default());
    for from in (0..200).step_by(10) {
        s.store(from..from + 10, true);
        s.durable(10);
    }
    s.deliver();
    let lost = s.metrics.lost_bytes.with_label_values(&["budget"]).get();
    let text = s.delivered(PieceKind::Text);
    assert_eq!(text.len() as u64 * 10 + lost, 2000);
    assert!(lost > 1000 && !text.is_empty(), "{lost}");
    let newest: Vec<(u64, u64)> = (lost / 10..200).map(|n| (n * 10, n * 10 + 10)).collect();
    assert_eq!(text, newest, "the newest in order");
    let declared = s.delivered(PieceKind::OverBudget);
    let bytes: BTreeSet<u64> = declared.iter().flat_map(|(from, to)| *from..*to).collect();
    assert_eq!(bytes, (0..lost).collect());
}

/// What is given up for one batch is as much as it needs, and not all that is there.
#[test]
fn a_disk_that_gets_full_costs_the_oldest_and_no_more() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut s = setup(data.path(), 20_000, Faults::default());
    for from in (0..40).step_by(5) {
        s.store(from..from + 5, true);
        s.durable(5);
    }
    let lost = |s: &Setup| s.metrics.lost_bytes.with_label_values(&["budget"]).get();
    assert_eq!(lost(&s), 0);
    s.spool.fill_disk();
    s.store(40..41, true);
    s.durable(1);
    let lost = lost(&s);
    assert!((10..=100).contains(&lost), "{lost} bytes are lost");
    s.deliver();
    assert_eq!(s.delivered(PieceKind::Text).len() as u64 * 10 + lost, 410);
}

#[test]
fn a_batch_without_anything_to_lose_is_stored_where_there_is_no_room() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut s = setup(data.path(), 10, Faults::default());
    s.spool.begin(s.now).expect("opens");
    let message = batch_of(&[]);
    let batch = ToSpool { number: 3, message, source_bytes: 0, is_spilled: true };
    s.spool.store(batch, s.now, &s.metrics);
    s.durable(1);
    s.deliver();
    assert_eq!(s.metrics.lost_bytes.with_label_values(&["budget"]).get(), 0);
}

#[test]
fn a_batch_for_which_there_is_never_room_is_declared_at_once() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut s = setup(data.path(), 10, Faults::default());
    s.store(0..2, true);
    // This one is in flight too: it is declared for the case that this process dies, and not lost yet.
    s.store(2..3, false);
    s.durable(3);
    s.deliver();
    assert_eq!(s.metrics.lost_bytes.with_label_values(&["budget"]).get(), 20);
    assert_eq!(s.delivered(PieceKind::OverBudget).len(), 3);
    assert!(s.delivered(PieceKind::Text).is_empty());
}

/// What the disk has and nobody was told of yet may be in flight too: it is not given up before that is
/// known, and then it is not lost.
#[test]
fn what_is_in_flight_too_is_never_counted_as_lost() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut s = setup(data.path(), 10_000, Faults::default());
    for number in 0..100 {
        s.store(number..number + 1, false);
        // Time for the disk, and no look at what became durable.
        std::thread::sleep(Duration::from_millis(2));
    }
    s.durable(100);
    s.store(100..101, false);
    s.durable(1);
    let bytes = s.metrics.load.spool_bytes.get();
    assert!(bytes <= 12_000, "{bytes} bytes: then the oldest are given up");
    assert_eq!(s.metrics.lost_bytes.with_label_values(&["budget"]).get(), 0);
}

#[test]
fn a_batch_that_is_in_flight_too_is_delivered_only_after_a_restart() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut s = setup(data.path(), 1 << 20, Faults::default());
    s.store(0..1, false);
    s.durable(1);
    s.spool.send(s.now, &s.metrics);
    s.transport.flush();
    assert!(s.delivered(PieceKind::Text).is_empty() && !s.spool.is_empty());
    drop(s);
    let mut s = setup(data.path(), 1 << 20, Faults::default());
    s.deliver();
    assert_eq!(s.delivered(PieceKind::Text), [(0, 10)]);
    drop(s);

    let data = tempfile::tempdir().expect("temp dir");
    let mut s = setup(data.path(), 1 << 20, Faults::default());
    s.store(0..1, false);
    // It may be stored by the transport before the disk has it.
    s.spool.delivered_elsewhere(0);
    s.durable(1);
    assert!(s.spool.is_empty());
}

#[test]
fn damage_costs_what_is_damaged() {
    let data = tempfile::tempdir().expect("temp dir");
    let mut s = setup(data.path(), 1 << 30, Faults::default());
    s.store(0..20, true);
    s.durable(20);
    drop(s);
    let file = data.path().join("spool/0").join(format!("{:020}.log", 0));
    let mut bytes = std::fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&file, &bytes).expect("write");
    let mut s = setup(data.path(), 1 << 30, Faults::default());
    s.deliver();
    assert_eq!(s.delivered(PieceKind::Text).len(), 19);
    assert_eq!(s.metrics.load.spool_errors.get(), 1);
    let nonsense = Bytes::from_static(b"no batch");
    assert!(super::loss::Losses::default().add(nonsense).is_err());
}

//! Batches in flight against a transport whose every answer the test gives.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus::Registry;
use sawlog_transport::{Position, SendError};

use super::*;
use crate::batcher::tests::progress;
use crate::metrics::Metrics;

/// Takes messages until it is full; the test acknowledges.
struct Slow {
    partitions: AtomicU32,
    taken: Mutex<Vec<(u64, AckSender)>>,
    /// Where the messages went.
    used: Mutex<BTreeSet<u32>>,
    room: Mutex<usize>,
}

impl Producer for Slow {
    fn partitions(&self) -> u32 {
        self.partitions.load(Ordering::Relaxed)
    }

    fn send(&self, partition: u32, _: Bytes, tag: u64, acks: &AckSender) -> Result<(), SendError> {
        assert!(partition < self.partitions());
        let mut room = self.room.lock();
        *room = room.checked_sub(1).ok_or(SendError::Full)?;
        self.used.lock().insert(partition);
        self.taken.lock().push((tag, acks.clone()));
        Ok(())
    }
}

impl Slow {
    fn tags(&self) -> Vec<u64> {
        self.taken.lock().iter().map(|(tag, _)| *tag).collect()
    }

    fn ack(&self, tag: u64, ok: bool) {
        let mut taken = self.taken.lock();
        let at = taken.iter().position(|(known, _)| *known == tag).expect("was taken");
        let (tag, acks) = taken.remove(at);
        let failed = SendError::Failed { place: "log".into(), reason: "disk full".into() };
        let position = Position { partition: 0, offset: tag };
        let result = if ok { Ok(position) } else { Err(failed) };
        acks.send(Ack { tag, result }).expect("received");
    }
}

struct Setup {
    producer: Arc<Slow>,
    in_flight: InFlight,
    metrics: Metrics,
}

fn setup(batches: u64, room: usize) -> Setup {
    let (taken, used) = Default::default();
    let producer =
        Arc::new(Slow { partitions: AtomicU32::new(5), taken, used, room: Mutex::new(room) });
    let config = Config::new("/d", "h");
    let mut in_flight =
        InFlight::new(producer.clone(), CollectorId(1), &config, Company::default());
    for number in 0..batches {
        in_flight.push(Encoded {
            number,
            message: Bytes::from_static(b"m"),
            text_bytes: 10,
            source_bytes: 10,
            progress: vec![progress(1, number)],
        });
    }
    let metrics = Metrics::register(&Registry::new()).expect("metrics");
    Setup { producer, in_flight, metrics }
}

impl Setup {
    fn send(&mut self, millis: u64) {
        self.in_flight.send(Duration::from_millis(millis), &self.metrics);
    }

    fn stored(&mut self, millis: u64) -> Vec<u64> {
        let stored = self.in_flight.receive(Duration::from_millis(millis), &self.metrics);
        stored.iter().map(|batch| batch.number).collect()
    }
}

#[test]
fn done_is_contiguous() {
    let mut s = setup(3, 9);
    s.send(0);
    assert_eq!(s.producer.tags(), [0, 1, 2]);
    s.producer.ack(2, true);
    s.producer.ack(1, true);
    assert_eq!(s.stored(0), [] as [u64; 0]);
    assert_eq!(s.in_flight.text_bytes(), 30);
    s.producer.ack(0, true);
    assert_eq!(s.stored(0), [0, 1, 2]);
    assert_eq!((s.in_flight.text_bytes(), s.in_flight.is_empty()), (0, true));
}

/// As with a Kafka whose brokers cannot be reached yet.
#[test]
fn the_partition_is_chosen_once_it_is_known_how_many_there_are() {
    let mut s = setup(3, 9);
    s.producer.partitions.store(0, Ordering::Relaxed);
    s.send(0);
    assert_eq!(s.producer.tags(), [] as [u64; 0]);
    assert!(s.in_flight.is_held_up(), "batches would only become smaller");
    s.producer.partitions.store(1000, Ordering::Relaxed);
    s.send(0);
    assert_eq!(s.producer.tags(), [0, 1, 2]);
    let expected = xxh3_64(&1u128.to_le_bytes()) % 1000;
    let used: Vec<u64> = s.producer.used.lock().iter().map(|p| u64::from(*p)).collect();
    assert_eq!(used, [expected]);
    assert_eq!(s.metrics.send_retries.get(), 0);
}

#[test]
fn a_full_transport_is_asked_again() {
    let mut s = setup(3, 1);
    s.send(0);
    s.send(0);
    assert_eq!(s.producer.tags(), [0]);
    *s.producer.room.lock() = 5;
    s.send(0);
    assert_eq!(s.producer.tags(), [0, 1, 2]);
    assert_eq!(s.metrics.send_retries.get(), 0);
}

#[test]
fn a_failed_batch_is_sent_again_after_a_growing_pause_and_not_overtaken() {
    let mut s = setup(2, 1);
    s.send(0);
    s.producer.ack(0, false);
    assert_eq!(s.stored(0), [] as [u64; 0]);
    *s.producer.room.lock() = 9;
    s.send(99);
    assert_eq!(s.producer.tags(), [] as [u64; 0]);
    s.send(100);
    assert_eq!(s.producer.tags(), [0, 1]);
    s.producer.ack(1, true);
    s.producer.ack(0, false);
    assert_eq!(s.stored(100), [] as [u64; 0]);
    s.send(299);
    assert_eq!(s.producer.tags(), [] as [u64; 0]);
    s.send(300);
    s.producer.ack(0, true);
    assert_eq!(s.stored(300), [0, 1]);
    assert_eq!((s.metrics.send_retries.get(), s.metrics.batches_sent.get()), (2, 4));
}

#[test]
fn what_lies_in_the_spool_is_done_and_still_sent() {
    let mut s = setup(2, 1);
    s.send(0);
    let asked: Vec<u64> = s.in_flight.take_for_spool().iter().map(|one| one.number).collect();
    assert_eq!(asked, [0, 1]);
    assert!(s.in_flight.take_for_spool().is_empty(), "they are on their way");
    s.in_flight.in_spool(1);
    assert_eq!(s.stored(0), [] as [u64; 0]);
    s.in_flight.in_spool(0);
    assert_eq!(s.stored(0), [0, 1]);
    assert!(s.in_flight.is_all_done() && !s.in_flight.is_empty());
    assert_eq!(s.in_flight.text_bytes(), 20, "they are still in memory");
    *s.producer.room.lock() = 9;
    s.send(0);
    s.producer.ack(1, true);
    s.producer.ack(0, true);
    assert_eq!(s.stored(0), [] as [u64; 0]);
    assert_eq!(s.in_flight.take_stored(), [1, 0]);
    assert_eq!((s.in_flight.is_empty(), s.in_flight.text_bytes()), (true, 0));
}

#[test]
fn a_spilled_batch_is_not_sent_and_done_after_those_before_it() {
    let mut s = setup(1, 9);
    let batch = Encoded {
        number: 1,
        message: Bytes::from_static(b"spilled"),
        text_bytes: 10,
        source_bytes: 10,
        progress: vec![progress(1, 1)],
    };
    s.in_flight.push_spilled(batch);
    assert_eq!(s.in_flight.text_bytes(), 10, "it has no part in what may be in flight");
    s.send(0);
    assert_eq!(s.producer.tags(), [0]);
    assert_eq!(s.in_flight.take_for_spool().len(), 2);
    assert!(s.in_flight.spilling_bytes() > 7);
    s.in_flight.in_spool(1);
    assert_eq!((s.stored(0), s.in_flight.spilling_bytes()), (vec![], 0));
    s.producer.ack(0, true);
    assert_eq!(s.stored(0), [0, 1]);
    assert!(s.in_flight.is_empty());
}

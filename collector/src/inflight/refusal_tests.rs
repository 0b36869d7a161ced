//! Batches that the transport refuses as too large: in parts they arrive whole, in order, and nothing is
//! reported done before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use sawlog_transport::memory::{Faults, MemoryTransport};
use sawlog_transport::{Batch, CollectorId, Consumer, Event, Piece, StreamId};

use super::*;
use crate::batcher::tests::{batch_of, progress};
use crate::metrics::Metrics;

const LINES: u64 = 40;
const LINE: usize = 100;

/// A line that nothing compresses.
fn line(number: u64, n: u64) -> Vec<u8> {
    let mut state = (number * LINES + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut line: Vec<u8> = (1..LINE)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'!' + (state >> 11) as u8 % 90
        })
        .collect();
    line.push(b'\n');
    line
}

fn batch(number: u64) -> Encoded {
    let lines: Vec<Vec<u8>> = (0..LINES).map(|n| line(number, n)).collect();
    let at = |n: usize| (number * LINES + n as u64) * LINE as u64;
    let runs: Vec<(u128, u64, &[u8])> =
        lines.iter().enumerate().map(|(n, line)| (1, at(n), &line[..])).collect();
    let bytes = LINES * LINE as u64;
    Encoded {
        number,
        message: batch_of(&runs),
        text_bytes: bytes as usize,
        source_bytes: bytes,
        progress: vec![progress(1, (number + 1) * bytes)],
    }
}

struct Setup {
    transport: MemoryTransport,
    in_flight: InFlight,
    metrics: Metrics,
    now: Duration,
    done: Vec<u64>,
}

impl Setup {
    fn new(faults: Faults) -> Self {
        let transport = MemoryTransport::new(1, faults);
        let config = Config::new("/d", "h");
        let producer = Arc::new(transport.producer());
        Self {
            in_flight: InFlight::new(producer, CollectorId(1), &config, Company::default()),
            transport,
            metrics: Metrics::register(&Registry::new()).expect("metrics"),
            now: Duration::ZERO,
            done: Vec::new(),
        }
    }

    fn step(&mut self) {
        self.in_flight.send(self.now, &self.metrics);
        self.transport.flush();
        let done = self.in_flight.receive(self.now, &self.metrics);
        self.done.extend(done.iter().map(|batch| batch.number));
        self.now += Duration::from_millis(20);
    }

    /// The pieces that are stored, in the order in which they are.
    fn stored(&self) -> Vec<Piece> {
        let mut consumer = self.transport.consumer();
        consumer.assign(0, 0).expect("there");
        let mut pieces = Vec::new();
        while let Some(Event::Message { message, .. }) =
            consumer.poll(Duration::ZERO).expect("it is read")
        {
            let batch = Batch::decode(message).expect("a batch");
            assert!(batch.streams.iter().all(|entry| entry.id == StreamId(1)));
            pieces.extend(batch.runs.into_iter().flat_map(|run| run.pieces));
        }
        pieces
    }

    /// All lines of the first batches are stored, once and in order.
    fn assert_stored(&self, batches: u64) {
        let stored = self.stored();
        assert_eq!(stored.len() as u64, batches * LINES);
        let mut next = 0;
        for piece in stored {
            assert_eq!(piece.from, next);
            next = piece.to;
        }
        assert_eq!(self.done, (0..batches).collect::<Vec<_>>());
        assert!(self.in_flight.is_empty());
        assert_eq!((self.in_flight.text_bytes(), self.in_flight.memory_bytes()), (0, 0));
    }
}

#[test]
fn too_large_batches_arrive_in_parts_in_order_and_are_done_when_all_parts_are() {
    let mut s = Setup::new(Faults::default());
    s.transport.take_at_most(1000);
    (0..3).for_each(|number| s.in_flight.push(batch(number)));
    for step in 0..200 {
        let before = s.in_flight.memory_bytes();
        s.step();
        let lines = s.stored().len() as u64;
        let done = s.done.len() as u64;
        assert!(done * LINES <= lines, "step {step}: {done} done, {lines} lines stored");
        assert!(s.in_flight.memory_bytes() <= before + 3 * batch(0).memory_bytes());
        if s.in_flight.is_empty() {
            break;
        }
    }
    s.assert_stored(3);
    assert!(s.metrics.load.divided_batches.get() >= 9);
    assert!(s.in_flight.refused().is_none());
}

/// Once it is known what is too large, nothing as large is tried for a while.
#[test]
fn what_is_known_to_be_too_large_is_divided_before_it_is_sent() {
    let mut s = Setup::new(Faults::default());
    s.transport.take_at_most(1000);
    s.in_flight.push(batch(0));
    while !s.in_flight.is_empty() {
        s.step();
    }
    let sent = s.metrics.batches_sent.get();
    let first = s.stored().len();
    s.in_flight.push(batch(1));
    while !s.in_flight.is_empty() {
        s.step();
    }
    let mut consumer = s.transport.consumer();
    consumer.assign(0, 0).expect("there");
    let messages = std::iter::from_fn(|| consumer.poll(Duration::ZERO).expect("read")).count();
    assert_eq!(first as u64, LINES);
    let again = s.metrics.batches_sent.get() - sent;
    assert!(again <= messages as u64 / 2 + 1, "{again} were sent for the second batch");
    // Later the whole is tried again, and taken.
    s.transport.take_at_most(usize::MAX);
    s.now += Duration::from_secs(60);
    let sent = s.metrics.batches_sent.get();
    s.in_flight.push(batch(2));
    s.step();
    assert_eq!(s.metrics.batches_sent.get() - sent, 1);
    s.assert_stored(3);
}

#[test]
fn with_every_other_fault_too_each_line_arrives_and_done_stays_contiguous() {
    for seed in 0..20 {
        let faults = Faults {
            seed,
            fail_percent: 20,
            full_percent: 20,
            ack_delay_sends: 3,
            ..Faults::default()
        };
        let mut s = Setup::new(faults);
        s.transport.take_at_most(1500);
        (0..3).for_each(|number| s.in_flight.push(batch(number)));
        while !s.in_flight.is_empty() {
            s.step();
            assert!(s.now < Duration::from_secs(3600), "seed {seed}: it ends");
        }
        let stored: std::collections::BTreeSet<u64> =
            s.stored().iter().map(|piece| piece.from).collect();
        let expected: Vec<u64> = (0..3 * LINES).map(|n| n * LINE as u64).collect();
        assert_eq!(stored.into_iter().collect::<Vec<_>>(), expected, "seed {seed}");
        assert_eq!(s.done, [0, 1, 2]);
    }
}

#[test]
fn a_single_line_that_is_too_large_waits_and_is_told_until_the_limit_is_raised() {
    let mut s = Setup::new(Faults::default());
    s.transport.take_at_most(100);
    (0..2).for_each(|number| s.in_flight.push(batch(number)));
    for _ in 0..500 {
        s.step();
    }
    assert_eq!((s.stored().len(), s.done.len()), (0, 0), "nothing overtakes it");
    let refused = s.in_flight.refused().expect("it is told");
    assert!(refused.bytes > 100 && refused.reason.contains("at most 100 bytes"), "{refused:?}");
    let sent = s.metrics.batches_sent.get();
    assert!(sent < 30, "the pause grows: {sent} were sent");
    s.transport.take_at_most(usize::MAX);
    while !s.in_flight.is_empty() {
        s.step();
    }
    assert!(s.in_flight.refused().is_none());
    s.assert_stored(2);
}

/// The spool gets the whole, whenever it asks, and hears of it when all parts are stored.
#[test]
fn the_spool_has_the_whole_of_what_is_sent_in_parts() {
    let mut s = Setup::new(Faults::default());
    s.transport.take_at_most(1000);
    s.in_flight.push(batch(0));
    while s.metrics.load.divided_batches.get() == 0 {
        s.step();
    }
    let asked = s.in_flight.take_for_spool();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].number, asked[0].message.clone()), (0, batch(0).message));
    s.in_flight.in_spool(0);
    s.step();
    assert_eq!(s.done, [0], "it is done as it lies in the spool");
    assert_eq!(s.in_flight.take_stored(), [] as [u64; 0]);
    while !s.in_flight.is_empty() {
        assert_eq!(s.in_flight.take_stored(), [] as [u64; 0], "not before all of it is stored");
        s.step();
    }
    assert_eq!(s.in_flight.take_stored(), [0]);
    s.assert_stored(1);
}

/// Judges all that is under way together, as a broker does what is written at once.
struct Together {
    most: usize,
    taken: parking_lot::Mutex<Vec<(u64, usize, AckSender)>>,
    stored: parking_lot::Mutex<Vec<usize>>,
}
impl Producer for Together {
    fn partitions(&self) -> u32 {
        1
    }

    fn send(
        &self,
        _: u32,
        message: Bytes,
        tag: u64,
        acks: &AckSender,
    ) -> Result<(), sawlog_transport::SendError> {
        self.taken.lock().push((tag, message.len(), acks.clone()));
        Ok(())
    }
}
impl Together {
    fn answer(&self) {
        let taken = std::mem::take(&mut *self.taken.lock());
        let bytes = taken.iter().map(|(_, bytes, _)| bytes).sum::<usize>();
        for (tag, len, acks) in taken {
            let (place, reason) = (String::new(), String::new());
            let refused =
                sawlog_transport::SendError::RefusedAsTooLarge { place, bytes: len, reason };
            let position = sawlog_transport::Position { partition: 0, offset: 0 };
            let result = if bytes > self.most { Err(refused) } else { Ok(position) };
            self.stored.lock().extend(result.is_ok().then_some(len));
            acks.send(Ack { tag, result }).expect("listens");
        }
    }
}

/// Of several messages that are written at once none may be too large itself.
#[test]
fn what_was_refused_in_company_is_sent_alone_before_it_is_divided() {
    let len = batch(0).message.len();
    let producer =
        Arc::new(Together { most: 3 * len, taken: Default::default(), stored: Default::default() });
    let config = Config::new("/d", "h");
    let mut in_flight =
        InFlight::new(producer.clone(), CollectorId(1), &config, Company::default());
    let metrics = Metrics::register(&Registry::new()).expect("metrics");
    (0..5).for_each(|number| in_flight.push(batch(number)));
    let mut done = Vec::new();
    for _ in 0..6 {
        in_flight.send(Duration::ZERO, &metrics);
        producer.answer();
        done.extend(in_flight.receive(Duration::ZERO, &metrics));
    }
    assert_eq!(done.iter().map(|batch| batch.number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!((producer.stored.lock().len(), metrics.load.divided_batches.get()), (5, 0));
    assert_eq!(metrics.send_retries.get(), 5);
}

/// What is live and what is read back from the spool go to one broker.
#[test]
fn of_two_that_send_at_once_neither_is_alone() {
    let len = batch(0).message.len();
    let producer = Arc::new(Together {
        most: len + len / 2,
        taken: Default::default(),
        stored: Default::default(),
    });
    let (config, company) = (Config::new("/d", "h"), Company::default());
    let sender = |number: u64| {
        let mut sender = InFlight::new(producer.clone(), CollectorId(1), &config, company.clone());
        sender.push(batch(number));
        sender
    };
    let mut senders = [sender(0), sender(1)];
    let metrics = Metrics::register(&Registry::new()).expect("metrics");
    let mut done = 0;
    for _ in 0..4 {
        senders.iter_mut().for_each(|sender| sender.send(Duration::ZERO, &metrics));
        producer.answer();
        for sender in &mut senders {
            done += sender.receive(Duration::ZERO, &metrics).len();
        }
    }
    assert_eq!((done, producer.stored.lock().len()), (2, 2));
    assert_eq!((metrics.load.divided_batches.get(), metrics.send_retries.get()), (0, 2));
    // What goes away unanswered holds up nobody.
    let mut gone = sender(2);
    gone.send(Duration::ZERO, &metrics);
    drop(gone);
    let mut last = sender(3);
    last.send(Duration::ZERO, &metrics);
    assert_eq!(producer.taken.lock().len(), 2);
    drop(producer.taken.lock().remove(0));
    producer.answer();
    assert_eq!(last.receive(Duration::ZERO, &metrics).len(), 1);
}

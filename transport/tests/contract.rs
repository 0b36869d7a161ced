//! What `Producer` and `Consumer` promise, asked of every transport that needs no network.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use sawlog_transport::embedded::{EmbeddedConfig, EmbeddedLog};
use sawlog_transport::limits::MESSAGE_BYTES_MAX;
use sawlog_transport::memory::{Faults, MemoryTransport};
use sawlog_transport::{Ack, Bounds, ConsumeError, Consumer, Event, Position, Producer, SendError};

const PARTITIONS: u32 = 3;

/// A wait that ends as soon as there is an event; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A transport under test.
trait Transport {
    fn producer(&self) -> Box<dyn Producer>;
    fn consumer(&self) -> Box<dyn Consumer>;
    /// Lets all acks come.
    fn flush(&self);
}

struct Embedded {
    log: EmbeddedLog,
    _dir: tempfile::TempDir,
}

impl Transport for Embedded {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(self.log.producer())
    }

    fn consumer(&self) -> Box<dyn Consumer> {
        Box::new(self.log.consumer())
    }

    fn flush(&self) {
        self.log.flush();
    }
}

impl Transport for MemoryTransport {
    fn producer(&self) -> Box<dyn Producer> {
        Box::new(MemoryTransport::producer(self))
    }

    fn consumer(&self) -> Box<dyn Consumer> {
        Box::new(MemoryTransport::consumer(self))
    }

    fn flush(&self) {
        MemoryTransport::flush(self);
    }
}

/// Embedded with files of about ten messages, memory without faults, and memory whose acks come
/// late and in any order.
fn each(test: impl Fn(&dyn Transport)) {
    let dir = tempfile::tempdir().expect("a directory");
    let config =
        EmbeddedConfig { file_bytes_max: 400, ..EmbeddedConfig::new(dir.path(), PARTITIONS) };
    test(&Embedded { log: EmbeddedLog::open(config).expect("opens"), _dir: dir });
    test(&MemoryTransport::new(PARTITIONS, Faults::default()));
    let late = Faults { seed: 7, ack_delay_sends: 5, ..Faults::default() };
    test(&MemoryTransport::new(PARTITIONS, late));
}

fn text(n: u64) -> Bytes {
    Bytes::from(format!("message {n}"))
}

/// Sends `n` messages in turn to all partitions and waits for all acks, by tag.
fn send_all(transport: &dyn Transport, n: u64) -> BTreeMap<u64, Position> {
    let producer = transport.producer();
    let (acks, results): (Sender<Ack>, Receiver<Ack>) = channel();
    for tag in 0..n {
        producer.send(tag as u32 % PARTITIONS, text(tag), tag, &acks).expect("taken");
    }
    drop(acks);
    transport.flush();
    let mut positions = BTreeMap::new();
    for ack in results {
        let position = ack.result.expect("stored");
        assert_eq!(positions.insert(ack.tag, position), None, "tag {} twice", ack.tag);
    }
    assert_eq!(positions.len() as u64, n, "every message is acknowledged");
    positions
}

fn next(consumer: &mut dyn Consumer) -> Event {
    consumer.poll(PATIENCE).expect("readable").expect("an event")
}

fn nothing(consumer: &mut dyn Consumer) {
    let event = consumer.poll(Duration::ZERO).expect("readable");
    assert!(event.is_none(), "{event:?}");
}

/// The next event, which must be a message: its partition, offset and content.
fn next_message(consumer: &mut dyn Consumer) -> (u32, u64, Bytes) {
    match next(consumer) {
        Event::Message { partition, offset, message, stored_at } => {
            assert!(stored_at > 0);
            (partition, offset, message)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_message_is_acknowledged_once_and_read_in_order() {
    each(|transport| {
        let positions = send_all(transport, 100);
        for (tag, position) in &positions {
            let partition = (*tag % u64::from(PARTITIONS)) as u32;
            assert_eq!(*position, Position { partition, offset: tag / u64::from(PARTITIONS) });
        }
        let mut consumer = transport.consumer();
        for partition in 0..PARTITIONS {
            consumer.assign(partition, 0).expect("within the bounds");
        }
        let mut nexts = [0; PARTITIONS as usize];
        for _ in 0..100 {
            let (partition, offset, message) = next_message(&mut *consumer);
            assert_eq!(offset, nexts[partition as usize]);
            nexts[partition as usize] += 1;
            assert_eq!(message, text(offset * u64::from(PARTITIONS) + u64::from(partition)));
        }
        nothing(&mut *consumer);
    });
}

#[test]
fn partitions_take_turns() {
    each(|transport| {
        send_all(transport, 30);
        let mut consumer = transport.consumer();
        for partition in 0..PARTITIONS {
            consumer.assign(partition, 0).expect("within the bounds");
        }
        let order: Vec<u32> = (0..30).map(|_| next_message(&mut *consumer).0).collect();
        for round in order.chunks(PARTITIONS as usize) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2]);
        }
    });
}

#[test]
fn a_waiting_consumer_is_woken() {
    each(|transport| {
        let mut consumer = transport.consumer();
        consumer.assign(1, 0).expect("within the bounds");
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || next_message(&mut *consumer));
            send_all(transport, 2);
            assert_eq!(reader.join().expect("no panic"), (1, 0, text(1)));
        });
    });
}

#[test]
fn bounds_follow_what_is_stored() {
    each(|transport| {
        let consumer = transport.consumer();
        assert_eq!(consumer.partitions(), PARTITIONS);
        assert_eq!(consumer.bounds(2).expect("known"), Bounds { low: 0, high: 0 });
        send_all(transport, 7);
        assert_eq!(consumer.bounds(0).expect("known"), Bounds { low: 0, high: 3 });
        assert_eq!(consumer.bounds(2).expect("known"), Bounds { low: 0, high: 2 });
    });
}

#[test]
fn assign_moves_and_revoke_stops() {
    each(|transport| {
        send_all(transport, 30);
        let mut consumer = transport.consumer();
        consumer.assign(0, 7).expect("within the bounds");
        assert_eq!(next_message(&mut *consumer), (0, 7, text(21)));
        consumer.assign(0, 2).expect("within the bounds");
        assert_eq!(next_message(&mut *consumer), (0, 2, text(6)));
        consumer.revoke(0);
        nothing(&mut *consumer);
        consumer.revoke(99);
        consumer.assign(0, 10).expect("the end is within the bounds");
        nothing(&mut *consumer);
    });
}

#[test]
fn a_paused_partition_keeps_its_place() {
    each(|transport| {
        send_all(transport, 12);
        let mut consumer = transport.consumer();
        consumer.assign(0, 0).expect("within the bounds");
        consumer.assign(1, 3).expect("within the bounds");
        consumer.pause(0, true);
        assert_eq!(next_message(&mut *consumer), (1, 3, text(10)));
        nothing(&mut *consumer);
        consumer.pause(0, false);
        assert_eq!(next_message(&mut *consumer), (0, 0, text(0)));
        consumer.pause(0, true);
        consumer.assign(0, 1).expect("within the bounds");
        assert_eq!(next_message(&mut *consumer), (0, 1, text(3)), "assigning ends the pause");
    });
}

#[test]
fn positions_that_do_not_exist_are_refused() {
    each(|transport| {
        send_all(transport, 3);
        let mut consumer = transport.consumer();
        let error = consumer.assign(0, 2).unwrap_err();
        let ConsumeError::BeyondEnd { partition: 0, position: 2, high: 1 } = error else {
            panic!("{error}");
        };
        let error = consumer.assign(PARTITIONS, 0).unwrap_err();
        assert!(matches!(error, ConsumeError::NoPartition { partition: 3, partitions: 3 }));
        assert!(consumer.bounds(PARTITIONS).is_err());
        consumer.processed(PARTITIONS, 1);
    });
}

#[test]
fn messages_that_cannot_be_sent_are_refused_without_an_ack() {
    each(|transport| {
        let producer = transport.producer();
        assert_eq!(producer.partitions(), PARTITIONS);
        let (acks, results) = channel();
        let refused = producer.send(PARTITIONS, text(0), 1, &acks);
        assert!(matches!(refused, Err(SendError::NoPartition { partition: 3, partitions: 3 })));
        let large = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
        let refused = producer.send(0, large, 2, &acks);
        assert!(matches!(refused, Err(SendError::TooLarge { .. })));
        drop(acks);
        transport.flush();
        assert!(results.recv().is_err(), "the senders are gone and nothing came");
    });
}

#[test]
fn processed_messages_may_go_and_the_rest_stays() {
    each(|transport| {
        send_all(transport, 90);
        let mut consumer = transport.consumer();
        consumer.processed(0, 25);
        // The embedded log deletes in its own time, whole files only.
        while consumer.bounds(0).expect("known").low == 0 {
            std::thread::yield_now();
        }
        let Bounds { low, high } = consumer.bounds(0).expect("known");
        assert!(low <= 25 && high == 30, "{low}..{high}");
        consumer.assign(0, 0).expect("below the bounds is allowed");
        let Event::Missing { partition: 0, from: 0, to, .. } = next(&mut *consumer) else {
            panic!("what is gone is said to be missing");
        };
        assert_eq!(to, low);
        for offset in low..high {
            assert_eq!(next_message(&mut *consumer), (0, offset, text(offset * 3)));
        }
        nothing(&mut *consumer);
        assert_eq!(consumer.bounds(1).expect("known"), Bounds { low: 0, high: 30 });
    });
}

#[test]
fn consumers_have_positions_of_their_own() {
    each(|transport| {
        send_all(transport, 6);
        let (mut one, mut two) = (transport.consumer(), transport.consumer());
        one.assign(0, 0).expect("within the bounds");
        two.assign(0, 0).expect("within the bounds");
        for offset in 0..2 {
            assert_eq!(next_message(&mut *one), (0, offset, text(offset * 3)));
        }
        assert_eq!(next_message(&mut *two), (0, 0, text(0)));
    });
}

#[test]
fn partitions_are_offered_to_who_took_none() {
    each(|transport| {
        let mut consumer = transport.consumer();
        for expected in 0..PARTITIONS {
            let event = next(&mut *consumer);
            assert!(
                matches!(event, Event::Assigned { partition } if partition == expected),
                "{event:?}"
            );
            consumer.assign(expected, 0).expect("within the bounds");
        }
        nothing(&mut *consumer);
    });
}

fn faults() -> impl Strategy<Value = Faults> {
    (any::<u64>(), 0..60u8, 0..60u8, 0..60u8, 0..8usize).prop_map(
        |(seed, fail_percent, duplicate_percent, full_percent, ack_delay_sends)| Faults {
            seed,
            fail_percent,
            duplicate_percent,
            full_percent,
            ack_delay_sends,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the faults: one ack for each message taken, what is said to be stored is there, and
    /// nothing is stored out of order or more than twice.
    #[test]
    fn faults_break_no_promise(faults in faults()) {
        let transport = MemoryTransport::new(1, faults);
        let producer = transport.producer();
        let (acks, results) = channel();
        let mut taken = Vec::new();
        for tag in 0..200 {
            match producer.send(0, text(tag), tag, &acks) {
                Ok(()) => taken.push(tag),
                Err(SendError::Full) => {}
                Err(other) => panic!("{other}"),
            }
        }
        transport.flush();
        let acks: Vec<Ack> = results.try_iter().collect();
        let mut acked: Vec<u64> = acks.iter().map(|ack| ack.tag).collect();
        acked.sort_unstable();
        prop_assert_eq!(&acked, &taken);

        let mut consumer = transport.consumer();
        consumer.assign(0, 0).expect("within the bounds");
        let high = consumer.bounds(0).expect("known").high;
        let stored: Vec<Bytes> = (0..high).map(|_| next_message(&mut consumer).2).collect();
        for ack in &acks {
            if let Ok(position) = &ack.result {
                prop_assert_eq!(&stored[position.offset as usize], &text(ack.tag));
            }
        }
        let mut rest = &stored[..];
        for tag in &taken {
            let copies = rest.iter().take_while(|message| **message == text(*tag)).count();
            let copies_max = if faults.duplicate_percent > 0 { 2 } else { 1 };
            prop_assert!(copies <= copies_max, "{} copies of message {}", copies, tag);
            rest = &rest[copies..];
        }
        prop_assert!(rest.is_empty(), "{rest:?} is out of order");
    }
}

/// The faults happen at all, so that the test above means something.
#[test]
fn faults_happen() {
    let all = Faults {
        seed: 1,
        fail_percent: 30,
        duplicate_percent: 30,
        full_percent: 30,
        ack_delay_sends: 4,
    };
    let transport = MemoryTransport::new(1, all);
    let (acks, results) = channel();
    let sent: Vec<_> =
        (0..200).map(|tag| transport.producer().send(0, text(tag), tag, &acks)).collect();
    transport.flush();
    let full = sent.iter().filter(|result| result.is_err()).count();
    let acks: Vec<Ack> = results.try_iter().collect();
    let failed = acks.iter().filter(|ack| ack.result.is_err()).count();
    let high = transport.consumer().bounds(0).expect("known").high as usize;
    for (what, count) in [("full", full), ("failed", failed)] {
        assert!((30..90).contains(&count), "{count} of 200 were {what}");
    }
    assert!(high + failed > acks.len(), "some were stored twice or though they failed");
    assert!(!acks.is_sorted_by_key(|ack| ack.tag), "acks come in any order");
}

#[test]
fn an_injected_event_is_given_and_obeyed() {
    let transport = MemoryTransport::new(PARTITIONS, Faults::default());
    send_all(&transport, 3);
    let mut consumer = transport.consumer();
    consumer.assign(0, 0).expect("within the bounds");
    transport.inject(Event::Revoked { partition: 0, lost: true });
    assert!(matches!(next(&mut consumer), Event::Revoked { partition: 0, lost: true }));
    nothing(&mut consumer);
}

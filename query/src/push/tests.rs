//! Pushes while the transport is away, or says that it failed.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use sawlog_aggregator::{Aggregator, StoreConfig};
use sawlog_transport::memory::{Faults, MemoryProducer, MemoryTransport};
use sawlog_transport::{Ack, AckSender};

use super::*;

/// Sends on to memory; may not know its partitions yet, may fail and store all the same.
struct Gate {
    inner: MemoryProducer,
    partitions: AtomicU32,
    /// The next message is said to have failed; it is stored right after the one behind it.
    fails: AtomicBool,
    /// Only one of at most so many bytes is.
    fails_below: AtomicUsize,
    late: Mutex<Option<Bytes>>,
}

impl Producer for Gate {
    fn partitions(&self) -> u32 {
        self.partitions.load(Ordering::Relaxed)
    }

    fn send(&self, to: u32, message: Bytes, tag: u64, acks: &AckSender) -> Result<(), SendError> {
        if self.partitions() == 0 {
            return Err(SendError::Full);
        }
        let may_fail = message.len() <= self.fails_below.load(Ordering::Relaxed);
        if may_fail && self.fails.swap(false, Ordering::Relaxed) {
            *self.late.lock() = Some(message);
            let failed = SendError::Failed { place: "gate".into(), reason: "asked for".into() };
            acks.send(Ack { tag, result: Err(failed) }).unwrap();
            return Ok(());
        }
        self.inner.send(to, message, tag, acks)?;
        if let Some(late) = self.late.lock().take() {
            let (nobody, _acks) = std::sync::mpsc::channel();
            self.inner.send(to, late, 0, &nobody)?;
        }
        Ok(())
    }
}

struct Setup {
    gate: Arc<Gate>,
    receiver: Receiver,
    store: Arc<Store>,
    transport: MemoryTransport,
    aggregator: Aggregator,
    dir: tempfile::TempDir,
}

fn setup(partitions: u32) -> Setup {
    start(tempfile::tempdir().unwrap(), partitions)
}

/// With a transport that holds nothing, and the store in `dir`.
fn start(dir: tempfile::TempDir, partitions: u32) -> Setup {
    let config = StoreConfig::new(dir.path().join("store"));
    let (store, sealer) = Store::open(config, &prometheus::Registry::new()).unwrap();
    let transport = MemoryTransport::new(1, Faults::default());
    let gate = Arc::new(Gate {
        inner: transport.producer(),
        partitions: AtomicU32::new(partitions),
        fails: AtomicBool::new(false),
        fails_below: AtomicUsize::new(usize::MAX),
        late: Mutex::new(None),
    });
    let aggregator =
        Aggregator::start(store.clone(), sealer, Box::new(transport.consumer())).unwrap();
    while !store.is_ready() {
        std::thread::yield_now();
    }
    let receiver = Receiver::new(store.clone(), gate.clone(), CollectorId(7), 1);
    Setup { gate, receiver, store, transport, aggregator, dir }
}

fn one_entry() -> Vec<PushedStream> {
    let entry = PushedEntry { time: 1, line: b"x".to_vec(), metadata: Vec::new() };
    let labels = Labels::from_pairs([("app", "pushed")]).unwrap();
    vec![PushedStream { labels, entries: vec![entry] }]
}

/// Lines in the store, once all messages are consumed.
fn lines(setup: &Setup, messages: u64) -> u64 {
    assert!(setup.store.wait_visible(0, messages - 1, Duration::from_secs(60)));
    setup.store.streams().iter().map(|(_, info)| info.lines).sum()
}

fn messages(setup: &Setup) -> u64 {
    use sawlog_transport::Consumer;
    setup.transport.consumer().bounds(0).unwrap().high
}

#[test]
fn a_transport_without_partitions_takes_nothing_and_says_so() {
    let setup = setup(0);
    let refused = setup.receiver.push(one_entry()).unwrap_err();
    assert!(matches!(refused, PushError::NoTransport), "{refused}");
    assert_eq!(messages(&setup), 0);
    setup.gate.partitions.store(1, Ordering::Relaxed);
    assert_eq!(setup.receiver.push(one_entry()).unwrap(), 0);
    assert_eq!((messages(&setup), lines(&setup, 1)), (1, 1));
}

/// What is said to have failed may be stored later than the retry that it caused.
#[test]
fn a_failed_push_that_is_stored_all_the_same_is_not_doubled_by_its_retry() {
    let setup = setup(1);
    setup.gate.fails.store(true, Ordering::Relaxed);
    let failed = setup.receiver.push(one_entry()).unwrap_err();
    assert!(matches!(failed, PushError::Failed(_)), "{failed}");
    assert_eq!(setup.receiver.push(one_entry()).unwrap(), 1, "the retry is known as one");
    assert_eq!(messages(&setup), 2, "what failed was sent again, and came late too");
    assert_eq!(lines(&setup, 2), 1);
}

#[test]
fn what_is_under_way_after_its_answer_is_bounded() {
    let setup = setup(1);
    setup.receiver.unsettled.lock().pushes = UNSETTLED_MAX;
    let refused = setup.receiver.push(one_entry()).unwrap_err();
    assert!(matches!(refused, PushError::NoTransport), "{refused}");
    *setup.receiver.unsettled.lock() = Unsettled { pushes: 0, bytes: UNSETTLED_BYTES_MAX };
    assert!(matches!(setup.receiver.push(one_entry()), Err(PushError::NoTransport)));
    assert_eq!(messages(&setup), 0);
}

/// As with a topic that was deleted and made anew: what is pushed into it cannot be found again.
#[test]
fn a_push_into_a_partition_that_waits_is_refused() {
    let mut setup = setup(1);
    assert_eq!(setup.receiver.push(one_entry()).unwrap(), 0);
    let Setup { aggregator, dir, .. } = setup;
    aggregator.stop();
    drop((setup.receiver, setup.store));
    setup = start(dir, 1);
    assert_eq!(setup.store.waiting_partitions(), [(0, 1)].into());
    for _ in 0..2 {
        let refused = setup.receiver.push(one_entry()).unwrap_err();
        assert!(matches!(refused, PushError::Waiting { partition: 0 }), "{refused}");
        assert!(refused.to_string().contains("partition 0"), "{refused}");
    }
    assert_eq!(messages(&setup), 0);
}

#[test]
fn what_is_not_settled_has_a_reason_for_the_log() {
    let setup = setup(1);
    let mut sent = InFlight::new(setup.store.clone(), setup.gate.clone(), 0);
    setup.gate.fails.store(true, Ordering::Relaxed);
    sent.send_all(vec![Bytes::from_static(b"no batch")]).unwrap();
    assert!(!sent.settle(Duration::from_secs(60)));
    sent.take_failure().unwrap();
    assert!(sent.reason().contains("asked for"), "{}", sent.reason());

    setup.aggregator.stop();
    let mut sent = InFlight::new(setup.store.clone(), setup.gate.clone(), 0);
    sent.send_all(vec![Bytes::from_static(b"no batch")]).unwrap();
    assert!(!sent.settle(Duration::from_millis(1)));
    assert!(sent.reason().contains("not consumed"), "{}", sent.reason());
}

/// Lines that nothing compresses, each with a time of its own.
fn noise(lines: usize, bytes: usize) -> Vec<PushedStream> {
    let mut state = 1u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'!' + (state >> 11) as u8 % 90
    };
    let mut one = one_entry().remove(0);
    one.entries = (1..=lines)
        .map(|n| {
            let line = (0..bytes).map(|_| byte()).collect();
            PushedEntry { time: n as i64, line, metadata: Vec::new() }
        })
        .collect();
    vec![one]
}

#[test]
fn a_push_of_20_megabytes_is_stored_in_batches_and_a_line_of_two_is_refused() {
    let setup = setup(1);
    assert_eq!(setup.receiver.push(noise(200, 100_000)).unwrap(), 0);
    let batches = messages(&setup);
    assert!(batches > 20, "{batches}");
    assert_eq!(lines(&setup, batches), 200);
    let refused = setup.receiver.push(noise(1, 2_000_000)).unwrap_err();
    assert!(matches!(refused, PushError::LineTooLong { found: 2_000_000, .. }), "{refused}");
    assert_eq!(messages(&setup), batches);
}

#[test]
fn what_the_transport_refuses_as_too_large_is_stored_in_parts() {
    let setup = setup(1);
    setup.transport.take_at_most(100_000);
    assert_eq!(setup.receiver.push(noise(60, 20_000)).unwrap(), 0);
    let parts = messages(&setup);
    assert!(parts >= 12, "{parts}");
    assert_eq!(lines(&setup, parts), 60);
    assert_eq!(setup.receiver.push(noise(60, 20_000)).unwrap(), 60, "all is known as a retry");
}

/// What can never be stored is told at once, and nothing waits for it.
#[test]
fn a_line_that_the_transport_refuses_is_told_and_holds_nobody_up() {
    let setup = setup(1);
    setup.transport.take_at_most(100_000);
    let mut streams = noise(3, 20_000);
    streams[0].entries[1].line = noise(1, 200_000).remove(0).entries.remove(0).line;
    for _ in 0..2 {
        let refused = setup.receiver.push(streams.clone()).unwrap_err();
        assert!(matches!(refused, PushError::TooLarge(_)), "{refused}");
        assert_eq!(setup.receiver.unsettled.lock().pushes, 0);
    }
    let stored = messages(&setup);
    assert_eq!(lines(&setup, stored), 2, "the others are there, once");
    setup.transport.take_at_most(1_000_000);
    assert_eq!(setup.receiver.push(streams).unwrap(), 2);
    let stored = messages(&setup);
    assert_eq!(lines(&setup, stored), 3);
}

/// Nobody sends again what was answered with that: first all else is to be there.
#[test]
fn a_line_that_is_too_large_is_told_only_when_the_others_are_stored() {
    let setup = setup(1);
    setup.transport.take_at_most(100_000);
    let mut streams = noise(3, 20_000);
    streams[0].entries[2].line = noise(1, 200_000).remove(0).entries.remove(0).line;
    setup.gate.fails_below.store(100_000, Ordering::Relaxed);
    setup.gate.fails.store(true, Ordering::Relaxed);
    let failed = setup.receiver.push(streams.clone()).unwrap_err();
    assert!(matches!(failed, PushError::Failed(_)), "{failed}");
    let refused = setup.receiver.push(streams).unwrap_err();
    assert!(matches!(refused, PushError::TooLarge(_)), "{refused}");
    let stored = messages(&setup);
    assert_eq!(lines(&setup, stored), 2, "the others are there, once");
}

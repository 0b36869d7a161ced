//! The consuming thread against a transport in memory: back-pressure, partitions that come late or
//! wait, and whose positions a store's are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sawlog_transport::memory::{Faults, MemoryConsumer, MemoryTransport};
use sawlog_transport::{Bounds, ConsumeError, Consumer, Event, Producer};

use crate::store_tests::message;
use crate::{Aggregator, Clock, Store, StoreConfig, StoreError};

/// How long anything may take before a test gives up. Not a measure: machines are slow at times.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn eventually(what: &str, right: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !right() {
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a test sees and sets of a [`Watched`] consumer.
#[derive(Default)]
struct Watch {
    polls: AtomicU64,
    paused: Mutex<BTreeSet<u32>>,
    /// Partitions that the transport knows, and how many of them it offers.
    known: AtomicU32,
    offered: AtomicU32,
    /// Partitions without a leader: they cannot be asked.
    leaderless: Mutex<BTreeSet<u32>>,
}

impl Watch {
    fn of(known: u32, offered: u32) -> Arc<Self> {
        Arc::new(Self { known: known.into(), offered: offered.into(), ..Self::default() })
    }

    /// Waits for some polls more.
    fn polls_on(&self) {
        let before = self.polls.load(Ordering::Relaxed);
        eventually("polled on", || self.polls.load(Ordering::Relaxed) >= before + 5);
    }
}

struct Watched {
    inner: MemoryConsumer,
    next_offer: u32,
    watch: Arc<Watch>,
}

impl Consumer for Watched {
    fn partitions(&self) -> u32 {
        self.watch.known.load(Ordering::Relaxed)
    }

    fn assign(&mut self, partition: u32, from: u64) -> Result<(), ConsumeError> {
        self.inner.assign(partition, from)
    }

    fn revoke(&mut self, partition: u32) {
        self.inner.revoke(partition);
    }

    fn pause(&mut self, partition: u32, paused: bool) {
        self.inner.pause(partition, paused);
        let mut all = self.watch.paused.lock();
        let _changed: bool = if paused { all.insert(partition) } else { all.remove(&partition) };
    }

    fn poll(&mut self, timeout: Duration) -> Result<Option<Event>, ConsumeError> {
        self.watch.polls.fetch_add(1, Ordering::Relaxed);
        let partition = self.next_offer;
        if partition < self.watch.offered.load(Ordering::Relaxed) {
            self.next_offer += 1;
            return Ok(Some(Event::Assigned { partition }));
        }
        if self.next_offer == 0 {
            std::thread::sleep(timeout);
            return Ok(None);
        }
        self.inner.poll(timeout)
    }

    fn bounds(&self, partition: u32) -> Result<Bounds, ConsumeError> {
        if self.watch.leaderless.lock().contains(&partition) {
            let (place, reason) = (format!("partition {partition}"), "no leader".to_owned());
            return Err(ConsumeError::Failed { place, reason });
        }
        self.inner.bounds(partition)
    }

    fn processed(&mut self, partition: u32, upto: u64) {
        self.inner.processed(partition, upto);
    }
}

/// A store in a directory of its own, and a transport.
struct Bed {
    dir: tempfile::TempDir,
    transport: MemoryTransport,
    registry: prometheus::Registry,
    /// The bytes of the one file of each partition.
    sent: Mutex<Vec<u64>>,
}

impl Bed {
    fn new(partitions: u32) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            transport: MemoryTransport::new(partitions, Faults::default()),
            registry: prometheus::Registry::new(),
            sent: Mutex::new(vec![0; partitions as usize]),
        }
    }

    fn config(&self) -> StoreConfig {
        StoreConfig::new(self.dir.path().join("store"))
    }

    /// Another process' start.
    fn start(&mut self, config: StoreConfig, watch: &Arc<Watch>) -> (Arc<Store>, Aggregator) {
        self.registry = prometheus::Registry::new();
        let (store, sealer) = Store::open(config, &self.registry).unwrap();
        let inner = self.transport.consumer();
        let consumer = Watched { inner, next_offer: 0, watch: watch.clone() };
        let aggregator = Aggregator::start(store.clone(), sealer, Box::new(consumer)).unwrap();
        (store, aggregator)
    }

    fn send(&self, partition: u32, message: Bytes) {
        let (acks, stored) = channel();
        self.transport.producer().send(partition, message, 0, &acks).unwrap();
        self.transport.flush();
        stored.recv().unwrap().result.unwrap();
    }

    /// The next line of a partition's one stream.
    fn send_line(&self, partition: u32, line: &str) {
        let from = self.sent.lock()[partition as usize];
        self.sent.lock()[partition as usize] += line.len() as u64 + 1;
        self.send(partition, message(u128::from(partition), 1, from, &[line.as_bytes()]));
    }

    fn send_newer(&self, partition: u32) {
        let mut newer = message(99, 1, 0, &[b"from the future"]).to_vec();
        newer[4] = 200;
        let crc = crc32c::crc32c(&newer[..76]);
        newer[76..80].copy_from_slice(&crc.to_le_bytes());
        self.send(partition, newer.into());
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        family.get_metric()[0].get_gauge().get_value()
    }

    fn waiting(&self) -> f64 {
        self.metric("sawlog_aggregator_waiting_partitions")
    }
}

fn lines(store: &Store) -> u64 {
    store.streams().iter().map(|(_, info)| info.lines).sum()
}

/// A clock on which the sealing thread hangs for as long as a test wants.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn close(&self, closed: bool) {
        *self.0.lock() = closed;
        self.1.notify_all();
    }

    fn clock(self: &Arc<Self>) -> Clock {
        let gate = self.clone();
        let wall = move || {
            let mut closed = gate.0.lock();
            gate.1.wait_while(&mut closed, |closed| *closed);
            1_700_000_000_000_000_000
        };
        Clock::new(wall, || 0)
    }
}

#[test]
fn during_a_slow_seal_memory_is_bounded_polling_goes_on_and_nothing_is_lost() {
    const SEAL_BYTES: usize = 8 << 10;
    const LINES: u32 = 400;
    let mut bed = Bed::new(2);
    let gate = Arc::new(Gate::default());
    let config = StoreConfig { seal_bytes: SEAL_BYTES, clock: gate.clock(), ..bed.config() };
    let watch = Watch::of(2, 2);
    let (store, aggregator) = bed.start(config, &watch);
    gate.close(true);
    for n in 0..LINES {
        bed.send_line(n % 2, &format!("line {n} {}", "x".repeat(200)));
    }
    eventually("paused", || watch.paused.lock().len() == 2);
    watch.polls_on();
    let memory = store.data.read().hot_bytes;
    assert!((1..SEAL_BYTES + 2048).contains(&memory), "{memory} bytes are hot");
    assert!(lines(&store) < u64::from(LINES) / 2, "the rest waits in the transport");
    gate.close(false);
    eventually("all was consumed", || lines(&store) == u64::from(LINES));
    eventually("resumed", || watch.paused.lock().is_empty());
    aggregator.stop();
    assert_eq!((store.position(0), store.position(1)), (200, 200));
}

#[test]
fn a_newer_message_makes_its_partition_wait_and_no_other_also_after_a_restart() {
    let mut bed = Bed::new(3);
    for partition in 0..3 {
        bed.send_line(partition, "first");
    }
    bed.send_newer(1);
    for partition in 0..3 {
        bed.send_line(partition, "second");
    }
    let watch = Watch::of(3, 3);
    let config = bed.config();
    let (store, aggregator) = bed.start(config.clone(), &watch);
    eventually("ready", || store.is_ready());
    eventually("the others' lines", || lines(&store) == 5);
    assert_eq!((store.position(1), bed.waiting()), (1, 1.0));
    assert_eq!(store.waiting_partitions(), [(1, 1)].into());
    assert!(store.is_waiting(1) && !store.is_waiting(0));
    aggregator.stop();
    drop(store);

    let (store, _aggregator) = bed.start(config, &watch);
    bed.send_line(0, "third");
    bed.send_line(2, "third");
    eventually("the others' lines", || lines(&store) == 7);
    eventually("waits again", || bed.waiting() == 1.0);
    assert_eq!(store.position(1), 1);
}

#[test]
fn a_store_is_not_ready_before_the_transport_knows_and_gave_its_partitions() {
    let mut bed = Bed::new(2);
    bed.send_line(0, "of the first");
    bed.send_line(1, "of the second");
    let watch = Watch::of(0, 0);
    let (store, _aggregator) = bed.start(bed.config(), &watch);
    watch.polls_on();
    assert!(!store.is_ready(), "no partition is known");
    watch.known.store(2, Ordering::Relaxed);
    watch.offered.store(1, Ordering::Relaxed);
    eventually("the first partition", || lines(&store) == 1);
    watch.polls_on();
    assert!(!store.is_ready(), "the second partition is not assigned");
    watch.offered.store(2, Ordering::Relaxed);
    eventually("ready", || store.is_ready());
    assert_eq!(lines(&store), 2, "what was there is replayed");
}

#[test]
fn a_partition_that_is_added_is_read_from_its_start() {
    let mut bed = Bed::new(2);
    bed.send_line(0, "of the first");
    bed.send_line(1, "of the second");
    let watch = Watch::of(1, 1);
    let (store, _aggregator) = bed.start(bed.config(), &watch);
    eventually("ready", || store.is_ready());
    watch.polls_on();
    assert_eq!(lines(&store), 1);
    watch.known.store(2, Ordering::Relaxed);
    watch.offered.store(2, Ordering::Relaxed);
    eventually("the added one", || lines(&store) == 2);
    assert!(store.is_ready());
}

/// As where two of three brokers are away that hold one partition.
#[test]
fn a_partition_without_a_leader_holds_up_nobody_and_is_read_when_it_has_one() {
    let mut bed = Bed::new(3);
    for partition in 0..3 {
        bed.send_line(partition, "a line");
    }
    let watch = Watch::of(3, 3);
    watch.leaderless.lock().insert(0);
    let (store, _aggregator) = bed.start(bed.config(), &watch);
    eventually("the others", || lines(&store) == 2);
    watch.polls_on();
    assert!(!store.is_ready(), "what is in partition 0 is not known");
    bed.send_line(1, "another");
    eventually("what comes later", || lines(&store) == 3);
    watch.leaderless.lock().clear();
    eventually("all of them", || lines(&store) == 4 && store.is_ready());
}

/// As with a topic that was deleted and made anew under its old name.
#[test]
fn a_partition_that_ends_before_the_stores_position_waits() {
    let mut bed = Bed::new(2);
    bed.send_line(0, "first");
    bed.send_line(0, "second");
    let watch = Watch::of(2, 2);
    let config = bed.config();
    let (store, aggregator) = bed.start(config.clone(), &watch);
    eventually("consumed", || lines(&store) == 2);
    aggregator.stop();
    drop(store);

    bed.transport = MemoryTransport::new(2, Faults::default());
    bed.send_line(0, "third");
    bed.send_line(1, "other");
    let (store, _aggregator) = bed.start(config, &watch);
    eventually("the other partition", || lines(&store) == 3);
    assert_eq!((store.position(0), bed.waiting()), (2, 1.0));
    assert_eq!(store.waiting_partitions(), [(0, 2)].into());
}

fn open(config: &StoreConfig) -> Arc<Store> {
    Store::open(config.clone(), &prometheus::Registry::new()).unwrap().0
}

#[test]
fn a_store_belongs_to_the_log_that_filled_it() {
    let bed = Bed::new(1);
    let config = bed.config();
    let topic = "kafka cluster=c1 topic=t1";
    assert_eq!(open(&config).source().unwrap(), None);
    open(&config).bind_source(topic).unwrap();
    let store = open(&config);
    assert_eq!(store.source().unwrap().as_deref(), Some(topic));
    store.bind_source(topic).unwrap();
    let refused = store.bind_source("kafka cluster=c2 topic=t1").unwrap_err();
    assert!(matches!(refused, StoreError::Source { .. }));
    let text = refused.to_string();
    assert!(
        text.contains(topic) && text.contains("cluster=c2") && text.contains("--data"),
        "{text}"
    );
    assert_eq!(store.source().unwrap().as_deref(), Some(topic), "a refusal changes nothing");

    let file = config.dir.join("source");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{topic}\n"));
    for damage in ["", "kafka cluster=c1", "two\nlines\n"] {
        std::fs::write(&file, damage).unwrap();
        assert!(matches!(store.source(), Err(StoreError::Damaged { .. })), "{damage:?}");
    }
}

/// Stores of older builds have no file.
#[test]
fn a_store_with_messages_and_no_source_is_an_embedded_logs() {
    let mut bed = Bed::new(1);
    bed.send_line(0, "line");
    let (store, aggregator) = bed.start(bed.config(), &Watch::of(1, 1));
    eventually("consumed", || lines(&store) == 1);
    aggregator.stop();
    drop(store);
    let store = open(&bed.config());
    assert_eq!(store.source().unwrap().as_deref(), Some(crate::EMBEDDED_SOURCE));
    assert!(store.bind_source("kafka cluster=c topic=t").is_err());
    store.bind_source(crate::EMBEDDED_SOURCE).unwrap();
    assert!(bed.config().dir.join("source").exists(), "now it is written down");
}

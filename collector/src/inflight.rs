//! Batches on their way to the transport: sent in order, sent again after a failure, and reported
//! done only contiguously. One that lies in the spool is done too: it will survive us.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::{Ack, AckSender, CollectorId, Producer, SendError};
use xxhash_rust::xxh3::xxh3_64;

use crate::batcher::Encoded;
use crate::checkpoint::Progress;
use crate::config::Config;
use crate::metrics::Metrics;

/// The batches that are not acknowledged.
pub(crate) struct InFlight {
    producer: Arc<dyn Producer>,
    /// What chooses the partition, once it is known how many there are.
    id_hash: u64,
    acks: AckSender,
    arrived: mpsc::Receiver<Ack>,
    /// By number: those not done, not reported, or that the transport has not stored.
    batches: BTreeMap<u64, Sent>,
    /// Their numbers, until they are reported done, in the order in which they came.
    unreported: VecDeque<u64>,
    /// Batches of the spool that the transport has stored since they were asked for last.
    stored: Vec<u64>,
    text_bytes: usize,
    memory_bytes: usize,
    spilling_bytes: usize,
    resend_after: Duration,
    resend_after_max: Duration,
}

struct Sent {
    message: Bytes,
    text_bytes: usize,
    memory_bytes: usize,
    source_bytes: u64,
    progress: Vec<Progress>,
    state: State,
    spool: InSpool,
    /// The spool alone will bring it to the transport.
    is_spilled: bool,
    failures: u32,
}

/// A batch that survives this process, whatever becomes of its files.
#[derive(Debug)]
pub(crate) struct Done {
    #[cfg(test)]
    pub number: u64,
    /// Bytes of files that it accounts for.
    pub source_bytes: u64,
    pub progress: Vec<Progress>,
}

/// A batch on its way into the spool.
pub(crate) struct ToSpool {
    pub number: u64,
    pub message: Bytes,
    pub source_bytes: u64,
    /// The spool alone is to bring it to the transport.
    pub is_spilled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent, not before this moment (monotonic).
    Waiting(Duration),
    /// The transport has it.
    Taken,
    Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InSpool {
    No,
    Asked,
    Yes,
}

impl Sent {
    fn new(batch: Encoded, is_spilled: bool) -> Self {
        Self {
            memory_bytes: batch.memory_bytes(),
            message: batch.message,
            text_bytes: batch.text_bytes,
            source_bytes: batch.source_bytes,
            progress: batch.progress,
            state: State::Waiting(Duration::ZERO),
            spool: InSpool::No,
            is_spilled,
            failures: 0,
        }
    }

    fn is_done(&self) -> bool {
        self.state == State::Stored || self.spool == InSpool::Yes
    }

    /// Whether nothing is left to do but to report it.
    fn is_over(&self) -> bool {
        self.state == State::Stored || (self.is_spilled && self.spool == InSpool::Yes)
    }
}

impl InFlight {
    pub(crate) fn new(
        producer: Arc<dyn Producer>,
        collector: CollectorId,
        config: &Config,
    ) -> Self {
        let (acks, arrived) = mpsc::channel();
        Self {
            producer,
            id_hash: xxh3_64(&collector.0.to_le_bytes()),
            acks,
            arrived,
            batches: BTreeMap::new(),
            unreported: VecDeque::new(),
            stored: Vec::new(),
            text_bytes: 0,
            memory_bytes: 0,
            spilling_bytes: 0,
            resend_after: config.resend_after,
            resend_after_max: config.resend_after_max,
        }
    }

    /// Text of the batches for the transport that are not done or that it has not stored, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// What these batches take in memory, in bytes: of many quiet files, most of it is not text.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// What the batches take that are for the spool alone and not in it yet, in bytes.
    pub(crate) fn spilling_bytes(&self) -> usize {
        self.spilling_bytes
    }

    /// Whether a batch waits to be taken by the transport: more of them would only be smaller.
    pub(crate) fn is_held_up(&self) -> bool {
        let waits = |sent: &Sent| matches!(sent.state, State::Waiting(_)) && !sent.is_spilled;
        self.batches.values().any(waits)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether every batch is stored or lies in the spool.
    pub(crate) fn is_all_done(&self) -> bool {
        self.unreported.is_empty()
    }

    /// Takes the next batch; [`Self::send`] sends it.
    pub(crate) fn push(&mut self, batch: Encoded) {
        self.text_bytes += batch.text_bytes;
        self.memory_bytes += batch.memory_bytes();
        self.insert(batch, false);
    }

    /// Takes the next batch, which only the spool is to have.
    pub(crate) fn push_spilled(&mut self, batch: Encoded) {
        self.spilling_bytes += batch.memory_bytes();
        self.insert(batch, true);
    }

    fn insert(&mut self, batch: Encoded, is_spilled: bool) {
        self.unreported.push_back(batch.number);
        self.batches.insert(batch.number, Sent::new(batch, is_spilled));
    }

    /// The batches that are neither stored nor on their way into the spool, oldest first; from here
    /// on they are.
    pub(crate) fn take_for_spool(&mut self) -> Vec<ToSpool> {
        let fresh = self
            .batches
            .iter_mut()
            .filter(|(_, sent)| sent.spool == InSpool::No && sent.state != State::Stored);
        let asked = fresh.map(|(number, sent)| {
            sent.spool = InSpool::Asked;
            ToSpool {
                number: *number,
                message: sent.message.clone(),
                source_bytes: sent.source_bytes,
                is_spilled: sent.is_spilled,
            }
        });
        asked.collect()
    }

    /// A batch lies in the spool.
    pub(crate) fn in_spool(&mut self, number: u64) {
        let Some(sent) = self.batches.get_mut(&number) else { return };
        sent.spool = InSpool::Yes;
        if sent.is_spilled {
            sent.message = Bytes::new();
            self.spilling_bytes -= std::mem::take(&mut sent.memory_bytes);
        }
    }

    /// The batches of the spool that the transport has stored, since the last call.
    pub(crate) fn take_stored(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stored)
    }

    /// The partition of all batches; `None` while the transport does not know its partitions.
    fn partition(&self) -> Option<u32> {
        let partitions = u64::from(self.producer.partitions());
        let partition = self.id_hash.checked_rem(partitions)?;
        u32::try_from(partition).ok()
    }

    /// Sends what is due, in order: nothing overtakes a batch that waits to be sent again.
    pub(crate) fn send(&mut self, now: Duration, metrics: &Metrics) {
        let Some(partition) = self.partition() else { return };
        for (number, sent) in self.batches.iter_mut().filter(|(_, sent)| !sent.is_spilled) {
            match sent.state {
                State::Waiting(due) if due > now => return,
                State::Waiting(_) => {}
                State::Taken | State::Stored => continue,
            }
            fail::fail_point!("collector::before_send");
            match self.producer.send(partition, sent.message.clone(), *number, &self.acks) {
                Ok(()) => {
                    sent.state = State::Taken;
                    metrics.batches_sent.inc();
                }
                Err(SendError::Full) => return,
                Err(error) => {
                    let pause = (self.resend_after, self.resend_after_max);
                    sent.failed(*number, &error, now, pause, metrics);
                    return;
                }
            }
        }
    }

    /// Takes in acknowledgements; gives the batches up to which everything is now done, oldest
    /// first.
    pub(crate) fn receive(&mut self, now: Duration, metrics: &Metrics) -> Vec<Done> {
        while let Ok(ack) = self.arrived.try_recv() {
            let Some(sent) = self.batches.get_mut(&ack.tag) else { continue };
            match ack.result {
                Ok(_) => self.store(ack.tag),
                Err(_) if sent.state == State::Stored => {}
                Err(error) => {
                    let pause = (self.resend_after, self.resend_after_max);
                    sent.failed(ack.tag, &error, now, pause, metrics);
                }
            }
        }
        self.report()
    }

    fn store(&mut self, number: u64) {
        let Some(sent) = self.batches.get_mut(&number) else { return };
        sent.state = State::Stored;
        if sent.spool != InSpool::No {
            self.stored.push(number);
        }
        if self.unreported.front().is_none_or(|first| *first > number) {
            self.remove(number);
        }
    }

    fn report(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        while let Some(number) = self.unreported.front().copied() {
            let Some(sent) = self.batches.get_mut(&number).filter(|sent| sent.is_done()) else {
                break;
            };
            self.unreported.pop_front();
            done.push(Done {
                #[cfg(test)]
                number,
                source_bytes: sent.source_bytes,
                progress: std::mem::take(&mut sent.progress),
            });
            if sent.is_over() {
                self.remove(number);
            }
        }
        done
    }

    fn remove(&mut self, number: u64) {
        let Some(sent) = self.batches.remove(&number) else { return };
        if !sent.is_spilled {
            self.text_bytes -= sent.text_bytes;
            self.memory_bytes -= sent.memory_bytes;
        }
    }
}

impl Sent {
    fn failed(
        &mut self,
        number: u64,
        error: &SendError,
        now: Duration,
        (pause, longest): (Duration, Duration),
        metrics: &Metrics,
    ) {
        let pause = pause.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(now + pause);
        metrics.send_retries.inc();
        // An outage would otherwise fill the log: the 1st, 2nd, 4th, 8th, … failure is told.
        if self.failures.is_power_of_two() {
            let failures = self.failures;
            tracing::warn!(
                batch = number,
                failures,
                ?pause,
                "a batch was not stored, it is sent again: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU32, Ordering};

    use bytes::Bytes;
    use parking_lot::Mutex;
    use prometheus::Registry;
    use sawlog_transport::Position;

    use super::*;
    use crate::batcher::tests::progress;

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

        fn send(
            &self,
            partition: u32,
            _: Bytes,
            tag: u64,
            acks: &AckSender,
        ) -> Result<(), SendError> {
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
        let mut in_flight = InFlight::new(producer.clone(), CollectorId(1), &config);
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
}

//! Batches on their way to the transport: sent in order, sent again after a failure, and reported
//! done only contiguously.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sawlog_transport::{Ack, AckSender, CollectorId, Producer, SendError};
use xxhash_rust::xxh3::xxh3_64;

use crate::batcher::Encoded;
use crate::config::Config;
use crate::metrics::Metrics;

/// The batches that are not acknowledged.
pub(crate) struct InFlight {
    producer: Arc<dyn Producer>,
    /// What chooses the partition, once it is known how many there are.
    id_hash: u64,
    acks: AckSender,
    arrived: mpsc::Receiver<Ack>,
    /// In order of their numbers, without gaps.
    batches: VecDeque<Sent>,
    text_bytes: usize,
    memory_bytes: usize,
    resend_after: Duration,
    resend_after_max: Duration,
}

struct Sent {
    batch: Encoded,
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent, not before this moment (monotonic).
    Waiting(Duration),
    /// The transport has it.
    Taken,
    Stored,
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
            batches: VecDeque::new(),
            text_bytes: 0,
            memory_bytes: 0,
            resend_after: config.resend_after,
            resend_after_max: config.resend_after_max,
        }
    }

    /// Text not acknowledged, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// What the batches take in memory, in bytes: of many quiet files, most of it is not text.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Whether a batch waits to be taken by the transport: more of them would only be smaller.
    pub(crate) fn is_held_up(&self) -> bool {
        self.batches.iter().any(|sent| matches!(sent.state, State::Waiting(_)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Takes the next batch; [`Self::send`] sends it.
    pub(crate) fn push(&mut self, batch: Encoded) {
        self.text_bytes += batch.text_bytes;
        self.memory_bytes += batch.memory_bytes();
        let state = State::Waiting(Duration::ZERO);
        self.batches.push_back(Sent { batch, state, failures: 0 });
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
        for sent in &mut self.batches {
            match sent.state {
                State::Waiting(due) if due > now => return,
                State::Waiting(_) => {}
                State::Taken | State::Stored => continue,
            }
            fail::fail_point!("collector::before_send");
            let (message, tag) = (sent.batch.message.clone(), sent.batch.number);
            match self.producer.send(partition, message, tag, &self.acks) {
                Ok(()) => {
                    sent.state = State::Taken;
                    metrics.batches_sent.inc();
                }
                Err(SendError::Full) => return,
                Err(error) => {
                    let pause = (self.resend_after, self.resend_after_max);
                    sent.failed(&error, now, pause, metrics);
                    return;
                }
            }
        }
    }

    /// Takes in acknowledgements; gives the batches up to which everything is now stored, oldest
    /// first.
    pub(crate) fn receive(&mut self, now: Duration, metrics: &Metrics) -> Vec<Encoded> {
        while let Ok(ack) = self.arrived.try_recv() {
            let Some(first) = self.batches.front().map(|sent| sent.batch.number) else { break };
            let index = ack.tag.checked_sub(first).and_then(|index| usize::try_from(index).ok());
            let Some(sent) = index.and_then(|index| self.batches.get_mut(index)) else { continue };
            match ack.result {
                Ok(_) => sent.state = State::Stored,
                Err(_) if sent.state == State::Stored => {}
                Err(error) => {
                    let pause = (self.resend_after, self.resend_after_max);
                    sent.failed(&error, now, pause, metrics);
                }
            }
        }
        let mut stored = Vec::new();
        while self.batches.front().is_some_and(|sent| sent.state == State::Stored) {
            let Some(sent) = self.batches.pop_front() else { break };
            self.text_bytes -= sent.batch.text_bytes;
            self.memory_bytes -= sent.batch.memory_bytes();
            stored.push(sent.batch);
        }
        stored
    }
}

impl Sent {
    fn failed(
        &mut self,
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
            let (batch, failures) = (self.batch.number, self.failures);
            tracing::warn!(
                batch,
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
}

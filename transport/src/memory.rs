//! A transport in memory, for tests: the same two traits, with faults on request. The faults come
//! from a seed, so that a failing test can be repeated.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::consumer::{Bounds, ConsumeError, Consumer, Event};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::producer::{Ack, AckSender, Position, Producer, SendError};

/// The most bytes of messages that are held; beyond, `send` returns `SendError::Full`.
pub const MEMORY_BYTES_MAX: usize = 256 << 20;

/// What goes wrong, and how often. The default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Two transports with the same seed, given the same calls, do the same.
    pub seed: u64,
    /// Acks that say `Failed`, in percent; half of those messages are stored all the same.
    pub fail_percent: u8,
    /// Messages stored twice, in percent; the ack names the first.
    pub duplicate_percent: u8,
    /// Calls of `send` refused with `Full`, in percent.
    pub full_percent: u8,
    /// How many acks may be held back. Later calls of `send` release them in any order; a `poll`
    /// or [`MemoryTransport::flush`] releases all.
    pub ack_delay_sends: usize,
}

/// A xorshift generator: small, and the same on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        // A xorshift state must not be 0, and small seeds should not look alike.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound.max(1) as u64) as usize
    }

    fn percent(&mut self, percent: u8) -> bool {
        self.below(100) < usize::from(percent)
    }
}

struct Stored {
    stored_at: i64,
    message: Bytes,
}

#[derive(Default)]
struct Partition {
    low: u64,
    messages: VecDeque<Stored>,
}

impl Partition {
    fn bounds(&self) -> Bounds {
        Bounds { low: self.low, high: self.low + self.messages.len() as u64 }
    }
}

struct State {
    partitions: Vec<Partition>,
    bytes: usize,
    random: Random,
    held_acks: Vec<(AckSender, Ack)>,
    injected: VecDeque<Event>,
    /// The largest message that is stored, in bytes.
    takes_bytes_max: usize,
}

struct Shared {
    faults: Faults,
    partitions: u32,
    state: Mutex<State>,
    readable: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// Messages in memory; gone with the last handle.
#[derive(Clone, Debug)]
pub struct MemoryTransport {
    shared: Arc<Shared>,
}

impl MemoryTransport {
    /// An empty transport.
    pub fn new(partitions: u32, faults: Faults) -> Self {
        let state = State {
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            bytes: 0,
            random: Random::new(faults.seed),
            held_acks: Vec::new(),
            injected: VecDeque::new(),
            takes_bytes_max: MESSAGE_BYTES_MAX,
        };
        let readable = Condvar::new();
        Self { shared: Arc::new(Shared { faults, partitions, state: Mutex::new(state), readable }) }
    }

    /// A handle to send with.
    pub fn producer(&self) -> MemoryProducer {
        MemoryProducer { shared: Arc::clone(&self.shared) }
    }

    /// A reader with positions of its own. Partitions are offered as by an embedded log's consumer.
    pub fn consumer(&self) -> MemoryConsumer {
        MemoryConsumer {
            shared: Arc::clone(&self.shared),
            cursors: Default::default(),
            turn: 0,
            offers: None,
        }
    }

    /// Releases the acks held back.
    pub fn flush(&self) {
        self.shared.state.lock().release_acks(0);
    }

    /// From now on larger messages are refused, as by a topic whose `max.message.bytes` was changed.
    pub fn take_at_most(&self, bytes: usize) {
        self.shared.state.lock().takes_bytes_max = bytes;
    }

    /// Lets the next `poll` of some consumer return this event, as a rebalance would. A partition
    /// that is revoked so is no longer read by that consumer.
    pub fn inject(&self, event: Event) {
        self.shared.state.lock().injected.push_back(event);
        self.shared.readable.notify_all();
    }
}

impl State {
    fn store(&mut self, partition: u32, message: &Bytes) -> u64 {
        let known = &mut self.partitions[partition as usize];
        let offset = known.bounds().high;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stored_at = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        known.messages.push_back(Stored { stored_at, message: message.clone() });
        self.bytes += message.len();
        offset
    }

    /// Stores a message, or not, or twice, as the faults will have it.
    fn take(
        &mut self,
        faults: &Faults,
        partition: u32,
        message: &Bytes,
    ) -> Result<Position, SendError> {
        if message.len() > self.takes_bytes_max {
            return Err(SendError::RefusedAsTooLarge {
                place: format!("partition {partition} in memory"),
                bytes: message.len(),
                reason: format!("it takes at most {} bytes", self.takes_bytes_max),
            });
        }
        let fails = self.random.percent(faults.fail_percent);
        let failed = || SendError::Failed {
            place: format!("partition {partition} in memory"),
            reason: "a fault was asked for".into(),
        };
        if fails && self.random.percent(50) {
            return Err(failed());
        }
        let offset = self.store(partition, message);
        if self.random.percent(faults.duplicate_percent) {
            self.store(partition, message);
        }
        if fails { Err(failed()) } else { Ok(Position { partition, offset }) }
    }

    /// Sends held acks, in any order, until at most `kept` are left.
    fn release_acks(&mut self, kept: usize) {
        while self.held_acks.len() > kept {
            let one = self.random.below(self.held_acks.len());
            let (acks, ack) = self.held_acks.swap_remove(one);
            if acks.send(ack).is_err() {
                tracing::debug!("the sender of a message does not wait for its ack");
            }
        }
    }
}

/// The sending side of a [`MemoryTransport`].
#[derive(Clone, Debug)]
pub struct MemoryProducer {
    shared: Arc<Shared>,
}

impl Producer for MemoryProducer {
    fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    fn send(
        &self,
        partition: u32,
        message: Bytes,
        tag: u64,
        acks: &AckSender,
    ) -> Result<(), SendError> {
        let Shared { faults, partitions, state, readable } = &*self.shared;
        let partitions = *partitions;
        if partition >= partitions {
            return Err(SendError::NoPartition { partition, partitions });
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: message.len(), limit: MESSAGE_BYTES_MAX });
        }
        let mut state = state.lock();
        let is_full = state.bytes + message.len() > MEMORY_BYTES_MAX;
        if is_full || state.random.percent(faults.full_percent) {
            // The sender waits for an ack now, so one has to come.
            state.release_acks(0);
            return Err(SendError::Full);
        }
        let result = state.take(faults, partition, &message);
        state.held_acks.push((acks.clone(), Ack { tag, result }));
        state.release_acks(faults.ack_delay_sends);
        readable.notify_all();
        Ok(())
    }
}

#[derive(Debug)]
struct Cursor {
    next: u64,
    paused: bool,
}

/// The receiving side of a [`MemoryTransport`].
#[derive(Debug)]
pub struct MemoryConsumer {
    shared: Arc<Shared>,
    cursors: std::collections::BTreeMap<u32, Cursor>,
    /// The partition that gave the last event.
    turn: u32,
    /// Partitions still to be offered; `None` until the first poll.
    offers: Option<std::ops::Range<u32>>,
}

impl MemoryConsumer {
    fn check(&self, partition: u32) -> Result<(), ConsumeError> {
        let partitions = self.shared.partitions;
        if partition < partitions {
            return Ok(());
        }
        Err(ConsumeError::NoPartition { partition, partitions })
    }

    fn take(&mut self, state: &mut State) -> Option<Event> {
        if let Some(event) = state.injected.pop_front() {
            if let Event::Revoked { partition, .. } = event {
                self.cursors.remove(&partition);
            }
            return Some(event);
        }
        let turn = self.turn;
        let next = |range| {
            self.cursors.range::<u32, _>(range).find_map(|(partition, cursor)| {
                cursor.read(*partition, &state.partitions[*partition as usize])
            })
        };
        let (partition, next, event) = next((Bound::Excluded(turn), Bound::Unbounded))
            .or_else(|| next((Bound::Unbounded, Bound::Included(turn))))?;
        self.cursors.get_mut(&partition)?.next = next;
        self.turn = partition;
        Some(event)
    }
}

impl Cursor {
    /// The next event of a partition, and the position after it.
    fn read(&self, partition: u32, from: &Partition) -> Option<(u32, u64, Event)> {
        if self.paused {
            return None;
        }
        let Some(at) = self.next.checked_sub(from.low) else {
            let (from, to) = (self.next, from.low);
            let reason = "they were processed and deleted".into();
            return Some((partition, to, Event::Missing { partition, from, to, reason }));
        };
        let Stored { stored_at, message } = from.messages.get(usize::try_from(at).ok()?)?;
        let (stored_at, message) = (*stored_at, message.clone());
        let offset = self.next;
        Some((partition, offset + 1, Event::Message { partition, offset, stored_at, message }))
    }
}

impl Consumer for MemoryConsumer {
    fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    /// A partition that is assigned (again) is not paused.
    fn assign(&mut self, partition: u32, from: u64) -> Result<(), ConsumeError> {
        let Bounds { high, .. } = self.bounds(partition)?;
        if from > high {
            return Err(ConsumeError::BeyondEnd { partition, position: from, high });
        }
        self.offers.get_or_insert(0..0);
        self.cursors.insert(partition, Cursor { next: from, paused: false });
        Ok(())
    }

    fn revoke(&mut self, partition: u32) {
        self.cursors.remove(&partition);
    }

    fn pause(&mut self, partition: u32, paused: bool) {
        if let Some(cursor) = self.cursors.get_mut(&partition) {
            cursor.paused = paused;
        }
    }

    fn poll(&mut self, timeout: Duration) -> Result<Option<Event>, ConsumeError> {
        let partitions = self.shared.partitions;
        if let Some(partition) = self.offers.get_or_insert(0..partitions).next() {
            return Ok(Some(Event::Assigned { partition }));
        }
        let deadline = Instant::now().checked_add(timeout);
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        loop {
            state.release_acks(0);
            if let Some(event) = self.take(&mut state) {
                return Ok(Some(event));
            }
            match deadline {
                None => shared.readable.wait(&mut state),
                Some(deadline) => {
                    if shared.readable.wait_until(&mut state, deadline).timed_out() {
                        return Ok(self.take(&mut state));
                    }
                }
            }
        }
    }

    fn bounds(&self, partition: u32) -> Result<Bounds, ConsumeError> {
        self.check(partition)?;
        Ok(self.shared.state.lock().partitions[partition as usize].bounds())
    }

    fn processed(&mut self, partition: u32, upto: u64) {
        let mut state = self.shared.state.lock();
        let State { partitions, bytes, .. } = &mut *state;
        let Some(known) = partitions.get_mut(partition as usize) else { return };
        while known.low < upto {
            let Some(stored) = known.messages.pop_front() else { return };
            *bytes -= stored.message.len();
            known.low += 1;
        }
    }
}

//! Live feeds: each newly taken run is handed to subscribers in the step that makes it visible, so
//! that a snapshot and the feed behind it have neither a gap nor an overlap.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::hot::HotRun;
use crate::ingest;
use crate::store::Store;

/// What a subscriber's queue holds at most unless it asks otherwise, in bytes of runs.
pub const SUBSCRIPTION_BYTES_MAX: usize = 8 << 20;

/// What a subscriber is given, in the order of arrival.
#[derive(Clone, Debug)]
pub enum Fed {
    /// Lines that became visible.
    Run(Arc<HotRun>),
    /// Here the queue was full.
    Missed(Missed),
}

/// Lines that a subscriber was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    pub lines: u64,
    /// Earliest and latest time of such a line: nanoseconds since the epoch.
    pub min_time: i64,
    pub max_time: i64,
}

/// Where a subscription begins: what arrived before is found by a query, the rest is fed.
#[derive(Clone, Debug, Default)]
pub struct Seam {
    /// Partition → the offset of the first message that is fed.
    next: BTreeMap<u32, u64>,
}

impl Seam {
    /// Whether a run with this arrival number is none of those that are fed.
    pub fn is_before(&self, partition: u32, arrival: u64) -> bool {
        let next = self.next.get(&partition).copied().unwrap_or(0);
        ingest::message_offset(arrival) < next
    }
}

/// A place in the feed of a store; dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
    seam: Seam,
}

impl Subscription {
    /// Where the feed begins.
    pub fn seam(&self) -> &Seam {
        &self.seam
    }

    /// The next run, or what was missed; `None` if nothing came within `timeout`.
    pub fn next(&self, timeout: Duration) -> Option<Fed> {
        let deadline = Instant::now() + timeout;
        let mut state = self.queue.state.lock();
        while state.fed.is_empty() {
            if self.queue.bell.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let fed = state.fed.pop_front();
        if let Some(Fed::Run(run)) = &fed {
            state.bytes -= run.memory_bytes();
        }
        fed
    }

    /// Bytes of runs that wait to be taken.
    pub fn queued_bytes(&self) -> usize {
        self.queue.state.lock().bytes
    }
}

#[derive(Debug)]
struct Queue {
    bytes_max: usize,
    state: Mutex<Waiting>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Never two `Missed` in a row: its length is bounded by the bytes of the runs.
    fed: VecDeque<Fed>,
    bytes: usize,
}

impl Queue {
    fn push(&self, run: &Arc<HotRun>) {
        let mut state = self.state.lock();
        let bytes = run.memory_bytes();
        if state.bytes + bytes <= self.bytes_max {
            state.bytes += bytes;
            state.fed.push_back(Fed::Run(run.clone()));
        } else {
            let lines = run.lines.len() as u64;
            match state.fed.back_mut() {
                Some(Fed::Missed(missed)) => {
                    missed.lines += lines;
                    missed.min_time = missed.min_time.min(run.min_time);
                    missed.max_time = missed.max_time.max(run.max_time);
                }
                _ => {
                    let (min_time, max_time) = (run.min_time, run.max_time);
                    state.fed.push_back(Fed::Missed(Missed { lines, min_time, max_time }));
                }
            }
        }
        self.bell.notify_one();
    }
}

/// All subscribers of a store, and how far they were fed.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Mutex<Feed>);

#[derive(Debug, Default)]
struct Feed {
    queues: Vec<Weak<Queue>>,
    /// Partition → the first offset that was not fed yet. It outlives a recovery of the store: what
    /// is then consumed again is behind it.
    next: BTreeMap<u32, u64>,
    /// What was stored before the start is replayed.
    is_live: bool,
}

impl Subscribers {
    /// Until the store is live: messages below `offset` are old ones.
    pub(crate) fn begin_at(&self, partition: u32, offset: u64) {
        let mut feed = self.0.lock();
        if !feed.is_live {
            let next = feed.next.entry(partition).or_insert(0);
            *next = offset.max(*next);
        }
    }

    /// What was stored before the start has been replayed.
    pub(crate) fn set_live(&self) {
        self.0.lock().is_live = true;
    }

    /// Hands out the runs of a message, unless it was handed out before. Called while the runs
    /// become visible.
    pub(crate) fn feed(&self, partition: u32, offset: u64, runs: &[Arc<HotRun>]) {
        let mut feed = self.0.lock();
        let next = feed.next.entry(partition).or_insert(0);
        if offset < *next {
            return;
        }
        *next = offset + 1;
        feed.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            runs.iter().for_each(|run| queue.push(run));
            true
        });
    }

    fn add(&self, bytes_max: usize) -> Subscription {
        let queue = Arc::new(Queue { bytes_max, state: Mutex::default(), bell: Condvar::new() });
        let mut feed = self.0.lock();
        feed.queues.retain(|queue| queue.strong_count() > 0);
        feed.queues.push(Arc::downgrade(&queue));
        Subscription { queue, seam: Seam { next: feed.next.clone() } }
    }
}

impl Store {
    /// Subscribes to the runs that are taken from now on; their queue holds at most `bytes_max`.
    /// Whatever [`Store::select`] finds afterwards is before the subscription's seam or fed to it.
    ///
    /// A run that finds the queue full is not queued: its lines are told as missed. While the store
    /// is not ready, lines of the replay that are still to come are neither.
    pub fn subscribe(&self, bytes_max: usize) -> Subscription {
        // Nothing becomes visible meanwhile.
        let _data = self.data.read();
        self.subscribers.add(bytes_max)
    }
}

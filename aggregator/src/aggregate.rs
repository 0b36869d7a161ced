//! The aggregator's two threads: one consumes messages into the hot tail, one seals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sawlog_transport::{ConsumeError, Consumer, Event};

use crate::error::{StoreError, error_chain};
use crate::seal::{SealJob, Sealer};
use crate::store::Store;

/// How long one poll of the transport waits: bounds how late a seal or a stop is noticed.
const POLL: Duration = Duration::from_millis(50);
/// How long the aggregator waits before it tries again after an error, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How often it is looked whether slices are to be dropped, besides after each seal.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// The running aggregator.
pub struct Aggregator {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Aggregator {
    /// Starts consuming all partitions of the transport into the store.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        sealer: Sealer,
        consumer: Box<dyn Consumer>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::Builder::new()
            .name("aggregator".to_owned())
            .spawn(move || run(&store, sealer, consumer, &flag))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Seals what is hot and stops; what was not consumed stays in the transport.
    pub fn stop(mut self) {
        self.join();
    }

    /// Whether it still consumes; it ends by itself only when something is broken beyond repair.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the aggregator's thread panicked");
        }
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        self.join();
    }
}

/// Why a round of consuming ended.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("cannot consume from the transport")]
    Consume(#[from] ConsumeError),
    #[error("cannot read the store again")]
    Recover(#[source] StoreError),
    #[error("cannot seal")]
    Seal(#[source] StoreError),
    #[error("cannot drop what retention no longer keeps")]
    Retain(#[source] StoreError),
}

/// Consumes until told to stop; after an error recovers the store from disk and consumes again what
/// was not sealed.
fn run(store: &Arc<Store>, sealer: Sealer, mut consumer: Box<dyn Consumer>, stop: &AtomicBool) {
    let mut sealer = Some(sealer);
    let mut wait = RETRY.0;
    while !stop.load(Ordering::Acquire) {
        let ready = sealer.take().map_or_else(|| store.recover(), Ok);
        let started = Instant::now();
        let ended = match ready {
            Ok(sealer) => round(store, sealer, consumer.as_mut(), stop),
            Err(err) => Err(RoundError::Recover(err)),
        };
        let Err(err) = ended else { return };
        if started.elapsed() > RETRY.1 {
            wait = RETRY.0;
        }
        let chain = error_chain(&err);
        tracing::error!(error = chain, retry_in = ?wait, "what was not sealed is consumed again");
        sleep_unless(stop, wait);
        wait = (wait * 2).min(RETRY.1);
    }
}

fn sleep_unless(stop: &AtomicBool, wait: Duration) {
    let until = Instant::now() + wait;
    while Instant::now() < until && !stop.load(Ordering::Acquire) {
        std::thread::sleep(POLL.min(wait));
    }
}

/// Consumes until told to stop, or until something fails.
fn round(
    store: &Arc<Store>,
    sealer: Sealer,
    consumer: &mut dyn Consumer,
    stop: &AtomicBool,
) -> Result<(), RoundError> {
    let mut replay_to = assign_all(store, consumer)?;
    let mut sealing = Sealing::start(store.clone(), sealer);
    sealing.release(consumer);
    let mut unsealed = Unsealed::default();
    if sealing.is_behind() {
        unsealed.since = Some(Instant::now());
    }
    while !stop.load(Ordering::Acquire) {
        if let Some(event) = consumer.poll(POLL)? {
            unsealed.add(&event);
            if let Some(waiting) = handle(store, event) {
                consumer.revoke(waiting);
                replay_to.remove(&waiting);
            }
        }
        if !store.is_ready() && replay_to.iter().all(|(p, high)| store.position(*p) >= *high) {
            store.set_ready();
        }
        sealing.collect(consumer)?;
        let hot_bytes = store.data.read().hot_bytes;
        let full = hot_bytes.max(unsealed.message_bytes) >= store.config.seal_bytes;
        if full && sealing.busy {
            // Back-pressure: messages wait in the transport until the seal under way is done.
            sealing.wait(consumer)?;
        }
        let old = unsealed.since.is_some_and(|at| at.elapsed() >= store.config.seal_interval);
        if (full || old) && !sealing.busy {
            sealing.begin();
            unsealed = Unsealed::default();
            if sealing.is_behind() {
                // One more seal, of nothing if need be, lets the transport forget what this one
                // made durable.
                unsealed.since = Some(Instant::now());
            }
        }
        if sealing.retention_is_due() {
            sealing.begin_retention();
        }
    }
    sealing.wait(consumer)?;
    sealing.begin();
    sealing.wait(consumer)
}

/// What was consumed since the last seal began.
#[derive(Default)]
struct Unsealed {
    since: Option<Instant>,
    message_bytes: usize,
}

impl Unsealed {
    fn add(&mut self, event: &Event) {
        self.since.get_or_insert_with(Instant::now);
        if let Event::Message { message, .. } = event {
            self.message_bytes += message.len();
        }
    }
}

/// Starts each partition where the store stands; gives what must be replayed before it is ready.
fn assign_all(
    store: &Store,
    consumer: &mut dyn Consumer,
) -> Result<BTreeMap<u32, u64>, ConsumeError> {
    let mut replay_to = BTreeMap::new();
    for partition in 0..consumer.partitions() {
        consumer.assign(partition, store.position(partition))?;
        let high = consumer.bounds(partition)?.high;
        store.subscribers.begin_at(partition, high);
        replay_to.insert(partition, high);
    }
    Ok(replay_to)
}

/// Takes an event; gives the partition that has to wait, if it brought a message that cannot be taken
/// (of a newer version): nothing behind it is taken before it, or order within its streams were lost.
fn handle(store: &Store, event: Event) -> Option<u32> {
    match event {
        Event::Message { partition, offset, message, .. } => {
            if let Err(err) = store.ingest(partition, offset, message) {
                let error = error_chain(&err);
                tracing::error!(
                    partition,
                    offset,
                    error,
                    "the partition waits, others go on: see the error for the way out"
                );
                return Some(partition);
            }
        }
        Event::Missing { partition, from, to, reason } => {
            tracing::error!(partition, from, to, reason, "messages are missing");
            store.metrics.missing_messages.inc_by(to - from);
            store.set_position(partition, to);
        }
        // The transports of this build assign all partitions at the start.
        Event::Assigned { .. } | Event::Revoked { .. } => {}
    }
    None
}

/// What the sealing thread is asked to do; it looks after retention each time.
enum Job {
    Seal(SealJob),
    Retain,
}

/// The positions that the manifest's last record names, and those of the record before it.
type Positions = (BTreeMap<u32, u64>, BTreeMap<u32, u64>);

/// The sealing thread and what it is doing.
struct Sealing {
    store: Arc<Store>,
    /// `None` only while dropping.
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    done: mpsc::Receiver<Result<Positions, RoundError>>,
    busy: bool,
    /// When the last job began.
    began: Option<Instant>,
    /// What the manifest's last record names, as of the last seal that is done.
    sealed: BTreeMap<u32, u64>,
    /// What the record before it names. The transport keeps what lies behind it, so that a damaged
    /// last record can be replayed.
    released: BTreeMap<u32, u64>,
}

impl Sealing {
    fn start(store: Arc<Store>, mut sealer: Sealer) -> Self {
        let (jobs, next_job) = mpsc::sync_channel::<Job>(1);
        let (tell, done) = mpsc::sync_channel(1);
        let sealed = sealer.sealed_positions().clone();
        let released = sealer.positions_before();
        let thread = std::thread::spawn(move || {
            for job in next_job {
                let result = work(&mut sealer, job);
                let failed = result.is_err();
                if tell.send(result).is_err() || failed {
                    return;
                }
            }
        });
        let (jobs, thread) = (Some(jobs), Some(thread));
        Self { store, jobs, thread, done, busy: false, began: None, sealed, released }
    }

    /// Whether the transport still keeps messages that are sealed.
    fn is_behind(&self) -> bool {
        self.busy || self.sealed != self.released
    }

    /// Lets the transport forget what both of the manifest's last records hold.
    fn release(&self, consumer: &mut dyn Consumer) {
        for (partition, upto) in &self.released {
            consumer.processed(*partition, *upto);
        }
    }

    fn begin(&mut self) {
        if let Some(job) = self.store.begin_seal(self.is_behind()) {
            self.give(Job::Seal(job));
        }
    }

    /// Whether slices may have grown too old with no seal to notice.
    fn retention_is_due(&self) -> bool {
        let config = &self.store.config;
        let wanted = config.retention_age.is_some() || config.retention_bytes.is_some();
        let due = self.began.is_none_or(|at| at.elapsed() >= RETENTION_INTERVAL);
        wanted && due && !self.busy
    }

    /// No seal begins before it is done: what it writes goes between two of them.
    fn begin_retention(&mut self) {
        self.give(Job::Retain);
    }

    fn give(&mut self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A thread that is gone is noticed by `wait`.
            self.busy = true;
            self.began = Some(Instant::now());
            jobs.send(job).unwrap_or_default();
        }
    }

    /// Takes the result of a seal that is done.
    fn collect(&mut self, consumer: &mut dyn Consumer) -> Result<(), RoundError> {
        match self.done.try_recv() {
            Ok(result) => self.finish(result, consumer),
            Err(mpsc::TryRecvError::Disconnected) if self.busy => self.wait(consumer),
            Err(_) => Ok(()),
        }
    }

    /// Waits for the seal under way, if there is one.
    fn wait(&mut self, consumer: &mut dyn Consumer) -> Result<(), RoundError> {
        if !self.busy {
            return Ok(());
        }
        let result = self.done.recv().unwrap_or_else(|_| {
            let dir = &self.store.config.dir;
            Err(RoundError::Seal(StoreError::damaged(dir, "the sealing thread panicked")))
        });
        self.finish(result, consumer)
    }

    fn finish(
        &mut self,
        result: Result<Positions, RoundError>,
        consumer: &mut dyn Consumer,
    ) -> Result<(), RoundError> {
        self.busy = false;
        let metrics = &self.store.metrics;
        let positions = result.inspect_err(|err| match err {
            RoundError::Retain(_) => metrics.retention_failures.inc(),
            _ => metrics.seal_failures.inc(),
        })?;
        (self.sealed, self.released) = positions;
        self.release(consumer);
        Ok(())
    }
}

fn work(sealer: &mut Sealer, job: Job) -> Result<Positions, RoundError> {
    if let Job::Seal(job) = job {
        sealer.seal(job).map_err(RoundError::Seal)?;
    }
    sealer.retain().map_err(RoundError::Retain)?;
    Ok((sealer.sealed_positions().clone(), sealer.positions_before()))
}

impl Drop for Sealing {
    /// The sealer, with its lock on the index, is gone when this returns.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sealing thread panicked");
        }
    }
}

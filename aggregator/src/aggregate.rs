//! The aggregator's two threads: one consumes messages into the hot tail, one seals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sawlog_transport::{ConsumeError, Consumer, Event};

use crate::carry::LastEntries;
use crate::error::{StoreError, error_chain};
use crate::partitions::Partitions;
use crate::seal::Sealer;
use crate::sealing::Sealing;
use crate::store::Store;

/// How long one poll of the transport waits: bounds how late a seal or a stop is noticed.
const POLL: Duration = Duration::from_millis(50);
/// How long the aggregator waits before it tries again after an error, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long consuming waits for a seal without polling.
const SEAL_WAIT: Duration = if cfg!(test) { POLL } else { Duration::from_secs(2) };

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
pub(crate) enum RoundError {
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
    let mut partitions = Partitions::assign_all(store, consumer)?;
    let mut sealing = Sealing::start(store.clone(), sealer);
    sealing.release(consumer);
    let mut unsealed = Unsealed::default();
    if sealing.is_behind() {
        unsealed.since = Some(Instant::now());
    }
    while !stop.load(Ordering::Acquire) {
        if let Some(event) = consumer.poll(POLL)? {
            unsealed.add(&event);
            partitions.take(event, consumer);
        }
        partitions.start_unread(consumer)?;
        if !store.is_ready() && partitions.are_replayed(consumer) {
            store.set_ready();
        }
        sealing.collect(consumer)?;
        let hot_bytes = store.data.read().hot_bytes;
        let full = hot_bytes.max(unsealed.message_bytes) >= store.config.seal_bytes;
        hold_back(full, &mut partitions, &mut sealing, consumer)?;
        let old = unsealed.since.is_some_and(|at| at.elapsed() >= store.config.seal_interval);
        if (full || old) && !sealing.is_busy() {
            sealing.begin(LastEntries::StayHot);
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
    // The transport forgets what the last but one manifest record holds, so a second one, of nothing,
    // lets a stopped aggregator be seen at the end.
    for _ in 0..2 {
        sealing.begin(LastEntries::AreSealed);
        sealing.wait(consumer)?;
    }
    Ok(())
}

/// Back-pressure: while memory is full and a seal is under way, messages wait in the transport. A short
/// seal is waited for; in a longer one the partitions are paused and polling goes on, lest a cluster
/// think us dead.
fn hold_back(
    full: bool,
    partitions: &mut Partitions<'_>,
    sealing: &mut Sealing,
    consumer: &mut dyn Consumer,
) -> Result<(), RoundError> {
    if full && sealing.is_busy() && !partitions.are_paused() {
        sealing.wait_at_most(SEAL_WAIT, consumer)?;
    }
    partitions.pause(full && sealing.is_busy(), consumer);
    Ok(())
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

//! The sealing thread, and what the consuming one knows of it.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sawlog_transport::Consumer;

use crate::aggregate::RoundError;
use crate::carry::LastEntries;
use crate::error::StoreError;
use crate::seal::{SealJob, Sealer};
use crate::store::Store;

/// How often it is looked whether slices are to be dropped, besides after each seal.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// What the sealing thread is asked to do; it looks after retention each time.
enum Job {
    Seal(SealJob),
    Retain,
}

/// The positions that the manifest's last record names, and those of the record before it.
type Positions = (BTreeMap<u32, u64>, BTreeMap<u32, u64>);

/// The sealing thread and what it is doing.
pub(crate) struct Sealing {
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
    pub(crate) fn start(store: Arc<Store>, mut sealer: Sealer) -> Self {
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

    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Whether the transport still keeps messages that are sealed.
    pub(crate) fn is_behind(&self) -> bool {
        self.busy || self.sealed != self.released
    }

    /// Lets the transport forget what both of the manifest's last records hold.
    pub(crate) fn release(&self, consumer: &mut dyn Consumer) {
        for (partition, upto) in &self.released {
            consumer.processed(*partition, *upto);
        }
    }

    pub(crate) fn begin(&mut self, last_entries: LastEntries) {
        if let Some(job) = self.store.begin_seal(self.is_behind(), last_entries) {
            self.give(Job::Seal(job));
        }
    }

    /// Whether slices may have grown too old with no seal to notice.
    pub(crate) fn retention_is_due(&self) -> bool {
        let config = &self.store.config;
        let wanted = config.retention_age.is_some() || config.retention_bytes.is_some();
        let due = self.began.is_none_or(|at| at.elapsed() >= RETENTION_INTERVAL);
        wanted && due && !self.busy
    }

    /// No seal begins before it is done: what it writes goes between two of them.
    pub(crate) fn begin_retention(&mut self) {
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
    pub(crate) fn collect(&mut self, consumer: &mut dyn Consumer) -> Result<(), RoundError> {
        match self.done.try_recv() {
            Ok(result) => self.finish(result, consumer),
            Err(mpsc::TryRecvError::Disconnected) if self.busy => self.wait(consumer),
            Err(_) => Ok(()),
        }
    }

    /// Waits for the seal under way, if there is one.
    pub(crate) fn wait(&mut self, consumer: &mut dyn Consumer) -> Result<(), RoundError> {
        if !self.busy {
            return Ok(());
        }
        let result = self.done.recv().unwrap_or_else(|_| {
            let dir = &self.store.config.dir;
            Err(RoundError::Seal(StoreError::damaged(dir, "the sealing thread panicked")))
        });
        self.finish(result, consumer)
    }

    /// The same, for at most so long.
    pub(crate) fn wait_at_most(
        &mut self,
        timeout: Duration,
        consumer: &mut dyn Consumer,
    ) -> Result<(), RoundError> {
        match self.done.recv_timeout(timeout) {
            Ok(result) => self.finish(result, consumer),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
            Err(mpsc::RecvTimeoutError::Disconnected) => self.wait(consumer),
        }
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

//! The spool: batches of deleted files that the transport has not taken yet, in an embedded log of
//! their own, so that the files may go. They are encoded as all batches are, redaction included.
//!
//! The directory `spool` exists only while it is needed. After a restart it is sent first. A batch
//! that was in flight when its bytes were spooled stays in flight too, and the spool delivers it only
//! if this process dies before the transport has it. What is delivered is needed no more, and
//! disappears with its log file.
//!
//! When the spool is full, its oldest log file is given up: of its batches only the ranges of bytes
//! stay, declared lost, as a small batch at the spool's end. The file is deleted once that is durable.
//! What of it is in flight is declared too, for the case that this process dies, but not counted: once
//! it arrives it is held, whatever was declared (`docs/format.md`, ledger).

mod loss;
mod offsets;
mod open;
mod pinned;
mod queue;
mod replay;
mod room;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::embedded::OpenError;
use sawlog_transport::{CollectorId, Producer};

use crate::config::Config;
use crate::inflight::{Company, InFlight, Refused, ToSpool};
use crate::metrics::Metrics;
use open::OpenSpool;
pub(crate) use pinned::{Held, Pinned};

/// The spool's log has one partition: its batches are sent in one order.
const PARTITION: u32 = 0;
/// How long an empty spool stays before its directory is removed.
const EMPTY_FOR: Duration = Duration::from_secs(5);
/// So much of what may be in flight may be batches read back from the spool.
const REPLAY_SHARE: usize = 4;

/// The spool, if there is need of one.
pub(crate) struct Spool {
    config: Config,
    collector: CollectorId,
    producer: Arc<dyn Producer>,
    company: Company,
    open: Option<OpenSpool>,
    empty_since: Option<Duration>,
}

impl Spool {
    /// Opens what an earlier process left.
    ///
    /// # Errors
    /// It cannot be read, or is used by somebody else.
    pub(crate) fn open(
        config: &Config,
        collector: CollectorId,
        producer: Arc<dyn Producer>,
        company: Company,
        now: Duration,
    ) -> Result<Self, OpenError> {
        let config = config.clone();
        let mut this = Self { config, collector, producer, company, open: None, empty_since: None };
        if this.dir().is_dir() {
            this.begin(now)?;
        }
        Ok(this)
    }

    fn dir(&self) -> PathBuf {
        self.config.data_dir.join("spool")
    }

    /// Makes sure that there is one.
    ///
    /// # Errors
    /// It cannot be opened or created; nothing can be spilled.
    pub(crate) fn begin(&mut self, now: Duration) -> Result<(), OpenError> {
        if self.open.is_some() {
            return Ok(());
        }
        let replay = InFlight::new(
            self.producer.clone(),
            self.collector,
            &self.config,
            self.company.clone(),
        );
        let replay_bytes_max = self.config.in_flight_bytes_max / REPLAY_SHARE;
        let limit = self.config.spool_bytes_max;
        self.open = Some(OpenSpool::new(self.dir(), limit, replay, replay_bytes_max, now)?);
        Ok(())
    }

    /// Takes a batch; [`Self::receive`] tells when it is durable. [`Self::begin`] comes first.
    pub(crate) fn store(&mut self, batch: ToSpool, now: Duration, metrics: &Metrics) {
        if let Some(open) = &mut self.open {
            open.store(batch, now, metrics);
        }
    }

    /// The transport has stored a batch that was in flight and in the spool.
    pub(crate) fn delivered_elsewhere(&mut self, number: u64) {
        if let Some(open) = &mut self.open {
            open.delivered_elsewhere(number);
        }
    }

    /// Goes on with what is under way; gives the numbers of the batches that are durable now.
    pub(crate) fn receive(&mut self, now: Duration, metrics: &Metrics) -> Vec<u64> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let durable = open.receive(now, metrics);
        metrics.load.spool_bytes.set(i64::try_from(open.bytes()).unwrap_or(i64::MAX));
        if !open.is_empty() {
            self.empty_since = None;
        } else if now >= *self.empty_since.get_or_insert(now) + EMPTY_FOR {
            self.end();
        }
        durable
    }

    /// Sends what lies in it, as far as the transport takes it.
    pub(crate) fn send(&mut self, now: Duration, metrics: &Metrics) {
        if let Some(open) = &mut self.open {
            open.send(now, metrics);
        }
    }

    /// What its batches take in memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, OpenSpool::memory_bytes)
    }

    /// The line that holds up what is sent, if there is one.
    pub(crate) fn refused(&self) -> Option<&Refused> {
        self.open.as_ref()?.refused()
    }

    /// Whether there is nothing in it that the transport should have.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.as_ref().is_none_or(OpenSpool::is_empty)
    }

    /// As if the disk had become full a moment ago.
    #[cfg(test)]
    fn fill_disk(&mut self) {
        self.open.as_mut().expect("begun").fill_disk();
    }

    /// Removes the directory.
    fn end(&mut self) {
        self.open = None;
        self.empty_since = None;
        if let Err(error) = std::fs::remove_dir_all(self.dir()) {
            tracing::warn!("cannot remove the empty spool '{}': {error}", self.dir().display());
        }
    }
}

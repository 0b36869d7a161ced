//! The loop: what happens in one turn, and in which order.

mod looking;
mod opening;
mod parking;
mod reading;
mod remembering;
mod sending;
mod spilling;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::StreamId;

use crate::batcher::Batcher;
use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::config::Config;
use crate::discover::Tree;
use crate::inflight::InFlight;
use crate::intake::Streams;
use crate::mesos::Metadata;
use crate::metrics::Metrics;
use crate::periodic::Periodic;
use crate::rate::Rates;
use crate::reader::Buffers;
use crate::redact::Redactor;
use crate::relabel::Relabelling;
use crate::schedule::Schedule;
use crate::spill::{Pinned, Spool};
use crate::status::Status;
use crate::why::{ClosedFiles, View};

/// What is read before the loop looks at everything else again, in bytes.
const STEP_BYTES: i64 = 1024 * 1024;
/// What a turn costs at least, so that turns without bytes end a round too.
const TURN_COST: i64 = 4096;
/// How long the loop sleeps at most.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// How long it sleeps at most while an acknowledgement is awaited.
const SLEEP_BUSY_MAX: Duration = Duration::from_millis(5);

/// The whole state of a collector. One thread owns it.
pub(crate) struct Loop {
    config: Config,
    metrics: Metrics,
    metadata: Arc<Metadata>,
    relabelling: Relabelling,
    tree: Tree,
    streams: Streams,
    /// Streams that wait for their turn.
    schedule: Schedule,
    rates: Rates,
    /// When streams want a turn (monotonic).
    timers: BinaryHeap<Reverse<(Duration, StreamId)>>,
    batcher: Batcher,
    in_flight: InFlight,
    spool: Spool,
    /// Whether the spool sends before what was read just now; they take turns.
    spool_first: bool,
    pinned: Pinned,
    /// Deleted files hold more than they may, until they hold clearly less.
    is_spilling: bool,
    checkpoints: Checkpoints,
    buffers: Buffers,
    /// `None`: lines are handed on as they are.
    redactor: Option<Redactor>,
    zone: Box<dyn Fn(i64) -> i32 + Send>,
    /// When the collector started: nanoseconds since the epoch.
    started: i64,
    rescans: Periodic,
    sweeps: Periodic,
    /// Looks at files while nothing may be read.
    looks: Periodic,
    parkings: Periodic,
    lag: Periodic,
    secret_files: Periodic,
    flushed_at: Duration,
    lag_bytes: u64,
    /// Bytes read and acknowledged when the lag was summed up.
    moved: (u64, u64),
    /// For who asks why.
    closed_files: ClosedFiles,
    /// The kernel had more to tell than it could keep.
    events_lost: bool,
    /// Held while this collector uses the data directory.
    _lock: File,
}

impl Loop {
    /// Does what there is to do; tells how long nothing will be.
    pub(crate) fn step(&mut self, now: Now) -> Duration {
        self.take_acks(now);
        self.refresh_secrets(now);
        self.look_around(now);
        self.park(now);
        self.spill(now);
        self.read(now);
        self.ship(now, false);
        self.write_checkpoints(now);
        self.measure(now);
        self.sleep(now)
    }

    /// As [`Self::step`], but reads nothing more and holds nothing back.
    pub(crate) fn step_to_end(&mut self, now: Now) {
        self.take_acks(now);
        self.ship(now, true);
        self.write_checkpoints(now);
    }

    /// Whether everything that was read is acknowledged, or lies in the spool.
    pub(crate) fn is_all_acknowledged(&self) -> bool {
        self.in_flight.is_all_done() && !self.batcher.is_filling()
    }

    /// Whether nothing is left to be sent.
    fn is_all_delivered(&self) -> bool {
        self.is_all_acknowledged() && self.in_flight.is_empty() && self.spool.is_empty()
    }

    /// Writes the checkpoints whatever the time.
    pub(crate) fn close(&mut self, now: Now) {
        self.flush_checkpoints(now);
    }

    /// Becomes readable when something changes in the directories.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.tree.events()
    }

    /// As on a system with so few watches.
    #[cfg(test)]
    pub(crate) fn limit_watches(&mut self, most: usize) {
        self.tree.limit_watches(most);
    }

    /// What somebody who asks about files looks at.
    pub(crate) fn view(&self, now: Now) -> View<'_> {
        View {
            tree: &self.tree,
            streams: &self.streams,
            checkpoints: &self.checkpoints,
            config: &self.config,
            closed: &self.closed_files,
            now,
        }
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            files_open: self.streams.open.len(),
            bytes_read: self.metrics.read_bytes.get(),
            bytes_acked: self.metrics.acked_bytes.get(),
            in_flight_bytes: self.in_flight.text_bytes() + self.batcher.text_bytes(),
            lag_bytes: self.lag_bytes,
            at_rest: self.is_all_delivered() && self.schedule.is_empty() && !self.tree.is_dirty(),
        }
    }

    /// Reads secret files that changed. A file that cannot be used leaves the values as they were.
    fn refresh_secrets(&mut self, now: Now) {
        let Some(redactor) = &mut self.redactor else { return };
        if self.secret_files.due(now.monotonic).is_none() {
            return;
        }
        if let Err(error) = redactor.refresh() {
            self.metrics.secret_file_errors.inc();
            tracing::warn!("{error}; the values known before stay");
        }
    }

    /// What is known of containers, shared with who asks the agent.
    pub(crate) fn metadata(&self) -> Arc<Metadata> {
        self.metadata.clone()
    }

    fn measure(&mut self, now: Now) {
        self.metrics.files_open.set(self.streams.open.len() as i64);
        let held = self.in_flight.text_bytes() + self.batcher.text_bytes();
        self.metrics.in_flight_bytes.set(held as i64);
        let moved = (self.metrics.read_bytes.get(), self.metrics.acked_bytes.get());
        self.metrics.load.throttled_streams.set(self.rates.throttled() as i64);
        self.metrics.load.pinned_deleted_bytes.set(self.pinned.bytes() as i64);
        let may_differ = moved != self.moved || !self.schedule.is_empty();
        if may_differ && self.lag.due(now.monotonic).is_some() {
            self.moved = moved;
            let lags = self.streams.by_id.values().map(|stream| stream.lag(&self.checkpoints));
            self.lag_bytes = lags.sum();
            self.metrics.lag_bytes.set(self.lag_bytes as i64);
        }
    }

    fn sleep(&self, now: Now) -> Duration {
        let may_read = !self.schedule.is_empty() && self.has_room();
        if self.tree.is_dirty() || may_read || self.may_spill() {
            return Duration::ZERO;
        }
        let busy = !self.is_all_delivered() || !self.schedule.is_empty();
        let longest = if busy { SLEEP_BUSY_MAX } else { SLEEP_MAX };
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let timers = timer.into_iter().chain(self.rates.next_due());
        timers.map(|at| at.saturating_sub(now.monotonic)).fold(longest, Duration::min)
    }
}

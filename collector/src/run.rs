//! The loop: what happens in one turn, and in which order.

mod lag;
mod looking;
mod opening;
mod parking;
mod reading;
mod remembering;
mod sending;
mod spilling;
mod sweeping;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::StreamId;

use crate::batcher::Batcher;
use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::config::Config;
use crate::discover::{Hot, Tree};
use crate::inflight::{InFlight, Refused};
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
use lag::Lag;

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
    lag_sums: Periodic,
    secret_files: Periodic,
    flushed_at: Duration,
    /// Bytes acknowledged when checkpoints were written last.
    flushed_bytes: u64,
    /// Names that could not be written are not tried again before this moment (monotonic).
    names_due: Duration,
    /// When it is tried again to write which files were begun.
    begun_due: Duration,
    lag: Lag,
    lag_bytes: u64,
    /// Directories that are written all the time.
    hot: Hot,
    /// Streams that are still to be checked in this sweep.
    unchecked: VecDeque<StreamId>,
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

    /// What keeps lines from being sent until somebody does something about it, in words.
    pub(crate) fn trouble(&self) -> Option<String> {
        let refused = self.refused()?;
        Some(format!("a batch is too large to be sent, and all others wait: {}", refused.reason))
    }

    fn refused(&self) -> Option<&Refused> {
        self.in_flight.refused().or_else(|| self.spool.refused())
    }

    /// Whether everything that was read is acknowledged, or lies in the spool.
    pub(crate) fn is_all_acknowledged(&self) -> bool {
        self.in_flight.is_all_done() && self.batcher.is_empty()
    }

    /// Whether nothing is left to be sent.
    fn is_all_delivered(&self) -> bool {
        self.is_all_acknowledged() && self.in_flight.is_empty() && self.spool.is_empty()
    }

    /// Whether directories or files wait to be looked at.
    fn is_looking(&self) -> bool {
        self.tree.is_dirty() || !self.unchecked.is_empty()
    }

    /// Writes the checkpoints whatever the time.
    pub(crate) fn close(&mut self, now: Now) {
        self.flush_checkpoints(now);
    }

    /// As if the data directory could not be written.
    #[cfg(test)]
    pub(crate) fn refuse_records(&mut self, refuse: bool) {
        self.checkpoints.refuse_writes(refuse);
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

    /// How many directories are written all the time.
    #[cfg(test)]
    pub(crate) fn hot_directories(&self) -> usize {
        self.hot.len()
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
            at_rest: self.is_all_delivered() && self.schedule.is_empty() && !self.is_looking(),
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
            if redactor.is_news(&error) {
                tracing::warn!("{error}; the values known before stay");
            }
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
        let refused = self.refused().map_or(0, |refused| refused.bytes);
        self.metrics.load.refused_line_bytes.set(refused as i64);
        self.metrics.load.throttled_streams.set(self.rates.throttled() as i64);
        self.metrics.load.pinned_deleted_bytes.set(self.pinned.bytes() as i64);
        if self.lag.is_touched() && self.lag_sums.due(now.monotonic).is_some() {
            let (streams, checkpoints) = (&self.streams.by_id, &self.checkpoints);
            let of = |id| streams.get(&id).map_or(0, |stream| stream.lag(checkpoints));
            self.lag_bytes = self.lag.total(of);
            self.metrics.lag_bytes.set(self.lag_bytes as i64);
        }
    }

    fn sleep(&self, now: Now) -> Duration {
        let may_read = !self.schedule.is_empty() && self.has_room();
        if self.is_looking() || may_read || self.may_spill() {
            return Duration::ZERO;
        }
        let busy = !self.is_all_delivered() || !self.schedule.is_empty();
        let longest = if busy { SLEEP_BUSY_MAX } else { SLEEP_MAX };
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let timers = timer.into_iter().chain(self.rates.next_due());
        let timers = timers.chain(self.hot.next_look());
        timers.map(|at| at.saturating_sub(now.monotonic)).fold(longest, Duration::min)
    }
}

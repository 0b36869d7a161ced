//! The loop: what happens in one turn, and in which order.

mod parking;
mod reading;
mod spilling;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::{FileIdentity, Producer, StreamId};

use crate::batcher::Batcher;
use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::collector_id::Incarnation;
use crate::config::Config;
use crate::discover::{Change, NodeId, Rescan, Tree};
use crate::inflight::InFlight;
use crate::intake::{Intake, Streams};
use crate::mesos::Metadata;
use crate::metrics::Metrics;
use crate::periodic::Periodic;
use crate::rate::{Rates, Rules};
use crate::reader::Buffers;
use crate::redact::Redactor;
use crate::relabel::{self, Relabelling};
use crate::schedule::{Class, Schedule};
use crate::spill::{Pinned, Spool};
use crate::start::{StartError, lock, roots};
use crate::status::Status;
use crate::tail::TailFile;
use crate::times::agent_zone;
use crate::vanished;
use crate::why::{ClosedFiles, View};

/// What is read before the loop looks at everything else again, in bytes.
const STEP_BYTES: i64 = 1024 * 1024;
/// Directories listed before the loop looks at everything else again.
const STEP_DIRECTORIES: usize = 64;
/// What a turn costs at least, so that turns without bytes end a round too.
const TURN_COST: i64 = 4096;
/// How long the loop sleeps at most.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// How long it sleeps at most while an acknowledgement is awaited.
const SLEEP_BUSY_MAX: Duration = Duration::from_millis(5);
/// Watched directories are checked at every so many rescans.
const RESCANS_WATCHED: u64 = 6;
/// Open files in watched directories are checked at every so many sweeps.
const SWEEPS_WATCHED: u64 = 60;
/// How often the lag is summed up.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often quiet files are closed at most, where descriptors are short.
const PARK_EVERY: Duration = Duration::from_millis(100);
/// How often the secret files are looked at.
const SECRET_FILES_EVERY: Duration = Duration::from_secs(1);

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
    /// Opens the data directory and the roots.
    ///
    /// # Errors
    /// The configuration is wrong, or a directory in it cannot be used.
    pub(crate) fn open(
        config: Config,
        producer: Arc<dyn Producer>,
        metrics: Metrics,
        now: Now,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let metadata = Arc::new(Metadata::default());
        let roots = roots(&config, &metadata)?;
        let lock = lock(&config.data_dir)?;
        metadata.load(&config.data_dir);
        let incarnation = Incarnation::begin(&config.data_dir)?;
        let checkpoints = Checkpoints::open(&config.data_dir).map_err(|source| {
            StartError::DataDir { path: config.data_dir.join("checkpoints"), source }
        })?;
        let redactor = config
            .redaction
            .then(|| Redactor::open(&config.data_dir, &config.secret_files))
            .transpose()?;
        metrics.checkpoint_records_lost.inc_by(checkpoints.damaged());
        let rules =
            Rules::new(config.rate_limit_bytes_per_second, config.on_limit, &config.rate_rules)?;
        let collector = incarnation.collector;
        let spool = Spool::open(&config, collector, producer.clone(), now.monotonic)?;
        Ok(Self {
            metadata,
            relabelling: Relabelling::default(),
            tree: Tree::new(roots, metrics.clone()),
            streams: Streams::default(),
            schedule: Schedule::default(),
            rates: Rates::new(rules),
            timers: BinaryHeap::new(),
            batcher: Batcher::new(incarnation),
            in_flight: InFlight::new(producer, collector, &config),
            spool,
            spool_first: true,
            pinned: Pinned::default(),
            is_spilling: false,
            checkpoints,
            buffers: Buffers::new(),
            redactor,
            zone: Box::new(agent_zone()),
            started: now.wall,
            rescans: Periodic::new(config.rescan_every, now.monotonic),
            sweeps: Periodic::new(config.sweep_every, now.monotonic),
            looks: Periodic::new(config.sweep_every, now.monotonic),
            parkings: Periodic::new(PARK_EVERY, now.monotonic),
            lag: Periodic::new(LAG_EVERY, now.monotonic),
            secret_files: Periodic::new(SECRET_FILES_EVERY, now.monotonic),
            flushed_at: now.monotonic,
            lag_bytes: 0,
            moved: (0, 0),
            closed_files: ClosedFiles::default(),
            events_lost: false,
            _lock: lock,
            config,
            metrics,
        })
    }

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

    fn take_acks(&mut self, now: Now) {
        for number in self.spool.receive(now.monotonic, &self.metrics) {
            self.in_flight.in_spool(number);
        }
        let has_room = self.has_room();
        for batch in self.in_flight.receive(now.monotonic, &self.metrics) {
            for progress in &batch.progress {
                self.checkpoints.advance(*progress, now.wall);
                // A file that is read and now acknowledged may be closed.
                self.wake(progress.stream, now);
                self.acknowledged(progress.stream, has_room, now);
            }
            self.metrics.acked_bytes.inc_by(batch.source_bytes);
            fail::fail_point!("collector::after_ack");
        }
        for number in self.in_flight.take_stored() {
            self.spool.delivered_elsewhere(number);
        }
    }

    fn look_around(&mut self, now: Now) {
        for change in self.tree.take_events() {
            self.changed(&change, now);
        }
        if let Some(count) = self.rescans.due(now.monotonic) {
            let watched = count.is_multiple_of(RESCANS_WATCHED);
            self.tree.rescan(if watched { Rescan::Changed } else { Rescan::Unwatched });
            self.compact_checkpoints(now);
        }
        if let Some(count) = self.sweeps.due(now.monotonic) {
            // At most once a sweep, lest a storm of events be answered by a storm of listings.
            let events_lost = std::mem::take(&mut self.events_lost);
            if events_lost {
                self.tree.rescan(Rescan::EventsLost);
            }
            self.sweep(events_lost || count.is_multiple_of(SWEEPS_WATCHED), now);
        }
        for stream in self.take_in(now) {
            self.account(stream, now);
            self.wake(stream, now);
        }
        for id in self.tree.take_orphans() {
            self.lose_names(id, now);
        }
        self.relabel(now);
        self.wake_due(now);
    }

    /// Hands on the labels that the agent's metadata gives to streams.
    fn relabel(&mut self, now: Now) {
        if let Some(keys) = self.relabelling.due(&self.metadata, self.tree.is_dirty()) {
            let sources = self.tree.sources(&self.config.host, &keys);
            let checkpoints = &self.checkpoints;
            relabel::announce(sources, &mut self.streams, checkpoints, &mut self.batcher, now);
        }
    }

    /// What is known of containers, shared with who asks the agent.
    pub(crate) fn metadata(&self) -> Arc<Metadata> {
        self.metadata.clone()
    }

    /// Lists the directories that are due; gives the streams that changed.
    fn take_in(&mut self, now: Now) -> Vec<StreamId> {
        // What is to be listed again because it changes too fast waits for the next turn, and so do
        // the many directories of a rescan: files are read in between.
        let due: Vec<NodeId> =
            std::iter::from_fn(|| self.tree.next_dirty()).take(STEP_DIRECTORIES).collect();
        let mut intake = Intake {
            tree: &mut self.tree,
            streams: &mut self.streams,
            checkpoints: &mut self.checkpoints,
            metrics: &self.metrics,
            config: &self.config,
            now,
            started: self.started,
            finished: Vec::new(),
            vanished: Vec::new(),
            lost: Vec::new(),
        };
        let mut changed: Vec<StreamId> =
            due.into_iter().flat_map(|node| intake.directory(node)).collect();
        changed.extend(intake.accept_pending_of_gone());
        for (source, piece, has_birth) in intake.lost {
            let (metrics, batcher) = (&self.metrics, &mut self.batcher);
            vanished::declare(&source, piece, has_birth, metrics, batcher, now);
        }
        changed
    }

    fn changed(&mut self, change: &Change, now: Now) {
        let Change::Written { node, name, closed } = change else {
            self.metrics.load.event_overflows.inc();
            self.events_lost = true;
            return;
        };
        let id = self.tree.log_of(*node, name).and_then(|log| self.tree.stream(*node, log));
        let file = id.and_then(|id| self.streams.by_id.get_mut(&id)).and_then(|stream| {
            let is_it =
                |known: &&mut TailFile| known.name.as_ref().is_some_and(|(known, _)| known == name);
            stream.files.iter_mut().find(is_it)
        });
        match (file, id) {
            (Some(file), Some(id)) => {
                if *closed {
                    file.closed_by_a_writer();
                }
                self.wake(id, now);
            }
            // The file was finished and closed, or is new.
            _ => self.tree.mark(*node),
        }
    }

    /// Gives a turn to streams whose files no watch covers; with `all` to all.
    fn sweep(&mut self, all: bool, now: Now) {
        let due: Vec<StreamId> = if all || !self.tree.is_all_watched() {
            self.streams.by_id.keys().copied().collect()
        } else {
            let Streams { by_id, unnamed, .. } = &mut self.streams;
            unnamed.retain(|id| {
                let files = by_id.get(id).map(|stream| &stream.files[..]).unwrap_or_default();
                files.iter().any(|file| file.name.is_none())
            });
            unnamed.iter().copied().collect()
        };
        for id in due {
            self.account(id, now);
            self.wake(id, now);
        }
    }

    fn lose_names(&mut self, id: StreamId, now: Now) {
        if let Some(stream) = self.streams.by_id.get_mut(&id) {
            for file in &mut stream.files {
                file.name = None;
            }
            stream.listings += 1;
            self.streams.unnamed.insert(id);
        }
        self.account(id, now);
        self.wake(id, now);
    }

    fn wake(&mut self, id: StreamId, now: Now) {
        if let Some(stream) = self.streams.by_id.get_mut(&id) {
            self.schedule.wait(id, Class::of(stream, now.monotonic));
        }
    }

    fn wake_due(&mut self, now: Now) {
        while let Some(Reverse((at, id))) =
            self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now.monotonic)
        {
            self.timers.pop();
            let Some(stream) = self.streams.by_id.get_mut(&id) else { continue };
            if stream.due == Some(at) {
                stream.due = None;
                self.wake(id, now);
            }
        }
        for id in self.rates.due(now.monotonic) {
            self.wake(id, now);
        }
    }

    fn ship(&mut self, now: Now, everything: bool) {
        if everything {
            self.batcher.close();
        } else if !self.in_flight.is_held_up() {
            self.batcher.close_if_due(now.monotonic, self.config.linger);
        }
        self.push_encoded();
        self.flush_history();
        // Who is first gets what room a full transport has: both get on.
        if self.spool_first {
            self.spool.send(now.monotonic, &self.metrics);
        }
        self.in_flight.send(now.monotonic, &self.metrics);
        if !self.spool_first {
            self.spool.send(now.monotonic, &self.metrics);
        }
        self.spool_first = !self.spool_first;
    }

    /// What names the bytes of a batch must be durable before the batch is.
    fn flush_history(&mut self) {
        if self.checkpoints.history.is_changed()
            && let Err(error) = self.checkpoints.history.flush()
        {
            self.checkpoint_failed(&error);
        }
    }

    fn push_encoded(&mut self) {
        while let Some(batch) = self.batcher.take() {
            self.in_flight.push(batch);
        }
    }

    fn write_checkpoints(&mut self, now: Now) {
        let due = self.flushed_at + self.config.checkpoint_every;
        if self.checkpoints.is_changed() && now.monotonic >= due {
            self.flush_checkpoints(now);
        }
    }

    fn flush_checkpoints(&mut self, now: Now) {
        self.flushed_at = now.monotonic;
        if !self.checkpoints.is_changed() {
            return;
        }
        if let Err(error) = self.checkpoints.flush(now.wall) {
            self.checkpoint_failed(&error);
        }
    }

    fn compact_checkpoints(&mut self, now: Now) {
        if !self.checkpoints.is_compaction_due() {
            return;
        }
        let open = self.streams.by_id.values().flat_map(|stream| &stream.files);
        let present: HashSet<FileIdentity> =
            open.map(|file| file.identity).chain(self.tree.settled()).collect();
        if let Err(error) = self.checkpoints.compact(now.wall, |file| present.contains(file)) {
            self.checkpoint_failed(&error);
        }
    }

    fn checkpoint_failed(&mut self, error: &io::Error) {
        self.metrics.checkpoint_errors.inc();
        if !self.metrics.checkpoint_errors.get().is_power_of_two() {
            return;
        }
        tracing::warn!(
            "cannot write checkpoints in '{}', it is tried again (a restart now would re-send what is already stored): {error}",
            self.config.data_dir.display()
        );
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

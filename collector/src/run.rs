//! The loop: what happens in one turn, and in which order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;
use sawlog_transport::{FileIdentity, Producer, StreamId};

use crate::batcher::Batcher;
use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::collector_id::Incarnation;
use crate::config::Config;
use crate::discover::{Change, NodeId, Rescan, Settled, Tree};
use crate::inflight::InFlight;
use crate::intake::{Intake, Streams};
use crate::metrics::Metrics;
use crate::periodic::Periodic;
use crate::reader::{Buffers, Reader};
use crate::redact::Redactor;
use crate::start::{StartError, lock, roots};
use crate::status::Status;
use crate::stream::{Closed, Stream, Turn, Turned, Why};
use crate::tail::TailFile;
use crate::times::agent_zone;

/// What a stream may read in one round before the next stream has its turn, in bytes.
const QUANTUM: i64 = FRAME_TEXT_BYTES_MAX as i64;
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
const RESCANS_WATCHED: u64 = 30;
/// Open files in watched directories are checked at every so many sweeps.
const SWEEPS_WATCHED: u64 = 300;
/// How often the lag is summed up.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often the secret files are looked at.
const SECRET_FILES_EVERY: Duration = Duration::from_secs(1);

/// The whole state of a collector. One thread owns it.
pub(crate) struct Loop {
    config: Config,
    metrics: Metrics,
    tree: Tree,
    streams: Streams,
    /// Streams that wait for their turn.
    ready: VecDeque<StreamId>,
    /// When streams want a turn (monotonic).
    timers: BinaryHeap<Reverse<(Duration, StreamId)>>,
    batcher: Batcher,
    in_flight: InFlight,
    checkpoints: Checkpoints,
    buffers: Buffers,
    /// `None`: lines are handed on as they are.
    redactor: Option<Redactor>,
    zone: Box<dyn Fn(i64) -> i32 + Send>,
    /// When the collector started: nanoseconds since the epoch.
    started: i64,
    rescans: Periodic,
    sweeps: Periodic,
    lag: Periodic,
    secret_files: Periodic,
    flushed_at: Duration,
    lag_bytes: u64,
    /// Bytes read and acknowledged when the lag was summed up.
    moved: (u64, u64),
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
        let roots = roots(&config)?;
        let lock = lock(&config.data_dir)?;
        let incarnation = Incarnation::begin(&config.data_dir)?;
        let checkpoints = Checkpoints::open(&config.data_dir).map_err(|source| {
            StartError::DataDir { path: config.data_dir.join("checkpoints"), source }
        })?;
        let redactor = config
            .redaction
            .then(|| Redactor::open(&config.data_dir, &config.secret_files))
            .transpose()?;
        metrics.checkpoint_records_lost.inc_by(checkpoints.damaged());
        Ok(Self {
            tree: Tree::new(roots, metrics.clone()),
            streams: Streams::default(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            batcher: Batcher::new(incarnation),
            in_flight: InFlight::new(producer, incarnation.collector, &config),
            checkpoints,
            buffers: Buffers::new(),
            redactor,
            zone: Box::new(agent_zone()),
            started: now.wall,
            rescans: Periodic::new(config.rescan_every, now.monotonic),
            sweeps: Periodic::new(config.sweep_every, now.monotonic),
            lag: Periodic::new(LAG_EVERY, now.monotonic),
            secret_files: Periodic::new(SECRET_FILES_EVERY, now.monotonic),
            flushed_at: now.monotonic,
            lag_bytes: 0,
            moved: (0, 0),
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

    /// Whether everything that was read is acknowledged.
    pub(crate) fn is_all_acknowledged(&self) -> bool {
        self.in_flight.is_empty() && !self.batcher.is_filling()
    }

    /// Writes the checkpoints whatever the time.
    pub(crate) fn close(&mut self, now: Now) {
        self.flush_checkpoints(now);
    }

    /// Becomes readable when something changes in the directories.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.tree.events()
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            files_open: self.streams.open.len(),
            bytes_read: self.metrics.read_bytes.get(),
            bytes_acked: self.metrics.acked_bytes.get(),
            in_flight_bytes: self.in_flight.text_bytes() + self.batcher.text_bytes(),
            lag_bytes: self.lag_bytes,
            at_rest: self.is_all_acknowledged() && self.ready.is_empty() && !self.tree.is_dirty(),
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
        for batch in self.in_flight.receive(now.monotonic, &self.metrics) {
            for progress in &batch.progress {
                self.checkpoints.advance(*progress, now.wall);
                // A file that is read and now acknowledged may be closed.
                self.wake(progress.stream);
            }
            self.metrics.acked_bytes.inc_by(batch.source_bytes);
            fail::fail_point!("collector::after_ack");
        }
    }

    fn look_around(&mut self, now: Now) {
        for change in self.tree.take_events() {
            self.changed(&change);
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
            self.sweep(events_lost || count.is_multiple_of(SWEEPS_WATCHED));
        }
        for stream in self.take_in(now) {
            self.wake(stream);
        }
        for id in self.tree.take_orphans() {
            self.lose_names(id);
        }
        self.wake_due(now.monotonic);
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
        };
        let mut changed: Vec<StreamId> =
            due.into_iter().flat_map(|node| intake.directory(node)).collect();
        changed.extend(intake.accept_pending_of_gone());
        changed
    }

    fn changed(&mut self, change: &Change) {
        let Change::Written { node, name, closed } = change else {
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
                self.wake(id);
            }
            // The file was finished and closed, or is new.
            _ => self.tree.mark(*node),
        }
    }

    /// Gives a turn to streams whose files no watch covers; with `all` to all.
    fn sweep(&mut self, all: bool) {
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
            self.wake(id);
        }
    }

    fn lose_names(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.by_id.get_mut(&id) {
            for file in &mut stream.files {
                file.name = None;
            }
            stream.listings += 1;
            self.streams.unnamed.insert(id);
        }
        self.wake(id);
    }

    fn wake(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.by_id.get_mut(&id).filter(|stream| !stream.queued) {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    fn wake_due(&mut self, now: Duration) {
        while let Some(Reverse((at, id))) =
            self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.timers.pop();
            let Some(stream) = self.streams.by_id.get_mut(&id) else { continue };
            if stream.due == Some(at) {
                stream.due = None;
                self.wake(id);
            }
        }
    }

    /// Reads in rounds over the streams, each its share of bytes.
    fn read(&mut self, now: Now) {
        let mut budget = STEP_BYTES;
        // Each stream at most once a step, unless it has more to give.
        let mut turns = self.ready.len();
        while budget > 0 && turns > 0 && self.has_room() {
            turns -= 1;
            let Some(id) = self.ready.pop_front() else { break };
            budget -= self.round(id, now);
        }
    }

    /// Whether another run may be read without exceeding what may be in flight.
    fn has_room(&self) -> bool {
        let sent = self.in_flight.text_bytes().max(self.in_flight.memory_bytes());
        let held = sent + self.batcher.text_bytes();
        held + FRAME_TEXT_BYTES_MAX <= self.config.in_flight_bytes_max
    }

    /// Lets a stream read its share; gives what that cost.
    fn round(&mut self, id: StreamId, now: Now) -> i64 {
        let Some(mut stream) = self.streams.by_id.remove(&id) else { return 0 };
        stream.queued = false;
        stream.credit = (stream.credit + QUANTUM).min(QUANTUM);
        let mut closed = Vec::new();
        let mut cost = 0;
        let idle_until = loop {
            if stream.credit <= 0 || !self.has_room() {
                break None;
            }
            match self.turn(&mut stream, &mut closed, now) {
                Turned::Read(bytes) => {
                    let turn = TURN_COST.max(bytes as i64);
                    stream.credit -= turn;
                    cost += turn;
                }
                Turned::Idle(due) => {
                    stream.credit = 0;
                    break Some(due);
                }
            }
        };
        let node = stream.node;
        if !stream.files.is_empty() {
            let due = idle_until.flatten().filter(|at| stream.due.is_none_or(|due| *at < due));
            stream.due = due.or(stream.due);
            self.streams.by_id.insert(id, stream);
            self.timers.extend(due.map(|at| Reverse((at, id))));
            if idle_until.is_none() {
                self.wake(id);
            }
        }
        for file in closed {
            self.closed(node, file);
        }
        cost
    }

    fn turn(&mut self, stream: &mut Stream, closed: &mut Vec<Closed>, now: Now) -> Turned {
        let node = stream.node;
        let mut reader = Reader {
            now,
            buffers: &mut self.buffers,
            batcher: &mut self.batcher,
            metrics: &self.metrics,
            redactor: self.redactor.as_mut(),
            zone: &*self.zone,
        };
        let mut turn = Turn {
            reader: &mut reader,
            config: &self.config,
            checkpoints: &mut self.checkpoints,
            closed,
            relist: false,
        };
        let turned = stream.turn(&mut turn);
        if turn.relist {
            self.tree.look_for_copies(node);
        }
        turned
    }

    /// Remembers a closed file, so that it is not opened again without need.
    fn closed(&mut self, node: u64, Closed { file, why }: Closed) {
        self.streams.open.remove(&file.key());
        if why == Why::Finished && file.is_deleted() {
            self.checkpoints.forget(&file.identity);
            return;
        }
        if let Why::Skipped(reason) = why {
            self.metrics.skipped_files.with_label_values(&[reason]).inc();
            let name = file.name.as_ref().map(|(name, _)| name.as_os_str()).unwrap_or_default();
            let path = self.tree.path(node).join(name);
            tracing::warn!(reason, "'{}' is left out: it is not text", path.display());
        }
        let Some(memory) = self.tree.memory(node) else { return };
        match why {
            Why::Skipped(_) => {
                memory.skipped.insert(file.key());
            }
            Why::Finished if file.name.is_some() => {
                let (size, modified) = file.on_disk();
                let settled = Settled { identity: file.identity, size, modified };
                memory.settled.insert(file.key(), settled);
            }
            Why::Finished => {}
        }
    }

    fn ship(&mut self, now: Now, everything: bool) {
        if everything {
            self.batcher.close();
        } else if !self.in_flight.is_held_up() {
            self.batcher.close_if_due(now.monotonic, self.config.linger);
        }
        while let Some(batch) = self.batcher.take() {
            self.in_flight.push(batch);
        }
        // What names the bytes of a batch must be durable before the batch is.
        if self.checkpoints.history.is_changed()
            && let Err(error) = self.checkpoints.history.flush()
        {
            self.checkpoint_failed(&error);
        }
        self.in_flight.send(now.monotonic, &self.metrics);
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
        let may_differ = moved != self.moved || !self.ready.is_empty();
        if may_differ && self.lag.due(now.monotonic).is_some() {
            self.moved = moved;
            let lags = self.streams.by_id.values().map(|stream| stream.lag(&self.checkpoints));
            self.lag_bytes = lags.sum();
            self.metrics.lag_bytes.set(self.lag_bytes as i64);
        }
    }

    fn sleep(&self, now: Now) -> Duration {
        if self.tree.is_dirty() || (!self.ready.is_empty() && self.has_room()) {
            return Duration::ZERO;
        }
        let busy = !self.is_all_acknowledged() || !self.ready.is_empty();
        let longest = if busy { SLEEP_BUSY_MAX } else { SLEEP_MAX };
        let timer = self.timers.peek().map(|Reverse((at, _))| at.saturating_sub(now.monotonic));
        timer.map_or(longest, |timer| timer.min(longest))
    }
}

//! A spool that is there: what goes in, what is given up for it, and what is sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::embedded::{BYTES_MAX_MIN, EmbeddedConfig, EmbeddedLog, OpenError};
use sawlog_transport::{Bounds, ConsumeError, Consumer, Event, PieceKind};

use super::PARTITION;
use super::loss::Losses;
use super::offsets::Offsets;
use super::queue::{Queue, What};
use super::replay::Replay;
use super::room::Room;
use crate::inflight::{InFlight, Refused, ToSpool};
use crate::metrics::Metrics;

/// The spool is given up in so many steps.
const FILES: u64 = 16;
/// A log file of the spool has at most so many bytes: as many are read at once when it is given up.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// An open spool.
pub(super) struct OpenSpool {
    log: EmbeddedLog,
    queue: Queue,
    /// How many times something was given up.
    given_up_count: u64,
    /// What was given up, until its declarations are durable, by number.
    given_up: BTreeMap<u64, GivenUp>,
    offsets: Offsets,
    replay: Replay,
    room: Room,
}

struct GivenUp {
    /// Declarations that are not durable.
    missing: usize,
    what: Lost,
}

#[derive(Clone, Copy)]
enum Lost {
    /// The batches from this offset on.
    From(u64),
    /// A batch that was never written.
    Batch(u64),
}

impl OpenSpool {
    pub(super) fn new(
        dir: PathBuf,
        limit: u64,
        sending: InFlight,
        replay_bytes_max: usize,
        now: Duration,
    ) -> Result<Self, OpenError> {
        let mut config = EmbeddedConfig::new(dir.clone(), PARTITION + 1);
        config.file_bytes_max = (limit / FILES).min(FILE_BYTES_MAX);
        // Its own limit is never reached: what is too much is given up first.
        config.bytes_max = limit.saturating_mul(2).saturating_add(8 * BYTES_MAX_MIN);
        let log = EmbeddedLog::open(config)?;
        let failed = |error: ConsumeError| OpenError::Io {
            place: dir.clone(),
            source: std::io::Error::other(error),
        };
        let Bounds { low: front, high } = log.consumer().bounds(PARTITION).map_err(failed)?;
        let replay = Replay::new(&log, front, sending, replay_bytes_max).map_err(failed)?;
        Ok(Self {
            queue: Queue::new(log.producer()),
            log,
            given_up_count: 0,
            given_up: BTreeMap::new(),
            offsets: Offsets::new(front, high),
            replay,
            room: Room::new(&dir, limit, now),
        })
    }

    /// Bytes on disk that are needed, and on their way there.
    pub(super) fn bytes(&self) -> u64 {
        let files = self.log.files(PARTITION);
        let front = self.offsets.front();
        let needed = files.iter().filter(|file| file.end > front);
        needed.map(|file| file.bytes).sum::<u64>() + self.queue.bytes()
    }

    /// What its batches take in memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.replay.memory_bytes() + usize::try_from(self.queue.bytes()).unwrap_or(usize::MAX)
    }

    /// The line that holds up what is sent, if there is one.
    pub(super) fn refused(&self) -> Option<&Refused> {
        self.replay.refused()
    }

    /// Whether nothing in it is needed.
    pub(super) fn is_empty(&self) -> bool {
        let high = self.log.files(PARTITION).last().map_or(0, |file| file.end);
        self.queue.is_empty() && self.given_up.is_empty() && self.offsets.front() >= high
    }

    /// Takes a batch, for which older ones are given up if need be.
    pub(super) fn store(&mut self, batch: ToSpool, now: Duration, metrics: &Metrics) {
        let ToSpool { number, message, source_bytes, is_spilled } = batch;
        let bytes = message.len() as u64;
        let has_room = self.make_room(bytes, now, metrics).unwrap_or_else(|error| {
            metrics.load.spool_errors.inc();
            tracing::error!("cannot read the spool to give up its oldest batches: {error}");
            true
        });
        if has_room {
            metrics.load.spilled_bytes.inc_by(source_bytes);
            self.push(message, What::Batch { number, is_spilled, stored: false }, now);
            return;
        }
        let mut losses = Losses::default();
        let lost = losses.add(message.clone()).expect("it was encoded a moment ago");
        if is_spilled {
            count_lost(lost, metrics);
        }
        let messages = losses.into_messages();
        if messages.is_empty() {
            // There is nothing in it that could be lost, and next to nothing it needs room for.
            self.push(message, What::Batch { number, is_spilled, stored: false }, now);
            return;
        }
        self.declare(messages, Lost::Batch(number), now);
    }

    /// As if the disk let the spool become no larger than it is.
    #[cfg(test)]
    pub(super) fn fill_disk(&mut self) {
        let used = self.bytes();
        self.room.set_most(used);
    }

    /// Gives up the oldest until there is room; `false` if there is none for so many bytes at all.
    fn make_room(
        &mut self,
        bytes: u64,
        now: Duration,
        metrics: &Metrics,
    ) -> Result<bool, ConsumeError> {
        let most = self.room.bytes_max(self.bytes(), now);
        loop {
            let used = self.bytes();
            if used + bytes <= most {
                return Ok(true);
            }
            if bytes > most {
                return Ok(false);
            }
            if !self.give_up_oldest(now, metrics)? {
                // What is left is not on disk yet: for a moment it is a little too much.
                return Ok(true);
            }
        }
    }

    /// Gives up the oldest file; `false` if there is none but the one being written, and those of which it
    /// is not known yet what else delivers them.
    fn give_up_oldest(&mut self, now: Duration, metrics: &Metrics) -> Result<bool, ConsumeError> {
        let files = self.log.files(PARTITION);
        let front = self.offsets.front();
        let Some(at) = files.iter().position(|file| file.end > front) else { return Ok(false) };
        if at + 1 == files.len() || files[at].end > self.offsets.known() {
            return Ok(false);
        }
        let (from, upto) = (files[at].first.max(front), files[at].end);
        let mut losses = Losses::default();
        let mut lost = 0;
        let mut reader = self.log.consumer();
        reader.assign(PARTITION, from)?;
        let mut next = from;
        while next < upto
            && let Some(event) = reader.poll(Duration::ZERO)?
        {
            match event {
                Event::Message { offset, message, .. } if offset < upto => {
                    next = offset + 1;
                    lost += self.lose(offset, message, &mut losses);
                }
                Event::Missing { to, reason, .. } => {
                    next = to;
                    metrics.load.spool_errors.inc();
                    tracing::error!(
                        "spooled batches cannot be read, their bytes are lost: {reason}"
                    );
                }
                _ => {}
            }
        }
        count_lost(lost, metrics);
        self.offsets.give_up(upto);
        self.replay.skip_to(upto)?;
        self.declare(losses.into_messages(), Lost::From(from), now);
        Ok(true)
    }

    /// Declares a batch lost; gives how many bytes of it really are, as long as this process lives.
    fn lose(&self, offset: u64, message: Bytes, losses: &mut Losses) -> u64 {
        if !self.offsets.is_needed(offset) {
            return 0;
        }
        match losses.add(message) {
            Ok(lost) if self.offsets.is_ours(offset) && !self.replay.has(offset) => lost,
            Ok(_) => 0,
            Err(error) => {
                tracing::error!(
                    offset,
                    "a spooled batch cannot be read, its bytes are lost: {error}"
                );
                0
            }
        }
    }

    fn declare(&mut self, messages: Vec<Bytes>, what: Lost, now: Duration) {
        if messages.is_empty() {
            return;
        }
        let given_up = self.given_up_count;
        self.given_up_count += 1;
        self.given_up.insert(given_up, GivenUp { missing: messages.len(), what });
        for message in messages {
            self.push(message, What::Loss { given_up }, now);
        }
    }

    fn push(&mut self, message: Bytes, what: What, now: Duration) {
        self.queue.push(message, what, now);
        self.flush();
    }

    /// Many batches are synced together: what was handed to the log meanwhile is one of them.
    fn flush(&mut self) {
        if self.queue.take_unflushed() {
            self.log.flush();
        }
    }

    /// The transport has stored a batch that was in flight too.
    pub(super) fn delivered_elsewhere(&mut self, batch: u64) {
        if !self.queue.mark_stored(batch) {
            self.offsets.delivered_elsewhere(batch);
        }
    }

    /// Takes in what became durable and what was delivered; gives the numbers of durable batches.
    pub(super) fn receive(&mut self, now: Duration, metrics: &Metrics) -> Vec<u64> {
        let durable = self.queue.receive(now, metrics);
        let batches = durable.into_iter().filter_map(|(what, at)| self.stored(what, at)).collect();
        self.flush();
        self.replay.receive(&mut self.offsets, now, metrics);
        self.replay.processed(self.processed());
        batches
    }

    /// A message is durable; gives the number of the batch that is so by it.
    fn stored(&mut self, what: What, offset: u64) -> Option<u64> {
        if let What::Batch { number, is_spilled: false, stored } = what {
            self.offsets.is_elsewhere(number, offset);
            if stored {
                self.offsets.delivered_elsewhere(number);
            }
        }
        self.offsets.know(offset);
        match what {
            What::Batch { number, .. } => Some(number),
            What::Loss { given_up } => {
                let group = self.given_up.get_mut(&given_up)?;
                group.missing -= 1;
                if group.missing > 0 {
                    return None;
                }
                match self.given_up.remove(&given_up)?.what {
                    Lost::From(_) => None,
                    Lost::Batch(number) => Some(number),
                }
            }
        }
    }

    /// Up to where nothing is needed, neither for itself nor until its declaration is durable.
    fn processed(&self) -> u64 {
        let undeclared = self.given_up.values().filter_map(|given_up| match given_up.what {
            Lost::From(offset) => Some(offset),
            Lost::Batch(_) => None,
        });
        undeclared.min().unwrap_or(u64::MAX).min(self.offsets.front())
    }

    /// Sends what lies in it, as far as the transport takes it.
    pub(super) fn send(&mut self, now: Duration, metrics: &Metrics) {
        if let Err(error) = self.replay.send(&mut self.offsets, now, metrics) {
            metrics.load.spool_errors.inc();
            if metrics.load.spool_errors.get().is_power_of_two() {
                tracing::error!("cannot read the spool, it is tried again: {error}");
            }
        }
    }
}

fn count_lost(bytes: u64, metrics: &Metrics) {
    let Some(reason) = PieceKind::OverBudget.loss().filter(|_| bytes > 0) else { return };
    metrics.lost_bytes.with_label_values(&[reason]).inc_by(bytes);
    tracing::warn!(
        bytes,
        "the spool is full: bytes of deleted files are lost (raise spool_bytes, or find out why the transport takes so little)"
    );
}

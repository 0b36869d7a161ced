//! Reading a log: one cursor per assigned partition, taken in turn, each record's CRC checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log_file;
use super::scan::{Found, Record, Scanner};
use super::shared::{Extent, Shared, State};
use crate::consumer::{Bounds, ConsumeError, Consumer, Event};

/// The receiving side of an embedded log.
///
/// The log has no group and takes no partition away. A consumer whose owner assigned nothing before
/// its first `poll` is offered every partition with `Event::Assigned`, as a cluster would.
#[derive(Debug)]
pub struct EmbeddedConsumer {
    shared: Arc<Shared>,
    cursors: BTreeMap<u32, Cursor>,
    /// The partition that gave the last event; the next one is asked first.
    turn: u32,
    /// Partitions still to be offered; `None` until the first poll.
    offers: Option<std::ops::Range<u32>>,
}

impl EmbeddedConsumer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, cursors: BTreeMap::new(), turn: 0, offers: None }
    }

    fn check(&self, partition: u32) -> Result<(), ConsumeError> {
        let partitions = self.shared.config.partitions;
        if partition < partitions {
            return Ok(());
        }
        Err(ConsumeError::NoPartition { partition, partitions })
    }

    fn offer(&mut self) -> Option<Event> {
        let all = 0..self.shared.config.partitions;
        let partition = self.offers.get_or_insert(all).next()?;
        Some(Event::Assigned { partition })
    }

    /// The next event that needs no waiting.
    fn read(&mut self) -> Result<Option<Event>, ConsumeError> {
        let after = (Bound::Excluded(self.turn), Bound::Unbounded);
        let order: Vec<u32> = self
            .cursors
            .range(after)
            .chain(self.cursors.range(..=self.turn))
            .filter(|(_, cursor)| !cursor.paused)
            .map(|(partition, _)| *partition)
            .collect();
        for partition in order {
            let Some(cursor) = self.cursors.get_mut(&partition) else { continue };
            if let Some(event) = cursor.next_event(&self.shared)? {
                self.turn = partition;
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn is_readable(&self, state: &State) -> bool {
        self.cursors.values().any(|cursor| {
            !cursor.paused && cursor.next < state.partitions[cursor.partition as usize].high
        })
    }

    /// Waits until there may be something to read; false when the time is over.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.shared.lock();
        while !self.is_readable(&state) {
            match deadline {
                None => self.shared.readable.wait(&mut state),
                Some(deadline) => {
                    if self.shared.readable.wait_until(&mut state, deadline).timed_out() {
                        return self.is_readable(&state);
                    }
                }
            }
        }
        true
    }
}

impl Consumer for EmbeddedConsumer {
    fn partitions(&self) -> u32 {
        self.shared.config.partitions
    }

    /// A partition that is assigned (again) is not paused.
    fn assign(&mut self, partition: u32, from: u64) -> Result<(), ConsumeError> {
        self.check(partition)?;
        let Bounds { high, .. } = self.bounds(partition)?;
        if from > high {
            return Err(ConsumeError::BeyondEnd { partition, position: from, high });
        }
        self.offers.get_or_insert(0..0);
        self.cursors.insert(partition, Cursor::new(partition, from));
        Ok(())
    }

    fn revoke(&mut self, partition: u32) {
        self.cursors.remove(&partition);
    }

    fn pause(&mut self, partition: u32, paused: bool) {
        if let Some(cursor) = self.cursors.get_mut(&partition) {
            cursor.paused = paused;
        }
    }

    fn poll(&mut self, timeout: Duration) -> Result<Option<Event>, ConsumeError> {
        if let Some(event) = self.offer() {
            return Ok(Some(event));
        }
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(event) = self.read()? {
                return Ok(Some(event));
            }
            if !self.wait(deadline) {
                return Ok(None);
            }
        }
    }

    fn bounds(&self, partition: u32) -> Result<Bounds, ConsumeError> {
        self.check(partition)?;
        Ok(self.shared.lock().partitions[partition as usize].bounds())
    }

    fn processed(&mut self, partition: u32, upto: u64) {
        self.shared.processed(partition, upto);
    }
}

/// How far a partition was read.
#[derive(Debug)]
struct Cursor {
    partition: u32,
    /// The offset that the owner gets next.
    next: u64,
    paused: bool,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    first: u64,
    path: PathBuf,
    scanner: Scanner,
    /// The offset that the scanner's place should hold; behind `Cursor::next` while seeking.
    expected: u64,
    /// What was last found wrong with the file.
    damage: Option<String>,
}

/// What one look at a file gave.
enum Step {
    Give(Event),
    /// Look again: the cursor or the file moved.
    Again,
}

impl Cursor {
    fn new(partition: u32, next: u64) -> Self {
        Self { partition, next, paused: false, open: None }
    }

    fn next_event(&mut self, shared: &Shared) -> Result<Option<Event>, ConsumeError> {
        loop {
            let (bounds, extent) = {
                let state = shared.lock();
                let known = &state.partitions[self.partition as usize];
                (known.bounds(), known.extent(self.next))
            };
            if self.next < bounds.low {
                let reason = "they were processed and deleted".into();
                return Ok(Some(self.missing(bounds.low, reason)));
            }
            let Some(extent) = extent else { return Ok(None) };
            if let Step::Give(event) = self.step(shared, extent)? {
                return Ok(Some(event));
            }
        }
    }

    /// Tells that the offsets up to `to` are gone, and goes on there.
    fn missing(&mut self, to: u64, reason: String) -> Event {
        let from = std::mem::replace(&mut self.next, to);
        Event::Missing { partition: self.partition, from, to, reason }
    }

    fn step(&mut self, shared: &Shared, extent: Extent) -> Result<Step, ConsumeError> {
        if self.open.as_ref().is_none_or(|open| open.first != extent.span.first) {
            return self.open_file(shared, extent);
        }
        let Some(open) = &mut self.open else { return Ok(Step::Again) };
        let at = open.scanner.at();
        let found = open.scanner.next(extent.span.bytes, open.expected..extent.end);
        match found.map_err(|source| open.unreadable(source))? {
            Found::Record(record) => Ok(self.take(record, at)),
            Found::End => Ok(self.skip_to(extent.end)),
            Found::Bad(reason) => {
                open.pass_damage(reason, extent).map_err(|source| open.unreadable(source))?;
                Ok(Step::Again)
            }
        }
    }

    fn open_file(&mut self, shared: &Shared, extent: Extent) -> Result<Step, ConsumeError> {
        let dir = log_file::partition_dir(&shared.config.dir, self.partition);
        let first = extent.span.first;
        let path = log_file::path(&dir, first);
        match File::open(&path) {
            Ok(file) => {
                let scanner = Scanner::new(file);
                self.open = Some(OpenFile { first, path, scanner, expected: first, damage: None });
                Ok(Step::Again)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let low = shared.lock().partitions[self.partition as usize].bounds().low;
                if self.next < low {
                    // Deleted since the extent was looked up.
                    return Ok(Step::Again);
                }
                let reason = format!("{}: {error}", path.display());
                Ok(Step::Give(self.missing(extent.end, reason)))
            }
            Err(source) => Err(ConsumeError::Io { place: path.display().to_string(), source }),
        }
    }

    /// A valid record that began at byte `at`: passed over while seeking, given if it is the next
    /// one, put back if others are missing before it.
    fn take(&mut self, record: Record, at: u64) -> Step {
        let Some(open) = &mut self.open else { return Step::Again };
        if record.offset > self.next {
            open.scanner.seek(at);
            return self.skip_to(record.offset);
        }
        open.expected = record.offset + 1;
        open.damage = None;
        if record.offset < self.next {
            return Step::Again;
        }
        self.next = open.expected;
        Step::Give(Event::Message {
            partition: self.partition,
            offset: record.offset,
            stored_at: record.stored_at,
            message: record.message,
        })
    }

    /// The file holds nothing valid between the next offset and `to`.
    fn skip_to(&mut self, to: u64) -> Step {
        let Some(open) = &mut self.open else { return Step::Again };
        open.expected = to;
        let reason = open.damage.clone().unwrap_or_else(|| {
            format!("{}: byte {}: records are missing", open.path.display(), open.scanner.at())
        });
        Step::Give(self.missing(to, reason))
    }
}

impl OpenFile {
    /// Moves behind a bad record: to the next valid one, or to the file's end.
    fn pass_damage(&mut self, reason: &str, extent: Extent) -> io::Result<()> {
        let damage = format!("{}: byte {}: {reason}", self.path.display(), self.scanner.at());
        if !self.scanner.find_valid(extent.span.bytes, self.expected..extent.end)? {
            self.scanner.seek(extent.span.bytes);
        }
        tracing::warn!(%damage, until = self.scanner.at(), "damaged records are passed over");
        self.damage = Some(damage);
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> ConsumeError {
        ConsumeError::Io { place: self.path.display().to_string(), source }
    }
}

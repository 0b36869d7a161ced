//! What a seal leaves hot: the last entry of each stream, which the stream's next line may continue. So
//! an entry lies in one block, whenever seals begin.
//!
//! What is left is not durable by the seal. The manifest's positions therefore stay before the
//! messages that it came in, and the ledger and the streams table are written without it: after a
//! crash those messages are consumed again, and of them it alone is new.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::{GenerationId, StreamId};

use crate::hot::{Continued, HotRun};
use crate::ingest::message_offset;
use crate::open_entries::{Key, OpenEntries, OpenEntry};
use crate::store::StoreConfig;
use crate::streams::StreamNumber;

/// How long after its last line an entry may wait for the next, if seals are so far apart, at least
/// and at most. Beyond that it is sealed, and what still continues it is an entry of its own.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// Memory of what a seal leaves hot, in bytes; at most an eighth of what begins a seal.
const BYTES_MAX: usize = 4 << 20;
/// What an entry costs beside its text: bytes, roughly.
const ENTRY_BYTES: usize = 512;

/// Whether a seal waits for entries to be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastEntries {
    /// They stay hot for a while.
    StayHot,
    /// All is sealed: nothing more will come.
    AreSealed,
}

/// Parts hot runs: what is sealed, and what stays hot. Afterwards `open` knows what stays.
pub(crate) fn part(
    hot: Vec<Arc<HotRun>>,
    open: &mut OpenEntries,
    config: &StoreConfig,
) -> (Vec<Arc<HotRun>>, Vec<Arc<HotRun>>) {
    let wait = config.seal_interval.clamp(WAIT.0, WAIT.1);
    let costs = |entry: &OpenEntry| entry.bytes() + ENTRY_BYTES;
    open.keep_latest(config.clock.steady(), wait, BYTES_MAX.min(config.seal_bytes / 8), costs);
    let (mut sealed, mut carried) = (Vec::with_capacity(hot.len()), Vec::new());
    let mut last_carried: HashMap<Key, u64> = HashMap::new();
    for run in hot {
        let key = (run.partition, run.number);
        let Some(entry) = open.get_mut(key) else {
            sealed.push(run);
            continue;
        };
        if run.arrival < entry.arrival {
            sealed.push(run);
            continue;
        }
        let kept = match last_carried.get(&key) {
            Some(before) => continued(run, *before),
            None => {
                let (head, tail) = split(run, entry);
                sealed.extend(head);
                tail
            }
        };
        last_carried.insert(key, kept.arrival);
        carried.push(kept);
    }
    (sealed, carried)
}

/// Splits the run that the entry begins in where it begins.
fn split(run: Arc<HotRun>, entry: &mut OpenEntry) -> (Option<Arc<HotRun>>, Arc<HotRun>) {
    if entry.line == 0 {
        return (None, run);
    }
    let head = run.part(0..entry.line);
    let tail = run.part(entry.line..run.lines.len());
    if entry.last_run == run.arrival {
        entry.last_run = tail.arrival;
    }
    (entry.arrival, entry.line) = (tail.arrival, 0);
    (Some(Arc::new(head)), Arc::new(tail))
}

/// A run of which all lines belong to an entry, behind the entry's run that arrived `before`.
fn continued(run: Arc<HotRun>, before: u64) -> Arc<HotRun> {
    let lines = run.lines.len() as u32;
    match &run.continues {
        Some(known) if known.of == before => run,
        _ => {
            let continues = Some(Continued { lines, of: before });
            Arc::new(HotRun { continues, ..HotRun::clone(&run) })
        }
    }
}

/// What must not be written down as held, since it stays hot.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// Lines and bytes of text of each stream.
    streams: BTreeMap<StreamNumber, (u64, u64)>,
    ranges: HashMap<(StreamId, GenerationId), Vec<(u64, u64)>>,
}

impl Carried {
    pub(crate) fn of(runs: &[Arc<HotRun>]) -> Self {
        let mut this = Self::default();
        for run in runs {
            let lines = run.lines.len() as u64;
            let (all_lines, bytes) = this.streams.entry(run.number).or_default();
            *all_lines += lines;
            *bytes += run.text.len() as u64 - lines;
            for piece in &run.pieces {
                let ranges = this.ranges.entry((run.stream, piece.generation)).or_default();
                match ranges.last_mut() {
                    Some((_, to)) if *to == piece.from => *to = piece.to,
                    _ => ranges.push((piece.from, piece.to)),
                }
            }
        }
        this
    }

    /// Lines and bytes of a stream.
    pub(crate) fn of_stream(&self, number: StreamNumber) -> (u64, u64) {
        self.streams.get(&number).copied().unwrap_or_default()
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = StreamNumber> {
        self.streams.keys().copied()
    }

    /// Byte ranges of a generation.
    pub(crate) fn of_generation(&self, key: &(StreamId, GenerationId)) -> &[(u64, u64)] {
        self.ranges.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn generations(&self) -> impl Iterator<Item = &(StreamId, GenerationId)> {
        self.ranges.keys()
    }
}

/// Sets positions back to the first message with lines that stay hot.
pub(crate) fn hold_positions(positions: &mut BTreeMap<u32, u64>, carried: &[Arc<HotRun>]) {
    for run in carried {
        if let Some(position) = positions.get_mut(&run.partition) {
            *position = message_offset(run.arrival).min(*position);
        }
    }
}

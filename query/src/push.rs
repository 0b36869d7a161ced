//! Pushed entries: what another collector sends over HTTP becomes batches like any other. A retry
//! of a request adds nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sawlog_aggregator::Store;
use sawlog_transport::batch::{PushError as BatchPushError, RunInput};
use sawlog_transport::limits::{
    BATCH_TEXT_BYTES_TARGET, FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX, FRAME_TEXT_BYTES_MAX,
    LINE_BYTES_MAX,
};
use sawlog_transport::{
    Ack, BatchBuilder, BatchHeader, Codec, CollectorId, GenerationId, Labels, Level, LineColumns,
    LineFlags, Piece, PieceKind, Producer, SendError, StreamId,
};

use crate::engine::plan::Plan;
use crate::engine::scan::scan;
use crate::engine::{Budget, Limits, QueryError};
use crate::lang::{LogExpr, MatchOp, Matcher};

/// How long a push waits for its entries to become durable.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a push waits, once durable, for its entries to be found by queries.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The latest time of an entry, in the year 2261: equal times can still be moved on from there.
pub const TIME_MAX: i64 = 9_200_000_000_000_000_000;

/// One entry of a push request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedEntry {
    /// Nanoseconds since the epoch.
    pub time: i64,
    pub line: Vec<u8>,
    /// Structured metadata, encoded; pairs in order of name.
    pub metadata: Vec<u8>,
}

/// The entries of one label set.
#[derive(Clone, Debug)]
pub struct PushedStream {
    pub labels: Labels,
    pub entries: Vec<PushedEntry>,
}

/// Why a push was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(
        "entry {entry} of stream {stream} has a line of {found} bytes, at most {LINE_BYTES_MAX} are allowed; nothing of the request was stored"
    )]
    LineTooLong { stream: String, entry: usize, found: usize },
    #[error(
        "entry {entry} of stream {stream} has {found} bytes of structured metadata, at most {FRAME_METADATA_BYTES_MAX} are allowed; nothing of the request was stored"
    )]
    MetadataTooLarge { stream: String, entry: usize, found: usize },
    #[error(
        "entry {entry} of stream {stream} has the time {found} ns, at most {TIME_MAX} is allowed; nothing of the request was stored"
    )]
    TimeTooLate { stream: String, entry: usize, found: i64 },
    /// What was pushed before the start is not known yet, so a retry could not be told.
    #[error("not ready: replaying what was not sealed at the last stop; send the request again")]
    NotReady,
    #[error("too much is waiting to be written: send the request again")]
    Busy,
    #[error("the entries could not be made durable: send the request again")]
    Failed(#[source] SendError),
    #[error("the entries were not durable after {ACK_TIMEOUT:?}: send the request again")]
    Timeout,
    #[error("cannot look for entries that are held already")]
    Query(#[from] QueryError),
}

/// What is held of a stream: time → line and metadata.
type Held = BTreeMap<i64, (Vec<u8>, Vec<u8>)>;

/// Takes pushes for one process.
pub struct Receiver {
    store: Arc<Store>,
    producer: Arc<dyn Producer>,
    id: CollectorId,
    incarnation: u64,
    generation: GenerationId,
    partition: u32,
    state: Mutex<State>,
    /// The streams of pushes under way, and a bell for their end: a retry must see what the first
    /// try stored, so pushes of one stream follow each other.
    busy: (Mutex<HashSet<StreamId>>, Condvar),
}

/// Streams that one push has for itself until it is dropped.
struct Reserved<'r> {
    busy: &'r (Mutex<HashSet<StreamId>>, Condvar),
    streams: Vec<StreamId>,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut busy = self.busy.0.lock();
        for stream in &self.streams {
            busy.remove(stream);
        }
        self.busy.1.notify_all();
    }
}

#[derive(Default)]
struct State {
    /// The next offset of each stream in this incarnation. An offset is used once, also if storing
    /// failed: it may have been stored all the same.
    offsets: HashMap<StreamId, u64>,
    batches: u64,
}

impl Receiver {
    /// `id` and `incarnation` must never repeat together.
    pub fn new(
        store: Arc<Store>,
        producer: Arc<dyn Producer>,
        id: CollectorId,
        incarnation: u64,
    ) -> Self {
        let partition = (id.0 % u128::from(producer.partitions().max(1))) as u32;
        let generation = GenerationId::of_receiver(id, incarnation);
        let (state, busy) = Default::default();
        Self { store, producer, id, incarnation, generation, partition, state, busy }
    }

    /// Stores the entries that are not held yet; when this returns they are durable. Gives how many
    /// were retries.
    ///
    /// # Errors
    /// See [`PushError`]; a request may be sent again after any of them.
    pub fn push(&self, streams: Vec<PushedStream>) -> Result<usize, PushError> {
        if !self.store.is_ready() {
            return Err(PushError::NotReady);
        }
        for stream in &streams {
            check(stream)?;
        }
        let streams = merge_streams(streams);
        let ids = streams.iter().map(|stream| StreamId::of_labels(&stream.labels)).collect();
        let _reserved = self.reserve(ids);
        let mut new = Vec::with_capacity(streams.len());
        let mut retries = 0;
        for stream in streams {
            let entries = self.new_entries(&stream)?;
            retries += stream.entries.len() - entries.len();
            new.push((stream.labels, entries));
        }
        let batches = self.encode_all(&new);
        self.send(batches)?;
        Ok(retries)
    }

    /// Waits until no other push has one of the streams.
    fn reserve(&self, streams: Vec<StreamId>) -> Reserved<'_> {
        let mut busy = self.busy.0.lock();
        while streams.iter().any(|stream| busy.contains(stream)) {
            self.busy.1.wait(&mut busy);
        }
        busy.extend(&streams);
        Reserved { busy: &self.busy, streams }
    }

    fn encode_all(&self, streams: &[(Labels, Vec<PushedEntry>)]) -> Vec<Bytes> {
        let mut state = self.state.lock();
        let mut batches = Vec::new();
        let mut builder = None;
        for (labels, entries) in streams {
            self.encode(&mut state, labels, entries, &mut builder, &mut batches);
        }
        batches.extend(builder.map(BatchBuilder::finish));
        batches
    }

    /// Moves entries with an equal time of their stream to the next free nanosecond; leaves out those
    /// that are held there already.
    fn new_entries(&self, stream: &PushedStream) -> Result<Vec<PushedEntry>, PushError> {
        let mut held = self.held(stream)?;
        let mut new = Vec::with_capacity(stream.entries.len());
        for entry in &stream.entries {
            let content = (entry.line.clone(), entry.metadata.clone());
            let mut time = entry.time;
            let known = loop {
                match held.get(&time) {
                    None => break false,
                    Some(other) if *other == content => break true,
                    Some(_) => time += 1,
                }
            };
            if !known {
                held.insert(time, content);
                new.push(PushedEntry { time, ..entry.clone() });
            }
        }
        Ok(new)
    }

    /// The entries held for the stream at the times of the request, and shortly behind.
    fn held(&self, stream: &PushedStream) -> Result<Held, PushError> {
        let times = || stream.entries.iter().map(|entry| entry.time);
        let (Some(from), Some(to)) = (times().min(), times().max()) else {
            return Ok(Held::new());
        };
        let known = self
            .store
            .streams()
            .find(StreamId::of_labels(&stream.labels))
            .map(|(n, s)| (n, s.max_time));
        let Some((number, max_time)) = known else { return Ok(Held::new()) };
        let mut held = Held::new();
        if max_time < from {
            return Ok(held);
        }
        let matchers = stream.labels.iter().map(|(name, value)| Matcher {
            name: name.to_owned(),
            op: MatchOp::Eq,
            value: value.to_vec(),
        });
        let log = LogExpr { matchers: matchers.collect(), stages: Vec::new() };
        // Each entry may have been moved on by as many nanoseconds as there are equal times before
        // it: look that far behind the request's last time, and as far again as needed.
        let mut to = to.saturating_add(stream.entries.len() as i64 + 1);
        loop {
            let plan = Plan::new(&self.store, &log, from, to)?;
            let budget = Budget::new(Limits::default());
            for source in plan.sources(&self.store)? {
                scan(&plan, &source, true, &budget, &mut |found| {
                    if found.entry.number == number {
                        let content = (found.entry.line.to_vec(), found.entry.metadata.to_vec());
                        held.insert(found.entry.time, content);
                    }
                    Ok(())
                })?;
            }
            if !held.contains_key(&(to - 1)) {
                return Ok(held);
            }
            to = to.saturating_add(1 << 20);
        }
    }

    fn encode(
        &self,
        state: &mut State,
        labels: &Labels,
        entries: &[PushedEntry],
        builder: &mut Option<BatchBuilder>,
        batches: &mut Vec<Bytes>,
    ) {
        let stream = StreamId::of_labels(labels);
        let labels = Arc::new(labels.clone());
        for run in runs(entries) {
            let (lines, text) = columns(run);
            let from = *state.offsets.get(&stream).unwrap_or(&0);
            let to = from + lines.source_bytes();
            state.offsets.insert(stream, to);
            let piece = Piece { generation: self.generation, from, to, kind: PieceKind::Text };
            let input = RunInput { read_time: now(), pieces: &[piece], lines: &lines, text: &text };
            loop {
                let open = builder.get_or_insert_with(|| self.builder(state));
                match open.push_run(stream, &labels, input) {
                    Ok(()) => break,
                    Err(BatchPushError::Full) => {
                        batches.extend(builder.take().map(BatchBuilder::finish))
                    }
                    Err(err) => unreachable!("runs are cut to fit: {err}"),
                }
            }
            if builder.as_ref().is_some_and(|open| open.text_bytes() >= BATCH_TEXT_BYTES_TARGET) {
                batches.extend(builder.take().map(BatchBuilder::finish));
            }
        }
    }

    fn builder(&self, state: &mut State) -> BatchBuilder {
        state.batches += 1;
        let header = BatchHeader {
            collector: self.id,
            incarnation: self.incarnation,
            number: state.batches - 1,
            config_generation: 0,
        };
        BatchBuilder::new(header, Codec::Zstd(1))
    }

    /// Sends the batches, waits until all are durable, and shortly until they can be found.
    fn send(&self, batches: Vec<Bytes>) -> Result<(), PushError> {
        let (sender, acks) = std::sync::mpsc::channel::<Ack>();
        let mut waiting = 0;
        for batch in batches {
            match self.producer.send(self.partition, batch, waiting, &sender) {
                Ok(()) => waiting += 1,
                Err(SendError::Full) => return Err(PushError::Busy),
                Err(err) => return Err(PushError::Failed(err)),
            }
        }
        let mut last = None;
        for _ in 0..waiting {
            let ack = acks.recv_timeout(ACK_TIMEOUT).map_err(|_| PushError::Timeout)?;
            let position = ack.result.map_err(PushError::Failed)?;
            last = last.max(Some(position));
        }
        if let Some(last) = last {
            // If it takes longer, the entries are safe all the same and will be found later.
            self.store.wait_visible(last.partition, last.offset, VISIBLE_TIMEOUT);
        }
        Ok(())
    }
}

fn check(stream: &PushedStream) -> Result<(), PushError> {
    for (n, entry) in stream.entries.iter().enumerate() {
        let stream = || stream.labels.to_string();
        if entry.line.len() > LINE_BYTES_MAX {
            let found = entry.line.len();
            return Err(PushError::LineTooLong { stream: stream(), entry: n, found });
        }
        if entry.time > TIME_MAX {
            let found = entry.time;
            return Err(PushError::TimeTooLate { stream: stream(), entry: n, found });
        }
        if entry.metadata.len() > FRAME_METADATA_BYTES_MAX {
            let found = entry.metadata.len();
            return Err(PushError::MetadataTooLarge { stream: stream(), entry: n, found });
        }
    }
    Ok(())
}

/// A request may name one label set several times.
fn merge_streams(streams: Vec<PushedStream>) -> Vec<PushedStream> {
    let mut merged: BTreeMap<Labels, Vec<PushedEntry>> = BTreeMap::new();
    for stream in streams {
        merged.entry(stream.labels).or_default().extend(stream.entries);
    }
    merged.into_iter().map(|(labels, entries)| PushedStream { labels, entries }).collect()
}

/// Cuts entries into runs that fit a frame.
fn runs(entries: &[PushedEntry]) -> Vec<&[PushedEntry]> {
    let mut runs = Vec::new();
    let (mut from, mut text, mut metadata) = (0, 0, 0);
    for (n, entry) in entries.iter().enumerate() {
        text += entry.line.len() + 1;
        metadata += entry.metadata.len();
        let full = text > FRAME_TEXT_BYTES_MAX
            || metadata > FRAME_METADATA_BYTES_MAX
            || n - from >= FRAME_LINES_MAX;
        if full {
            runs.push(&entries[from..n]);
            (from, text, metadata) = (n, entry.line.len() + 1, entry.metadata.len());
        }
    }
    if from < entries.len() {
        runs.push(&entries[from..]);
    }
    runs
}

fn columns(entries: &[PushedEntry]) -> (LineColumns, Vec<u8>) {
    let mut lines = LineColumns::default();
    let mut text = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let len = entry.line.len() as u32;
        let flags = LineFlags::new(Level::Unknown, LineFlags::NO_LEVEL);
        lines.push(entry.time, len, len + 1, flags);
        text.extend_from_slice(&entry.line);
        text.push(b'\n');
        if !entry.metadata.is_empty() {
            lines.metadata.push((n as u32, entry.metadata.clone().into()));
        }
    }
    (lines, text)
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}

//! Pushed entries: what another collector sends over HTTP becomes batches like any other. A retry
//! of a request adds nothing.

mod chains;
mod held;
mod in_flight;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sawlog_aggregator::Store;
use sawlog_transport::batch::{PushError as BatchPushError, RunInput};
use sawlog_transport::limits::{
    BATCH_TEXT_BYTES_TARGET, FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX, FRAME_TEXT_BYTES_MAX,
    LINE_BYTES_MAX,
};
use sawlog_transport::{
    BatchBuilder, BatchHeader, Codec, CollectorId, GenerationId, Labels, Level, LineColumns,
    LineFlags, Piece, PieceKind, Producer, SendError, StreamId,
};

use self::chains::{Chains, content_hash};
use self::in_flight::InFlight;
use crate::engine::{Budget, Limits, QueryError};

/// How batches of pushed entries are compressed.
const CODEC: Codec = Codec::Zstd(1);
/// How long a push waits for its entries to become durable and to be found by queries.
const ACK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a push waits for another one of the same stream.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pushes that were answered while what they sent was still under way, and their bytes: beyond either
/// the transport is taken to be away, and nothing more is sent.
const UNSETTLED_MAX: usize = 64;
const UNSETTLED_BYTES_MAX: usize = 64 << 20;
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
    #[error("not ready: replaying what was not sealed; send the request again")]
    NotReady,
    /// What was pushed behind the offset is not known, so a retry could not be told.
    #[error(
        "partition {partition}, which takes pushes, waits and is not read: the aggregator's log says why and the way out; nothing of the request was stored"
    )]
    Waiting { partition: u32 },
    /// Nothing was sent.
    #[error(
        "the transport does not take or hand on what is sent, as the log says: nothing of the request was stored, send it again later"
    )]
    NoTransport,
    #[error("too much is waiting to be written: send the request again later")]
    Busy,
    /// What else the request had is stored.
    #[error(
        "the transport stores no message that is as large as the one with a single entry of the request: send it without its longest lines, or raise the limit that the transport tells"
    )]
    TooLarge(#[source] SendError),
    #[error("the entries could not be made durable: send the request again")]
    Failed(#[source] SendError),
    #[error("the entries were not durable after {ACK_TIMEOUT:?}: send the request again")]
    Timeout,
    #[error(
        "looking for entries that are held already took longer than {0:?}: try again, with fewer streams or a shorter time at once"
    )]
    LookupTimeout(Duration),
    #[error("cannot look for entries that are held already")]
    Query(#[source] QueryError),
}

impl From<QueryError> for PushError {
    fn from(err: QueryError) -> Self {
        match err {
            QueryError::Timeout(after) => PushError::LookupTimeout(after),
            err => PushError::Query(err),
        }
    }
}

/// Takes pushes for one process.
pub struct Receiver {
    store: Arc<Store>,
    producer: Arc<dyn Producer>,
    id: CollectorId,
    incarnation: u64,
    generation: GenerationId,
    state: Mutex<State>,
    /// A retry must see what the first try stored, so pushes of one stream follow each other.
    busy: Arc<Busy>,
    unsettled: Arc<Mutex<Unsettled>>,
}

/// Pushes whose messages are under way though they were answered.
#[derive(Default)]
struct Unsettled {
    pushes: usize,
    bytes: usize,
}

/// Streams with a push under way, and a bell for its end.
type Busy = (Mutex<HashSet<StreamId>>, Condvar);

/// Streams that one push has for itself until it is dropped.
struct Reserved {
    busy: Arc<Busy>,
    streams: Vec<StreamId>,
}

impl Drop for Reserved {
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
        let generation = GenerationId::of_receiver(id, incarnation);
        let (state, busy, unsettled) = Default::default();
        Self { store, producer, id, incarnation, generation, state, busy, unsettled }
    }

    /// The partition of all batches.
    fn partition(&self) -> Result<u32, PushError> {
        let partitions = u128::from(self.producer.partitions());
        let partition = self.id.0.checked_rem(partitions).ok_or(PushError::NoTransport)?;
        u32::try_from(partition).map_err(|_| PushError::NoTransport)
    }

    /// Stores the entries that are not held yet; when this returns they are durable. Gives how many
    /// were retries.
    ///
    /// # Errors
    /// See [`PushError`]; a request may be sent again after any of them.
    pub fn push(&self, streams: Vec<PushedStream>) -> Result<usize, PushError> {
        let partition = self.partition()?;
        let whole = self.store.whole().ok_or(PushError::NotReady)?;
        self.expect_read(partition)?;
        self.expect_transport()?;
        for stream in &streams {
            check(stream)?;
        }
        let streams = merge_streams(streams);
        let ids = streams.iter().map(|stream| StreamId::of_labels(&stream.labels)).collect();
        let reserved = self.reserve(ids)?;
        let budget = Budget::new(Limits::default());
        let held = held::find(&self.store, &streams, &budget)?;
        let mut new = Vec::with_capacity(streams.len());
        let mut retries = 0;
        for (stream, chains) in streams.into_iter().zip(held) {
            let entries = new_entries(&stream, chains);
            retries += stream.entries.len() - entries.len();
            new.push((stream.labels, entries));
        }
        if self.store.whole() != Some(whole) {
            // The store was recovered meanwhile: what was just looked up was not all.
            return Err(PushError::NotReady);
        }
        self.expect_read(partition)?;
        let batches = self.encode_all(&new);
        self.send(partition, batches, reserved)?;
        Ok(retries)
    }

    /// Refuses what could not be found again: its retry would store it twice.
    fn expect_read(&self, partition: u32) -> Result<(), PushError> {
        if self.store.is_waiting(partition) {
            Err(PushError::Waiting { partition })
        } else {
            Ok(())
        }
    }

    /// Refuses at once what would only wait behind others that wait.
    fn expect_transport(&self) -> Result<(), PushError> {
        let unsettled = self.unsettled.lock();
        if unsettled.pushes >= UNSETTLED_MAX || unsettled.bytes >= UNSETTLED_BYTES_MAX {
            return Err(PushError::NoTransport);
        }
        Ok(())
    }

    /// Waits until no other push has one of the streams.
    fn reserve(&self, streams: Vec<StreamId>) -> Result<Reserved, PushError> {
        let deadline = Instant::now() + RESERVE_TIMEOUT;
        let mut busy = self.busy.0.lock();
        while streams.iter().any(|stream| busy.contains(stream)) {
            if self.busy.1.wait_until(&mut busy, deadline).timed_out() {
                return Err(PushError::Busy);
            }
        }
        busy.extend(&streams);
        Ok(Reserved { busy: self.busy.clone(), streams })
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
        BatchBuilder::new(header, CODEC)
    }

    /// Sends the batches, waits until all are durable, and shortly until they can be found. As long as
    /// anything sent may still appear, the streams stay reserved: a retry must not miss it.
    fn send(
        &self,
        partition: u32,
        batches: Vec<Bytes>,
        reserved: Reserved,
    ) -> Result<(), PushError> {
        let mut sent = InFlight::new(self.store.clone(), self.producer.clone(), partition);
        let refused = sent.send_all(batches).err();
        let settled = sent.settle(ACK_TIMEOUT);
        let durable = sent.is_durable();
        let failed = refused.or(sent.take_failure());
        let too_large = sent.take_too_large();
        if !settled {
            self.settle_at_last(sent, reserved);
        }
        match failed {
            Some(SendError::Full) => Err(PushError::Busy),
            Some(err) => Err(PushError::Failed(err)),
            None if !durable => Err(PushError::Timeout),
            // Nobody sends that again: it is told only once all else is stored.
            None => too_large.map_or(Ok(()), |err| Err(PushError::TooLarge(err))),
        }
    }

    /// Keeps the streams reserved until all that was sent can be found. Whoever sends again waits for
    /// this thread.
    fn settle_at_last(&self, sent: InFlight, reserved: Reserved) {
        let bytes = sent.bytes();
        let unsettled = self.unsettled.clone();
        {
            let mut unsettled = unsettled.lock();
            unsettled.pushes += 1;
            unsettled.bytes += bytes;
        }
        std::thread::spawn(move || {
            sent.settle_at_last();
            drop(reserved);
            let mut unsettled = unsettled.lock();
            unsettled.pushes -= 1;
            unsettled.bytes -= bytes;
        });
    }
}

/// The entries that are not held yet, each at the first free nanosecond from its time on.
fn new_entries(stream: &PushedStream, mut chains: Chains) -> Vec<PushedEntry> {
    let mut seen = HashSet::new();
    let mut new = Vec::with_capacity(stream.entries.len());
    for entry in &stream.entries {
        let content = content_hash(&entry.line, &entry.metadata);
        // The same entry twice in one request is one entry.
        if !seen.insert((entry.time, content)) {
            continue;
        }
        if let Some(time) = chains.place(entry.time, content) {
            new.push(PushedEntry { time, ..entry.clone() });
        }
    }
    new
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

//! Pushed entries: what another collector sends over HTTP becomes batches like any other. A retry
//! of a request adds nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sawlog_aggregator::{Store, StreamNumber};
use sawlog_transport::batch::{PushError as BatchPushError, RunInput};
use sawlog_transport::limits::{
    BATCH_TEXT_BYTES_TARGET, FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX, FRAME_TEXT_BYTES_MAX,
    LINE_BYTES_MAX,
};
use sawlog_transport::{
    Ack, BatchBuilder, BatchHeader, Codec, CollectorId, GenerationId, Labels, Level, LineColumns,
    LineFlags, Piece, PieceKind, Position, Producer, SendError, StreamId,
};

use crate::engine::plan::Plan;
use crate::engine::scan::scan;
use crate::engine::{Budget, Limits, QueryError};
use crate::lang::{LogExpr, MatchOp, Matcher};

/// How long a push waits for its entries to become durable and to be found by queries.
const ACK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a push waits for another one of the same stream.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Entries of one request that are closer than this are looked for together: nanoseconds.
const CLUSTER_GAP: i64 = 60_000_000_000;
/// How far a chain of equal times is followed at once: nanoseconds.
const CHAIN_STEP: i64 = 1 << 16;

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
    #[error("too much is waiting to be written: send the request again later")]
    Busy,
    #[error("the entries could not be made durable: send the request again")]
    Failed(#[source] SendError),
    #[error("the entries were not durable after {ACK_TIMEOUT:?}: send the request again")]
    Timeout,
    #[error("cannot look for entries that are held already")]
    Query(#[from] QueryError),
}

/// Which nanoseconds of a stream are taken, and by what. Entries with equal times stand in a chain of
/// neighbouring nanoseconds.
#[derive(Default)]
struct Chains {
    /// A taken nanosecond → one further on in its chain, or just behind it (path compression).
    next: HashMap<i64, i64>,
    /// Content → the times at which it is held and was not yet found again by this request.
    held: HashMap<u128, BTreeSet<i64>>,
}

impl Chains {
    fn hold(&mut self, time: i64, content: u128) {
        self.next.insert(time, time + 1);
        self.held.entry(content).or_default().insert(time);
    }

    fn is_held(&self, time: i64) -> bool {
        self.next.contains_key(&time)
    }

    /// The first free nanosecond from `time` on.
    fn free_from(&mut self, time: i64) -> i64 {
        let mut at = time;
        let mut passed = Vec::new();
        while let Some(next) = self.next.get(&at) {
            passed.push(at);
            at = *next;
        }
        for step in passed {
            self.next.insert(step, at);
        }
        at
    }

    /// Where a pushed entry goes; `None` if it is held in the chain that begins at its time. Each
    /// held entry answers for one pushed entry only.
    fn place(&mut self, time: i64, content: u128) -> Option<i64> {
        let free = self.free_from(time);
        if let Some(times) = self.held.get_mut(&content)
            && let Some(held) = times.range(time..free).next().copied()
        {
            times.remove(&held);
            return None;
        }
        self.next.insert(free, free + 1);
        Some(free)
    }
}

/// Line and metadata in 128 bits: no two contents of one stream will ever meet in it.
fn content_hash(line: &[u8], metadata: &[u8]) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&(line.len() as u64).to_le_bytes());
    hasher.update(line);
    hasher.update(metadata);
    hasher.digest128()
}

/// Ranges that hold the times of the entries, apart where more than a minute lies between them.
fn clusters(entries: &[PushedEntry]) -> Vec<(i64, i64)> {
    let mut times: Vec<i64> = entries.iter().map(|entry| entry.time).collect();
    times.sort_unstable();
    let mut clusters: Vec<(i64, i64)> = Vec::new();
    for time in times {
        match clusters.last_mut() {
            Some((_, to)) if time.saturating_sub(*to) < CLUSTER_GAP => *to = time + 1,
            _ => clusters.push((time, time + 1)),
        }
    }
    clusters
}

/// Takes pushes for one process.
pub struct Receiver {
    store: Arc<Store>,
    producer: Arc<dyn Producer>,
    id: CollectorId,
    incarnation: u64,
    generation: GenerationId,
    partition: u32,
    state: Mutex<State>,
    /// A retry must see what the first try stored, so pushes of one stream follow each other.
    busy: Arc<Busy>,
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

/// Messages of one push that are sent and not yet known to be found by queries.
struct InFlight {
    store: Arc<Store>,
    acks: mpsc::Receiver<Ack>,
    waiting: usize,
    last: Option<Position>,
    failed: Option<SendError>,
}

impl InFlight {
    /// Waits for all acknowledgements, then until what was stored can be found; false if `timeout`
    /// passed first.
    fn settle(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.waiting > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(ack) = self.acks.recv_timeout(left) else { return false };
            self.waiting -= 1;
            match ack.result {
                Ok(position) => self.last = self.last.max(Some(position)),
                Err(err) => self.failed = Some(err),
            }
        }
        self.last.is_none_or(|last| {
            let left = deadline.saturating_duration_since(Instant::now());
            self.store.wait_visible(last.partition, last.offset, left)
        })
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
        let reserved = self.reserve(ids)?;
        let mut new = Vec::with_capacity(streams.len());
        let mut retries = 0;
        for stream in streams {
            let entries = self.new_entries(&stream)?;
            retries += stream.entries.len() - entries.len();
            new.push((stream.labels, entries));
        }
        if !self.store.is_ready() {
            // The store began a replay meanwhile: what was just looked up was not all.
            return Err(PushError::NotReady);
        }
        let batches = self.encode_all(&new);
        self.send(batches, reserved)?;
        Ok(retries)
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

    /// The entries that are not held yet, each at the first free nanosecond from its time on.
    fn new_entries(&self, stream: &PushedStream) -> Result<Vec<PushedEntry>, PushError> {
        let mut chains = self.held(stream)?;
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
        Ok(new)
    }

    /// The entries held for the stream at and shortly behind the times of the request.
    fn held(&self, stream: &PushedStream) -> Result<Chains, PushError> {
        let mut chains = Chains::default();
        let id = StreamId::of_labels(&stream.labels);
        let known = self.store.streams().find(id).map(|(number, info)| (number, info.max_time));
        let Some((number, max_time)) = known else { return Ok(chains) };
        let matchers = stream.labels.iter().map(|(name, value)| Matcher {
            name: name.to_owned(),
            op: MatchOp::Eq,
            value: value.to_vec(),
        });
        let log = LogExpr { matchers: matchers.collect(), stages: Vec::new() };
        let budget = Budget::new(Limits::default());
        for (from, to) in clusters(&stream.entries) {
            if from <= max_time {
                self.load(&mut chains, &log, (from, to), number, &budget)?;
            }
        }
        Ok(chains)
    }

    /// Loads what is held in `from..to`, and as far behind as it goes on without a gap: there entries
    /// were moved to because of equal times.
    fn load(
        &self,
        chains: &mut Chains,
        log: &LogExpr,
        (mut from, mut to): (i64, i64),
        number: StreamNumber,
        budget: &Budget,
    ) -> Result<(), PushError> {
        loop {
            let plan = Plan::new(&self.store, log, from, to)?;
            for source in plan.sources(&self.store, budget)? {
                scan(&plan, &source, true, budget, &mut |found| {
                    if found.entry.number == number {
                        let content = content_hash(found.entry.line, found.entry.metadata);
                        chains.hold(found.entry.time, content);
                    }
                    Ok(())
                })?;
            }
            if !chains.is_held(to - 1) {
                return Ok(());
            }
            (from, to) = (to, to.saturating_add(CHAIN_STEP));
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

    /// Sends the batches, waits until all are durable, and shortly until they can be found. As long as
    /// anything sent may still appear, the streams stay reserved: a retry must not miss it.
    fn send(&self, batches: Vec<Bytes>, reserved: Reserved) -> Result<(), PushError> {
        let (sender, acks) = mpsc::channel::<Ack>();
        let store = self.store.clone();
        let mut sent = InFlight { store, acks, waiting: 0, last: None, failed: None };
        let mut refused = None;
        for (tag, batch) in batches.into_iter().enumerate() {
            match self.producer.send(self.partition, batch, tag as u64, &sender) {
                Ok(()) => sent.waiting += 1,
                Err(err) => {
                    refused = Some(err);
                    break;
                }
            }
        }
        drop(sender);
        let settled = sent.settle(ACK_TIMEOUT);
        let durable = sent.waiting == 0;
        let failed = refused.or(sent.failed.take());
        if !settled {
            // Whoever sends again waits for this thread; there is at most one for each push place
            // and reservation.
            std::thread::spawn(move || {
                while !sent.settle(ACK_TIMEOUT) {}
                drop(reserved);
            });
        }
        match failed {
            Some(SendError::Full) => Err(PushError::Busy),
            Some(err) => Err(PushError::Failed(err)),
            None if durable => Ok(()),
            None => Err(PushError::Timeout),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place_all(chains: &mut Chains, entries: &[(i64, u128)]) -> Vec<Option<i64>> {
        entries.iter().map(|(time, content)| chains.place(*time, *content)).collect()
    }

    /// What a first request stored, a second try of it finds, entry for entry.
    fn retry_of(entries: &[(i64, u128)]) -> Vec<Option<i64>> {
        let mut first = Chains::default();
        let placed = place_all(&mut first, entries);
        let mut second = Chains::default();
        for (time, (_, content)) in placed.iter().zip(entries) {
            second.hold(time.expect("nothing was held before"), *content);
        }
        place_all(&mut second, entries)
    }

    #[test]
    fn equal_times_go_to_the_next_free_nanosecond() {
        let mut chains = Chains::default();
        chains.hold(7, 1);
        let placed = place_all(&mut chains, &[(5, 2), (5, 3), (6, 4), (5, 5), (7, 1)]);
        assert_eq!(placed, [Some(5), Some(6), Some(8), Some(9), None]);
    }

    #[test]
    fn an_entry_next_to_its_shifted_twin_is_kept_and_retried_once() {
        let (a, b) = (1, 2);
        let entries = [(10, a), (10, b), (11, b)];
        assert_eq!(place_all(&mut Chains::default(), &entries), [Some(10), Some(11), Some(12)]);
        assert_eq!(retry_of(&entries), [None; 3]);
    }

    proptest::proptest! {
        #[test]
        fn a_retry_adds_nothing(
            mut entries in proptest::collection::vec((0i64..12, 0u128..6), 0..40),
        ) {
            let mut seen = HashSet::new();
            entries.retain(|entry| seen.insert(*entry));
            proptest::prop_assert_eq!(retry_of(&entries), vec![None; entries.len()]);
        }
    }

    /// A chain of a hundred thousand equal times is passed in few steps each.
    #[test]
    fn many_equal_times_are_not_walked_one_by_one() {
        let mut chains = Chains::default();
        for n in 0..100_000u32 {
            assert_eq!(chains.place(5, u128::from(n)), Some(5 + i64::from(n)));
        }
        assert_eq!(chains.place(5, 99_999), Some(100_005), "not held before this request");
    }

    #[test]
    fn only_times_near_the_request_are_looked_at() {
        let entry = |time| PushedEntry { time, line: Vec::new(), metadata: Vec::new() };
        let entries = [entry(1), entry(CLUSTER_GAP * 5), entry(3), entry(CLUSTER_GAP * 5 + 9)];
        let (far, end) = (CLUSTER_GAP * 5, CLUSTER_GAP * 5 + 10);
        assert_eq!(clusters(&entries), [(1, 4), (far, end)]);
    }
}

//! Takes batches into the hot tail: only lines whose bytes are not held yet.

use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::batch::StreamEntry;
use sawlog_transport::limits;
use sawlog_transport::run::Addresses;
use sawlog_transport::{
    Batch, DecodeError, Frame, Labels, LineColumns, Piece, PieceKind, Run, StreamId,
};

use crate::hot::HotRun;
use crate::ledger::Ledger;
use crate::store::{Store, Tables};
use crate::streams::StreamNumber;

/// An arrival number is a message's offset, the run within it, and the line within that: 2^15 of
/// each fit (a run takes at least 28 bytes of at most 512 KiB of tables).
const RUN_BITS: u32 = 15;
const LINE_BITS: u32 = 15;
/// So an arrival number has room for the offsets of this many messages of a partition: 34 bits, at a
/// thousand messages a second half a year of them.
const MESSAGES_MAX: u64 = 1 << (u64::BITS - RUN_BITS - LINE_BITS);
/// From here on it is said in the log how many are left, once for so many messages.
const MESSAGES_WARN: u64 = MESSAGES_MAX / 2;
const WARN_EVERY: u64 = 1 << 20;
const _: () = assert!(limits::FRAME_LINES_MAX <= 1 << LINE_BITS);
const _: () = assert!(limits::BATCH_TABLES_BYTES_MAX / 28 < 1 << RUN_BITS);

/// The offset of the message that a run with this arrival number came in.
pub(crate) fn message_offset(arrival: u64) -> u64 {
    arrival >> (RUN_BITS + LINE_BITS)
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A newer build must read it: the partition waits.
    #[error("cannot read a message written by a newer version: upgrade sawlog")]
    Newer(#[source] DecodeError),
    /// Later arrivals could not be told from the first ones: the partition stops.
    #[error(
        "the partition has had {MESSAGES_MAX} messages and no more can be numbered: export what is \
         to be kept, then start with an empty --data"
    )]
    Full,
}

impl Store {
    /// Takes the message at `offset` of a partition. A message that is no batch is reported, counted
    /// and passed over: nothing else is lost by it.
    ///
    /// # Errors
    /// The message needs a newer build, or the partition is full; the position stays.
    pub fn ingest(&self, partition: u32, offset: u64, message: Bytes) -> Result<(), IngestError> {
        expect_room(partition, offset)?;
        let taken = match Inflated::read(message) {
            Ok(inflated) => self.take(partition, offset, &inflated),
            Err(err @ (DecodeError::Version { .. } | DecodeError::Feature { .. })) => {
                return Err(IngestError::Newer(err));
            }
            Err(err) => {
                let reason = match err {
                    DecodeError::Magic { .. } => "magic",
                    _ => "damaged",
                };
                self.reject(partition, offset, reason, &err.to_string());
                Vec::new()
            }
        };
        let bytes: usize = taken.iter().map(|run| run.memory_bytes()).sum();
        let now = self.config.clock.steady();
        let mut data = self.data.write();
        let open = |mut run: HotRun| {
            data.open.add(&mut run, now);
            Arc::new(run)
        };
        let taken: Vec<Arc<HotRun>> = taken.into_iter().map(open).collect();
        data.hot_bytes += bytes;
        self.subscribers.feed(partition, offset, &taken);
        data.hot.extend(taken);
        self.metrics.hot_bytes.set(data.hot_bytes as i64);
        drop(data);
        self.set_position(partition, offset + 1);
        fail::fail_point!("aggregator::ingested");
        Ok(())
    }

    pub(crate) fn reject(&self, partition: u32, offset: u64, reason: &str, why: &str) {
        tracing::error!(
            partition,
            offset,
            why,
            "a message is no batch and is passed over; the bytes it may have carried are not held"
        );
        self.metrics.rejected_batches.with_label_values(&[reason]).inc();
    }

    fn take(&self, partition: u32, offset: u64, inflated: &Inflated) -> Vec<HotRun> {
        let batch = &inflated.batch;
        if !batch.runs_cover(&inflated.lines) {
            self.reject(partition, offset, "inconsistent", "lines and byte ranges do not agree");
            return Vec::new();
        }
        self.metrics.batches.inc();
        let mut tables = self.tables.write();
        let numbers = numbers(&mut tables, batch);
        let mut taken = Vec::new();
        for (n, run) in batch.runs.iter().enumerate() {
            let Some(number) = numbers[run.stream as usize] else {
                let came = text_pieces(&run.pieces).map(Piece::bytes).sum();
                self.metrics.duplicate_bytes.inc_by(came);
                continue;
            };
            let arrival = (offset << RUN_BITS | n as u64) << LINE_BITS;
            let place = Place { partition, number, arrival };
            taken.extend(self.take_run(&mut tables, inflated, run, place));
        }
        self.metrics.streams.set(tables.streams.len() as i64);
        taken
    }

    /// Accounts for a run; gives what of it is new.
    fn take_run(
        &self,
        tables: &mut Tables,
        inflated: &Inflated,
        run: &Run,
        place: Place,
    ) -> Option<HotRun> {
        let stream = inflated.batch.streams[run.stream as usize].id;
        let labels = tables.streams.get(place.number).map(|info| info.labels.clone());
        let labels = labels.unwrap_or_default();
        let source = Source { stream, labels, place };
        let hot = new_lines(&tables.ledger, inflated, run, &source);
        for piece in &run.pieces {
            tables.ledger.insert(stream, piece);
        }
        let came: u64 = text_pieces(&run.pieces).map(Piece::bytes).sum();
        let kept: u64 = hot.iter().flat_map(|hot| &hot.pieces).map(Piece::bytes).sum();
        self.metrics.duplicate_bytes.inc_by(came - kept);
        let hot = hot?;
        let (lines, text) = (hot.lines.len() as u64, hot.text.len() as u64);
        tables.streams.add(place.number, (hot.min_time, hot.max_time), lines, text - lines);
        self.metrics.lines.inc_by(lines);
        self.metrics.text_bytes.inc_by(text);
        Some(hot)
    }
}

/// The numbers of a batch's streams. Runs without a byte that is news only tell the labels of streams that
/// are known: one whose lines are all expired does not come back by them, since nothing would take it
/// away again before other lines expire.
fn numbers(tables: &mut Tables, batch: &Batch) -> Vec<Option<StreamNumber>> {
    let Tables { streams, ledger, .. } = tables;
    let mut has_more = vec![false; batch.streams.len()];
    for run in &batch.runs {
        let stream = run.stream as usize;
        has_more[stream] |= !missing_of(ledger, batch.streams[stream].id, &run.pieces).is_empty();
    }
    let known = |entry: &StreamEntry, has_more| has_more || streams.find(entry.id).is_some();
    let is_taken: Vec<bool> =
        batch.streams.iter().zip(has_more).map(|(entry, more)| known(entry, more)).collect();
    let entries = batch.streams.iter().zip(is_taken);
    entries.map(|(entry, is_taken)| is_taken.then(|| streams.number(entry))).collect()
}

/// Whether there is an arrival number for the message at `offset`.
fn expect_room(partition: u32, offset: u64) -> Result<(), IngestError> {
    if offset >= MESSAGES_MAX {
        return Err(IngestError::Full);
    }
    if offset >= MESSAGES_WARN && offset.is_multiple_of(WARN_EVERY) {
        let left = MESSAGES_MAX - offset;
        tracing::error!(partition, offset, left, "the partition stops after so many more messages");
    }
    Ok(())
}

/// A batch with its frames inflated and checked.
struct Inflated {
    batch: Batch,
    lines: Vec<LineColumns>,
    texts: Vec<Bytes>,
}

impl Inflated {
    fn read(message: Bytes) -> Result<Self, DecodeError> {
        let batch = Batch::decode(message)?;
        let lines = batch.frames.iter().map(Frame::lines).collect::<Result<_, _>>()?;
        let texts = batch.frames.iter().map(Frame::text).collect::<Result<_, _>>()?;
        Ok(Self { batch, lines, texts })
    }

    /// Where the run's text stands within its frame's.
    fn text_range(&self, run: &Run) -> std::ops::Range<usize> {
        let lens = &self.lines[run.frame as usize].text_lens;
        let bytes = |lens: &[u32]| lens.iter().map(|len| *len as usize + 1).sum::<usize>();
        let start = bytes(&lens[..run.first_line as usize]);
        start..start + bytes(&lens[run.lines()])
    }
}

#[derive(Clone, Copy)]
struct Place {
    partition: u32,
    number: StreamNumber,
    arrival: u64,
}

/// Where a run comes from.
struct Source {
    stream: StreamId,
    labels: Arc<Labels>,
    place: Place,
}

fn text_pieces(pieces: &[Piece]) -> impl Iterator<Item = &Piece> {
    pieces.iter().filter(|piece| piece.kind == PieceKind::Text)
}

/// The lines of a run whose bytes are not settled; `None` if there is none.
fn new_lines(ledger: &Ledger, inflated: &Inflated, run: &Run, source: &Source) -> Option<HotRun> {
    if run.n_lines == 0 {
        return None;
    }
    let columns = &inflated.lines[run.frame as usize];
    let text = inflated.texts[run.frame as usize].slice(inflated.text_range(run));
    let untouched = text_pieces(&run.pieces).all(|piece| ledger.is_free(source.stream, piece));
    let mut lines = LineColumns::default();
    if !untouched {
        let mut whole = LineColumns::default();
        whole.extend_from(columns, run.lines());
        return trimmed(ledger, run, &whole, &text, source);
    }
    lines.extend_from(columns, run.lines());
    let frame = &inflated.batch.frames[run.frame as usize];
    let alone = run.n_lines == frame.n_lines();
    let pieces = text_pieces(&run.pieces).copied().collect();
    // What stays must not keep alive what does not: memory is counted by what is seen.
    let frame = alone.then(|| frame.detached());
    let text = if alone { text } else { Bytes::copy_from_slice(&text) };
    Some(hot_run(run, source, Kept { first: 0, pieces, lines, text, frame }))
}

/// What is kept of a run.
struct Kept {
    /// The number of its first line within the run: behind a part that is held already comes the
    /// arrival number that a seal gave to what it left hot.
    first: usize,
    pieces: Vec<Piece>,
    lines: LineColumns,
    text: Bytes,
    frame: Option<Frame>,
}

fn hot_run(run: &Run, source: &Source, kept: Kept) -> HotRun {
    let times = &kept.lines.times;
    HotRun {
        number: source.place.number,
        stream: source.stream,
        labels: source.labels.clone(),
        partition: source.place.partition,
        arrival: source.place.arrival + kept.first as u64,
        read_time: run.read_time,
        min_time: times.iter().min().copied().unwrap_or(0),
        max_time: times.iter().max().copied().unwrap_or(0),
        pieces: kept.pieces,
        lines: Arc::new(kept.lines),
        text: kept.text,
        frame: kept.frame,
        continues: None,
    }
}

/// Cuts held bytes out of a run: whole lines, and parts of the few that are held in part.
fn trimmed(
    ledger: &Ledger,
    run: &Run,
    whole: &LineColumns,
    text: &Bytes,
    source: &Source,
) -> Option<HotRun> {
    let mut addresses = Addresses::new(&run.pieces);
    let mut kept_text = Vec::new();
    let mut lines = LineColumns::default();
    let mut pieces = Vec::new();
    let (mut at, mut first) = (0, None);
    for n in 0..whole.len() {
        let text_len = whole.text_lens[n] as usize;
        let line = &text[at..at + text_len + 1];
        at += text_len + 1;
        let mut sources = Vec::new();
        addresses.next_pieces(u64::from(whole.source_lens[n]), &mut sources);
        let new = missing_of(ledger, source.stream, &sources);
        let new_bytes: u64 = new.iter().map(Piece::bytes).sum();
        if new_bytes == 0 {
            continue;
        }
        first.get_or_insert(n);
        let part = if new_bytes == u64::from(whole.source_lens[n]) {
            line[..text_len].to_vec()
        } else {
            part_of_line(line, whole.source_lens[n], &sources, &new)
        };
        lines.extend_from(whole, n..n + 1);
        let last = lines.len() - 1;
        lines.text_lens[last] = part.len() as u32;
        lines.source_lens[last] = u32::try_from(new_bytes).unwrap_or(u32::MAX);
        kept_text.extend_from_slice(&part);
        kept_text.push(b'\n');
        pieces.extend(new);
    }
    let kept = Kept { first: first?, pieces, lines, text: kept_text.into(), frame: None };
    Some(hot_run(run, source, kept))
}

/// The parts of a line's source that are not settled.
fn missing_of(ledger: &Ledger, stream: StreamId, sources: &[Piece]) -> Vec<Piece> {
    let mut new = Vec::new();
    for piece in sources {
        match ledger.get(stream, piece.generation) {
            None => new.push(*piece),
            Some(ranges) => {
                for (from, to) in ranges.missing(piece.from, piece.to) {
                    new.push(Piece { from, to, ..*piece });
                }
            }
        }
    }
    new
}

/// The bytes of a line that come from `new`, without its terminator. Where source and text differ
/// otherwise (an envelope), bytes cannot be told apart and the whole line is kept.
fn part_of_line(line: &[u8], source_len: u32, sources: &[Piece], new: &[Piece]) -> Vec<u8> {
    let text = &line[..line.len() - 1];
    let source_len = source_len as usize;
    if source_len != text.len() && source_len != line.len() {
        return text.to_vec();
    }
    let mut part = Vec::new();
    let mut start = 0u64;
    for source in sources {
        for piece in new.iter().filter(|piece| piece.generation == source.generation) {
            let (from, to) = (piece.from.max(source.from), piece.to.min(source.to));
            if from < to {
                let from = (start + from - source.from) as usize;
                let to = (start + to - source.from) as usize;
                part.extend_from_slice(&text[from.min(text.len())..to.min(text.len())]);
            }
        }
        start += source.bytes();
    }
    part
}

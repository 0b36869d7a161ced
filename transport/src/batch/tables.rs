//! The tables of a batch: its streams, and the runs with the byte ranges they come from. Blocks of
//! the store use the same encoding.

use std::sync::Arc;

use crate::ids::{GenerationId, StreamId};
use crate::labels::Labels;
use crate::run::{Piece, PieceKind, Run};
use crate::varint;

/// A stream as a batch names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    pub id: StreamId,
    /// As far as known when the batch was made.
    pub labels: Arc<Labels>,
}

/// Appends the table of streams.
pub fn put_streams<'a>(out: &mut Vec<u8>, streams: impl ExactSizeIterator<Item = &'a StreamEntry>) {
    varint::put(out, streams.len() as u64);
    for stream in streams {
        out.extend_from_slice(&stream.id.0.to_le_bytes());
        put_labels(out, &stream.labels);
    }
}

/// Appends a label set.
fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    varint::put(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        varint::put_bytes(out, name.as_bytes());
        varint::put_bytes(out, value);
    }
}

/// Takes the table of streams; `None` if the bytes are not of this form.
pub fn take_streams(bytes: &mut &[u8]) -> Option<Vec<StreamEntry>> {
    let mut streams = Vec::new();
    for _ in 0..varint::take(bytes)? {
        let id = StreamId(u128::from_le_bytes(varint::take_array(bytes)?));
        streams.push(StreamEntry { id, labels: Arc::new(take_labels(bytes)?) });
    }
    Some(streams)
}

/// Takes a label set.
fn take_labels(bytes: &mut &[u8]) -> Option<Labels> {
    let mut pairs = Vec::new();
    for _ in 0..varint::take(bytes)? {
        let name = std::str::from_utf8(varint::take_bytes(bytes)?).ok()?;
        pairs.push((name, varint::take_bytes(bytes)?));
    }
    Labels::from_pairs(pairs).ok()
}

/// Appends the table of runs.
pub fn put_runs(out: &mut Vec<u8>, runs: &[Run]) {
    varint::put(out, runs.len() as u64);
    for run in runs {
        for field in [run.stream, run.frame, run.first_line, run.n_lines] {
            varint::put(out, u64::from(field));
        }
        for time in [run.read_time, run.min_time, run.max_time] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        varint::put(out, run.pieces.len() as u64);
        for piece in &run.pieces {
            out.push(piece.kind as u8);
            out.extend_from_slice(&piece.generation.0.to_le_bytes());
            varint::put(out, piece.from);
            varint::put(out, piece.bytes());
        }
    }
}

/// Takes the table of runs; `None` if the bytes are not of this form.
pub fn take_runs(bytes: &mut &[u8]) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    for _ in 0..varint::take(bytes)? {
        runs.push(take_run(bytes)?);
    }
    Some(runs)
}

fn take_run(bytes: &mut &[u8]) -> Option<Run> {
    let mut fields = [0u32; 4];
    for field in &mut fields {
        *field = u32::try_from(varint::take(bytes)?).ok()?;
    }
    let mut times = [0i64; 3];
    for time in &mut times {
        *time = i64::from_le_bytes(varint::take_array(bytes)?);
    }
    let mut pieces = Vec::new();
    for _ in 0..varint::take(bytes)? {
        let kind = PieceKind::from_byte(*varint::take_exact(bytes, 1)?.first()?)?;
        let generation = GenerationId(u128::from_le_bytes(varint::take_array(bytes)?));
        let from = varint::take(bytes)?;
        let to = from.checked_add(varint::take(bytes)?)?;
        pieces.push(Piece { generation, from, to, kind });
    }
    let [stream, frame, first_line, n_lines] = fields;
    let [read_time, min_time, max_time] = times;
    Some(Run { stream, frame, first_line, n_lines, read_time, min_time, max_time, pieces })
}

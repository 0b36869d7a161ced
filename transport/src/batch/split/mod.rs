//! Divides a batch that is too large into smaller ones with the same lines and pieces in the same order.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Batch, BatchBuilder, BatchHeader, Codec, DecodeError, PushError, RunInput};
use crate::run::{Piece, PieceKind, Run};
use crate::{Labels, LineColumns, StreamId};
use bytes::Bytes;

/// What a run and a piece take beside their text, roughly, in bytes: batches without text are
/// divided too.
const RUN_BYTES: usize = 64;
const PIECE_BYTES: usize = 24;

/// Why a batch cannot be divided.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("it holds a single line")]
    SingleLine,
    #[error("it cannot be read: {0}")]
    Decode(#[from] DecodeError),
    #[error("its parts do not keep the limits: {0}")]
    Push(#[from] PushError),
}

/// A run with what belongs to it.
struct Part {
    stream: StreamId,
    labels: Arc<Labels>,
    read_time: i64,
    pieces: Vec<Piece>,
    lines: LineColumns,
    text: Bytes,
}

/// Divides a batch into two or more, compressed with `codec`.
///
/// # Errors
/// See [`SplitError`]; it stays what it is then.
pub fn split(message: Bytes, codec: Codec) -> Result<Vec<Bytes>, SplitError> {
    let batch = Batch::decode(message)?;
    let mut parts = runs(&batch)?;
    let (first, second) = match parts.len() {
        0 => return Err(SplitError::SingleLine),
        1 => {
            let (first, second) = parts.remove(0).halves().ok_or(SplitError::SingleLine)?;
            (vec![first], vec![second])
        }
        _ => {
            let weights = parts.iter().map(Part::weight);
            let second = parts.split_off(middle(weights));
            (parts, second)
        }
    };
    let mut messages = Vec::new();
    for half in [first, second] {
        encode(batch.header, codec, &half, &mut messages)?;
    }
    Ok(messages)
}

/// How many of the weights make up the first half; of two or more, at least one and not all.
fn middle(weights: impl ExactSizeIterator<Item = usize> + Clone) -> usize {
    let all: usize = weights.clone().sum();
    let most = weights.len() - 1;
    let mut before = 0;
    let in_half = weights.take_while(|weight| {
        before += weight;
        before <= all / 2
    });
    in_half.count().clamp(1, most)
}

fn runs(batch: &Batch) -> Result<Vec<Part>, DecodeError> {
    let mut frames = Vec::new();
    for frame in &batch.frames {
        let lines = frame.lines()?;
        // Where each line begins, and where the last one ends.
        let mut begins = vec![0; 1];
        let mut end = 0;
        begins.extend(lines.text_lens.iter().map(|len| {
            end += *len as usize + 1;
            end
        }));
        frames.push((lines, begins, frame.text()?));
    }
    let part = |run: &Run| {
        let entry = &batch.streams[run.stream as usize];
        let (mut lines, mut text) = (LineColumns::default(), Bytes::new());
        if let Some((columns, begins, all)) = frames.get(run.frame as usize) {
            let own = run.lines();
            text = all.slice(begins[own.start]..begins[own.end]);
            lines.extend_from(columns, own);
        }
        let (labels, pieces) = (entry.labels.clone(), run.pieces.clone());
        Part { stream: entry.id, labels, read_time: run.read_time, pieces, lines, text }
    };
    Ok(batch.runs.iter().map(part).collect())
}

impl Part {
    fn weight(&self) -> usize {
        RUN_BYTES + self.text.len() + self.pieces.len() * PIECE_BYTES
    }

    /// `None` if there is nothing to be divided.
    fn halves(self) -> Option<(Self, Self)> {
        let lines = match self.lines.len() {
            0 if self.pieces.len() < 2 => return None,
            0 => 0,
            1 => return None,
            _ => middle(self.lines.text_lens.iter().map(|len| *len as usize + 1)),
        };
        let all = self.lines.len();
        let half = |range: std::ops::Range<usize>| {
            let mut half = LineColumns::default();
            half.extend_from(&self.lines, range);
            half
        };
        let (first, second) = (half(0..lines), half(lines..all));
        let (before, after) = match all {
            0 => {
                let (before, after) = self.pieces.split_at(self.pieces.len() / 2);
                (before.to_vec(), after.to_vec())
            }
            _ => divide(&self.pieces, first.source_bytes()),
        };
        let (upto, from) =
            (self.text.slice(..first.text_bytes()), self.text.slice(first.text_bytes()..));
        let labels = self.labels.clone();
        let (stream, read_time) = (self.stream, self.read_time);
        let first = Self { stream, labels, read_time, pieces: before, lines: first, text: upto };
        let second = Self { pieces: after, lines: second, text: from, ..self };
        Some((first, second))
    }
}

/// The pieces of lines that cover so many source bytes, and of those behind them. What was left out
/// behind a line belongs to it.
fn divide(pieces: &[Piece], source_bytes: u64) -> (Vec<Piece>, Vec<Piece>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut left = source_bytes;
    for piece in pieces {
        if !after.is_empty() {
            after.push(*piece);
        } else if piece.kind != PieceKind::Text {
            before.push(*piece);
        } else {
            let middle = piece.from + left.min(piece.bytes());
            left -= middle - piece.from;
            let ends = [(&mut before, piece.from, middle), (&mut after, middle, piece.to)];
            for (half, from, to) in ends {
                if from < to {
                    half.push(Piece { from, to, ..*piece });
                }
            }
        }
    }
    (before, after)
}

/// As few batches as hold the runs: one, of those that a batch held before.
fn encode(
    header: BatchHeader,
    codec: Codec,
    parts: &[Part],
    messages: &mut Vec<Bytes>,
) -> Result<(), PushError> {
    let mut builder = BatchBuilder::new(header, codec);
    for part in parts {
        let Part { read_time, pieces, lines, text, .. } = part;
        let run = RunInput { read_time: *read_time, pieces, lines, text };
        match builder.push_run(part.stream, &part.labels, run) {
            Err(PushError::Full) => {
                let full = std::mem::replace(&mut builder, BatchBuilder::new(header, codec));
                messages.push(full.finish());
                builder.push_run(part.stream, &part.labels, run)?;
            }
            taken => taken?,
        }
    }
    messages.push(builder.finish());
    Ok(())
}

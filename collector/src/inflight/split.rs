//! Divides a batch that is too large into smaller ones with the same lines and pieces in the same order.

use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::batch::{PushError, RunInput};
use sawlog_transport::run::{Piece, PieceKind, Run};
use sawlog_transport::{
    Batch, BatchBuilder, BatchHeader, DecodeError, Labels, LineColumns, StreamId,
};

use crate::batcher::CODEC;

/// What a run and a piece take beside their text, roughly, in bytes: batches without text are
/// divided too.
const RUN_BYTES: usize = 64;
const PIECE_BYTES: usize = 24;

/// Why a batch cannot be divided.
#[derive(Debug, thiserror::Error)]
pub(super) enum SplitError {
    #[error("it holds a single line")]
    SingleLine,
    #[error("it cannot be read")]
    Decode(#[from] DecodeError),
    #[error("its parts keep no limits")]
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

/// Divides a batch into two or more.
///
/// # Errors
/// See [`SplitError`]; it stays what it is then.
pub(super) fn split(message: Bytes) -> Result<Vec<Bytes>, SplitError> {
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
        encode(batch.header, &half, &mut messages)?;
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
fn encode(header: BatchHeader, parts: &[Part], messages: &mut Vec<Bytes>) -> Result<(), PushError> {
    let mut builder = BatchBuilder::new(header, CODEC);
    for part in parts {
        let Part { read_time, pieces, lines, text, .. } = part;
        let run = RunInput { read_time: *read_time, pieces, lines, text };
        match builder.push_run(part.stream, &part.labels, run) {
            Err(PushError::Full) => {
                let full = std::mem::replace(&mut builder, BatchBuilder::new(header, CODEC));
                messages.push(full.finish());
                builder.push_run(part.stream, &part.labels, run)?;
            }
            taken => taken?,
        }
    }
    messages.push(builder.finish());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sawlog_transport::run::Addresses;
    use sawlog_transport::{CollectorId, GenerationId, LineFlags};

    use super::*;
    use crate::batcher::tests::batch_of;

    const HEADER: BatchHeader =
        BatchHeader { collector: CollectorId(7), incarnation: 3, number: 9, config_generation: 0 };

    /// A line, and what happens to its file around it.
    #[derive(Clone, Debug)]
    struct Wanted {
        text: Vec<u8>,
        /// Bytes of its end that were left out.
        cut: u64,
        /// The file is rotated behind so many of its bytes.
        rotated: Option<u64>,
        /// Bytes lost behind it.
        lost: u64,
        continues: bool,
        metadata: bool,
    }

    fn wanted() -> impl Strategy<Value = Wanted> {
        let text = proptest::collection::vec(b'a'..=b'z', 0..300);
        let rotated = proptest::option::weighted(0.1, 0u64..300);
        let (cut, lost) = (0u64..3, 0u64..3);
        let flags = (any::<bool>(), proptest::bool::weighted(0.1));
        (text, cut, rotated, lost, flags).prop_map(
            |(text, cut, rotated, lost, (continues, metadata))| Wanted {
                text,
                cut,
                rotated,
                lost,
                continues,
                metadata,
            },
        )
    }

    /// Where a stream's file stands.
    struct Place {
        stream: StreamId,
        generation: u128,
        offset: u64,
    }

    impl Place {
        fn piece(&mut self, bytes: u64, kind: PieceKind) -> Option<Piece> {
            let (generation, from) = (GenerationId(self.generation), self.offset);
            self.offset += bytes;
            (bytes > 0).then_some(Piece { generation, from, to: self.offset, kind })
        }
    }

    fn push(builder: &mut BatchBuilder, place: &mut Place, run: &[Wanted]) {
        let (mut pieces, mut lines, mut text) = (Vec::new(), LineColumns::default(), Vec::new());
        for one in run {
            let source_len = one.text.len() as u64 + 1;
            let flags = if one.continues { LineFlags::CONTINUES } else { 0 };
            if one.metadata {
                lines.metadata.push((lines.len() as u32, Bytes::from_static(b"\x01k\x01v")));
            }
            let time = text.len() as i64;
            lines.push(time, one.text.len() as u32, source_len as u32, LineFlags(flags));
            text.extend_from_slice(&one.text);
            text.push(b'\n');
            let before = one.rotated.unwrap_or(source_len).min(source_len);
            pieces.extend(place.piece(before, PieceKind::Text));
            if before < source_len {
                (place.generation, place.offset) = (place.generation + 1000, 0);
                pieces.extend(place.piece(source_len - before, PieceKind::Text));
            }
            pieces.extend(place.piece(one.cut, PieceKind::Cut));
            pieces.extend(place.piece(one.lost, PieceKind::Truncated));
        }
        let run = RunInput { read_time: 5, pieces: &pieces, lines: &lines, text: &text };
        builder.push_run(place.stream, &Arc::default(), run).expect("it fits");
    }

    /// What stands in batches: each line with its source, and what has none.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Content {
        lines: Vec<(StreamId, Vec<u8>, i64, LineFlags, Vec<u8>, Vec<Piece>)>,
        left_out: Vec<(StreamId, Piece)>,
    }

    impl Content {
        fn of(messages: &[Bytes]) -> Self {
            let mut this = Self::default();
            for message in messages {
                let batch = Batch::decode(message.clone()).expect("a batch");
                assert_eq!(batch.header, HEADER);
                let columns: Vec<_> =
                    batch.frames.iter().map(|frame| frame.lines().expect("lines")).collect();
                assert!(batch.runs_cover(&columns));
                runs(&batch).expect("runs").iter().for_each(|part| this.add(part));
            }
            this
        }

        fn add(&mut self, part: &Part) {
            let mut addresses = Addresses::new(&part.pieces);
            let mut texts = part.text.split(|byte| *byte == b'\n');
            for line in 0..part.lines.len() {
                let mut pieces = Vec::new();
                addresses.next_pieces(part.lines.source_lens[line].into(), &mut pieces);
                self.lines.push((
                    part.stream,
                    texts.next().expect("a text").to_vec(),
                    part.lines.times[line],
                    part.lines.flags[line],
                    part.lines.metadata_of(line).to_vec(),
                    pieces,
                ));
            }
            let without = part.pieces.iter().filter(|piece| piece.kind != PieceKind::Text);
            self.left_out.extend(without.map(|piece| (part.stream, *piece)));
        }
    }

    /// Divides until nothing is larger than `most`, or nothing can be divided.
    fn split_down(message: Bytes, most: usize) -> Vec<Bytes> {
        if message.len() <= most {
            return vec![message];
        }
        match split(message.clone()) {
            Ok(parts) => {
                assert!(parts.len() >= 2);
                parts.into_iter().flat_map(|part| split_down(part, most)).collect()
            }
            Err(SplitError::SingleLine) => vec![message],
            Err(error) => panic!("{error}"),
        }
    }

    proptest! {
        #[test]
        fn parts_hold_the_same_lines_and_pieces_in_the_same_order(
            runs in proptest::collection::vec(
                (0u128..3, proptest::collection::vec(wanted(), 0..8)), 1..12),
            most in prop_oneof![Just(0usize), 0usize..4000],
        ) {
            let mut builder = BatchBuilder::new(HEADER, CODEC);
            let mut places: Vec<Place> =
                (0..3).map(|n| Place { stream: StreamId(n), generation: n, offset: 0 }).collect();
            for (stream, run) in &runs {
                push(&mut builder, &mut places[*stream as usize], run);
            }
            let whole = builder.finish();
            let parts = split_down(whole.clone(), most);
            prop_assert_eq!(Content::of(&parts), Content::of(&[whole]));
            if most == 0 {
                for part in parts {
                    let batch = Batch::decode(part).expect("a batch");
                    prop_assert!(batch.runs.len() == 1 && batch.runs[0].n_lines <= 1);
                }
            }
        }
    }

    #[test]
    fn what_only_says_what_is_lost_is_divided_too() {
        let mut builder = BatchBuilder::new(HEADER, CODEC);
        let mut place = Place { stream: StreamId(1), generation: 1, offset: 0 };
        let pieces: Vec<Piece> =
            (0..9).filter_map(|_| place.piece(3, PieceKind::OverBudget)).collect();
        let run =
            RunInput { read_time: 5, pieces: &pieces, lines: &LineColumns::default(), text: b"" };
        builder.push_run(place.stream, &Arc::default(), run).expect("it fits");
        let whole = builder.finish();
        let parts = split_down(whole.clone(), 0);
        assert_eq!(parts.len(), 9);
        assert_eq!(Content::of(&parts), Content::of(&[whole]));
    }

    #[test]
    fn a_single_line_and_what_is_no_batch_stay_whole() {
        let single = batch_of(&[(1, 0, b"alone\n")]);
        assert!(matches!(split(single), Err(SplitError::SingleLine)));
        assert!(matches!(split(Bytes::from_static(b"nonsense")), Err(SplitError::Decode(_))));
    }
}

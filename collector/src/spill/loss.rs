//! What is left of batches that are given up: the same streams and the same ranges of bytes, declared
//! lost, without a line.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::batch::{PushError, RunInput};
use sawlog_transport::run::{Piece, PieceKind};
use sawlog_transport::{
    Batch, BatchBuilder, BatchHeader, Codec, DecodeError, Labels, LineColumns, StreamId,
};

const CODEC: Codec = Codec::Zstd(1);

/// Pieces of one run: a table of them has room for several runs of this size beside the labels.
const RUN_PIECES_MAX: usize = 4096;

/// Gathers what batches accounted for.
#[derive(Default)]
pub(super) struct Losses {
    /// Of the newest batch.
    header: Option<BatchHeader>,
    streams: Vec<Lost>,
    index: HashMap<StreamId, usize>,
}

struct Lost {
    stream: StreamId,
    labels: Arc<Labels>,
    read_time: i64,
    pieces: Vec<Piece>,
}

impl Losses {
    /// Declares what a batch holds; gives how many bytes of text are lost by it.
    ///
    /// # Errors
    /// The message is no batch.
    pub(super) fn add(&mut self, message: Bytes) -> Result<u64, DecodeError> {
        let batch = Batch::decode(message)?;
        let mut text_bytes = 0;
        for run in &batch.runs {
            let entry = &batch.streams[run.stream as usize];
            let lost = self.of(entry.id, &entry.labels, run.read_time);
            for piece in &run.pieces {
                if piece.kind == PieceKind::Text {
                    text_bytes += piece.bytes();
                }
                lost.declare(*piece);
            }
        }
        self.header = Some(batch.header);
        Ok(text_bytes)
    }

    fn of(&mut self, stream: StreamId, labels: &Arc<Labels>, read_time: i64) -> &mut Lost {
        let at = *self.index.entry(stream).or_insert_with(|| {
            let (labels, pieces) = (labels.clone(), Vec::new());
            self.streams.push(Lost { stream, labels, read_time, pieces });
            self.streams.len() - 1
        });
        &mut self.streams[at]
    }

    /// The batches that say so: as many as it takes, mostly one.
    pub(super) fn into_messages(self) -> Vec<Bytes> {
        let Some(header) = self.header else { return Vec::new() };
        let mut messages = Vec::new();
        let mut builder = BatchBuilder::new(header, CODEC);
        for lost in &self.streams {
            for pieces in lost.pieces.chunks(RUN_PIECES_MAX) {
                if push(&mut builder, lost, pieces) {
                    continue;
                }
                let full = std::mem::replace(&mut builder, BatchBuilder::new(header, CODEC));
                messages.push(full.finish());
                let taken = push(&mut builder, lost, pieces);
                assert!(taken, "an empty batch takes any run that keeps the limits");
            }
        }
        if !builder.is_empty() {
            messages.push(builder.finish());
        }
        messages
    }
}

impl Lost {
    /// What was text is lost; what was declared before stays what it was.
    fn declare(&mut self, piece: Piece) {
        let kind = match piece.kind {
            PieceKind::Text => PieceKind::OverBudget,
            declared => declared,
        };
        let piece = Piece { kind, ..piece };
        match self.pieces.last_mut() {
            Some(last)
                if last.to == piece.from
                    && (last.generation, last.kind) == (piece.generation, piece.kind) =>
            {
                last.to = piece.to;
            }
            _ => self.pieces.push(piece),
        }
    }
}

/// Whether the batch has taken the pieces.
fn push(builder: &mut BatchBuilder, lost: &Lost, pieces: &[Piece]) -> bool {
    let lines = LineColumns::default();
    let run = RunInput { read_time: lost.read_time, pieces, lines: &lines, text: b"" };
    match builder.push_run(lost.stream, &lost.labels, run) {
        Ok(()) => true,
        Err(PushError::Full) => false,
        Err(error) => unreachable!("a run without lines keeps the limits: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use sawlog_transport::{CollectorId, GenerationId};

    use super::*;
    use crate::batcher::tests::batch_of;

    fn piece(generation: u128, from: u64, to: u64, kind: PieceKind) -> Piece {
        Piece { generation: GenerationId(generation), from, to, kind }
    }

    fn pieces(messages: &[Bytes]) -> Vec<(StreamId, Vec<Piece>)> {
        let batches = messages.iter().map(|one| Batch::decode(one.clone()).expect("a batch"));
        let of = |batch: Batch| {
            let streams = batch.streams;
            let runs = batch.runs.into_iter();
            runs.map(move |run| (streams[run.stream as usize].id, run.pieces)).collect::<Vec<_>>()
        };
        batches.flat_map(of).collect()
    }

    #[test]
    fn ranges_that_touch_become_one_and_the_text_is_counted() {
        let mut losses = Losses::default();
        for (stream, from, text) in [(1, 0, "one\n"), (2, 0, "a\n"), (1, 4, "three\n")] {
            let bytes = losses.add(batch_of(&[(stream, from, text.as_bytes())])).expect("a batch");
            assert_eq!(bytes, text.len() as u64);
        }
        let messages = losses.into_messages();
        assert_eq!(messages.len(), 1);
        let expected = [
            (StreamId(1), vec![piece(1, 0, 10, PieceKind::OverBudget)]),
            (StreamId(2), vec![piece(1, 0, 2, PieceKind::OverBudget)]),
        ];
        assert_eq!(pieces(&messages), expected);
        let header = Batch::decode(messages[0].clone()).expect("a batch").header;
        assert_eq!(header.collector, CollectorId(7));

        let mut again = Losses::default();
        assert_eq!(again.add(messages[0].clone()).expect("a batch"), 0, "it was lost before");
        assert_eq!(pieces(&again.into_messages()), expected);
    }

    #[test]
    fn more_than_one_batch_holds_becomes_several() {
        let mut losses = Losses::default();
        let runs: Vec<(u128, u64, &[u8])> = (0..20_000).map(|n| (1, n * 10, &b"x\n"[..])).collect();
        for runs in runs.chunks(1000) {
            losses.add(batch_of(runs)).expect("a batch");
        }
        let messages = losses.into_messages();
        assert!(messages.len() > 1);
        let found: Vec<Piece> =
            pieces(&messages).into_iter().flat_map(|(_, pieces)| pieces).collect();
        assert_eq!(found.len(), 20_000);
        assert!(found.iter().all(|piece| piece.bytes() == 2));
    }

    #[test]
    fn what_is_no_batch_is_an_error() {
        assert!(Losses::default().add(Bytes::from_static(b"nonsense")).is_err());
        assert!(Losses::default().into_messages().is_empty());
    }
}

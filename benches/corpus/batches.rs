//! A corpus as a collector sends it: chunks become runs with their columns, runs become batches.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_collector::parse;
use sawlog_collector::times::{ReadContext, StreamTimes};
use sawlog_transport::batch::{PushError, RunInput};
use sawlog_transport::limits::BATCH_TEXT_BYTES_TARGET;
use sawlog_transport::{
    BatchBuilder, BatchHeader, Codec, CollectorId, GenerationId, Labels, LineColumns, LineFlags,
    Piece, PieceKind, StreamId,
};

use super::Chunks;

/// When the lines are read, nanoseconds since the epoch: 2025-04-01, behind all generated times.
pub(crate) const READ_TIME: i64 = 1_743_465_600_000_000_000;

/// A batch, and the text it was made of.
pub(crate) struct Prepared {
    pub(crate) message: Bytes,
    pub(crate) text_bytes: u64,
}

/// The batches of a corpus, one after the other.
pub(crate) struct Batches {
    chunks: Chunks,
    streams: HashMap<String, Sender>,
    builder: BatchBuilder,
    number: u64,
    text: Vec<u8>,
    columns: LineColumns,
    /// A chunk that the batch before had no room for: its stream.
    waiting: Option<String>,
}

/// What is known of one stream while it is sent.
struct Sender {
    id: StreamId,
    labels: Arc<Labels>,
    generation: GenerationId,
    sent: u64,
    times: StreamTimes,
}

impl Batches {
    pub(crate) fn new(chunks: Chunks) -> Self {
        Self {
            chunks,
            streams: HashMap::new(),
            builder: builder(0),
            number: 0,
            text: Vec::new(),
            columns: LineColumns::default(),
            waiting: None,
        }
    }

    /// The next batch; `None` at the end. `see` is shown each chunk, with its stream's name, before
    /// it is cut into lines, and may put other lines into it.
    pub(crate) fn next_batch(
        &mut self,
        see: &mut dyn FnMut(&str, &mut Vec<u8>),
    ) -> Option<Prepared> {
        while let Some(stream) = self.waiting.take().or_else(|| self.next_chunk(see)) {
            if !self.push(&stream) {
                self.waiting = Some(stream);
                return Some(self.finish());
            }
            if self.builder.text_bytes() >= BATCH_TEXT_BYTES_TARGET {
                return Some(self.finish());
            }
        }
        (!self.builder.is_empty()).then(|| self.finish())
    }

    fn next_chunk(&mut self, see: &mut dyn FnMut(&str, &mut Vec<u8>)) -> Option<String> {
        let name = self.chunks.next_chunk(&mut self.text)?;
        see(&name, &mut self.text);
        let sender = self.streams.entry(name.clone()).or_insert_with(|| Sender::new(&name));
        self.columns.clear();
        cut(&self.text, &mut sender.times, &mut self.columns);
        Some(name)
    }

    /// Sends the chunk at hand; false if the batch is full.
    fn push(&mut self, stream: &str) -> bool {
        let sender = self.streams.get_mut(stream).expect("made with its first chunk");
        let to = sender.sent + self.text.len() as u64;
        let piece =
            Piece { generation: sender.generation, from: sender.sent, to, kind: PieceKind::Text };
        let (lines, text) = (&self.columns, &self.text[..]);
        let run = RunInput { read_time: READ_TIME, pieces: &[piece], lines, text };
        match self.builder.push_run(sender.id, &sender.labels, run) {
            Ok(()) => sender.sent = to,
            Err(PushError::Full) => return false,
            Err(err) => panic!("a chunk is a run within all limits: {err}"),
        }
        true
    }

    fn finish(&mut self) -> Prepared {
        self.number += 1;
        let full = std::mem::replace(&mut self.builder, builder(self.number));
        Prepared { text_bytes: full.text_bytes() as u64, message: full.finish() }
    }
}

impl Sender {
    fn new(name: &str) -> Self {
        let labels = labels(name);
        let id = StreamId::of_labels(&labels);
        let generation = GenerationId(id.0 ^ 1);
        Self { id, labels: Arc::new(labels), generation, sent: 0, times: StreamTimes::default() }
    }
}

/// The labels of a corpus' stream.
fn labels(name: &str) -> Labels {
    let pairs = [("app", name), ("host", "bench-host"), ("stream", "stdout")];
    Labels::from_pairs(pairs).expect("three good labels")
}

fn builder(number: u64) -> BatchBuilder {
    let collector = CollectorId(1);
    let header = BatchHeader { collector, incarnation: 1, number, config_generation: 0 };
    BatchBuilder::new(header, Codec::Zstd(1))
}

/// Cuts whole lines as the collector does: where each ends, its time, its level.
pub(crate) fn cut(text: &[u8], times: &mut StreamTimes, columns: &mut LineColumns) {
    let context = ReadContext { read_time: READ_TIME, live: false, zone: &|_| 0 };
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        let line = &text[start..end];
        let head = parse::head(line);
        let time = times.stamp_parsed(head.timestamp, &context);
        let bytes = line.len() as u32;
        columns.push(time, bytes, bytes + 1, LineFlags::new(head.level, 0));
        start = end + 1;
    }
}

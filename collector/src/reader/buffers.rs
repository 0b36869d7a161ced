//! The buffers of the one thread that reads, and how what is in them becomes a run.

use std::sync::Arc;

use sawlog_transport::LineColumns;
use sawlog_transport::batch::RunInput;
use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;
use sawlog_transport::run::Piece;

use super::beginning::{Beginning, Beginnings};
use super::enveloped::SideNames;
use super::{Lines, Reader};
use crate::checkpoint::{Progress, StreamClock};
use crate::envelope::Unwrapped;
use crate::redact::Block;
use crate::tail_hash::TAIL_BYTES;
use crate::trace_id;

/// The buffers of the one thread that reads, used for all files.
pub(crate) struct Buffers {
    /// Up to [`TAIL_BYTES`] bytes before the position, and what follows it.
    pub(super) bytes: Vec<u8>,
    pub(super) columns: LineColumns,
    pub(super) text: Vec<u8>,
    /// What was handed on of the line before its rest came.
    pub(super) beginning: Beginning,
    /// The same of lines in envelopes.
    pub(super) beginnings: Beginnings,
    pub(super) pieces: Vec<Piece>,
    pub(super) progress: Vec<Progress>,
    pub(super) redacted: Block,
    /// Held by each file that is being inflated, to count them.
    pub(super) inflating: Arc<()>,
    pub(super) unwrapped: Unwrapped,
    pub(super) sides: SideNames,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; TAIL_BYTES + FRAME_TEXT_BYTES_MAX],
            columns: LineColumns::default(),
            text: Vec::new(),
            beginning: Beginning::None,
            beginnings: Beginnings::default(),
            pieces: Vec::new(),
            progress: Vec::new(),
            redacted: Block::default(),
            inflating: Arc::new(()),
            unwrapped: Unwrapped::default(),
            sides: SideNames::new(),
        }
    }

    /// Room for bytes of a file; what it held is gone.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Empties all but the bytes.
    pub(super) fn begin(&mut self) {
        self.columns.clear();
        self.text.clear();
        self.beginning = Beginning::None;
        self.pieces.clear();
        self.progress.clear();
    }
}

impl Reader<'_> {
    pub(super) fn hand_on_text(&mut self, stream: &mut Lines<'_>) {
        let text = std::mem::take(&mut self.buffers.text);
        self.push(stream, &text);
        self.buffers.text = text;
    }

    pub(super) fn hand_on_redacted(&mut self, stream: &mut Lines<'_>) {
        let text = std::mem::take(&mut self.buffers.redacted.text);
        self.push(stream, &text);
        self.buffers.redacted.text = text;
    }

    pub(super) fn hand_on(&mut self, stream: &mut Lines<'_>, text: std::ops::Range<usize>) {
        let bytes = std::mem::take(&mut self.buffers.bytes);
        self.push(stream, &bytes[text]);
        self.buffers.bytes = bytes;
    }

    pub(super) fn push(&mut self, stream: &mut Lines<'_>, text: &[u8]) {
        let source = stream.text.source_of_lines(stream.source);
        let Buffers { columns, pieces, progress, .. } = &mut *self.buffers;
        let clock = StreamClock {
            last_time: stream.times.last(),
            zone: stream.times.zone_offset_seconds(),
            pem: stream.pem.merged(),
            groups: stream.text.groups.code(),
            unfinished: stream.text.unfinished.code(),
        };
        for one in progress.iter_mut() {
            one.clock = clock;
        }
        self.metrics.read_bytes.inc_by(pieces.iter().map(Piece::bytes).sum());
        self.metrics.read_lines.inc_by(columns.len() as u64);
        trace_id::note(text, columns);
        let run = RunInput { read_time: self.now.wall, pieces, lines: columns, text };
        self.batcher.push(&source, run, progress, self.now.monotonic);
    }
}

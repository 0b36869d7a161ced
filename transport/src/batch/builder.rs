//! Fills a batch with runs until a limit is reached, and encodes it once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{Codec, Frame, FrameEncoder};
use super::tables::{StreamEntry, put_runs, put_streams};
use super::{BatchHeader, HEADER_BYTES, MAGIC, VERSION};
use crate::ids::StreamId;
use crate::labels::Labels;
use crate::limits::{
    BATCH_FRAMES_MAX, BATCH_TABLES_BYTES_MAX, FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX,
    FRAME_TEXT_BYTES_MAX, MESSAGE_BYTES_MAX, OWN_FRAME_BYTES_MIN,
};
use crate::lines::LineColumns;
use crate::run::{Piece, Run, covers};

/// One run on its way into a batch.
#[derive(Clone, Copy, Debug)]
pub struct RunInput<'a> {
    /// When the bytes were read: nanoseconds since the epoch.
    pub read_time: i64,
    pub pieces: &'a [Piece],
    pub lines: &'a LineColumns,
    /// The text of the lines, each followed by `\n`.
    pub text: &'a [u8],
}

/// Why a run was not taken; the batch is as before.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PushError {
    /// Finish this batch and push the run to the next.
    #[error("the batch is full")]
    Full,
    /// No batch can take the run: split it.
    #[error("a run has {found} {what}, at most {limit} are allowed")]
    TooLarge { what: &'static str, found: usize, limit: usize },
    #[error("the lines of a run and its pieces do not cover the same source bytes")]
    NotCovered,
}

/// A batch being filled. Memory is bounded by the batch's own limits.
pub struct BatchBuilder {
    header: BatchHeader,
    encoder: FrameEncoder,
    streams: Vec<StreamEntry>,
    stream_index: HashMap<StreamId, u32>,
    runs: Vec<Run>,
    /// An upper bound of the encoded tables.
    tables_bytes: usize,
    /// `None` only for the shared frame that is still open.
    frames: Vec<Option<Frame>>,
    shared: Option<SharedFrame>,
    text_bytes: usize,
}

/// The frame that small runs share until it is full.
struct SharedFrame {
    index: u32,
    lines: LineColumns,
    text: Vec<u8>,
    metadata_bytes: usize,
}

impl BatchBuilder {
    pub fn new(header: BatchHeader, codec: Codec) -> Self {
        Self {
            header,
            encoder: FrameEncoder::new(codec),
            streams: Vec::new(),
            stream_index: HashMap::new(),
            runs: Vec::new(),
            tables_bytes: 30,
            frames: Vec::new(),
            shared: None,
            text_bytes: 0,
        }
    }

    /// Text taken so far, terminators included.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Whether no run was taken yet.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes a run. One without lines and pieces only tells of its stream's labels, which hold for
    /// all that came before; of several label sets of a stream the last one counts.
    ///
    /// # Errors
    /// See [`PushError`]; nothing was taken then.
    pub fn push_run(
        &mut self,
        stream: StreamId,
        labels: &Arc<Labels>,
        run: RunInput<'_>,
    ) -> Result<(), PushError> {
        let metadata_bytes = check_run(&run)?;
        let tables_bytes = self.tables_bytes + self.tables_cost(stream, labels, &run);
        if tables_bytes > BATCH_TABLES_BYTES_MAX {
            return Err(self.full_or("bytes of tables", tables_bytes, BATCH_TABLES_BYTES_MAX));
        }
        let (frame, first_line) = self.place(&run, metadata_bytes)?;
        self.tables_bytes = tables_bytes;
        self.text_bytes += run.text.len();
        let stream = self.stream_number(stream, labels);
        self.runs.push(Run {
            stream,
            frame,
            first_line,
            n_lines: run.lines.len() as u32,
            read_time: run.read_time,
            min_time: run.lines.times.iter().min().copied().unwrap_or(0),
            max_time: run.lines.times.iter().max().copied().unwrap_or(0),
            pieces: run.pieces.to_vec(),
        });
        Ok(())
    }

    fn full_or(&self, what: &'static str, found: usize, limit: usize) -> PushError {
        if self.is_empty() { PushError::TooLarge { what, found, limit } } else { PushError::Full }
    }

    fn tables_cost(&self, stream: StreamId, labels: &Arc<Labels>, run: &RunInput<'_>) -> usize {
        let known = self.stream_index.get(&stream).map(|n| &self.streams[*n as usize].labels);
        // Newer labels may be longer than those that they replace: counted as if both were kept.
        let stream_cost = match known {
            Some(known) if Arc::ptr_eq(known, labels) || known == labels => 0,
            _ => 16 + 5 + labels.bytes() + labels.len() * 6,
        };
        stream_cost + 4 * 5 + 3 * 8 + 5 + run.pieces.len() * (1 + 16 + 20)
    }

    fn stream_number(&mut self, id: StreamId, labels: &Arc<Labels>) -> u32 {
        let number = *self.stream_index.entry(id).or_insert_with(|| {
            self.streams.push(StreamEntry { id, labels: labels.clone() });
            self.streams.len() as u32 - 1
        });
        let known = &mut self.streams[number as usize].labels;
        if !Arc::ptr_eq(known, labels) {
            // The labels last known count, for all runs of the batch.
            *known = labels.clone();
        }
        number
    }

    /// Puts the lines into a frame; gives its index and the first line there.
    fn place(&mut self, run: &RunInput<'_>, metadata: usize) -> Result<(u32, u32), PushError> {
        if run.text.len() >= OWN_FRAME_BYTES_MIN {
            if self.frames.len() >= BATCH_FRAMES_MAX {
                return Err(PushError::Full);
            }
            self.frames.push(Some(self.encoder.encode(run.lines, run.text)));
            return Ok((self.frames.len() as u32 - 1, 0));
        }
        let fits = self.shared.as_ref().is_some_and(|shared| shared.fits(run, metadata));
        if !fits {
            if self.frames.len() >= BATCH_FRAMES_MAX {
                return Err(PushError::Full);
            }
            self.close_shared();
            self.frames.push(None);
            self.shared = Some(SharedFrame::new(self.frames.len() as u32 - 1));
        }
        let shared = self.shared.as_mut().expect("opened above if there was none");
        Ok((shared.index, shared.take(run, metadata)))
    }

    fn close_shared(&mut self) {
        if let Some(shared) = self.shared.take() {
            let frame = self.encoder.encode(&shared.lines, &shared.text);
            self.frames[shared.index as usize] = Some(frame);
        }
    }

    /// Encodes the batch.
    pub fn finish(mut self) -> Bytes {
        self.close_shared();
        let mut tables = Vec::with_capacity(self.tables_bytes);
        put_streams(&mut tables, self.streams.iter());
        put_runs(&mut tables, &self.runs);
        // No extension is defined in version 1.
        crate::varint::put(&mut tables, 0);
        assert!(tables.len() <= BATCH_TABLES_BYTES_MAX, "the estimate bounds the tables");
        let stored_tables = self.encoder.codec().compress(&tables);
        let frames: Vec<Frame> = self.frames.into_iter().flatten().collect();
        let total = HEADER_BYTES
            + stored_tables.len()
            + frames.iter().map(Frame::stored_len).sum::<usize>();
        assert!(total <= MESSAGE_BYTES_MAX, "the limits tie together");
        let mut out = Vec::with_capacity(total);
        let sizes = Sizes { total, tables: tables.len(), stored_tables: stored_tables.len() };
        put_header(&mut out, &self.header, self.encoder.codec(), sizes, &frames);
        let tables_crc = crc32c::crc32c(&stored_tables);
        out.extend_from_slice(&tables_crc.to_le_bytes());
        let header_crc = crc32c::crc32c(&out);
        out.extend_from_slice(&header_crc.to_le_bytes());
        out.extend_from_slice(&stored_tables);
        for frame in &frames {
            frame.write(&mut out);
        }
        out.into()
    }
}

struct Sizes {
    total: usize,
    tables: usize,
    stored_tables: usize,
}

/// The header up to, not including, its two checksums.
fn put_header(
    out: &mut Vec<u8>,
    header: &BatchHeader,
    codec: Codec,
    sizes: Sizes,
    frames: &[Frame],
) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, codec.byte(), 0, 0]);
    let text: u32 = frames.iter().map(Frame::text_len).sum();
    let columns: u32 = frames.iter().map(Frame::columns_len).sum();
    for field in [
        sizes.total as u32,
        sizes.tables as u32,
        sizes.stored_tables as u32,
        frames.len() as u32,
        text,
        columns,
    ] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&header.collector.0.to_le_bytes());
    for field in [header.incarnation, header.number, header.config_generation] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

impl SharedFrame {
    fn new(index: u32) -> Self {
        Self { index, lines: LineColumns::default(), text: Vec::new(), metadata_bytes: 0 }
    }

    fn fits(&self, run: &RunInput<'_>, metadata: usize) -> bool {
        self.text.len() + run.text.len() <= FRAME_TEXT_BYTES_MAX
            && self.lines.len() + run.lines.len() <= FRAME_LINES_MAX
            && self.metadata_bytes + metadata <= FRAME_METADATA_BYTES_MAX
    }

    fn take(&mut self, run: &RunInput<'_>, metadata: usize) -> u32 {
        let first_line = self.lines.len() as u32;
        self.lines.extend_from(run.lines, 0..run.lines.len());
        self.text.extend_from_slice(run.text);
        self.metadata_bytes += metadata;
        first_line
    }
}

/// Checks what every frame demands; gives the bytes of metadata.
fn check_run(run: &RunInput<'_>) -> Result<usize, PushError> {
    let metadata = run.lines.metadata.iter().map(|(_, pairs)| pairs.len()).sum();
    for (what, found, limit) in [
        ("bytes of text", run.text.len(), FRAME_TEXT_BYTES_MAX),
        ("lines", run.lines.len(), FRAME_LINES_MAX),
        ("bytes of metadata", metadata, FRAME_METADATA_BYTES_MAX),
    ] {
        if found > limit {
            return Err(PushError::TooLarge { what, found, limit });
        }
    }
    if !covers(run.pieces, run.lines) {
        return Err(PushError::NotCovered);
    }
    Ok(metadata)
}

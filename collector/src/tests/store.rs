//! A store that accounts for every byte of what it is sent.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::lines::decode_metadata;
use sawlog_transport::run::{Addresses, Piece, PieceKind};
use sawlog_transport::{Batch, GenerationId, Labels, LineColumns, LineFlags, StreamId};

pub(super) use super::recorder::{Mode, Recorder};

/// A line as it was stored: without the bytes that were held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredLine {
    pub text: Vec<u8>,
    pub flags: u8,
    pub time: i64,
    pub pieces: Vec<Piece>,
    pub metadata: Vec<(String, Vec<u8>)>,
}

#[derive(Default)]
pub(super) struct StoredStream {
    pub labels: Arc<Labels>,
    pub lines: Vec<StoredLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Missing,
    Text(u8),
    Cut,
    Dropped,
    /// Declared lost; bytes that arrive all the same are taken.
    Lost,
}

/// The bytes of one generation.
#[derive(Default)]
struct Held(Vec<Byte>);

impl Held {
    /// Puts a byte; gives what was there.
    fn put(&mut self, at: u64, byte: Byte) -> Byte {
        let at = at as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Byte::Missing);
        }
        std::mem::replace(&mut self.0[at], byte)
    }
}

/// Removes what it already holds, as the aggregator does, and refuses what contradicts it.
#[derive(Default)]
pub(super) struct Store {
    pub streams: HashMap<StreamId, StoredStream>,
    held: HashMap<GenerationId, Held>,
    /// Which stream declared something of a generation.
    declared_by: HashMap<GenerationId, StreamId>,
    /// Bytes that came again.
    pub duplicates: u64,
    pub batches: u64,
    /// Lines came in envelopes: their source cannot be told from their text.
    pub envelopes: bool,
    /// What was declared dropped or lost.
    pub declared: Vec<Piece>,
    /// The beginning of a line may come under another name than before.
    pub lenient: bool,
    /// Checkpoints were lost.
    pub forgotten: bool,
}

impl Store {
    pub(super) fn take(&mut self, message: Bytes) {
        self.batches += 1;
        let batch = Batch::decode(message).expect("a valid batch");
        let frames: Vec<(LineColumns, Bytes)> = batch
            .frames
            .iter()
            .map(|frame| (frame.lines().expect("columns"), frame.text().expect("text")))
            .collect();
        for run in &batch.runs {
            let entry = &batch.streams[run.stream as usize];
            let stream = self.streams.entry(entry.id).or_default();
            stream.labels = entry.labels.clone();
            for piece in &run.pieces {
                match piece.kind {
                    PieceKind::Text => {}
                    PieceKind::Cut => self.take_cut(*piece),
                    PieceKind::Dropped => self.take_other(*piece, Byte::Dropped),
                    kind => {
                        assert!(kind.loss().is_some());
                        self.take_other(*piece, Byte::Lost);
                    }
                }
            }
            self.declared_by.extend(run.pieces.iter().map(|piece| (piece.generation, entry.id)));
            let kept = |piece: &&Piece| matches!(piece.kind, PieceKind::Text | PieceKind::Cut);
            self.declared.extend(run.pieces.iter().filter(|piece| !kept(piece)));
            let Some((columns, text)) = frames.get(run.frame as usize) else { continue };
            let before: usize = columns.text_lens[..run.first_line as usize]
                .iter()
                .map(|len| *len as usize + 1)
                .sum();
            let mut text = &text[before..];
            let mut addresses = Addresses::new(&run.pieces);
            for line in run.lines() {
                let (own, rest) = text.split_at(columns.text_lens[line] as usize);
                text = &rest[1..];
                let mut pieces = Vec::new();
                addresses.next_pieces(u64::from(columns.source_lens[line]), &mut pieces);
                let flags = columns.flags[line].0;
                let source_bytes = columns.source_lens[line] as usize;
                self.take_line(entry.id, own, source_bytes, flags, columns.times[line], pieces);
                let stored = self.streams.entry(entry.id).or_default();
                if let Some(stored) = stored.lines.last_mut() {
                    stored.metadata = decode_metadata(columns.metadata_of(line));
                }
            }
        }
    }

    fn take_cut(&mut self, piece: Piece) {
        let held = self.held.entry(piece.generation).or_default();
        for at in piece.from..piece.to {
            match held.put(at, Byte::Cut) {
                Byte::Missing => {}
                Byte::Cut => self.duplicates += 1,
                other => panic!("byte {at} was {other:?} and is cut now"),
            }
        }
    }

    fn take_other(&mut self, piece: Piece, byte: Byte) {
        let held = self.held.entry(piece.generation).or_default();
        for at in piece.from..piece.to {
            let before = held.put(at, byte);
            if matches!(before, Byte::Text(_) | Byte::Cut | Byte::Dropped) {
                held.put(at, before);
            }
        }
    }

    fn take_line(
        &mut self,
        stream: StreamId,
        text: &[u8],
        source_bytes: usize,
        flags: u8,
        time: i64,
        pieces: Vec<Piece>,
    ) {
        // What a redacted line was is nowhere to be seen: only how long it was.
        let redacted = self.envelopes || memchr::memmem::find(text, b"[redacted:").is_some();
        let mut source = if redacted { vec![b'?'; source_bytes] } else { text.to_vec() };
        let unterminated = flags & (LineFlags::PARTIAL | LineFlags::CUT) != 0;
        if !unterminated && !redacted {
            source.push(b'\n');
        }
        assert_eq!(source.len(), source_bytes, "the source is the text and its terminator");
        let mut new = Vec::new();
        let mut is_end_new = false;
        let mut bytes = source.iter();
        for piece in &pieces {
            let held = self.held.entry(piece.generation).or_default();
            for at in piece.from..piece.to {
                let byte = *bytes.next().expect("as many bytes as the pieces have");
                match held.put(at, Byte::Text(byte)) {
                    Byte::Missing | Byte::Lost => {
                        is_end_new = true;
                        new.push(byte);
                    }
                    Byte::Text(before) => {
                        is_end_new = false;
                        // Without checkpoints nobody knows any more that it was to be hidden, or is.
                        let is_hidden = self.forgotten && (before == b'?' || redacted);
                        assert!(before == byte || is_hidden, "byte {at} changed");
                        let is_beginning = new.is_empty() || self.lenient;
                        assert!(is_beginning, "only the beginning of a line may be held");
                        self.duplicates += 1;
                    }
                    other => panic!("byte {at} was {other:?} and is text now"),
                }
            }
        }
        assert_eq!(bytes.next(), None);
        if !new.is_empty() {
            if redacted {
                new = text.to_vec();
            } else if !unterminated && is_end_new {
                new.pop();
            }
            let lines = &mut self.streams.entry(stream).or_default().lines;
            lines.push(StoredLine { text: new, flags, time, pieces, metadata: Vec::new() });
        }
    }

    /// The texts of a stream, in the order in which they came.
    pub(super) fn texts(&self, stream: StreamId) -> Vec<Vec<u8>> {
        let lines = self.streams.get(&stream).map(|stream| &stream.lines[..]).unwrap_or_default();
        lines.iter().map(|line| line.text.clone()).collect()
    }

    /// Whether exactly the bytes `0..len` of a generation are held, or were cut from a line.
    pub(super) fn is_complete(&self, generation: GenerationId, len: u64) -> bool {
        let Some(Held(bytes)) = self.held.get(&generation) else { return len == 0 };
        let is_kept = |byte: &Byte| matches!(byte, Byte::Text(_) | Byte::Cut);
        bytes.len() as u64 == len && bytes.iter().all(is_kept)
    }

    fn count(&self, of: impl Fn(Byte) -> bool) -> usize {
        self.held.values().flat_map(|held| &held.0).filter(|byte| of(**byte)).count()
    }

    /// Bytes declared lost that never came.
    pub(super) fn lost_bytes(&self) -> usize {
        self.count(|byte| byte == Byte::Lost)
    }

    /// The same of one stream.
    pub(super) fn lost_bytes_of(&self, stream: StreamId) -> usize {
        let is_its = |of: &GenerationId| self.declared_by.get(of) == Some(&stream);
        let held = self.held.iter().filter(|(of, _)| is_its(of)).flat_map(|(_, held)| &held.0);
        held.filter(|byte| **byte == Byte::Lost).count()
    }

    /// Bytes declared as never written.
    pub(super) fn dropped_bytes(&self) -> usize {
        self.count(|byte| byte == Byte::Dropped)
    }

    /// Bytes of files that are held as lines.
    pub(super) fn text_bytes(&self) -> usize {
        self.count(|byte| matches!(byte, Byte::Text(_)))
    }

    /// For each of the bytes `0..len` of a generation whether its text is held.
    pub(super) fn held(&self, generation: GenerationId, len: u64) -> Vec<bool> {
        let held = self.held.get(&generation).map(|Held(bytes)| &bytes[..]).unwrap_or_default();
        (0..len as usize).map(|at| matches!(held.get(at), Some(Byte::Text(_)))).collect()
    }

    /// Bytes accounted for as cut.
    pub(super) fn cut_bytes(&self) -> usize {
        self.held.values().flat_map(|held| &held.0).filter(|byte| **byte == Byte::Cut).count()
    }
}

//! The hot tail: runs that were consumed and are not sealed yet, searchable from memory.

use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::run::Addresses;
use sawlog_transport::{Frame, Labels, LineColumns, Piece, Run, StreamId};

use crate::streams::StreamNumber;

/// A run in memory. It has at least one line.
#[derive(Clone, Debug)]
pub struct HotRun {
    pub number: StreamNumber,
    pub stream: StreamId,
    /// The stream's labels when the run was taken.
    pub labels: Arc<Labels>,
    pub partition: u32,
    /// See `Block::arrivals`.
    pub arrival: u64,
    pub read_time: i64,
    pub min_time: i64,
    pub max_time: i64,
    pub pieces: Vec<Piece>,
    pub lines: Arc<LineColumns>,
    /// The text of the lines, each followed by `\n`.
    pub text: Bytes,
    /// The frame that the run came in, if it came alone and whole: the store keeps it as it is.
    pub frame: Option<Frame>,
    /// Whether it begins within an entry.
    pub continues: Option<Continued>,
}

/// The entry that a run's first lines belong to begins in an earlier run, which is hot too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continued {
    /// How many lines of the run belong to it, at least one.
    pub lines: u32,
    /// Arrival number of the stream's run before this one.
    pub of: u64,
}

impl HotRun {
    /// What the run costs in memory: text, columns and bookkeeping.
    pub fn memory_bytes(&self) -> usize {
        let columns = self.lines.len() * (size_of::<i64>() + 2 * size_of::<u32>() + 1);
        let metadata: usize = self.lines.metadata.iter().map(|(_, pairs)| pairs.len() + 40).sum();
        let frame = self.frame.as_ref().map_or(0, Frame::stored_len);
        let pieces = self.pieces.len() * size_of::<Piece>();
        size_of::<Self>() + 64 + self.text.len() + columns + metadata + frame + pieces
    }

    /// How many of its first lines belong to the entry of the run before it.
    pub fn continuing_lines(&self) -> usize {
        self.continues.map_or(0, |continued| continued.lines as usize)
    }

    /// The text of some lines.
    pub(crate) fn text_of(&self, lines: Range<usize>) -> Bytes {
        let bytes = |lens: &[u32]| lens.iter().map(|len| *len as usize + 1).sum::<usize>();
        let start = bytes(&self.lines.text_lens[..lines.start]);
        self.text.slice(start..start + bytes(&self.lines.text_lens[lines]))
    }

    /// A run of some of its lines, which keeps nothing of the others alive.
    ///
    /// # Panics
    /// If it has no such lines.
    pub fn part(&self, lines: Range<usize>) -> HotRun {
        let mut columns = LineColumns::default();
        columns.extend_from(&self.lines, lines.clone());
        let times = &columns.times;
        HotRun {
            number: self.number,
            stream: self.stream,
            labels: self.labels.clone(),
            partition: self.partition,
            // It arrived behind the part before it.
            arrival: self.arrival + lines.start as u64,
            read_time: self.read_time,
            min_time: times.iter().min().copied().unwrap_or(self.min_time),
            max_time: times.iter().max().copied().unwrap_or(self.max_time),
            pieces: self.pieces_of(lines.clone()),
            text: Bytes::copy_from_slice(&self.text_of(lines.clone())),
            lines: Arc::new(columns),
            frame: None,
            continues: self.continues.filter(|_| lines.start == 0),
        }
    }

    /// Where some lines come from.
    fn pieces_of(&self, lines: Range<usize>) -> Vec<Piece> {
        let bytes = |lens: &[u32]| lens.iter().map(|len| u64::from(*len)).sum::<u64>();
        let mut addresses = Addresses::new(&self.pieces);
        let (mut passed, mut pieces) = (Vec::new(), Vec::new());
        addresses.next_pieces(bytes(&self.lines.source_lens[..lines.start]), &mut passed);
        addresses.next_pieces(bytes(&self.lines.source_lens[lines]), &mut pieces);
        pieces
    }

    /// The run as a block's table would name it, alone in its block.
    pub(crate) fn as_run(&self) -> Run {
        self.as_run_of(0..self.lines.len(), 0)
    }

    /// The same for some of its lines, the first of which is `first_line` of the block.
    pub(crate) fn as_run_of(&self, lines: Range<usize>, first_line: usize) -> Run {
        let all = lines.len() == self.lines.len();
        Run {
            stream: 0,
            frame: 0,
            first_line: first_line as u32,
            n_lines: lines.len() as u32,
            read_time: self.read_time,
            min_time: self.min_time,
            max_time: self.max_time,
            pieces: if all { self.pieces.clone() } else { self.pieces_of(lines) },
        }
    }
}

//! The hot tail: runs that were consumed and are not sealed yet, searchable from memory.

use std::mem::size_of;
use std::sync::Arc;

use bytes::Bytes;
use sawlog_transport::{Frame, Labels, LineColumns, Piece, Run, StreamId};

use crate::streams::StreamNumber;

/// A run in memory. It has at least one line.
#[derive(Debug)]
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

    /// The run as a block's table would name it, alone in its block.
    pub(crate) fn as_run(&self) -> Run {
        Run {
            stream: 0,
            frame: 0,
            first_line: 0,
            n_lines: self.lines.len() as u32,
            read_time: self.read_time,
            min_time: self.min_time,
            max_time: self.max_time,
            pieces: self.pieces.clone(),
        }
    }
}

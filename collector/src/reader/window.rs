//! The bytes around a file's position: read, compared with what was there before, and left behind.

use std::io;
use std::ops::Range;

use super::{Lines, Reader};
use crate::checkpoint::StreamClock;
use crate::tail::TailFile;
use crate::tail_hash::{PREFIX_BYTES, TAIL_BYTES, TailHash};

/// The bytes read around a file's position.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Bytes before the position.
    pub(super) before: usize,
    /// Bytes from the position on.
    pub(super) data: usize,
}

impl Reader<'_> {
    /// Reads up to `wanted` bytes from the file's position on, with what lies before it; `None` if
    /// that is not what was read before.
    pub(super) fn fill(&mut self, file: &TailFile, wanted: usize) -> io::Result<Option<Window>> {
        let before = file.read_to.min(TAIL_BYTES as u64) as usize;
        let buffer = &mut self.buffers.bytes[..before + wanted];
        let read = file.read_at(buffer, file.read_to - before as u64)?;
        if read < before || TailHash::of(&buffer[..before]) != file.tail {
            return Ok(None);
        }
        Ok(Some(Window { before, data: read - before }))
    }

    /// The beginning of the line at the position, as far as the window has it: not empty if it was handed
    /// on as the unterminated end of the file, and goes on now.
    pub(super) fn line_before(&self, window: Window) -> Range<usize> {
        let before = &self.buffers.bytes[..window.before];
        memchr::memrchr(b'\n', before).map_or(0, |end| end + 1)..window.before
    }

    pub(super) fn data(&self, window: Window) -> &[u8] {
        &self.buffers.bytes[window.before..window.before + window.data]
    }

    /// Remembers that no line ends in the rest of what was read.
    pub(super) fn note_scanned(&self, file: &mut TailFile, window: Window, consumed: usize) {
        let rest = &self.data(window)[consumed..];
        if memchr::memchr(b'\n', rest).is_none() {
            file.scanned_to = file.read_to + rest.len() as u64;
        }
    }

    /// Moves the file's position over `consumed` bytes of the window.
    pub(super) fn advance(
        &mut self,
        file: &mut TailFile,
        stream: &Lines<'_>,
        window: Window,
        consumed: usize,
    ) {
        self.move_position(file, window, consumed);
        self.buffers.progress.push(file.progress(stream.source.id, StreamClock::default()));
    }

    pub(super) fn move_position(&self, file: &mut TailFile, window: Window, consumed: usize) {
        let behind = &self.buffers.bytes[..window.before + consumed];
        if file.read_to < PREFIX_BYTES as u64 {
            // As long as it is remembered, what lies before the position begins with the file.
            file.note_prefix(behind);
        }
        file.in_hole = false;
        file.move_to(file.read_to + consumed as u64, TailHash::of(behind));
    }
}

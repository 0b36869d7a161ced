//! Unterminated ends of files: handed on as lines of their own, or left to the file that continues them.

use std::io;

use sawlog_transport::limits::{FRAME_TEXT_BYTES_MAX, LINE_BYTES_MAX};
use sawlog_transport::run::PieceKind;
use sawlog_transport::{LineFlags, StreamId};

use super::{Before, Lines, Outcome, Reader, Window};
use crate::line_head::LineHead;
use crate::stream_text::StreamText;
use crate::tail::TailFile;

impl Reader<'_> {
    /// Hands on the unterminated end of a file as a line of its own.
    ///
    /// # Errors
    /// The file cannot be read; nothing was handed on.
    pub(crate) fn partial_line(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
    ) -> io::Result<Outcome> {
        let Some(window) = self.fill(file, FRAME_TEXT_BYTES_MAX)? else {
            return Ok(Outcome::Replaced);
        };
        let joined = stream.head.is_some();
        if let Some(envelope) = self.envelope(file, stream.text, window, joined)? {
            return self.enveloped_end(file, stream, window, envelope);
        }
        let head_bytes = stream.head.as_ref().map_or(0, LineHead::bytes);
        if !self.is_unterminated_end(file, head_bytes, window) {
            return Ok(Outcome::End);
        }
        let beginning = self.beginning(file, stream, window)?;
        self.take_head(stream)?;
        self.buffers.beginning = beginning;
        self.take_rest(file, window, window.data, window.data);
        let source_bytes = self.source_bytes();
        let live = file.is_live() && !stream.source.times_are_true;
        self.one_line(stream, source_bytes, LineFlags::PARTIAL, live);
        self.advance(file, stream, window, window.data);
        file.scanned_to = file.read_to;
        self.metrics.partial_lines.inc();
        self.metrics.lines_rejoined.inc_by(u64::from(joined));
        self.hand_on_text(stream);
        Ok(Outcome::Read(window.data as u64))
    }

    /// Whether the window is all that is left of the file, without a line end, and not too long for a
    /// line. If it is something else by now, it is looked at again from the file's position on.
    pub(super) fn is_unterminated_end(
        &self,
        file: &mut TailFile,
        head_bytes: usize,
        window: Window,
    ) -> bool {
        if window.data as u64 != file.unread() {
            // The file has grown since: it is not at its end.
            return false;
        }
        let ends = memchr::memchr(b'\n', self.data(window)).is_some();
        if ends || head_bytes + window.data > LINE_BYTES_MAX {
            file.scanned_to = file.read_to;
            return false;
        }
        true
    }

    /// Hands on the beginning of a line whose file to continue it is gone.
    ///
    /// # Errors
    /// An older file cannot be read; the line stays.
    pub(crate) fn partial_head(&mut self, stream: &mut Lines<'_>) -> io::Result<()> {
        if let Some(envelope) = stream.text.last_envelope() {
            return self.enveloped_head(stream, envelope);
        }
        let beginning = self.beginning_of_head(stream)?;
        self.take_head(stream)?;
        self.buffers.beginning = beginning;
        let source_bytes = self.source_bytes();
        if source_bytes > 0 {
            self.one_line(stream, source_bytes, LineFlags::PARTIAL, false);
            self.metrics.partial_lines.inc();
            self.hand_on_text(stream);
        }
        Ok(())
    }

    /// The unterminated end of a file, to be continued in the next one.
    ///
    /// # Errors
    /// The file cannot be read; nothing was taken.
    pub(crate) fn leave_open(
        &mut self,
        file: &mut TailFile,
        head: &mut LineHead,
        older: &[TailFile],
        text: &mut StreamText,
    ) -> io::Result<Outcome> {
        let Some(window) = self.fill(file, FRAME_TEXT_BYTES_MAX)? else {
            return Ok(Outcome::Replaced);
        };
        let is_open = match self.envelope(file, text, window, head.bytes() > 0)? {
            None => self.is_unterminated_end(file, head.bytes(), window),
            Some(envelope) => {
                let before = Before { head: Some(head), older, stream: StreamId(0) };
                self.is_open_end(file, before, text, window, envelope)?
            }
        };
        if !is_open {
            return Ok(Outcome::Read(0));
        }
        let piece = file.piece(file.read_to + window.data as u64, PieceKind::Text);
        head.push(file, piece);
        self.move_position(file, window, window.data);
        file.scanned_to = piece.to;
        Ok(Outcome::End)
    }
}

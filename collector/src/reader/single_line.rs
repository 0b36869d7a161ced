//! Lines that are not handed on in place but alone in their run: too long ones, of which the beginning is
//! kept, and the first of a file, whose beginning older files hold.

use std::io;

use sawlog_transport::LineFlags;
use sawlog_transport::limits::LINE_BYTES_MAX;
use sawlog_transport::run::{Piece, PieceKind};

use super::beginning::Beginning;
use super::{Before, Buffers, Lines, Reader, Window};
use crate::checkpoint::StreamClock;
use crate::group::Side;
use crate::lines::{self, Reading};
use crate::redact::{PemBlock, PemBlocks};
use crate::tail::TailFile;
use crate::times::ReadContext;

impl Reader<'_> {
    /// The rest of a line whose beginning was handed on as the unterminated end of the file: alone in its
    /// run, so that the secrets are found that lie across.
    pub(super) fn rest_of_line(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        beginning: Beginning,
        live: bool,
    ) {
        match memchr::memchr(b'\n', self.data(window)) {
            Some(end) if end <= LINE_BYTES_MAX => {
                self.buffers.begin();
                self.buffers.beginning = beginning;
                self.take_rest(file, window, end, end + 1);
                self.one_line(stream, end + 1, 0, live);
                self.advance(file, stream, window, end + 1);
                self.hand_on_text(stream);
            }
            _ if window.data > LINE_BYTES_MAX => {
                self.cut_line(file, stream, window, beginning, live);
            }
            _ => file.scanned_to = file.read_to + window.data as u64,
        }
    }

    /// A line without an end in sight: its beginning becomes the line, the rest will be left out.
    pub(super) fn cut_line(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        beginning: Beginning,
        live: bool,
    ) {
        self.buffers.begin();
        self.buffers.beginning = beginning;
        let taken = LINE_BYTES_MAX;
        self.buffers
            .text
            .extend_from_slice(&self.buffers.bytes[window.before..window.before + taken]);
        self.buffers.pieces.push(file.piece(file.read_to + taken as u64, PieceKind::Text));
        file.inside_cut = true;
        self.one_line(stream, taken, LineFlags::CUT, live);
        self.advance(file, stream, window, taken);
        self.hand_on_text(stream);
    }

    /// Leaves out the rest of a line that was too long, its terminator included.
    pub(super) fn skip_cut(&mut self, file: &mut TailFile, stream: &mut Lines<'_>, window: Window) {
        self.buffers.begin();
        let data = self.data(window);
        let end = memchr::memchr(b'\n', data);
        let skipped = end.map_or(data.len(), |end| end + 1);
        self.buffers.pieces.push(file.piece(file.read_to + skipped as u64, PieceKind::Cut));
        file.inside_cut = end.is_none();
        self.advance(file, stream, window, skipped);
        self.metrics.cut_bytes.inc_by(skipped as u64);
        self.hand_on_text(stream);
    }

    /// The first line of a file, whose beginning older files hold.
    pub(super) fn join(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        live: bool,
    ) -> io::Result<()> {
        let Some(head) = stream.head.as_ref() else { return Ok(()) };
        let end = memchr::memchr(b'\n', self.data(window));
        let rest = end.unwrap_or(window.data);
        if end.is_none() && head.bytes() + rest <= LINE_BYTES_MAX {
            file.scanned_to = file.read_to + window.data as u64;
            return Ok(());
        }
        let beginning = self.beginning(file, stream, window)?;
        self.take_head(stream)?;
        self.buffers.beginning = beginning;
        let room = LINE_BYTES_MAX.saturating_sub(self.buffers.text.len());
        let fits = end.is_some() && rest <= room;
        let text = rest.min(room);
        let consumed = if fits { rest + 1 } else { text };
        self.take_rest(file, window, text, consumed);
        file.inside_cut = !fits;
        let source_bytes = self.source_bytes();
        let flags = if fits { 0 } else { LineFlags::CUT };
        self.one_line(stream, source_bytes, flags, live);
        self.advance(file, stream, window, consumed);
        self.metrics.lines_rejoined.inc();
        self.hand_on_text(stream);
        Ok(())
    }

    /// Begins a line with what older files hold of it.
    pub(super) fn take_head(&mut self, stream: &mut Lines<'_>) -> io::Result<()> {
        self.read_head(stream.before().0)?;
        *stream.head = None;
        Ok(())
    }

    /// Reads what older files hold of a line; it stays theirs.
    pub(super) fn read_head(&mut self, before: Before<'_>) -> io::Result<()> {
        self.buffers.begin();
        let Some(head) = before.head else { return Ok(()) };
        let Buffers { text, pieces, progress, .. } = &mut *self.buffers;
        head.read(before.older, text, pieces, |file| {
            progress.push(file.progress(before.stream, StreamClock::default()));
        })
    }

    pub(super) fn take_rest(
        &mut self,
        file: &TailFile,
        window: Window,
        text: usize,
        consumed: usize,
    ) {
        let Buffers { bytes, text: line, pieces, .. } = &mut *self.buffers;
        line.extend_from_slice(&bytes[window.before..window.before + text]);
        if consumed > 0 {
            pieces.push(file.piece(file.read_to + consumed as u64, PieceKind::Text));
        }
    }

    /// The one line of a run, from `buffers.text`, which loses its secrets and gets its terminator.
    pub(super) fn one_line(
        &mut self,
        stream: &mut Lines<'_>,
        source_bytes: usize,
        flags: u8,
        live: bool,
    ) {
        let context = ReadContext { read_time: self.now.wall, live, zone: self.zone };
        let Buffers { beginning, text, columns, pieces, .. } = &mut *self.buffers;
        let groups = &mut stream.text.groups;
        let mut reading = Reading { times: stream.times, groups, context: &context };
        lines::push(text, source_bytes, flags, &mut reading, columns);
        match pieces.last() {
            Some(last) if flags & LineFlags::PARTIAL != 0 => {
                let unfinished = &mut stream.text.unfinished;
                unfinished.begun(Some(Side::Out), last.generation);
                if let Some(before) = beginning.text() {
                    unfinished.keep(Side::Out, [before, text]);
                }
            }
            _ => stream.text.unfinished.ended(Side::Out),
        }
        if let Some(redactor) = &mut self.redactor {
            let is_open = flags & (LineFlags::CUT | LineFlags::PARTIAL) != 0;
            let mut pem = stream.pem.merged();
            let was_in_block = pem.is_open();
            let told = |event| self.metrics.redaction(event);
            if let Some(redacted) = beginning.redact(redactor, text, is_open, &mut pem, told) {
                lines::replace_texts(columns, std::iter::once((0, redacted.len())));
                text.clear();
                text.extend_from_slice(redacted);
            }
            if flags & LineFlags::CUT != 0 && !was_in_block {
                // The end of a block that is one line is in the part that is left out.
                pem = PemBlock::default();
            }
            *stream.pem = PemBlocks::of_both(pem);
        }
        text.push(b'\n');
    }

    pub(super) fn source_bytes(&self) -> usize {
        self.buffers.pieces.iter().map(Piece::bytes).sum::<u64>() as usize
    }
}

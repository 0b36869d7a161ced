//! Reads files whose lines are in envelopes: takes them out, joins their parts, also across rotations,
//! and hands on text without secrets, as the plain path does.

use std::io;

use bytes::Bytes;
use sawlog_transport::limits::{FRAME_TEXT_BYTES_MAX, LINE_BYTES_MAX};
use sawlog_transport::lines::encode_metadata;
use sawlog_transport::run::PieceKind;

use super::beginning::{Beginning, Beginnings};
use super::{Before, Buffers, Lines, Outcome, Reader, Window};
use crate::envelope::{DETECT_BYTES, Ending, Envelope};
use crate::group::Side;
use crate::stream_text::{Known, StreamText};
use crate::tail::TailFile;

/// The structured metadata that says to which side a line was written.
pub(super) struct SideNames([Bytes; 2]);

impl SideNames {
    pub(super) fn of(&self, side: Side) -> Bytes {
        self.0[side as usize].clone()
    }

    pub(super) fn new() -> Self {
        Self([&b"stdout"[..], b"stderr"].map(|name| encode_metadata([("stream", name)]).into()))
    }
}

impl Reader<'_> {
    /// What is around the lines of a file, some of whose bytes are in the window. With `has_head` its
    /// first line began in an older file, and what it holds of it tells nothing.
    pub(super) fn envelope(
        &mut self,
        file: &TailFile,
        text: &mut StreamText,
        window: Window,
        has_head: bool,
    ) -> io::Result<Option<Envelope>> {
        if has_head && text.envelope(file.generation) == Known::Not {
            text.inherit(file.generation);
        }
        if let Known::Yes(envelope) = text.envelope(file.generation) {
            return Ok(envelope);
        }
        let Buffers { bytes, text: start, .. } = &mut *self.buffers;
        let here = &bytes[window.before..window.before + window.data];
        let mut is_inside_line = file.inside_cut;
        let start = if file.read_to == 0 {
            here
        } else {
            start.resize(DETECT_BYTES, 0);
            let read = file.read_at(start, 0)?;
            // No envelope begins with a zero: it is a hole, and the first line lies behind it.
            if start[..read].first() == Some(&0) {
                here
            } else {
                is_inside_line = false;
                &start[..read]
            }
        };
        let end = memchr::memchr(b'\n', start);
        let envelope = Envelope::detect(&start[..end.unwrap_or(start.len())]);
        // The rest of a cut line says nothing about the lines behind it.
        if !is_inside_line && (end.is_some() || start.len() >= DETECT_BYTES) {
            text.found(file.generation, envelope);
        }
        Ok(envelope)
    }

    /// Hands on the complete lines of the window, and of what older files hold of its first line.
    pub(super) fn enveloped(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        envelope: Envelope,
    ) -> io::Result<()> {
        let mut beginnings = None;
        let mut window = window;
        if self.may_begin_inside(file, stream)? {
            let known = self.beginnings(Some(file), stream, envelope, [true; 2])?;
            window = self.window_of_rest(window, stream, envelope, &known);
            beginnings = Some(known);
        }
        let (before, text) = stream.before();
        let is_full = before.bytes() + window.data > LINE_BYTES_MAX;
        let ending = if is_full { Ending::Full } else { Ending::Open };
        let consumed = self.unwrap(before, text, window, envelope, ending)?;
        if consumed == 0 {
            file.scanned_to = file.read_to + window.data as u64;
            return Ok(());
        }
        self.buffers.beginnings = match beginnings {
            Some(known) => known,
            None => {
                let sides = self.buffers.unwrapped.sides();
                self.beginnings(Some(file), stream, envelope, sides)?
            }
        };
        self.hand_on_unwrapped(file, stream, window, consumed);
        if !is_full {
            // No line ends in the rest.
            file.scanned_to = file.read_to + (window.data - consumed) as u64;
        }
        Ok(())
    }

    /// Hands on what is left of a file that ends inside a line.
    pub(super) fn enveloped_end(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        envelope: Envelope,
    ) -> io::Result<Outcome> {
        let (before, text) = stream.before();
        if !self.is_open_end(file, before, text, window, envelope)? {
            return Ok(Outcome::End);
        }
        let consumed = self.unwrap(before, text, window, envelope, Ending::Last)?;
        let sides = self.buffers.unwrapped.sides();
        let mut beginnings = self.beginnings(Some(file), stream, envelope, sides)?;
        if envelope == Envelope::Docker && self.buffers.unwrapped.ends_in_doubt() {
            beginnings.inside = Beginning::Unknown;
        }
        self.buffers.beginnings = beginnings;
        self.hand_on_unwrapped(file, stream, window, consumed);
        file.scanned_to = file.read_to;
        self.metrics.partial_lines.inc();
        Ok(Outcome::Read(consumed as u64))
    }

    /// Whether the window is all that is left of the file, without the end of a line, and not too long
    /// for one. If it is something else by now, it is looked at again from the file's position on.
    pub(super) fn is_open_end(
        &mut self,
        file: &mut TailFile,
        before: Before<'_>,
        text: &mut StreamText,
        window: Window,
        envelope: Envelope,
    ) -> io::Result<bool> {
        if window.data as u64 != file.unread() {
            // The file has grown since: it is not at its end.
            return Ok(false);
        }
        let is_full = before.bytes() + window.data > LINE_BYTES_MAX;
        let skipping = text.groups.skipping;
        let ends = is_full || self.unwrap(before, text, window, envelope, Ending::Open)? > 0;
        text.groups.skipping = skipping;
        if ends {
            file.scanned_to = file.read_to;
        }
        Ok(!ends)
    }

    /// Hands on what older files hold of a line whose file to continue it is gone.
    pub(super) fn enveloped_head(
        &mut self,
        stream: &mut Lines<'_>,
        envelope: Envelope,
    ) -> io::Result<()> {
        let window = Window { before: 0, data: 0 };
        let beginnings = self.beginnings(None, stream, envelope, [true; 2])?;
        let (before, text) = stream.before();
        self.unwrap(before, text, window, envelope, Ending::Last)?;
        *stream.head = None;
        self.buffers.beginnings = beginnings;
        if !self.buffers.unwrapped.items.is_empty() {
            self.metrics.partial_lines.inc();
            self.hand_on_items(stream, false);
        }
        Ok(())
    }

    /// If the window starts with the rest of a physical line, that line alone: what it is the rest of, and
    /// so whose parts the next ones continue, is known when it is handed on.
    fn window_of_rest(
        &self,
        window: Window,
        stream: &Lines<'_>,
        envelope: Envelope,
        beginnings: &Beginnings,
    ) -> Window {
        let data = self.data(window);
        let Some(end) = memchr::memchr(b'\n', data) else { return window };
        let is_rest =
            !beginnings.inside.is_none() && stream.head.is_none() && !envelope.fits(&data[..end]);
        if is_rest { Window { data: end + 1, ..window } } else { window }
    }

    /// Takes the lines out of their envelopes: those of the window, behind what older files hold. Gives
    /// how many bytes of the window they cover; none if nothing can be handed on yet.
    fn unwrap(
        &mut self,
        before: Before<'_>,
        stream_text: &mut StreamText,
        window: Window,
        envelope: Envelope,
        ending: Ending,
    ) -> io::Result<usize> {
        self.read_head(before)?;
        let Buffers { bytes, text, unwrapped, .. } = &mut *self.buffers;
        let data = &bytes[window.before..window.before + window.data];
        let head = text.len();
        let source = if head == 0 {
            data
        } else {
            let room = FRAME_TEXT_BYTES_MAX.saturating_sub(head);
            text.extend_from_slice(&data[..data.len().min(room)]);
            text
        };
        let skipping = &mut stream_text.groups.skipping;
        let consumed = unwrapped.take(envelope, source, head, ending, skipping);
        Ok(consumed.saturating_sub(head))
    }

    /// Hands on the lines that were taken out, which cover `consumed` bytes of the window.
    fn hand_on_unwrapped(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        consumed: usize,
    ) {
        let live = file.is_live();
        if stream.head.take().is_some() {
            self.metrics.lines_rejoined.inc();
        }
        if consumed > 0 {
            let piece = file.piece(file.read_to + consumed as u64, PieceKind::Text);
            self.buffers.pieces.push(piece);
        }
        file.inside_cut = self.buffers.unwrapped.inside_line;
        self.advance(file, stream, window, consumed);
        self.hand_on_items(stream, live);
    }
}

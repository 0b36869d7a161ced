//! Turns the next bytes of a file into a run: whole lines in place, and all others by the modules below.

mod beginning;
mod buffers;
mod enveloped;
mod open_end;
mod single_line;
mod unwrapped_runs;
mod window;

use std::io;
use std::sync::Arc;

use sawlog_transport::StreamId;
use sawlog_transport::limits::{FRAME_TEXT_BYTES_MAX, LINE_BYTES_MAX};
use sawlog_transport::run::PieceKind;

use crate::batcher::Batcher;
use crate::clock::Now;
use crate::content;
use crate::group::Side;
use crate::line_head::LineHead;
use crate::lines::{self, Reading};
use crate::metrics::Metrics;
use crate::place::Source;
use crate::redact::{PemBlocks, Redactor};
use crate::stream_text::StreamText;
use crate::tail::TailFile;
use crate::times::{ReadContext, StreamTimes};
use beginning::Beginning;
pub(crate) use buffers::Buffers;
use window::Window;

/// What one look at a file gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// So many bytes were handed on; there may be more.
    Read(u64),
    /// No complete line is left.
    End,
    /// A hole was left out that nobody wrote, this far.
    Hole(u64),
    /// The bytes before the position are not those that were read: the file was truncated and grew
    /// again.
    Replaced,
    /// The file is none that people read.
    NotText(&'static str),
}

/// What a reader needs of the loop.
pub(crate) struct Reader<'a> {
    pub now: Now,
    pub buffers: &'a mut Buffers,
    pub batcher: &'a mut Batcher,
    pub metrics: &'a Metrics,
    /// `None`: lines are handed on as they are.
    pub redactor: Option<&'a mut Redactor>,
    pub zone: &'a dyn Fn(i64) -> i32,
}

/// What a reader needs of the file's stream.
pub(crate) struct Lines<'a> {
    pub source: &'a Source,
    pub times: &'a mut StreamTimes,
    /// The blocks of private keys whose end has not come yet.
    pub pem: &'a mut PemBlocks,
    /// How its text is read.
    pub text: &'a mut StreamText,
    /// The beginning of the file's first line, in older files.
    pub head: &'a mut Option<LineHead>,
    /// The older files of the stream.
    pub older: &'a [TailFile],
}

impl Lines<'_> {
    /// What older files hold of the file's first line, and how the text is read.
    fn before(&mut self) -> (Before<'_>, &mut StreamText) {
        let before = Before { head: self.head.as_ref(), older: self.older, stream: self.source.id };
        (before, self.text)
    }
}

/// The beginning of a line in older files.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub head: Option<&'a LineHead>,
    pub older: &'a [TailFile],
    pub stream: StreamId,
}

impl Before<'_> {
    fn bytes(&self) -> usize {
        self.head.map_or(0, LineHead::bytes)
    }
}

impl Reader<'_> {
    /// What a file holds while it is inflated: so many others hold it too.
    pub(crate) fn inflating(&self) -> Arc<()> {
        self.buffers.inflating.clone()
    }

    /// Hands on the next run of a file, at most one frame.
    ///
    /// # Errors
    /// The file cannot be read; nothing was handed on.
    pub(crate) fn next(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
    ) -> io::Result<Outcome> {
        if file.unread() == 0 || (file.is_scanned() && !file.inside_cut) {
            file.caught_up = true;
            // From here on it is known which bytes are new.
            file.young = false;
            return Ok(Outcome::End);
        }
        if file.in_hole
            && let Some(end) = self.leave_out_hole(file, stream)?
        {
            return Ok(Outcome::Hole(end));
        }
        if file.inside_cut
            && let Some(end) = self.pass_over_hole(file, stream)?
        {
            return Ok(Outcome::Hole(end));
        }
        let head_bytes = stream.head.as_ref().map_or(0, LineHead::bytes);
        if !file.inside_cut && !self.find_line_end(file, head_bytes)? {
            file.caught_up = file.is_scanned();
            return Ok(Outcome::End);
        }
        let Some(window) = self.fill(file, FRAME_TEXT_BYTES_MAX)? else {
            return Ok(Outcome::Replaced);
        };
        if let Some(reason) = self.not_text(file, stream, window) {
            return Ok(Outcome::NotText(reason));
        }
        let has_head = stream.head.is_some();
        let envelope = self.envelope(file, stream.text, window, has_head)?;
        let read_to = file.read_to;
        let was_inside_cut = file.inside_cut;
        let live = file.is_live() && !stream.source.times_are_true;
        if file.inside_cut {
            self.skip_cut(file, stream, window);
        } else if let Some(envelope) = envelope {
            self.enveloped(file, stream, window, envelope)?;
        } else if stream.head.is_some() {
            self.join(file, stream, window, live)?;
        } else {
            match self.beginning(file, stream, window)? {
                Beginning::None => self.whole_lines(file, stream, window, live),
                beginning => self.rest_of_line(file, stream, window, beginning, live),
            }
        }
        file.scanned_to = file.scanned_to.max(file.read_to);
        file.caught_up = file.is_scanned();
        let bytes = file.read_to - read_to;
        // A line whose beginning fills it takes no byte of this file, and yet it was handed on.
        let handed_on = bytes > 0 || file.inside_cut != was_inside_cut;
        Ok(if handed_on { Outcome::Read(bytes) } else { Outcome::End })
    }

    /// Looks for a line end in what was not looked at; `true` if a line can be handed on, because it
    /// ends or because it is too long.
    fn find_line_end(&mut self, file: &mut TailFile, head_bytes: usize) -> io::Result<bool> {
        if file.scanned_to == file.read_to {
            return Ok(true);
        }
        let read =
            file.read_at(&mut self.buffers.bytes[..FRAME_TEXT_BYTES_MAX], file.scanned_to)?;
        if memchr::memchr(b'\n', &self.buffers.bytes[..read]).is_some() {
            return Ok(true);
        }
        file.scanned_to += read as u64;
        Ok(head_bytes as u64 + (file.scanned_to - file.read_to) > LINE_BYTES_MAX as u64)
    }

    fn not_text(
        &self,
        file: &mut TailFile,
        stream: &Lines<'_>,
        window: Window,
    ) -> Option<&'static str> {
        if file.judged || !stream.source.text_only {
            return None;
        }
        file.judged = true;
        content::not_text(self.data(window))
    }

    /// The usual case: the lines are where they were read, and nothing is copied unless a secret is
    /// among them.
    fn whole_lines(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        live: bool,
    ) {
        self.buffers.begin();
        let context = ReadContext { read_time: self.now.wall, live, zone: self.zone };
        let Buffers { bytes, columns, pieces, redacted, .. } = &mut *self.buffers;
        let mut data = &bytes[window.before..window.before + window.data];
        redacted.edits.clear();
        if let Some(redactor) = &mut self.redactor {
            let mut pem = stream.pem.merged();
            redactor.block(data, &mut pem, redacted, |event| self.metrics.redaction(event));
            *stream.pem = PemBlocks::of_both(pem);
            data = &data[..redacted.taken];
        }
        let groups = &mut stream.text.groups;
        let mut reading = Reading { times: stream.times, groups, context: &context };
        let consumed = lines::cut(data, &mut reading, columns);
        lines::replace_texts(
            columns,
            redacted.edits.iter().map(|edit| (edit.start, edit.text_len)),
        );
        if consumed == 0 {
            if window.data > LINE_BYTES_MAX {
                self.cut_line(file, stream, window, Beginning::None, live);
            } else {
                file.scanned_to = file.read_to + window.data as u64;
            }
            return;
        }
        pieces.push(file.piece(file.read_to + consumed as u64, PieceKind::Text));
        stream.text.unfinished.ended(Side::Out);
        self.advance(file, stream, window, consumed);
        if self.buffers.redacted.edits.is_empty() {
            self.hand_on(stream, window.before..window.before + consumed);
        } else {
            self.hand_on_redacted(stream);
        }
        if window.data < FRAME_TEXT_BYTES_MAX {
            self.note_scanned(file, window, consumed);
        }
    }
}

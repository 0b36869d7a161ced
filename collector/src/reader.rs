//! Turns the next bytes of a file into a run: whole lines in place, long lines cut, the first line
//! of a file joined with what older files hold of it.

mod enveloped;
mod unwrapped_runs;

use std::io;
use std::sync::Arc;

use sawlog_transport::batch::RunInput;
use sawlog_transport::limits::{FRAME_TEXT_BYTES_MAX, LINE_BYTES_MAX};
use sawlog_transport::run::{Piece, PieceKind};
use sawlog_transport::{LineColumns, LineFlags, StreamId};

use crate::batcher::Batcher;
use crate::checkpoint::{Progress, StreamClock};
use crate::clock::Now;
use crate::content;
use crate::envelope::Unwrapped;
use crate::line_head::LineHead;
use crate::lines::{self, Reading};
use crate::metrics::Metrics;
use crate::place::Source;
use crate::redact::{Block, PemBlock, PemBlocks, Redactor};
use crate::stream_text::StreamText;
use crate::tail::TailFile;
use crate::tail_hash::{PREFIX_BYTES, TAIL_BYTES, TailHash};
use crate::times::{ReadContext, StreamTimes};
use crate::trace_id;
use enveloped::SideNames;

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

/// The buffers of the one thread that reads, used for all files.
pub(crate) struct Buffers {
    /// Up to [`TAIL_BYTES`] bytes before the position, and what follows it.
    bytes: Vec<u8>,
    columns: LineColumns,
    text: Vec<u8>,
    pieces: Vec<Piece>,
    progress: Vec<Progress>,
    redacted: Block,
    /// Held by each file that is being inflated, to count them.
    inflating: Arc<()>,
    unwrapped: Unwrapped,
    sides: SideNames,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; TAIL_BYTES + FRAME_TEXT_BYTES_MAX],
            columns: LineColumns::default(),
            text: Vec::new(),
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
    fn begin(&mut self) {
        self.columns.clear();
        self.text.clear();
        self.pieces.clear();
        self.progress.clear();
    }
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

/// The bytes read around a file's position.
#[derive(Clone, Copy)]
struct Window {
    /// Bytes before the position.
    before: usize,
    /// Bytes from the position on.
    data: usize,
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
            self.whole_lines(file, stream, window, live);
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

    /// Reads up to `wanted` bytes from the file's position on, with what lies before it; `None` if
    /// that is not what was read before.
    fn fill(&mut self, file: &TailFile, wanted: usize) -> io::Result<Option<Window>> {
        let before = file.read_to.min(TAIL_BYTES as u64) as usize;
        let buffer = &mut self.buffers.bytes[..before + wanted];
        let read = file.read_at(buffer, file.read_to - before as u64)?;
        if read < before || TailHash::of(&buffer[..before]) != file.tail {
            return Ok(None);
        }
        Ok(Some(Window { before, data: read - before }))
    }

    fn data(&self, window: Window) -> &[u8] {
        &self.buffers.bytes[window.before..window.before + window.data]
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
                self.cut_line(file, stream, window, live);
            } else {
                file.scanned_to = file.read_to + window.data as u64;
            }
            return;
        }
        pieces.push(file.piece(file.read_to + consumed as u64, PieceKind::Text));
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

    /// Remembers that no line ends in the rest of what was read.
    fn note_scanned(&self, file: &mut TailFile, window: Window, consumed: usize) {
        let rest = &self.data(window)[consumed..];
        if memchr::memchr(b'\n', rest).is_none() {
            file.scanned_to = file.read_to + rest.len() as u64;
        }
    }

    /// A line without an end in sight: its beginning becomes the line, the rest will be left out.
    fn cut_line(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
        window: Window,
        live: bool,
    ) {
        self.buffers.begin();
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
    fn skip_cut(&mut self, file: &mut TailFile, stream: &mut Lines<'_>, window: Window) {
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
    fn join(
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
        self.take_head(stream)?;
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
        self.buffers.begin();
        self.take_head(stream)?;
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
    fn is_unterminated_end(&self, file: &mut TailFile, head_bytes: usize, window: Window) -> bool {
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
        self.buffers.begin();
        self.take_head(stream)?;
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

    /// Begins a line with what older files hold of it.
    fn take_head(&mut self, stream: &mut Lines<'_>) -> io::Result<()> {
        self.read_head(stream.before().0)?;
        *stream.head = None;
        Ok(())
    }

    /// Reads what older files hold of a line; it stays theirs.
    fn read_head(&mut self, before: Before<'_>) -> io::Result<()> {
        self.buffers.begin();
        let Some(head) = before.head else { return Ok(()) };
        let Buffers { text, pieces, progress, .. } = &mut *self.buffers;
        head.read(before.older, text, pieces, |file| {
            progress.push(file.progress(before.stream, StreamClock::default()));
        })
    }

    fn take_rest(&mut self, file: &TailFile, window: Window, text: usize, consumed: usize) {
        let Buffers { bytes, text: line, pieces, .. } = &mut *self.buffers;
        line.extend_from_slice(&bytes[window.before..window.before + text]);
        if consumed > 0 {
            pieces.push(file.piece(file.read_to + consumed as u64, PieceKind::Text));
        }
    }

    /// The one line of a run, from `buffers.text`, which loses its secrets and gets its terminator.
    fn one_line(&mut self, stream: &mut Lines<'_>, source_bytes: usize, flags: u8, live: bool) {
        let context = ReadContext { read_time: self.now.wall, live, zone: self.zone };
        let Buffers { text, columns, .. } = &mut *self.buffers;
        let groups = &mut stream.text.groups;
        let mut reading = Reading { times: stream.times, groups, context: &context };
        lines::push(text, source_bytes, flags, &mut reading, columns);
        if let Some(redactor) = &mut self.redactor {
            let is_open = flags & (LineFlags::CUT | LineFlags::PARTIAL) != 0;
            let mut pem = stream.pem.merged();
            let was_in_block = pem.is_open();
            let told = |event| self.metrics.redaction(event);
            if let Some(redacted) = redactor.line(text, is_open, &mut pem, told) {
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

    fn source_bytes(&self) -> usize {
        self.buffers.pieces.iter().map(Piece::bytes).sum::<u64>() as usize
    }

    /// Moves the file's position over `consumed` bytes of the window.
    fn advance(
        &mut self,
        file: &mut TailFile,
        stream: &Lines<'_>,
        window: Window,
        consumed: usize,
    ) {
        self.move_position(file, window, consumed);
        self.buffers.progress.push(file.progress(stream.source.id, StreamClock::default()));
    }

    fn move_position(&self, file: &mut TailFile, window: Window, consumed: usize) {
        let behind = &self.buffers.bytes[..window.before + consumed];
        if file.read_to < PREFIX_BYTES as u64 {
            // As long as it is remembered, what lies before the position begins with the file.
            file.note_prefix(behind);
        }
        file.tail = TailHash::of(behind);
        file.in_hole = false;
        file.read_to += consumed as u64;
    }

    fn hand_on_text(&mut self, stream: &mut Lines<'_>) {
        let text = std::mem::take(&mut self.buffers.text);
        self.push(stream, &text);
        self.buffers.text = text;
    }

    fn hand_on_redacted(&mut self, stream: &mut Lines<'_>) {
        let text = std::mem::take(&mut self.buffers.redacted.text);
        self.push(stream, &text);
        self.buffers.redacted.text = text;
    }

    fn hand_on(&mut self, stream: &mut Lines<'_>, text: std::ops::Range<usize>) {
        let bytes = std::mem::take(&mut self.buffers.bytes);
        self.push(stream, &bytes[text]);
        self.buffers.bytes = bytes;
    }

    fn push(&mut self, stream: &mut Lines<'_>, text: &[u8]) {
        let source = stream.text.source_of_lines(stream.source);
        let Buffers { columns, pieces, progress, .. } = &mut *self.buffers;
        let clock = StreamClock {
            last_time: stream.times.last(),
            zone: stream.times.zone_offset_seconds(),
            pem: stream.pem.merged(),
            groups: stream.text.groups.code(),
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

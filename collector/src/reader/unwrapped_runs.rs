//! Runs of lines that came out of envelopes: as many at once as fit a frame without their secrets, and a
//! line that goes on behind what is there alone.

use std::ops::Range;

use sawlog_transport::limits::FRAME_LINES_MAX;
use sawlog_transport::run::{Addresses, Piece, PieceKind};
use sawlog_transport::{GenerationId, LineFlags};

use super::beginning::{Beginning, Beginnings};
use super::{Buffers, Lines, Reader};
use crate::envelope::{Item, Unwrapped};
use crate::group::Side;
use crate::lines::{self, Reading, Stamp};
use crate::redact::PemBlock;
use crate::times::ReadContext;
use crate::unfinished::UnfinishedLines;

impl Reader<'_> {
    /// Hands on the items, whose source are the pieces. It takes one run, unless secrets or line ends
    /// make the text longer than a frame; the files' progress goes with the last.
    pub(super) fn hand_on_items(&mut self, stream: &mut Lines<'_>, live: bool) {
        let unwrapped = std::mem::take(&mut self.buffers.unwrapped);
        let pieces = std::mem::take(&mut self.buffers.pieces);
        let progress = std::mem::take(&mut self.buffers.progress);
        let beginnings = std::mem::take(&mut self.buffers.beginnings);
        let end = pieces.last().map(|piece| piece.generation);
        let mut walk = Walk {
            unwrapped: &unwrapped,
            item: 0,
            text: 0,
            addresses: Addresses::new(&pieces),
            beginnings,
            end,
        };
        while walk.item < unwrapped.items.len() {
            let chunk = walk.chunk();
            let taken = self.run_of(stream, &mut walk, chunk, live);
            if walk.item == unwrapped.items.len() {
                self.buffers.progress.clone_from(&progress);
            }
            match taken {
                Text::AsItWas(range) => self.push(stream, &unwrapped.text[range]),
                Text::Redacted => {
                    let text = std::mem::take(&mut self.buffers.redacted.text);
                    self.push(stream, &text);
                    self.buffers.redacted.text = text;
                }
                Text::Line => {
                    let text = std::mem::take(&mut self.buffers.text);
                    self.push(stream, &text);
                    self.buffers.text = text;
                }
            }
        }
        self.buffers.pieces = pieces;
        self.buffers.unwrapped = unwrapped;
    }

    /// Makes a run of the next items, at most those of `chunk`, and moves the walk behind them.
    fn run_of(
        &mut self,
        stream: &mut Lines<'_>,
        walk: &mut Walk<'_>,
        chunk: Range<usize>,
        live: bool,
    ) -> Text {
        self.buffers.columns.clear();
        self.buffers.pieces.clear();
        let start = walk.text;
        let end = start + text_bytes(&walk.unwrapped.items[chunk.clone()]);
        let first = walk.unwrapped.items[chunk.start];
        if walk.is_alone(&first) {
            let beginning = walk.take_beginning(&first);
            self.columns_of(stream, walk, end, live);
            return self.open_line(stream, &walk.unwrapped.text[start..end], &first, &beginning);
        }
        let Buffers { redacted, .. } = &mut *self.buffers;
        redacted.edits.clear();
        let mut taken = end - start;
        if let Some(redactor) = &mut self.redactor {
            let told = |event| self.metrics.redaction(event);
            let text = &walk.unwrapped.text[start..end];
            let sides = sides(&walk.unwrapped.items[chunk]);
            redactor.block_of_sides(text, stream.pem, sides, redacted, told);
            taken = redacted.taken;
        }
        self.columns_of(stream, walk, start + taken, live);
        let Buffers { redacted, columns, .. } = &mut *self.buffers;
        if redacted.edits.is_empty() {
            return Text::AsItWas(start..start + taken);
        }
        lines::replace_texts(
            columns,
            redacted.edits.iter().map(|edit| (edit.start, edit.text_len)),
        );
        Text::Redacted
    }

    /// A line that goes on behind what is there or began before it, alone in its run.
    fn open_line(
        &mut self,
        stream: &mut Lines<'_>,
        text: &[u8],
        item: &Item,
        beginning: &Beginning,
    ) -> Text {
        let Buffers { text: line, columns, .. } = &mut *self.buffers;
        line.clear();
        line.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
        if let (Some(side), Some(before)) = (item.side, beginning.text())
            && item.flags & LineFlags::PARTIAL != 0
        {
            stream.text.unfinished.keep(side, [before, line]);
        }
        if let Some(redactor) = &mut self.redactor {
            let side = item.side;
            let is_open = item.flags & OPEN != 0;
            let mut pem = stream.pem.of(side);
            let was_in_block = pem.is_open();
            let told = |event| self.metrics.redaction(event);
            if let Some(redacted) = beginning.redact(redactor, line, is_open, &mut pem, told) {
                columns.text_lens[0] = redacted.len() as u32;
                line.clear();
                line.extend_from_slice(redacted);
            }
            if item.flags & LineFlags::CUT != 0 && !was_in_block {
                // The end of a block that is one line is in the part that is left out.
                pem = PemBlock::default();
            }
            stream.pem.set(side, pem);
        }
        line.push(b'\n');
        Text::Line
    }

    /// Fills the columns and the pieces with the items up to that whose text ends at `text_end`.
    fn columns_of(
        &mut self,
        stream: &mut Lines<'_>,
        walk: &mut Walk<'_>,
        text_end: usize,
        live: bool,
    ) {
        let context = ReadContext { read_time: self.now.wall, live, zone: self.zone };
        let Buffers { columns, pieces, sides, .. } = &mut *self.buffers;
        while let Some(item) = walk.next(text_end) {
            let first = pieces.len();
            walk.addresses.next_pieces(u64::from(item.source_len), pieces);
            if item.left_out {
                pieces[first..].iter_mut().for_each(|piece| piece.kind = PieceKind::Cut);
                self.metrics.cut_bytes.inc_by(u64::from(item.source_len));
            } else {
                let line = walk.line(&item);
                let stamp = Stamp { time: item.time, side: item.side.unwrap_or(Side::Out) };
                let (source_len, flags) = (item.source_len as usize, item.flags);
                if let Some(side) = item.side {
                    columns.metadata.push((columns.len() as u32, sides.of(side)));
                } else {
                    self.metrics.misfit_lines.inc();
                }
                note_unfinished(&item, walk.end, &mut stream.text.unfinished);
                let groups = &mut stream.text.groups;
                let mut reading = Reading { times: stream.times, groups, context: &context };
                lines::push_stamped(line, source_len, flags, stamp, &mut reading, columns);
            }
            merge(pieces, first);
        }
    }
}

/// Remembers whether the rest of a line may come: behind the end of the file with this generation.
fn note_unfinished(item: &Item, end: Option<GenerationId>, unfinished: &mut UnfinishedLines) {
    match (item.side, end) {
        (side, Some(end)) if item.flags & LineFlags::PARTIAL != 0 => unfinished.begun(side, end),
        (Some(side), _) => unfinished.ended(side),
        // It may have been the rest of a part of either: what was kept is not all of it any more.
        (None, _) => unfinished.forget_texts(),
    }
}

/// Joins a piece with the one before it, where they touch.
fn merge(pieces: &mut Vec<Piece>, at: usize) {
    let (Some(next), Some(last)) = (pieces.get(at).copied(), at.checked_sub(1)) else { return };
    let last = &mut pieces[last];
    if (last.generation, last.kind, last.to) == (next.generation, next.kind, next.from) {
        last.to = next.to;
        pieces.remove(at);
    }
}

/// The flags of lines that go on behind what is there.
const OPEN: u8 = LineFlags::CUT | LineFlags::PARTIAL;

/// Where the text of a run is.
enum Text {
    /// In what was unwrapped.
    AsItWas(Range<usize>),
    /// What the redactor made of it.
    Redacted,
    /// The one line in the reader's buffer.
    Line,
}

/// How far items were handed on.
struct Walk<'a> {
    unwrapped: &'a Unwrapped,
    /// The next item.
    item: usize,
    /// Where its text starts.
    text: usize,
    /// Where its source starts.
    addresses: Addresses<'a>,
    /// What was handed on of the next lines.
    beginnings: Beginnings,
    /// The file in which the source ends.
    end: Option<GenerationId>,
}

impl Walk<'_> {
    /// The next items that fit one run by their number: a line that goes on is alone in its.
    fn chunk(&self) -> Range<usize> {
        let items = &self.unwrapped.items[self.item..];
        let closed = items.iter().take_while(|item| !self.is_alone(item)).count();
        self.item..self.item + closed.clamp(1, FRAME_LINES_MAX)
    }

    /// Whether a line goes on behind what is there, or began before it.
    fn is_alone(&self, item: &Item) -> bool {
        item.flags & OPEN != 0 || !self.beginnings.of(item).is_none()
    }

    /// What was handed on of a line; later ones begin where they are.
    fn take_beginning(&mut self, item: &Item) -> Beginning {
        self.beginnings.take(item)
    }

    /// The next item, if its text ends at `text_end` at the latest.
    fn next(&mut self, text_end: usize) -> Option<Item> {
        let item = *self.unwrapped.items.get(self.item)?;
        let bytes = text_bytes(&[item]);
        if self.text + bytes > text_end || (self.is_alone(&item) && self.text == text_end) {
            return None;
        }
        self.item += 1;
        self.text += bytes;
        Some(item)
    }

    /// The text of the item that was taken last.
    fn line(&self, item: &Item) -> &[u8] {
        let end = self.text - 1;
        &self.unwrapped.text[end - item.text_len as usize..end]
    }
}

/// The side of the line that starts at an offset of the items' text; asked in the order of the lines.
fn sides(items: &[Item]) -> impl FnMut(usize) -> Option<Side> {
    let mut lines = items.iter().filter(|item| !item.left_out);
    let (mut end, mut side) = (0, None);
    move |start| {
        while end <= start
            && let Some(item) = lines.next()
        {
            end += item.text_len as usize + 1;
            side = item.side;
        }
        side
    }
}

/// Bytes that the texts of items take, terminators included.
fn text_bytes(items: &[Item]) -> usize {
    items.iter().filter(|item| !item.left_out).map(|item| item.text_len as usize + 1).sum()
}

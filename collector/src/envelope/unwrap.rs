//! Takes the lines of a window out of their envelopes and joins the parts of long ones, into buffers
//! that are used again for each window.

use sawlog_transport::LineFlags;
use sawlog_transport::limits::LINE_BYTES_MAX;

use super::{Envelope, Part};
use crate::group::Side;

/// One line without its envelope, or bytes that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Bytes of the source since the item before: a line's envelopes and terminators, and parts of it
    /// that other lines came between.
    pub source_len: u32,
    /// Bytes of text, without the terminator that follows it.
    pub text_len: u32,
    /// As in [`LineFlags`].
    pub flags: u8,
    /// `None`: the line did not fit the envelope and is as it was.
    pub side: Option<Side>,
    /// When the runtime took the line's first part.
    pub time: Option<i64>,
    /// Not a line: parts of a line whose beginning was cut.
    pub left_out: bool,
}

/// What becomes of lines whose last part is not in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// They wait, and all that follows their first part with them.
    Open,
    /// There is no room for more: if everything waits, they end here, and the rest is left out.
    Full,
    /// Nothing follows any more: they end here.
    Last,
}

/// A line whose last part has not come.
#[derive(Debug, Default)]
struct Parts {
    text: Vec<u8>,
    time: Option<i64>,
    open: bool,
}

/// The lines of one window.
#[derive(Debug, Default)]
pub(crate) struct Unwrapped {
    /// The lines, each followed by `\n`.
    pub text: Vec<u8>,
    pub items: Vec<Item>,
    /// What was taken ends inside a physical line, whose rest must be left out.
    pub inside_line: bool,
    parts: [Parts; 2],
    /// Bytes of the source that the items cover.
    covered: usize,
}

/// A point between lines at which none is open.
#[derive(Clone, Copy, Default)]
struct Mark {
    source: usize,
    text: usize,
    items: usize,
    skipping: [bool; 2],
}

impl Unwrapped {
    /// Which sides have a line.
    pub(crate) fn sides(&self) -> [bool; 2] {
        Side::ALL.map(|side| self.items.iter().any(|item| item.side == Some(side)))
    }

    /// Takes the lines at the start of `source`; gives the bytes that they cover, more than `least` if any.
    /// `skipping` says whose line was cut, so that its other parts are left out.
    pub(crate) fn take(
        &mut self,
        envelope: Envelope,
        source: &[u8],
        least: usize,
        ending: Ending,
        skipping: &mut [bool; 2],
    ) -> usize {
        self.begin();
        let mut safe = Mark { skipping: *skipping, ..Mark::default() };
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', source) {
            self.physical(envelope, &source[at..end], end + 1, 0, skipping);
            at = end + 1;
            if at > least && self.open_lines() == 0 {
                let (text, items) = (self.text.len(), self.items.len());
                safe = Mark { source: at, text, items, skipping: *skipping };
            }
        }
        match ending {
            Ending::Last => self.end(envelope, source, at, LineFlags::PARTIAL, skipping),
            Ending::Full if safe.source == 0 => {
                // A line that alone fills the window ends inside it.
                let to = if at > least { &source[..at] } else { source };
                self.end(envelope, to, at, LineFlags::CUT, skipping)
            }
            _ => self.back_to(safe, skipping),
        }
    }

    /// Whether parts of a line end here and part of an envelope too, of which nobody knows whether it
    /// goes on with them.
    pub(crate) fn ends_in_doubt(&self) -> bool {
        let partial = |item: &&Item| item.flags & LineFlags::PARTIAL != 0;
        let ends = || self.items.iter().filter(partial);
        ends().any(|item| item.side.is_none()) && ends().any(|item| item.side.is_some())
    }

    fn begin(&mut self) {
        self.text.clear();
        self.items.clear();
        self.covered = 0;
        self.inside_line = false;
        self.close_parts();
    }

    fn close_parts(&mut self) {
        for parts in &mut self.parts {
            parts.text.clear();
            parts.open = false;
        }
    }

    fn open_lines(&self) -> usize {
        self.parts.iter().filter(|parts| parts.open).count()
    }

    fn back_to(&mut self, mark: Mark, skipping: &mut [bool; 2]) -> usize {
        self.text.truncate(mark.text);
        self.items.truncate(mark.items);
        *skipping = mark.skipping;
        self.close_parts();
        mark.source
    }

    /// Ends what is open; `at` is where the last whole physical line ended.
    fn end(
        &mut self,
        envelope: Envelope,
        source: &[u8],
        at: usize,
        flag: u8,
        skipping: &mut [bool; 2],
    ) -> usize {
        if at < source.len() {
            self.last_physical(envelope, &source[at..], source.len(), flag, skipping);
        }
        for side in Side::ALL {
            if self.parts[side as usize].open {
                skipping[side as usize] = flag == LineFlags::CUT;
                self.end_parts(side, flag, source.len());
            }
        }
        if flag == LineFlags::PARTIAL {
            *skipping = [false; 2];
        }
        source.len()
    }

    /// A physical line without its terminator.
    fn last_physical(
        &mut self,
        envelope: Envelope,
        line: &[u8],
        end: usize,
        flag: u8,
        skipping: &mut [bool; 2],
    ) {
        let before = self.text.len();
        let fits = envelope.part(line, &mut self.text).is_some();
        self.text.truncate(before);
        if fits {
            self.physical(envelope, line, end, flag, skipping);
        } else {
            envelope.fragment(line, &mut self.text);
            // A window is longer than a line may be.
            self.text.truncate(before + LINE_BYTES_MAX);
            self.push_line(before, None, None, flag, end);
        }
        self.inside_line = flag == LineFlags::CUT;
    }

    /// A physical line that ends at `end`, terminator included.
    fn physical(
        &mut self,
        envelope: Envelope,
        line: &[u8],
        end: usize,
        flag: u8,
        skipping: &mut [bool; 2],
    ) {
        let before = self.text.len();
        let Some(part) = envelope.part(line, &mut self.text) else {
            self.text.truncate(before);
            self.text.extend_from_slice(line);
            return self.push_line(before, None, None, flag, end);
        };
        let side = part.side as usize;
        if skipping[side] {
            self.text.truncate(before);
            skipping[side] = !part.ends;
            return self.leave_out(end);
        }
        if part.ends && !self.parts[side].open {
            return self.push_line(before, Some(part.side), part.time, flag, end);
        }
        self.hold(part, before);
        if part.ends {
            self.end_parts(part.side, flag, end);
        }
    }

    /// Puts the text from `start` on to the parts of a line.
    fn hold(&mut self, part: Part, start: usize) {
        let parts = &mut self.parts[part.side as usize];
        if !parts.open {
            parts.open = true;
            parts.time = part.time;
        }
        parts.text.extend_from_slice(&self.text[start..]);
        self.text.truncate(start);
    }

    fn end_parts(&mut self, side: Side, flag: u8, end: usize) {
        let start = self.text.len();
        let parts = &mut self.parts[side as usize];
        self.text.append(&mut parts.text);
        parts.open = false;
        let time = parts.time;
        self.push_line(start, Some(side), time, flag, end);
    }

    /// The text from `start` on is a line, which covers the source up to `end`, but for a byte for each
    /// open line: so that each covers some, and has an address of its own.
    fn push_line(
        &mut self,
        start: usize,
        side: Option<Side>,
        time: Option<i64>,
        flags: u8,
        end: usize,
    ) {
        let text_len = (self.text.len() - start) as u32;
        self.text.push(b'\n');
        let source_len = self.cover(end - self.open_lines());
        self.items.push(Item { source_len, text_len, flags, side, time, left_out: false });
    }

    /// Leaves out a part of a line that was cut. While a line of the other side is open, the bytes are
    /// taken for a part of that line's source.
    fn leave_out(&mut self, end: usize) {
        if self.open_lines() > 0 {
            return;
        }
        let source_len = self.cover(end);
        let nothing =
            Item { text_len: 0, flags: 0, side: None, time: None, source_len, left_out: true };
        self.items.push(nothing);
    }

    fn cover(&mut self, end: usize) -> u32 {
        (end - std::mem::replace(&mut self.covered, end)) as u32
    }
}

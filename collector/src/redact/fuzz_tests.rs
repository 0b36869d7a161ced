//! The redactor against any bytes: no detector panics, blocks fit their frame, and what came in parts is
//! redacted as the whole is.

use std::cell::Cell;

use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;

use super::tests::{block, redactor};
use super::{PemBlock, Redactor};
use crate::tests::Random;

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// A detector has panicked, which the redactor answers for.
pub(super) fn note_panic() {
    PANICS.set(PANICS.get() + 1);
}

/// A redactor that knows two values.
pub(crate) struct Redaction(Redactor);

impl Redaction {
    pub(crate) fn new() -> Self {
        Self(redactor(&[b"long-secret", b"correct horse battery"]))
    }

    /// Redacts an input as blocks, in parts and line by line.
    pub(crate) fn check(&mut self, input: &[u8], random: &mut Random) {
        let before = PANICS.get();
        let end = memchr::memrchr(b'\n', input).map_or(0, |end| end + 1);
        let input = &input[..end];
        let mut pem = PemBlock::default();
        let (whole, events) = block(&mut self.0, input, &mut pem);
        assert_eq!(count(&whole), count(input), "lines stay lines");
        let (mut parts, mut events_of_parts) = (Vec::new(), Vec::new());
        let mut pem_of_parts = PemBlock::default();
        let (mut from, mut to) = (0, 0);
        while to < end {
            to += 1 + random.below(end - to);
            let Some(line_end) = memchr::memrchr(b'\n', &input[from..to]) else { continue };
            let part = &input[from..from + line_end + 1];
            let (text, events) = block(&mut self.0, part, &mut pem_of_parts);
            parts.extend(text);
            events_of_parts.extend(events);
            from += part.len();
        }
        assert!(parts == whole, "in parts: {}", parts.escape_ascii());
        assert_eq!((events_of_parts, pem_of_parts), (events, pem));
        self.open_lines(input, random);
        assert_eq!(PANICS.get(), before, "a detector panicked");
    }

    /// Lines whose end is not there, and their rests.
    fn open_lines(&mut self, input: &[u8], random: &mut Random) {
        let mut pem = PemBlock::default();
        for line in input.split(|byte| *byte == b'\n').take(64) {
            let (before, rest) = line.split_at(random.below(line.len()));
            for open in [true, false] {
                let text = self.0.rest_of_line(before, rest, open, &mut pem, |_| {});
                assert!(text.is_none_or(|text| text.len() <= FRAME_TEXT_BYTES_MAX));
            }
        }
    }
}

fn count(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

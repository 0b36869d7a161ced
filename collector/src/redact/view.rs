//! A line without its colours: terminals' control sequences hide nothing from the detectors.

use std::ops::Range;

/// Escaped forms of the byte ESC, as JSON writes it.
const ESCAPED: [&[u8]; 2] = [b"\\u001b", b"\\u001B"];
/// The longest control sequence that is left out, in bytes: nobody's colour is longer.
const SEQUENCE_BYTES_MAX: usize = 64;

/// Text without control sequences, and where each of its bytes stood.
#[derive(Default)]
pub(super) struct View {
    text: Vec<u8>,
    places: Vec<u32>,
}

impl View {
    /// Takes the text of a line without control sequences; `false` if it has none and is its own view.
    pub(super) fn fill(&mut self, line: &[u8]) -> bool {
        self.text.clear();
        self.places.clear();
        let Some(mut at) = next_escape(line, 0) else { return false };
        let mut copied = 0;
        loop {
            match sequence_len(&line[at..]) {
                Some(len) => {
                    self.copy(line, copied..at);
                    copied = at + len;
                    at = copied;
                }
                None => at += 1,
            }
            match next_escape(line, at) {
                Some(next) => at = next,
                None => break,
            }
        }
        if copied == 0 {
            return false;
        }
        self.copy(line, copied..line.len());
        true
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    fn copy(&mut self, line: &[u8], range: Range<usize>) {
        self.text.extend_from_slice(&line[range.clone()]);
        self.places.extend(range.map(|place| place as u32));
    }

    /// Where a stretch of the view stands in the line: its colours go with it.
    pub(super) fn place(&self, range: Range<usize>) -> Range<usize> {
        let first = self.places[range.start] as usize;
        first..self.places[range.end - 1] as usize + 1
    }
}

fn next_escape(line: &[u8], from: usize) -> Option<usize> {
    let rest = line.get(from..)?;
    let candidates = memchr::memchr2_iter(0x1b, b'\\', rest);
    candidates.map(|at| from + at).find(|at| line[*at] == 0x1b || is_escaped(&line[*at..]))
}

/// Whether a control sequence may begin here, in its escaped form.
pub(super) fn is_escaped(text: &[u8]) -> bool {
    ESCAPED.iter().any(|escape| text.starts_with(escape))
}

/// The length of the control sequence (CSI) at the start; `None` if there is none.
fn sequence_len(text: &[u8]) -> Option<usize> {
    let escape = if text.first() == Some(&0x1b) { 1 } else { ESCAPED[0].len() };
    let rest = text.get(escape..)?.strip_prefix(b"[")?;
    let inside = |byte: &u8| matches!(byte, 0x20..=0x3f);
    let end = rest.iter().take(SEQUENCE_BYTES_MAX).position(|byte| !inside(byte))?;
    matches!(rest[end], 0x40..=0x7e).then_some(escape + 1 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_and_places_stay_known() {
        let mut view = View::default();
        let line = b"\x1b[31mpass\x1b[0;1mword\\u001b[0m=x \x1b not";
        assert!(view.fill(line));
        assert_eq!(view.text(), b"password=x \x1b not");
        assert_eq!(view.place(0..8), 5..19);
        assert_eq!(&line[view.place(9..10)], b"x");
    }

    #[test]
    fn what_has_no_colours_is_its_own_view() {
        let mut view = View::default();
        for line in
            [&b""[..], b"plain \\n", b"\x1b", b"\x1b[", b"\x1b[31", b"\\u001b", b"\x1b]0;t\x07"]
        {
            assert!(!view.fill(line));
        }
    }
}

//! What of unfinished lines stands at the end of a stretch of enveloped lines: read again where a line
//! was handed on before its last part came.

use super::Envelope;
use crate::group::Side;

/// The parts of a line, as far as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Parts {
    /// The last line is whole.
    #[default]
    Ended,
    /// The text of the parts that came.
    Open(Vec<u8>),
    /// There are parts that begin before what is looked at, or may be.
    Far,
}

/// The unfinished lines at the end of a stretch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenParts {
    pub sides: [Parts; 2],
    /// The line in whose envelope the stretch ends.
    pub inside: Parts,
}

impl Envelope {
    /// Looks through the lines of `source` for the parts of lines that end behind it, of the sides that
    /// are `awaited`; those that are `far` may have begun before `source`. If `source` is not `whole`, it
    /// starts inside a physical line.
    pub(crate) fn open_parts(
        self,
        source: &[u8],
        whole: bool,
        awaited: [bool; 2],
        far: [bool; 2],
    ) -> OpenParts {
        let mut open = OpenParts::default();
        for side in Side::ALL.map(|side| side as usize) {
            if awaited[side] && (!whole || far[side]) {
                open.sides[side] = Parts::Far;
            }
        }
        let mut at = 0;
        if !whole {
            let Some(end) = memchr::memchr(b'\n', source) else {
                return OpenParts { inside: Parts::Far, ..open };
            };
            at = end + 1;
        }
        let mut text = Vec::new();
        for end in memchr::memchr_iter(b'\n', &source[at..]).map(|end| at + end).collect::<Vec<_>>()
        {
            text.clear();
            if let Some(part) = self.part(&source[at..end], &mut text) {
                let side = part.side as usize;
                if awaited[side] {
                    open.sides[side].add(&text, part.ends);
                }
            }
            at = end + 1;
        }
        if at < source.len() {
            self.end_inside(&source[at..], &mut open);
        }
        open
    }

    /// A physical line whose end is not there.
    fn end_inside(self, line: &[u8], open: &mut OpenParts) {
        let mut text = Vec::new();
        if let Some(part) = self.part(line, &mut text) {
            let side = &mut open.sides[part.side as usize];
            let mut parts = std::mem::take(side);
            parts.add(&text, false);
            open.inside = parts;
            *side = if part.ends { Parts::Ended } else { Parts::Far };
            return;
        }
        // Whose it is is not known: it may go on with the line of either side.
        let is_alone = open.sides.iter().all(|parts| *parts == Parts::Ended);
        open.inside = if is_alone {
            text.clear();
            self.fragment(line, &mut text);
            Parts::Open(text)
        } else {
            Parts::Far
        };
    }
}

impl Parts {
    fn add(&mut self, text: &[u8], ends: bool) {
        if ends {
            *self = Self::Ended;
            return;
        }
        match self {
            Self::Far => {}
            Self::Open(parts) => parts.extend_from_slice(text),
            Self::Ended => *self = Self::Open(text.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [bool; 2] = [true; 2];
    const T: &str = "2027-01-15T08:00:00.000000001Z";

    fn open(parts: &[(&str, &str)], whole: bool) -> OpenParts {
        let line = |(tags, text): &(&str, &str)| format!("{T} {tags} {text}\n");
        let source: String = parts.iter().map(line).collect();
        Envelope::Cri.open_parts(source.as_bytes(), whole, BOTH, [false; 2])
    }

    fn text(text: &str) -> Parts {
        Parts::Open(text.as_bytes().to_vec())
    }

    #[test]
    fn parts_behind_the_last_whole_line_of_their_side_are_open() {
        let parts = [("stdout F", "x"), ("stdout P", "a"), ("stderr F", "y"), ("stdout P", "b")];
        assert_eq!(open(&parts, true).sides, [text("ab"), Parts::Ended]);
        assert_eq!(open(&parts[..1], true), OpenParts::default());
        // The first line lacks its beginning, and so tells nothing.
        assert_eq!(open(&parts, false).sides, [Parts::Far, Parts::Ended]);
        let unseen = Envelope::Cri.open_parts(b"", true, BOTH, [true, false]);
        assert_eq!(unseen.sides, [Parts::Far, Parts::Ended]);
        let not_asked = Envelope::Cri.open_parts(b"", true, [false; 2], BOTH);
        assert_eq!(not_asked, OpenParts::default());
    }

    #[test]
    fn a_physical_line_without_its_end_is_what_is_there_of_it() {
        let source = format!("{T} stdout P a\n{T} stdout F b");
        let open = Envelope::Cri.open_parts(source.as_bytes(), true, BOTH, [false; 2]);
        assert_eq!((&open.inside, &open.sides[0]), (&text("ab"), &Parts::Ended));
        let open =
            |source: &str| Envelope::Docker.open_parts(source.as_bytes(), true, BOTH, [false; 2]);
        assert_eq!(open(r#"{"log":"tok\tx"#).inside, text("tok\tx"));
        let part = format!(r#"{{"log":"a","stream":"stdout","time":"{T}"}}"#);
        assert_eq!(open(&format!("{part}\n{{\"log\":\"tok")).inside, Parts::Far);
        let cut = Envelope::Cri.open_parts(b"no end", false, BOTH, [false; 2]);
        assert_eq!(cut.inside, Parts::Far);
    }
}

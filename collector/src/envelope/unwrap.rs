//! Takes the lines of a window out of their envelopes and joins the parts of long ones, into buffers
//! that are used again for each window.

use sawlog_transport::LineFlags;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: &str = "2026-08-20T10:00:00.000000001Z";

    fn cri(lines: &[(&str, &str)]) -> String {
        lines.iter().map(|(tags, text)| format!("{T} {tags} {text}\n")).collect()
    }

    /// What a window gives: the bytes consumed, and the lines with their flags.
    fn take(source: &str, ending: Ending) -> (usize, Vec<(String, u8)>, Unwrapped) {
        let mut unwrapped = Unwrapped::default();
        let consumed = unwrapped.take(Envelope::Cri, source.as_bytes(), 0, ending, &mut [false; 2]);
        let lines = lines_of(&unwrapped, consumed);
        (consumed, lines, unwrapped)
    }

    /// Checks that the items cover what was consumed, and gives the lines.
    fn lines_of(unwrapped: &Unwrapped, consumed: usize) -> Vec<(String, u8)> {
        let covered: u32 = unwrapped.items.iter().map(|item| item.source_len).sum();
        assert_eq!(covered as usize, consumed);
        assert!(unwrapped.items.iter().all(|item| item.source_len > 0));
        let mut text = &unwrapped.text[..];
        let mut lines = Vec::new();
        for item in unwrapped.items.iter().filter(|item| !item.left_out) {
            let (line, rest) = text.split_at(item.text_len as usize);
            lines.push((String::from_utf8_lossy(line).into_owned(), item.flags));
            text = rest.strip_prefix(b"\n").expect("a terminator");
        }
        assert!(text.is_empty());
        lines
    }

    fn texts(lines: &[(String, u8)]) -> Vec<&str> {
        lines.iter().map(|(text, _)| text.as_str()).collect()
    }

    #[test]
    fn parts_are_joined_although_the_other_side_comes_between() {
        let source = cri(&[
            ("stdout P", "one "),
            ("stderr F", "err"),
            ("stdout P", "line "),
            ("stdout F", "here"),
            ("stdout F", "next"),
        ]);
        let (consumed, lines, _) = take(&source, Ending::Open);
        assert_eq!((consumed, texts(&lines)), (source.len(), vec!["err", "one line here", "next"]));
    }

    #[test]
    fn what_has_no_last_part_waits_with_all_behind_it() {
        let whole = cri(&[("stdout F", "a")]);
        let source = whole.clone() + &cri(&[("stdout P", "one "), ("stderr F", "err")]);
        let (consumed, lines, _) = take(&source, Ending::Open);
        assert_eq!((consumed, texts(&lines)), (whole.len(), vec!["a"]));
        let (consumed, lines, _) = take(&source[whole.len()..], Ending::Open);
        assert_eq!((consumed, lines.len()), (0, 0));
        let (consumed, lines, _) = take(&format!("{source}{T} stdo"), Ending::Last);
        assert_eq!(consumed, source.len() + T.len() + 5);
        let partial = LineFlags::PARTIAL;
        let expected = [
            ("a".to_owned(), 0),
            ("err".to_owned(), 0),
            (format!("{T} stdo"), partial),
            ("one ".to_owned(), partial),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_line_that_fills_the_window_is_cut_and_its_rest_is_left_out() {
        let window = cri(&[("stdout P", "one "), ("stderr P", "err"), ("stdout P", "two ")]);
        let mut unwrapped = Unwrapped::default();
        let mut skipping = [false; 2];
        let open = format!("{window}{T} stdo");
        let consumed =
            unwrapped.take(Envelope::Cri, open.as_bytes(), 0, Ending::Full, &mut skipping);
        assert_eq!((consumed, skipping), (window.len(), [true; 2]));
        assert!(!unwrapped.inside_line);
        let lines = lines_of(&unwrapped, consumed);
        assert_eq!(
            lines,
            [("one two ".to_owned(), LineFlags::CUT), ("err".into(), LineFlags::CUT)]
        );
        let rest =
            cri(&[("stdout P", "x"), ("stdout F", "y"), ("stdout F", "z"), ("stderr F", "e")]);
        let consumed =
            unwrapped.take(Envelope::Cri, rest.as_bytes(), 0, Ending::Open, &mut skipping);
        assert_eq!((consumed, skipping), (rest.len(), [false; 2]));
        assert_eq!(texts(&lines_of(&unwrapped, consumed)), ["z"]);
        let left_out = |item: &&Item| item.left_out;
        assert_eq!(unwrapped.items.iter().filter(left_out).count(), 3);
    }

    #[test]
    fn a_physical_line_that_fills_the_window_is_cut_inside() {
        for (tag, skips) in [("F", false), ("P", true)] {
            let source = format!("{T} stderr {tag} {}", "x".repeat(50));
            let mut unwrapped = Unwrapped::default();
            let mut skipping = [false; 2];
            let consumed =
                unwrapped.take(Envelope::Cri, source.as_bytes(), 0, Ending::Full, &mut skipping);
            assert_eq!((consumed, unwrapped.inside_line), (source.len(), true));
            assert_eq!(lines_of(&unwrapped, consumed), [("x".repeat(50), LineFlags::CUT)]);
            assert_eq!(skipping, [false, skips]);
        }
    }

    #[test]
    fn lines_that_do_not_fit_stay_as_they_are() {
        let source = format!("not\u{e9} cri\n{}\n", cri(&[("stdout F", "a")]));
        let (consumed, lines, unwrapped) = take(&source, Ending::Open);
        assert_eq!((consumed, texts(&lines)), (source.len(), vec!["not\u{e9} cri", "a", ""]));
        let sides: Vec<Option<Side>> = unwrapped.items.iter().map(|item| item.side).collect();
        assert_eq!(sides, [None, Some(Side::Out), None]);
    }

    fn physical_lines() -> impl Strategy<Value = Vec<String>> {
        let tags = prop_oneof![
            Just("stdout P"),
            Just("stdout F"),
            Just("stderr P"),
            Just("stderr F"),
            Just("F"),
            Just("stdout P:x")
        ];
        prop::collection::vec((tags, "[a-z ]{0,6}"), 0..30)
            .prop_map(|lines| lines.iter().map(|line| cri(&[(line.0, &line.1)])).collect())
    }

    proptest! {
        /// However the bytes come: the same lines.
        #[test]
        fn any_chunks_give_the_same(lines in physical_lines(), cuts in prop::collection::vec(0usize..3000, 0..8)) {
            let source: String = lines.concat();
            let (consumed, expected, _) = take(&source, Ending::Open);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= source.len()).collect();
            cuts.push(source.len());
            cuts.sort_unstable();
            let (mut at, mut found) = (0, Vec::new());
            for cut in cuts {
                if cut > at {
                    let (taken, lines, _) = take(&source[at..cut], Ending::Open);
                    at += taken;
                    found.extend(lines);
                }
            }
            prop_assert_eq!(at, consumed);
            prop_assert_eq!(found, expected);
        }

        /// Any bytes, any ending: items cover what is consumed, and a full window always gives something.
        #[test]
        fn any_bytes_are_taken(
            source in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                physical_lines().prop_map(|lines| lines.concat().into_bytes()),
            ],
            docker: bool, skipping: [bool; 2],
        ) {
            let envelope = if docker { Envelope::Docker } else { Envelope::Cri };
            for ending in [Ending::Open, Ending::Full, Ending::Last] {
                let mut unwrapped = Unwrapped::default();
                let consumed = unwrapped.take(envelope, &source, 0, ending, &mut skipping.clone());
                let text = lines_of(&unwrapped, consumed);
                prop_assert!(text.iter().all(|(line, _)| !line.contains('\n')));
                prop_assert!(ending != Ending::Full || consumed > 0 || source.is_empty());
                prop_assert!(ending != Ending::Last || consumed == source.len());
            }
        }
    }
}

//! Says where the next line is that the detectors must look at, so that all others cost only this.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use memchr::{memchr, memchr2_iter, memrchr};

use super::anchors::{Anchors, Found};
use super::cards;
use super::exact::Exact;
use super::needles::Family;
use super::scan::Scan;
use super::urls;
use super::view::{self, View};

const SEARCHES: usize = 4;

/// Literals of one line that are looked at alone; a line with more is left to the detectors, whose work
/// is bounded.
const LITERALS_MAX: usize = 16;

/// Walks through a block of lines.
pub(super) struct Prefilter<'a> {
    text: &'a [u8],
    anchors: &'a Anchors,
    exact: Option<&'a Exact>,
    /// Whether the text is a line whose colours were taken out: what is left of them are none.
    is_view: bool,
    /// Where each search found something last; beyond the text if nothing is left.
    found: [usize; SEARCHES],
}

impl<'a> Prefilter<'a> {
    pub(super) fn new(text: &'a [u8], anchors: &'a Anchors, exact: Option<&'a Exact>) -> Self {
        Self::search_all(text, anchors, exact, false)
    }

    fn search_all(
        text: &'a [u8],
        anchors: &'a Anchors,
        exact: Option<&'a Exact>,
        is_view: bool,
    ) -> Self {
        let mut this = Self { text, anchors, exact, is_view, found: [0; SEARCHES] };
        for search in 0..SEARCHES {
            this.found[search] = this.search(search, 0);
        }
        this
    }

    /// The start of the first suspicious line at or behind the line that starts at `from`.
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        for search in 0..SEARCHES {
            if self.found[search] < from {
                self.found[search] = self.search(search, from);
            }
        }
        let at = self.found.into_iter().min()?;
        (at < self.text.len())
            .then(|| memrchr(b'\n', &self.text[from..at]).map_or(from, |end| from + end + 1))
    }

    fn search(&self, search: usize, from: usize) -> usize {
        let found = match search {
            0 => self.next_url_or_colour(from),
            1 => cards::next(self.text, from).map(|(start, _)| start),
            2 => self.exact.and_then(|exact| exact.next(self.text, from)),
            _ => self.next_literal(from),
        };
        found.unwrap_or(usize::MAX)
    }

    fn next_url_or_colour(&self, from: usize) -> Option<usize> {
        let mut urls = urls::Walk::default();
        let mut line = from..from;
        memchr2_iter(b'@', 0x1b, self.text.get(from..)?).map(|at| from + at).find(|at| {
            if self.text[*at] == b'@' {
                return urls.ends_credentials(self.text, *at);
            }
            // One look at a line is enough, however many colours it has.
            let is_new = *at >= line.end && !self.is_view;
            if is_new {
                line = self.line(from, *at);
            }
            is_new && self.is_suspicious_without_colours(&self.text[line.clone()])
        })
    }

    fn next_literal(&self, from: usize) -> Option<usize> {
        let mut at = from;
        let (mut line, mut literals) = (from..from, 0);
        loop {
            let found = self.anchors.next(self.text, at)?;
            if found.start >= line.end {
                line = self.line(from, found.start);
                literals = 0;
            }
            literals += 1;
            if literals > LITERALS_MAX || self.is_part_of_secret(&found, &line) {
                return Some(found.start);
            }
            at = found.next;
        }
    }

    /// The line around `at`, without its terminator. No line begins between `from` and it.
    fn line(&self, from: usize, at: usize) -> Range<usize> {
        let start = memrchr(b'\n', &self.text[from..at]).map_or(from, |end| from + end + 1);
        start..memchr(b'\n', &self.text[at..]).map_or(self.text.len(), |length| at + length)
    }

    /// Whether the detector of a literal finds a secret at it.
    fn is_part_of_secret(&self, found: &Found, line: &Range<usize>) -> bool {
        let text = &self.text[line.clone()];
        let (start, end) = (found.start - line.start, found.end - line.start);
        match found.family {
            Family::Pem => true,
            Family::Colour => {
                !self.is_view
                    && view::is_escaped(&text[start..])
                    && self.is_suspicious_without_colours(text)
            }
            family => {
                let mut spans = Vec::new();
                let scan = Scan::new(text, false, &mut spans);
                // Whoever looks at the line next is prepared for a detector that panics.
                catch_unwind(AssertUnwindSafe(|| scan.has_secret_at(family, start, end)))
                    .unwrap_or(true)
            }
        }
    }

    fn is_suspicious_without_colours(&self, line: &[u8]) -> bool {
        let mut view = View::default();
        view.fill(line)
            && Prefilter::search_all(view.text(), self.anchors, self.exact, true).next(0).is_some()
    }
}

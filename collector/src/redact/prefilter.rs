//! Says where the next line is that the detectors must look at, so that all others cost only this.

use memchr::{memchr2, memrchr};

use super::cards;
use super::exact::Exact;
use super::needles::Needles;

/// Walks through a block of lines.
pub(super) struct Prefilter<'a> {
    text: &'a [u8],
    needles: &'a Needles,
    exact: Option<&'a Exact>,
    /// Where each search found something last; beyond the text if nothing is left.
    found: [usize; 4],
}

impl<'a> Prefilter<'a> {
    pub(super) fn new(text: &'a [u8], needles: &'a Needles, exact: Option<&'a Exact>) -> Self {
        let mut this = Self { text, needles, exact, found: [0; 4] };
        for search in 0..this.found.len() {
            this.found[search] = this.search(search, 0);
        }
        this
    }

    /// The start of the first suspicious line at or behind the line that starts at `from`.
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        for search in 0..self.found.len() {
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
            0 => self.needles.next(self.text, from).map(|(_, start, _)| start),
            1 => memchr2(b'@', 0x1b, &self.text[from..]).map(|at| from + at),
            2 => cards::next(self.text, from).map(|(start, _)| start),
            _ => self.exact.and_then(|exact| exact.next(self.text, from)),
        };
        found.unwrap_or(usize::MAX)
    }
}

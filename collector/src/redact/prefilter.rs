//! Says where the next line is that the detectors must look at, so that all others cost only this.

use memchr::{memchr2_iter, memrchr};

use super::cards;
use super::exact::Exact;
use super::needles::{Needles, PASSES};
use super::urls;

/// Searches beside those for literals.
const OTHER_SEARCHES: usize = 3;
const SEARCHES: usize = OTHER_SEARCHES + PASSES;

/// Walks through a block of lines.
pub(super) struct Prefilter<'a> {
    text: &'a [u8],
    needles: &'a Needles,
    exact: Option<&'a Exact>,
    /// Where each search found something last; beyond the text if nothing is left.
    found: [usize; SEARCHES],
}

impl<'a> Prefilter<'a> {
    pub(super) fn new(text: &'a [u8], needles: &'a Needles, exact: Option<&'a Exact>) -> Self {
        let mut this = Self { text, needles, exact, found: [0; SEARCHES] };
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
            0 => memchr2_iter(b'@', 0x1b, &self.text[from..])
                .map(|at| from + at)
                .find(|at| self.text[*at] != b'@' || urls::is_behind_url(self.text, *at)),
            1 => cards::next(self.text, from).map(|(start, _)| start),
            2 => self.exact.and_then(|exact| exact.next(self.text, from)),
            pass => {
                let pass = &self.needles.passes()[pass - OTHER_SEARCHES];
                pass.next(self.text, from).map(|(_, start, _)| start)
            }
        };
        found.unwrap_or(usize::MAX)
    }
}

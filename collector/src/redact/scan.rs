//! One line and what the detectors found in it, within a bound on the work.

use super::exact::Exact;
use super::kind::Kind;
use super::needles::{Family, Needles, Pass};
use super::pem::{self, PemBlock};
use super::{cards, commands, encoded_urls, headers, keys, pairs, urls};

/// Bytes that the detectors may look at for each byte of a line.
const WORK_PER_BYTE: usize = 64;
/// And for each line.
const WORK_PER_LINE: usize = 64 * 1024;
/// Secrets in one line; with more it is not worth reading.
const SPANS_MAX: usize = 1024;

/// A secret in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// Which of the values that an operator named.
    pub(super) exact: Option<usize>,
}

impl Span {
    pub(super) fn new(start: usize, end: usize, kind: Kind) -> Self {
        Self { start, end, kind, exact: None }
    }
}

/// A line under the detectors.
pub(super) struct Scan<'a> {
    pub(super) text: &'a [u8],
    /// The text is the beginning of a line: what reaches its end may be half of a secret.
    pub(super) open: bool,
    spans: &'a mut Vec<Span>,
    work: usize,
    /// The end of the secrets found by the detectors of shapes.
    pub(super) covered: usize,
    over: bool,
}

/// The line asked for more work than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuchWork;

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8], open: bool, spans: &'a mut Vec<Span>) -> Self {
        spans.clear();
        let work = text.len().saturating_mul(WORK_PER_BYTE).saturating_add(WORK_PER_LINE);
        Self { text, open, spans, work, covered: 0, over: false }
    }

    /// Notes a secret.
    pub(super) fn push(&mut self, span: Span) {
        if self.spans.len() >= SPANS_MAX {
            self.over = true;
        } else if span.end > span.start {
            self.covered = self.covered.max(span.end);
            self.spans.push(span);
        }
    }

    /// Accounts for bytes looked at; `false` when it is enough.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        match self.work.checked_sub(bytes) {
            Some(left) => self.work = left,
            None => self.over = true,
        }
        !self.over
    }

    /// Runs all detectors; gives whether a PEM block was given up without its end.
    pub(super) fn run(
        mut self,
        needles: &Needles,
        exact: Option<&Exact>,
        block: &mut PemBlock,
    ) -> Result<bool, TooMuchWork> {
        if let Some(exact) = exact {
            exact.find(&mut self);
        }
        let endless = pem::find(&mut self, block);
        for pass in needles.passes() {
            self.covered = 0;
            self.find_needles(pass);
        }
        urls::find(&mut self);
        cards::find(&mut self);
        if self.over {
            return Err(TooMuchWork);
        }
        merge(self.spans);
        Ok(endless)
    }

    /// Runs the detector of a literal that stands from `start` to `end`.
    fn find_at(&mut self, family: Family, start: usize, end: usize) {
        match family {
            Family::Key(shape) => keys::find(self, &keys::SHAPES[shape], start),
            Family::Jwt => keys::find_jwt(self, start),
            Family::Authorization => headers::find_authorization(self, end),
            Family::Cookie => headers::find_cookie(self, end),
            Family::Bearer => headers::find_scheme(self, end, false),
            Family::Basic => headers::find_scheme(self, end, true),
            Family::Name => pairs::find(self, start),
            Family::SendGrid => keys::find_sendgrid(self, start + 1),
            Family::Signature => urls::find_signature(self, start, end),
            Family::EncodedUrl => encoded_urls::find(self, end),
            Family::Curl => commands::find_curl(self, end),
            Family::Sshpass => commands::find_sshpass(self, end),
            Family::Pem | Family::Colour => {}
        }
    }

    /// Whether a literal that stands from `start` to `end` shows a secret, or asks for too much work to
    /// tell.
    pub(super) fn has_secret_at(mut self, family: Family, start: usize, end: usize) -> bool {
        self.find_at(family, start, end);
        self.over || !self.spans.is_empty()
    }

    fn find_needles(&mut self, pass: &Pass) {
        let mut at = 0;
        while let Some((family, start, end)) = pass.next(self.text, at) {
            if !self.spend(end - at) {
                return;
            }
            self.find_at(family, start, end);
            at = start + 1;
        }
    }
}

/// Sorts spans and joins those that overlap; the longer one says what it is.
fn merge(spans: &mut Vec<Span>) {
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end), span.kind));
    spans.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps && next.end > kept.end {
            if next.end - next.start > kept.end - kept.start {
                kept.kind = next.kind;
            }
            kept.exact = None;
            kept.end = next.end;
        }
        overlaps
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_overlap_become_one() {
        let span = |start, end, kind| Span::new(start, end, kind);
        let mut spans = vec![
            span(5, 9, Kind::Jwt),
            span(0, 3, Kind::Url),
            span(2, 4, Kind::Key),
            span(5, 9, Kind::Exact),
        ];
        merge(&mut spans);
        assert_eq!(spans, [span(0, 4, Kind::Url), span(5, 9, Kind::Exact)]);
    }

    #[test]
    fn hostile_lines_are_given_up() {
        let mut spans = Vec::new();
        let mut run = |line: &[u8]| {
            Scan::new(line, false, &mut spans).run(&Needles::new(), None, &mut PemBlock::default())
        };
        assert_eq!(run(&b"password=a1 ".repeat(2000)), Err(TooMuchWork));
        assert_eq!(run(&b"password=a1 ".repeat(1000)), Ok(false));
        assert_eq!(run(&b"a@".repeat(100_000)), Err(TooMuchWork));
        assert_eq!(run(&b".eyJ".repeat(60_000)[1..]), Err(TooMuchWork));
        assert_eq!(run(&[&b"eyJhbGciOiJ9"[..], &b".eyJ".repeat(60_000)].concat()), Ok(false));
    }
}

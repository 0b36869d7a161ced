//! Judges one line: what it may show of itself, or that it may show nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sawlog_transport::limits::LINE_BYTES_MAX;

use super::Event;
use super::anchors::Anchors;
use super::exact::Exact;
use super::needles::Needles;
use super::pem::PemBlock;
use super::scan::{Scan, Span, TooMuchWork};
use super::tag::{TagKey, UNSCANNED};
use super::view::View;

/// What replaced one secret may show another: a line is looked at so often before it is given up.
const PASSES_MAX: usize = 6;

/// What is searched for.
pub(super) struct Searches {
    pub(super) anchors: Anchors,
    pub(super) needles: Needles,
    pub(super) exact: Option<Exact>,
}

/// Judges lines, one after the other.
pub(super) struct Judge {
    key: TagKey,
    view: View,
    spans: Vec<Span>,
    next: Vec<u8>,
    /// What the line at hand shows, if not itself.
    pub(super) text: Vec<u8>,
    /// What happened in the line at hand.
    pub(super) events: Vec<Event>,
}

impl Judge {
    pub(super) fn new(key: TagKey) -> Self {
        Self {
            key,
            view: View::default(),
            spans: Vec::new(),
            next: Vec::new(),
            text: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Looks at a line; `true` if it must be replaced by `text`. With `open` the line goes on behind what
    /// is given, and what reaches its end may be half of a secret.
    pub(super) fn line(
        &mut self,
        searches: &Searches,
        line: &[u8],
        open: bool,
        pem: &mut PemBlock,
    ) -> bool {
        self.events.clear();
        let before = *pem;
        let judged = catch_unwind(AssertUnwindSafe(|| self.passes(searches, line, open, pem)));
        match judged {
            Ok(Ok(changed)) => {
                self.text.truncate(LINE_BYTES_MAX);
                changed
            }
            // The panic's own message has said where; the line must not.
            Ok(Err(TooMuchWork)) | Err(_) => {
                if !pem.is_open() {
                    *pem = before;
                }
                self.events.clear();
                self.events.push(Event::Unscanned);
                self.text.clear();
                self.text.extend_from_slice(UNSCANNED);
                true
            }
        }
    }

    fn passes(
        &mut self,
        searches: &Searches,
        line: &[u8],
        open: bool,
        pem: &mut PemBlock,
    ) -> Result<bool, TooMuchWork> {
        if !self.pass(searches, line, open, pem)? {
            return Ok(false);
        }
        for _ in 1..PASSES_MAX {
            std::mem::swap(&mut self.text, &mut self.next);
            let line = std::mem::take(&mut self.next);
            // What is replaced already opens no block.
            let changed = self.pass(searches, &line, open, &mut PemBlock::default());
            self.next = line;
            if !changed? {
                std::mem::swap(&mut self.text, &mut self.next);
                return Ok(true);
            }
        }
        Err(TooMuchWork)
    }

    /// One look at a line; `true` if `text` is what it may show.
    fn pass(
        &mut self,
        searches: &Searches,
        line: &[u8],
        open: bool,
        pem: &mut PemBlock,
    ) -> Result<bool, TooMuchWork> {
        self.text.clear();
        #[cfg(test)]
        super::tests::panic_at(line);
        let is_view = self.view.fill(line);
        let text = if is_view { self.view.text() } else { line };
        let scan = Scan::new(text, open, &mut self.spans);
        if scan.run(&searches.needles, searches.exact.as_ref(), pem)? {
            self.events.push(Event::EndlessPem);
        }
        let mut copied = 0;
        for span in &self.spans {
            let secret = match (span.exact, &searches.exact) {
                (Some(number), Some(exact)) => exact.secret(number),
                _ => &text[span.start..span.end],
            };
            let place = span.start..span.end;
            let place = if is_view { self.view.place(place) } else { place };
            self.text.extend_from_slice(&line[copied..place.start]);
            self.key.write(span.kind, secret, &mut self.text);
            self.events.push(Event::Redacted(span.kind));
            copied = place.end;
        }
        self.text.extend_from_slice(&line[copied..]);
        Ok(!self.spans.is_empty())
    }
}

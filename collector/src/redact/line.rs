//! Judges one line: what it may show of itself, or that it may show nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sawlog_transport::limits::LINE_BYTES_MAX;

use super::Event;
use super::anchors::Anchors;
use super::exact::Exact;
use super::kind::Kind;
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
    /// A line, with what was handed on of it before.
    pub(super) whole: Vec<u8>,
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
            whole: Vec::new(),
            text: Vec::new(),
            events: Vec::new(),
        }
    }

    /// What stands for a secret.
    pub(super) fn tag(&self, kind: Kind, secret: &[u8]) -> Vec<u8> {
        let mut tag = Vec::new();
        self.key.write(kind, secret, &mut tag);
        tag
    }

    /// Looks at a line; `true` if what of it stands from `from` on must be replaced by `text`. What stands
    /// before was handed on already, and only helps to see what the rest is. With `open` the line goes
    /// on behind what is given, and what reaches its end may be half of a secret.
    pub(super) fn line(
        &mut self,
        searches: &Searches,
        line: &[u8],
        from: usize,
        open: bool,
        pem: &mut PemBlock,
    ) -> bool {
        self.events.clear();
        let before = *pem;
        let judged =
            catch_unwind(AssertUnwindSafe(|| self.passes(searches, line, from, open, pem)));
        match judged {
            Ok(Ok(changed)) => {
                self.text.truncate(LINE_BYTES_MAX);
                changed
            }
            // The panic's own message has said where; the line must not.
            Ok(Err(TooMuchWork)) | Err(_) => {
                #[cfg(test)]
                judged.is_err().then(super::fuzz_tests::note_panic);
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
        from: usize,
        open: bool,
        pem: &mut PemBlock,
    ) -> Result<bool, TooMuchWork> {
        let mut changed = self.pass(searches, line, from, open, pem)?;
        // The rest of a line is also looked at alone: what stands before may hide what it shows.
        if !changed && from == 0 {
            return Ok(false);
        }
        for _ in 1..PASSES_MAX {
            std::mem::swap(&mut self.text, &mut self.next);
            let line = std::mem::take(&mut self.next);
            // What is replaced already opens no block.
            let again = self.pass(searches, &line, 0, open, &mut PemBlock::default());
            self.next = line;
            if !again? {
                std::mem::swap(&mut self.text, &mut self.next);
                return Ok(changed);
            }
            changed = true;
        }
        Err(TooMuchWork)
    }

    /// One look at a line; `text` is what it may show from `from` on, and `true` if that is new.
    fn pass(
        &mut self,
        searches: &Searches,
        line: &[u8],
        from: usize,
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
        let (mut copied, mut changed) = (from, false);
        for span in &self.spans {
            let secret = match (span.exact, &searches.exact) {
                (Some(number), Some(exact)) => exact.secret(number),
                _ => &text[span.start..span.end],
            };
            let place = span.start..span.end;
            let place = if is_view { self.view.place(place) } else { place };
            if place.end <= from {
                continue;
            }
            self.text.extend_from_slice(&line[copied..place.start.max(copied)]);
            self.key.write(span.kind, secret, &mut self.text);
            self.events.push(Event::Redacted(span.kind));
            copied = place.end;
            changed = true;
        }
        self.text.extend_from_slice(&line[copied..]);
        Ok(changed)
    }
}

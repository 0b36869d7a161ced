//! Selectors: `{app="web", stream=~"std.*"}`, and the single matcher that label filters share.

use super::Parser;
use super::token::{self, Kind};
use crate::lang::ast::{MatchOp, Matcher};
use crate::lang::error::{ErrorKind, Fault};
use crate::lang::pattern;

/// Loki's words, which its users search the web for.
const EMPTY_SELECTOR: &str = "queries require at least one regexp or equality matcher that does \
     not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, \
     but app=~\".+\" will";

/// A matcher, and whether it holds for an absent label.
pub(super) struct Checked {
    pub(super) matcher: Matcher,
    pub(super) accepts_empty: bool,
}

impl Parser<'_> {
    /// `{ matchers }`
    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>, Fault> {
        let start = self.token.start;
        if !self.eat("{")? {
            return Err(self.unexpected("a selector such as {app=\"web\"}"));
        }
        let (matchers, selects_all) = self.matchers()?;
        if selects_all && !self.options.allow_empty_selector {
            return Err(Fault::new(ErrorKind::Selector, start, EMPTY_SELECTOR));
        }
        Ok(matchers)
    }

    /// The matchers with the closing brace, and whether a stream without labels fits them all.
    fn matchers(&mut self) -> Result<(Vec<Matcher>, bool), Fault> {
        let mut matchers = Vec::new();
        let mut selects_all = true;
        if self.eat("}")? {
            return Ok((matchers, selects_all));
        }
        loop {
            let name = self.label_name("a label name")?;
            let checked = self.matcher(name)?;
            selects_all &= checked.accepts_empty;
            matchers.push(checked.matcher);
            if self.eat("}")? {
                return Ok((matchers, selects_all));
            }
            if !self.eat(",")? {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    /// Operator and value of the label `name`, which is already consumed.
    fn matcher(&mut self, name: String) -> Result<Checked, Fault> {
        let Some(op) = self.match_op() else {
            return Err(self.unexpected(&format!(
                "`=`, `!=`, `=~` or `!~` after the label name `{}`",
                token::clipped(&name)
            )));
        };
        self.advance()?;
        self.matcher_value(name, op)
    }

    /// The matcher operator that stands next, not consumed.
    pub(super) fn match_op(&self) -> Option<MatchOp> {
        match self.token.kind {
            Kind::Symbol("=") => Some(MatchOp::Eq),
            Kind::Symbol("!=") => Some(MatchOp::Ne),
            Kind::Symbol("=~") => Some(MatchOp::Re),
            Kind::Symbol("!~") => Some(MatchOp::Nre),
            _ => None,
        }
    }

    /// The value of a matcher, checked.
    pub(super) fn matcher_value(&mut self, name: String, op: MatchOp) -> Result<Checked, Fault> {
        let (start, value) = self.text()?;
        let empty_fits = if op.is_regex() {
            self.count_pattern(start)?;
            let regex =
                pattern::anchored(&value).map_err(|error| refused(&value, start, &error))?;
            regex.is_match(b"")
        } else {
            value.is_empty()
        };
        let negative = matches!(op, MatchOp::Ne | MatchOp::Nre);
        Ok(Checked { matcher: Matcher { name, op, value }, accepts_empty: empty_fits != negative })
    }

    /// Checks the regular expression of a line filter; `start` is its place.
    pub(super) fn check_line_pattern(&mut self, start: usize, value: &[u8]) -> Result<(), Fault> {
        self.count_pattern(start)?;
        pattern::unanchored(value).map(drop).map_err(|error| refused(value, start, &error))
    }

    fn count_pattern(&mut self, start: usize) -> Result<(), Fault> {
        if self.patterns == super::PATTERNS_MAX {
            let message =
                format!("more than {} regular expressions; join some with |", super::PATTERNS_MAX);
            return Err(Fault::new(ErrorKind::Limit, start, message));
        }
        self.patterns += 1;
        Ok(())
    }
}

fn refused(value: &[u8], start: usize, error: &pattern::PatternError) -> Fault {
    let shown = token::clipped(&String::from_utf8_lossy(value)).replace('`', "'");
    let message = format!("the regular expression `{shown}` does not compile: {error}");
    Fault::new(ErrorKind::Regex, start, message)
}

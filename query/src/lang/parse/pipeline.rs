//! Pipelines: line filters and `|` stages behind a selector. Stages that are not built yet are
//! named as such, so that nobody looks for a typing mistake.

use super::Parser;
use super::token::Kind;
use crate::lang::ast::{LineFilter, LineOp, LogExpr, Stage};
use crate::lang::error::Fault;

/// Words that begin a stage of LogQL that this parser recognises and refuses.
const STAGES_LATER: [&str; 11] = [
    "json",
    "logfmt",
    "xml",
    "pattern",
    "regexp",
    "unpack",
    "line_format",
    "label_format",
    "keep",
    "decolorize",
    "unwrap",
];

impl Parser<'_> {
    /// A selector and its pipeline.
    pub(super) fn log(&mut self) -> Result<LogExpr, Fault> {
        let matchers = self.selector()?;
        let stages = self.pipeline()?;
        Ok(LogExpr { matchers, stages })
    }

    /// Stages as long as there are any.
    pub(super) fn pipeline(&mut self) -> Result<Vec<Stage>, Fault> {
        let mut stages = Vec::new();
        loop {
            if let Some(op) = self.line_op()? {
                self.advance()?;
                stages.push(Stage::Line(self.line_filter(op)?));
            } else if self.eat("|")? {
                stages.push(self.stage()?);
            } else {
                return Ok(stages);
            }
        }
    }

    /// The line-filter operator that stands next, not consumed.
    fn line_op(&self) -> Result<Option<LineOp>, Fault> {
        let Kind::Symbol(symbol) = self.token.kind else { return Ok(None) };
        match symbol {
            "|=" => Ok(Some(LineOp::Contains)),
            "!=" => Ok(Some(LineOp::NotContains)),
            "|~" => Ok(Some(LineOp::Matches)),
            "!~" => Ok(Some(LineOp::NotMatches)),
            "|>" | "!>" => {
                let what = format!("the pattern filter `{symbol}`");
                Err(Fault::unsupported(self.token.start, &what))
            }
            _ => Ok(None),
        }
    }

    /// `"a" or "b" …` after the operator.
    fn line_filter(&mut self, op: LineOp) -> Result<LineFilter, Fault> {
        let mut alternatives = Vec::new();
        loop {
            if self.is_word("ip") {
                return Err(Fault::unsupported(self.token.start, "`ip(…)` in a line filter"));
            }
            let (start, text) = self.text()?;
            if op.is_regex() {
                self.check_line_pattern(start, &text)?;
            }
            alternatives.push(text);
            if !self.eat_word("or")? {
                return Ok(LineFilter { op, alternatives });
            }
        }
    }

    /// What follows a `|`.
    fn stage(&mut self) -> Result<Stage, Fault> {
        if let Some(name) = STAGES_LATER.into_iter().find(|name| self.is_word(name)) {
            return Err(Fault::unsupported(self.token.start, &format!("`{name}`")));
        }
        if self.eat_word("drop")? {
            return Ok(Stage::Drop(self.dropped_labels()?));
        }
        Ok(Stage::Label(self.label_filter()?))
    }

    /// `a, b …` after `drop`.
    fn dropped_labels(&mut self) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        loop {
            names.push(self.label_name("the name of a label to drop")?);
            if self.match_op().is_some() {
                let what = "dropping a label only where it has a certain value";
                return Err(Fault::unsupported(self.token.start, what));
            }
            if !self.eat(",")? {
                return Ok(names);
            }
        }
    }
}

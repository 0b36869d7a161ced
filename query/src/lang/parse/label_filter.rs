//! Label filters: `level="error" or (status=~"5.." and method!="GET")`. `and` binds tighter than
//! `or`; as in Loki, a comma (or nothing) between two filters is an `and` whose right side reaches
//! as far as it can: `a, b or c` is `a and (b or c)`.

use super::Parser;
use super::number::Measure;
use super::token::{self, Kind};
use crate::lang::ast::LabelFilter;
use crate::lang::error::Fault;

impl Parser<'_> {
    /// Filters joined with `or`.
    pub(super) fn label_filter(&mut self) -> Result<LabelFilter, Fault> {
        let mut members = Vec::new();
        loop {
            match self.label_filter_all()? {
                LabelFilter::Any(more) => members.extend(more),
                one => members.push(one),
            }
            if !self.eat_word("or")? {
                return Ok(joined(members, LabelFilter::Any));
            }
        }
    }

    /// Filters joined with `and`.
    fn label_filter_all(&mut self) -> Result<LabelFilter, Fault> {
        let mut members = Vec::new();
        loop {
            members.push(self.label_filter_one()?);
            if self.eat(",")? || self.starts_label_filter() {
                members.push(self.nested(Self::label_filter)?);
            }
            if !self.eat_word("and")? {
                break;
            }
        }
        let flat = members.into_iter().flat_map(|member| match member {
            LabelFilter::All(inner) => inner,
            one => vec![one],
        });
        Ok(joined(flat.collect(), LabelFilter::All))
    }

    /// Whether a filter follows without a word between.
    fn starts_label_filter(&self) -> bool {
        let connective = ["and", "or", "unless"].into_iter().any(|word| self.is_word(word));
        self.is("(") || (self.word().is_some() && !connective)
    }

    /// One comparison, or a filter in parentheses.
    fn label_filter_one(&mut self) -> Result<LabelFilter, Fault> {
        if self.eat("(")? {
            let inner = self.nested(Self::label_filter)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let name = self.label_name("a stage or a label filter, such as level=\"error\"")?;
        let Some(op) = self.match_op() else { return Err(self.no_string_comparison(&name)) };
        self.advance()?;
        match self.token.kind {
            Kind::Measure(measure) => Err(self.measure_comparison(measure)),
            Kind::Word if self.is_word("ip") => {
                Err(Fault::unsupported(self.token.start, "`ip(…)` in a label filter"))
            }
            _ => Ok(LabelFilter::Match(self.matcher_value(name, op)?.matcher)),
        }
    }

    /// The label name is followed by something else than a matcher's operator.
    fn no_string_comparison(&mut self, name: &str) -> Fault {
        let numeric = ["==", ">", ">=", "<", "<="].into_iter().any(|symbol| self.is(symbol));
        if !numeric {
            return self.unexpected(&format!(
                "`=`, `!=`, `=~` or `!~` after `{}`, which is no stage and so a label",
                token::clipped(name)
            ));
        }
        if let Err(fault) = self.advance() {
            return fault;
        }
        match self.token.kind {
            Kind::Measure(measure) => self.measure_comparison(measure),
            _ => self.unexpected("a number, a duration or a size"),
        }
    }

    fn measure_comparison(&self, measure: Measure) -> Fault {
        let what = match measure {
            Measure::Number(_) => "number",
            Measure::Duration(_) => "duration",
            Measure::Size => "size",
        };
        let start = self.token.start;
        Fault::unsupported(start, &format!("comparing a label with a {what}"))
    }
}

fn joined(
    mut members: Vec<LabelFilter>,
    several: impl FnOnce(Vec<LabelFilter>) -> LabelFilter,
) -> LabelFilter {
    match members.pop() {
        Some(only) if members.is_empty() => only,
        Some(last) => {
            members.push(last);
            several(members)
        }
        None => several(members),
    }
}

//! Range aggregations: `rate({app="web"} |= "error" [5m] offset 1h)`. The range may also stand
//! between the selector and its pipeline.

use super::Parser;
use super::number::Measure;
use super::token::Kind;
use crate::lang::ast::{LogExpr, MetricExpr, RangeAgg, RangeOp};
use crate::lang::error::Fault;

/// A log expression with its range, once that was met.
struct Ranged {
    log: LogExpr,
    range: Option<Window>,
}

/// In nanoseconds.
#[derive(Clone, Copy)]
struct Window {
    range_ns: i64,
    offset_ns: i64,
}

impl Parser<'_> {
    /// `( log range )` after the function's name.
    pub(super) fn range_aggregation(&mut self, op: RangeOp) -> Result<MetricExpr, Fault> {
        self.expect("(")?;
        let Ranged { log, range } = self.nested(Self::ranged)?;
        let Some(window) = range else {
            return Err(self.unexpected(&format!(
                "a range such as [5m], because `{}` looks back over one",
                op.name()
            )));
        };
        self.expect(")")?;
        if self.is_word("by") || self.is_word("without") {
            return Err(self.unexpected(&format!(
                "no grouping after `{0}`; group the series around it, as in sum by (app) ({0}(…))",
                op.name()
            )));
        }
        let Window { range_ns, offset_ns } = window;
        Ok(MetricExpr::Range(RangeAgg { op, log, range_ns, offset_ns }))
    }

    /// Selector, pipeline and range in the orders that LogQL allows, also in parentheses.
    fn ranged(&mut self) -> Result<Ranged, Fault> {
        let mut ranged = if self.eat("(")? {
            let inner = self.nested(Self::ranged)?;
            self.expect(")")?;
            inner
        } else {
            Ranged { log: self.log()?, range: None }
        };
        if ranged.range.is_none() && self.is("[") {
            ranged.range = Some(self.window()?);
            if ranged.log.stages.is_empty() {
                ranged.log.stages = self.pipeline()?;
            }
        }
        Ok(ranged)
    }

    /// `[5m]` with or without `offset 1h`.
    fn window(&mut self) -> Result<Window, Fault> {
        self.expect("[")?;
        let start = self.token.start;
        let range_ns = self.duration("a duration such as 5m")?;
        if range_ns == 0 {
            return Err(Fault::syntax(start, "a range of 0 has no entries; write one such as 5m"));
        }
        self.expect("]")?;
        let offset_ns = if self.eat_word("offset")? { self.signed_duration()? } else { 0 };
        Ok(Window { range_ns, offset_ns })
    }

    fn signed_duration(&mut self) -> Result<i64, Fault> {
        let sign = if self.eat("-")? { -1 } else { 1 };
        Ok(sign * self.duration("a duration such as 1h after `offset`")?)
    }

    /// Nanoseconds, never negative.
    fn duration(&mut self, expected: &str) -> Result<i64, Fault> {
        match self.token.kind {
            Kind::Measure(Measure::Duration(nanoseconds)) => {
                self.advance()?;
                Ok(nanoseconds)
            }
            Kind::Measure(Measure::Number(_)) => {
                Err(self.unexpected(&format!("{expected}, with its unit")))
            }
            _ => Err(self.unexpected(expected)),
        }
    }
}

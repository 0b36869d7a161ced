//! Operands of metric expressions: numbers, functions, aggregations, parentheses.

use super::Parser;
use super::number::Measure;
use super::token::Kind;
use crate::lang::ast::{Aggregate, AggregateOp, Expr, Grouping, MetricExpr, RangeOp, TopK};
use crate::lang::error::Fault;

/// Functions of LogQL that this parser recognises and refuses.
const FUNCTIONS_LATER: [&str; 18] = [
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "first_over_time",
    "last_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "quantile_over_time",
    "absent_over_time",
    "rate_counter",
    "stddev",
    "stdvar",
    "sort",
    "sort_desc",
    "approx_topk",
    "label_replace",
    "variants",
];

const OPERAND: &str = "a selector such as {app=\"web\"}, a function such as rate(…) or sum(…), \
     a number or `(`";

/// What a function's name calls.
#[derive(Clone, Copy)]
enum Function {
    Range(RangeOp),
    Aggregate(AggregateOp),
    TopK { bottom: bool },
    Vector,
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if let Some(op) = RangeOp::ALL.into_iter().find(|op| op.name() == name) {
            return Some(Self::Range(op));
        }
        if let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.name() == name) {
            return Some(Self::Aggregate(op));
        }
        match name.as_str() {
            "topk" => Some(Self::TopK { bottom: false }),
            "bottomk" => Some(Self::TopK { bottom: true }),
            "vector" => Some(Self::Vector),
            _ => None,
        }
    }
}

/// Whether LogQL has a function of this name, built already or not.
pub(in crate::lang) fn is_function(name: &str) -> bool {
    Function::named(name).is_some() || later(name).is_some()
}

/// The function of this name that is not built yet.
fn later(name: &str) -> Option<&'static str> {
    FUNCTIONS_LATER.into_iter().find(|later| later.eq_ignore_ascii_case(name))
}

impl Parser<'_> {
    /// One operand of a binary operator; a log expression too, which the caller refuses where
    /// numbers are needed.
    pub(super) fn operand(&mut self) -> Result<Expr, Fault> {
        match self.token.kind {
            Kind::Symbol("{") => Ok(Expr::Log(self.log()?)),
            Kind::Symbol("(") => {
                self.advance()?;
                let inner = self.nested(Self::expression)?;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Symbol("+" | "-") | Kind::Measure(Measure::Number(_)) => {
                Ok(Expr::Metric(MetricExpr::Number(self.signed_number()?)))
            }
            Kind::Word => Ok(Expr::Metric(self.nested(Self::function)?)),
            _ => Err(self.unexpected(OPERAND)),
        }
    }

    /// A sign stands before a number only, and binds tighter than any operator.
    fn signed_number(&mut self) -> Result<f64, Fault> {
        let negative = self.is("-");
        let signed = negative || self.is("+");
        if signed {
            self.advance()?;
        }
        let expected = if signed {
            "a number after the sign; to negate an expression write -1 * (…)"
        } else {
            "a number"
        };
        let number = self.number(expected)?;
        Ok(if negative { -number } else { number })
    }

    fn number(&mut self, expected: &str) -> Result<f64, Fault> {
        let Kind::Measure(Measure::Number(number)) = self.token.kind else {
            return Err(self.unexpected(expected));
        };
        self.advance()?;
        Ok(number)
    }

    fn function(&mut self) -> Result<MetricExpr, Fault> {
        let name = self.word().unwrap_or_default();
        if let Some(name) = later(name) {
            return Err(Fault::unsupported(self.token.start, &format!("`{name}`")));
        }
        let Some(function) = Function::named(name) else {
            return Err(self.unexpected(OPERAND));
        };
        self.advance()?;
        match function {
            Function::Range(op) => self.range_aggregation(op),
            Function::Aggregate(op) => self.aggregate(op),
            Function::TopK { bottom } => self.topk(bottom),
            Function::Vector => self.vector(),
        }
    }

    fn vector(&mut self) -> Result<MetricExpr, Fault> {
        self.expect("(")?;
        let number = self.signed_number()?;
        self.expect(")")?;
        Ok(MetricExpr::Vector(number))
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<MetricExpr, Fault> {
        let before = self.grouping()?;
        self.expect("(")?;
        let expr = Box::new(self.series(op.name())?);
        let grouping = self.closing_grouping(before)?;
        Ok(MetricExpr::Aggregate(Aggregate { op, grouping, expr }))
    }

    fn topk(&mut self, bottom: bool) -> Result<MetricExpr, Fault> {
        let name = if bottom { "bottomk" } else { "topk" };
        let before = self.grouping()?;
        self.expect("(")?;
        let k = self.group_size(name)?;
        self.expect(",")?;
        let expr = Box::new(self.series(name)?);
        let grouping = self.closing_grouping(before)?;
        Ok(MetricExpr::TopK(TopK { bottom, k, grouping, expr }))
    }

    /// The k of `topk(k, …)`.
    fn group_size(&mut self, name: &str) -> Result<u32, Fault> {
        let start = self.token.start;
        let number = self.signed_number()?;
        let whole = number.trunc() == number && (1.0..=f64::from(u32::MAX)).contains(&number);
        if !whole {
            return Err(Fault::syntax(
                start,
                format!("`{name}` keeps a whole number of series, at least 1, not {number}"),
            ));
        }
        Ok(number as u32)
    }

    /// The argument of an aggregation: series, not a plain number.
    fn series(&mut self, name: &str) -> Result<MetricExpr, Fault> {
        let start = self.token.start;
        let expr = self.expression()?;
        let expr = self.numbers(expr)?;
        if expr.is_scalar() {
            return Err(Fault::syntax(
                start,
                format!("`{name}` merges series, and this is a plain number; write vector(…)"),
            ));
        }
        Ok(expr)
    }

    /// `) by (a)`: the grouping may stand before the parenthesis or behind it.
    fn closing_grouping(&mut self, before: Option<Grouping>) -> Result<Option<Grouping>, Fault> {
        self.expect(")")?;
        if before.is_some() && (self.is_word("by") || self.is_word("without")) {
            return Err(self.unexpected("one grouping, before the parenthesis or behind it"));
        }
        Ok(before.or(self.grouping()?))
    }

    /// `by (a, b)`, `without (a)` or nothing.
    fn grouping(&mut self) -> Result<Option<Grouping>, Fault> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.advance()?;
        Ok(Some(Grouping { without, labels: self.label_names_in_parentheses()? }))
    }
}

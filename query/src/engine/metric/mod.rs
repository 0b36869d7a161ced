//! Metric queries: entries counted over windows, grouped, and combined, at each step.

mod aggregate;
mod binary;
mod range;

use sawlog_aggregator::Store;

use super::budget::{Budget, QueryError};
use crate::lang::MetricExpr;

/// A series' labels, sorted by name; values are bytes until they are written out.
pub type SeriesLabels = Vec<(String, Vec<u8>)>;

/// Numbers over time with one set of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub labels: SeriesLabels,
    /// One a step; `None` where there is no sample.
    pub points: Vec<Option<f64>>,
}

/// The answer of an expression at each step.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number a step.
    Scalar(Vec<f64>),
    Vector(Vec<Series>),
}

/// The moments at which an expression is evaluated: `start`, `start + step`, … up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Nanoseconds since the epoch.
    pub start: i64,
    pub end: i64,
    /// Nanoseconds, above 0.
    pub step: i64,
}

impl Steps {
    /// One moment.
    pub fn instant(time: i64) -> Self {
        Self { start: time, end: time, step: 1 }
    }

    /// How many moments there are.
    pub fn len(&self) -> usize {
        let span = i128::from(self.end) - i128::from(self.start);
        usize::try_from(span / i128::from(self.step)).map_or(0, |n| n + 1)
    }

    pub fn is_empty(&self) -> bool {
        self.end < self.start
    }

    pub fn time(&self, n: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(n as i64))
    }

    /// The first step at or after `time`; `len()` if there is none.
    pub(crate) fn first_at(&self, time: i128) -> usize {
        let after = time - i128::from(self.start);
        if after <= 0 {
            return 0;
        }
        let step = i128::from(self.step);
        usize::try_from((after + step - 1) / step).map_or(self.len(), |n| n.min(self.len()))
    }
}

/// Evaluates an expression.
///
/// # Errors
/// The budget is used up, or an expression that has no meaning.
pub fn evaluate(
    store: &Store,
    expr: &MetricExpr,
    steps: &Steps,
    budget: &Budget,
) -> Result<Value, QueryError> {
    let constant = |number: f64| vec![number; steps.len()];
    match expr {
        MetricExpr::Number(number) => Ok(Value::Scalar(constant(*number))),
        MetricExpr::Vector(number) => {
            let points = constant(*number).into_iter().map(Some).collect();
            Ok(Value::Vector(vec![Series { labels: Vec::new(), points }]))
        }
        MetricExpr::Range(range) => {
            range::series(store, range, None, steps, budget).map(Value::Vector)
        }
        MetricExpr::Aggregate(aggregate) => {
            aggregate::merge(store, aggregate, steps, budget).map(Value::Vector)
        }
        MetricExpr::TopK(top) => aggregate::top(store, top, steps, budget).map(Value::Vector),
        MetricExpr::Binary(binary) => {
            let left = evaluate(store, &binary.left, steps, budget)?;
            let right = evaluate(store, &binary.right, steps, budget)?;
            binary::combine(binary, left, right)
        }
    }
}

/// Evaluates an expression that must answer with series.
fn vector(
    store: &Store,
    expr: &MetricExpr,
    steps: &Steps,
    budget: &Budget,
) -> Result<Vec<Series>, QueryError> {
    match evaluate(store, expr, steps, budget)? {
        Value::Vector(series) => Ok(series),
        Value::Scalar(_) => Err(QueryError::Invalid("a number cannot be aggregated".to_owned())),
    }
}

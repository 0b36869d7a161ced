//! Arithmetic, comparisons and set operators between series and numbers. Series meet where their
//! labels are equal.

use std::collections::HashMap;

use super::{Series, SeriesLabels, Value};
use crate::engine::budget::QueryError;
use crate::lang::{Binary, BinaryOp};

/// Combines two answers.
pub(super) fn combine(binary: &Binary, left: Value, right: Value) -> Result<Value, QueryError> {
    let op = binary.op;
    let keep = Kept { op, return_bool: binary.return_bool };
    match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => {
            // Between numbers a comparison answers 1 or 0 whether `bool` is written or not.
            let pairs = left.into_iter().zip(right);
            Ok(Value::Scalar(pairs.map(|(a, b)| number(op, a, b)).collect()))
        }
        (Value::Vector(left), Value::Scalar(right)) => {
            Ok(Value::Vector(each(left, |n, a| keep.sample(a, right[n], a))))
        }
        (Value::Scalar(left), Value::Vector(right)) => {
            Ok(Value::Vector(each(right, |n, b| keep.sample(left[n], b, b))))
        }
        (Value::Vector(left), Value::Vector(right)) if op.is_set() => {
            Ok(Value::Vector(set(op, left, right)))
        }
        (Value::Vector(left), Value::Vector(right)) => Ok(Value::Vector(join(keep, left, right))),
    }
}

fn each(series: Vec<Series>, point: impl Fn(usize, f64) -> Option<f64>) -> Vec<Series> {
    let apply = |one: Series| {
        let points = one.points.iter().enumerate().map(|(n, value)| point(n, (*value)?)).collect();
        Series { labels: one.labels, points }
    };
    nonempty(series.into_iter().map(apply))
}

fn nonempty(series: impl Iterator<Item = Series>) -> Vec<Series> {
    series.filter(|one| one.points.iter().any(Option::is_some)).collect()
}

fn join(keep: Kept, left: Vec<Series>, right: Vec<Series>) -> Vec<Series> {
    let others: HashMap<SeriesLabels, Vec<Option<f64>>> =
        right.into_iter().map(|one| (one.labels, one.points)).collect();
    let joined = left.into_iter().filter_map(|one| {
        let other = others.get(&one.labels)?;
        let pairs = one.points.iter().zip(other);
        let points = pairs.map(|(a, b)| keep.sample((*a)?, (*b)?, (*a)?)).collect();
        Some(Series { labels: one.labels, points })
    });
    nonempty(joined)
}

/// `and`, `or`, `unless`, step by step.
fn set(op: BinaryOp, mut left: Vec<Series>, right: Vec<Series>) -> Vec<Series> {
    let points = |series: &[Series]| -> HashMap<SeriesLabels, Vec<Option<f64>>> {
        series.iter().map(|one| (one.labels.clone(), one.points.clone())).collect()
    };
    if op == BinaryOp::Or {
        let known = points(&left);
        for mut one in right {
            let Some(own) = known.get(&one.labels) else {
                left.push(one);
                continue;
            };
            for (value, own) in one.points.iter_mut().zip(own) {
                if own.is_some() {
                    *value = None;
                }
            }
            merge_into(&mut left, one);
        }
        return left;
    }
    let others = points(&right);
    for one in &mut left {
        let other = others.get(&one.labels);
        for (n, value) in one.points.iter_mut().enumerate() {
            let present = other.is_some_and(|points| points[n].is_some());
            if present != (op == BinaryOp::And) {
                *value = None;
            }
        }
    }
    nonempty(left.into_iter())
}

fn merge_into(series: &mut [Series], more: Series) {
    if let Some(one) = series.iter_mut().find(|one| one.labels == more.labels) {
        for (value, other) in one.points.iter_mut().zip(more.points) {
            *value = value.or(other);
        }
    }
}

/// How a pair of samples becomes one.
#[derive(Clone, Copy)]
struct Kept {
    op: BinaryOp,
    return_bool: bool,
}

impl Kept {
    /// A comparison keeps the sample `of` the series, or drops it; with `bool` it answers 1 or 0.
    fn sample(self, a: f64, b: f64, of: f64) -> Option<f64> {
        let value = number(self.op, a, b);
        match self.op.is_comparison() && !self.return_bool {
            true => (value == 1.0).then_some(of),
            false => Some(value),
        }
    }
}

fn number(op: BinaryOp, a: f64, b: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Eq => truth(a == b),
        BinaryOp::Ne => truth(a != b),
        BinaryOp::Gt => truth(a > b),
        BinaryOp::Ge => truth(a >= b),
        BinaryOp::Lt => truth(a < b),
        BinaryOp::Le => truth(a <= b),
        // The parser lets set operators stand only between vectors.
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => f64::NAN,
    }
}

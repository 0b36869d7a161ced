//! Binary operators by precedence, as in Prometheus: `or`, then `and unless`, comparisons, `+ -`,
//! `* / %`, and `^`, which alone groups to the right. A sign belongs to its number: `-2^2` is 4.

use super::Parser;
use super::token::Kind;
use crate::lang::ast::{Binary, BinaryOp, Expr, MetricExpr};
use crate::lang::error::{ErrorKind, Fault};

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Result<Expr, Fault> {
        self.operators_from(0)
    }

    /// Operands joined by operators that bind at least as tightly as `floor`.
    fn operators_from(&mut self, floor: u8) -> Result<Expr, Fault> {
        let mut left = self.operand()?;
        while let Some(op) = self.binary_op().filter(|op| op.precedence() >= floor) {
            let metric = self.numbers(left)?;
            left = Expr::Metric(self.right_of(metric, op)?);
        }
        Ok(left)
    }

    /// The operator and what stands behind it.
    fn right_of(&mut self, left: MetricExpr, op: BinaryOp) -> Result<MetricExpr, Fault> {
        let start = self.token.start;
        self.count_operator()?;
        self.advance()?;
        let return_bool = self.modifiers(op)?;
        let floor = op.precedence() + u8::from(!op.is_right_associative());
        let right = self.nested(|parser| parser.operators_from(floor))?;
        let right = self.numbers(right)?;
        if op.is_set() && (left.is_scalar() || right.is_scalar()) {
            let message = format!(
                "`{}` joins series, and one side is a plain number; write vector(…)",
                op.symbol()
            );
            return Err(Fault::syntax(start, message));
        }
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(MetricExpr::Binary(Binary { op, return_bool, left, right }))
    }

    /// The operator that stands next, not consumed.
    fn binary_op(&self) -> Option<BinaryOp> {
        match self.token.kind {
            Kind::Symbol(symbol) => BinaryOp::ALL.into_iter().find(|op| op.symbol() == symbol),
            Kind::Word => {
                BinaryOp::ALL.into_iter().find(|op| op.is_set() && self.is_word(op.symbol()))
            }
            _ => None,
        }
    }

    /// `bool` behind a comparison. Matching by labels is refused.
    fn modifiers(&mut self, op: BinaryOp) -> Result<bool, Fault> {
        let start = self.token.start;
        let return_bool = self.eat_word("bool")?;
        if return_bool && !op.is_comparison() {
            let message =
                format!("unexpected `bool`: it goes with comparisons, not with `{}`", op.symbol());
            return Err(Fault::syntax(start, message));
        }
        for word in ["on", "ignoring", "group_left", "group_right"] {
            if self.is_word(word) {
                return Err(Fault::unsupported(self.token.start, &format!("`{word}`")));
            }
        }
        Ok(return_bool)
    }

    fn count_operator(&mut self) -> Result<(), Fault> {
        if self.operators == super::OPERATORS_MAX {
            let message = format!("more than {} operators", super::OPERATORS_MAX);
            return Err(Fault::new(ErrorKind::Limit, self.token.start, message));
        }
        self.operators += 1;
        Ok(())
    }
}

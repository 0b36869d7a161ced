//! Line filters that match letters in either case: each becomes a regular expression with `(?i)`.

use crate::lang::ast::{Expr, LineFilter, LineOp, LogExpr, MetricExpr, Stage};

/// Every line filter of the query. Returns how many texts they have.
pub(super) fn apply(expr: &mut Expr) -> usize {
    match expr {
        Expr::Log(log) => in_log(log),
        Expr::Metric(metric) => in_metric(metric),
    }
}

fn in_metric(metric: &mut MetricExpr) -> usize {
    match metric {
        MetricExpr::Number(_) | MetricExpr::Vector(_) => 0,
        MetricExpr::Range(range) => in_log(&mut range.log),
        MetricExpr::Aggregate(aggregate) => in_metric(&mut aggregate.expr),
        MetricExpr::TopK(topk) => in_metric(&mut topk.expr),
        MetricExpr::Binary(binary) => in_metric(&mut binary.left) + in_metric(&mut binary.right),
    }
}

fn in_log(log: &mut LogExpr) -> usize {
    let mut texts = 0;
    for stage in &mut log.stages {
        if let Stage::Line(filter) = stage {
            fold(filter);
            texts += filter.alternatives.len();
        }
    }
    texts
}

/// One line filter.
pub(super) fn fold(filter: &mut LineFilter) {
    let was_regex = filter.op.is_regex();
    for text in &mut filter.alternatives {
        let mut folded = b"(?i)".to_vec();
        folded.extend(if was_regex { std::mem::take(text) } else { escaped(text).into_bytes() });
        *text = folded;
    }
    filter.op = match filter.op {
        LineOp::Contains | LineOp::Matches => LineOp::Matches,
        LineOp::NotContains | LineOp::NotMatches => LineOp::NotMatches,
    };
}

/// A regular expression for exactly these bytes, also where they are no text.
fn escaped(text: &[u8]) -> String {
    let mut pattern = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        pattern.push_str(&regex::escape(chunk.valid()));
        for byte in chunk.invalid() {
            pattern.push_str(&format!("(?-u:\\x{byte:02x})"));
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::pattern;

    #[test]
    fn folds_text_and_expressions() {
        let folded = |op, text: &[u8]| {
            let mut filter = LineFilter { op, alternatives: vec![text.to_vec()] };
            fold(&mut filter);
            (filter.op, String::from_utf8(filter.alternatives.remove(0)).expect("a pattern"))
        };
        assert_eq!(folded(LineOp::Contains, b"a.b"), (LineOp::Matches, "(?i)a\\.b".into()));
        assert_eq!(folded(LineOp::NotContains, b"x"), (LineOp::NotMatches, "(?i)x".into()));
        assert_eq!(folded(LineOp::Matches, b"a|b"), (LineOp::Matches, "(?i)a|b".into()));
        assert_eq!(folded(LineOp::NotMatches, b"a"), (LineOp::NotMatches, "(?i)a".into()));
    }

    proptest::proptest! {
        #[test]
        fn folded_bytes_still_match_themselves(
            text in proptest::collection::vec(proptest::num::u8::ANY, 0..12),
        ) {
            let regex = pattern::unanchored(format!("(?i){}", escaped(&text)).as_bytes());
            let found = regex.expect("compiles").find(&text).expect("matches").range();
            assert_eq!(found, 0..text.len());
        }
    }
}

//! The parser against the printer, and against any text.

use proptest::prelude::*;

use super::*;
use crate::lang::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Grouping, LabelFilter, LineFilter, LineOp, MatchOp,
    RangeAgg, RangeOp, Stage, TopK,
};

fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-zA-Z0-9_]{0,4}_".prop_filter("not a keyword", |name| !is_function(name))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~éλ\u{85}\n\t]{0,8}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

fn regex_text() -> impl Strategy<Value = Vec<u8>> {
    const PATTERNS: [&str; 6] = [".+", "a|b", r"\d+[^x]", "(?i)é", "", r#"{"k":\s*1}"#];
    proptest::sample::select(&PATTERNS).prop_map(|text| text.as_bytes().to_vec())
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let plain = (proptest::sample::select(&[MatchOp::Eq, MatchOp::Ne]), bytes());
    let regex = (proptest::sample::select(&[MatchOp::Re, MatchOp::Nre]), regex_text());
    (name(), prop_oneof![plain, regex]).prop_map(|(name, (op, value))| Matcher { name, op, value })
}

fn line_filter() -> impl Strategy<Value = LineFilter> {
    const PLAIN: [LineOp; 2] = [LineOp::Contains, LineOp::NotContains];
    const REGEX: [LineOp; 2] = [LineOp::Matches, LineOp::NotMatches];
    let plain = (proptest::sample::select(&PLAIN), proptest::collection::vec(bytes(), 1..3));
    let regex = (proptest::sample::select(&REGEX), proptest::collection::vec(regex_text(), 1..3));
    prop_oneof![plain, regex].prop_map(|(op, alternatives)| LineFilter { op, alternatives })
}

/// Canonical trees only: no `All` in an `All`, no `Any` in an `Any`.
fn label_filter() -> impl Strategy<Value = LabelFilter> {
    let one = || any_matcher().prop_map(LabelFilter::Match);
    let several = |one: BoxedStrategy<LabelFilter>| proptest::collection::vec(one, 2..4);
    let all = several(one().boxed()).prop_map(LabelFilter::All).boxed();
    let any = several(prop_oneof![one(), all.clone()].boxed()).prop_map(LabelFilter::Any).boxed();
    let all_of_any = several(prop_oneof![one(), any.clone()].boxed()).prop_map(LabelFilter::All);
    prop_oneof![one(), all, any, all_of_any]
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        line_filter().prop_map(Stage::Line),
        label_filter().prop_map(Stage::Label),
        proptest::collection::vec(name(), 1..3).prop_map(Stage::Drop),
    ]
}

/// LogQL reads `| drop a != "b"` as a condition on `a`, so that no negative line filter can follow.
fn writable(stages: Vec<Stage>) -> Vec<Stage> {
    let mut after_drop = false;
    let keeps = |stage: &Stage| {
        let negative = matches!(
            stage,
            Stage::Line(LineFilter { op: LineOp::NotContains | LineOp::NotMatches, .. })
        );
        let keep = !(after_drop && negative);
        after_drop = matches!(stage, Stage::Drop(_)) || (after_drop && !keep);
        keep
    };
    stages.into_iter().filter(keeps).collect()
}

fn log_expr() -> impl Strategy<Value = LogExpr> {
    let parts =
        (proptest::collection::vec(any_matcher(), 0..3), proptest::collection::vec(stage(), 0..4));
    parts.prop_map(|(matchers, stages)| LogExpr { matchers, stages: writable(stages) })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()),
        (-1000..1000_i32).prop_map(f64::from),
    ]
}

fn range_agg() -> impl Strategy<Value = MetricExpr> {
    let duration = || prop_oneof![1..i64::MAX, (1..1000_i64).prop_map(|s| s * 1_000_000_000)];
    let offset = prop_oneof![Just(0), duration(), duration().prop_map(|ns| -ns)];
    let op = proptest::sample::select(&RangeOp::ALL);
    (op, log_expr(), duration(), offset).prop_map(|(op, log, range_ns, offset_ns)| {
        MetricExpr::Range(RangeAgg { op, log, range_ns, offset_ns })
    })
}

fn any_grouping() -> impl Strategy<Value = Option<Grouping>> {
    let grouping = (any::<bool>(), proptest::collection::vec(name(), 0..3))
        .prop_map(|(without, labels)| Grouping { without, labels });
    proptest::option::of(grouping)
}

/// Expressions that give series, as aggregations and set operators need them.
fn series() -> impl Strategy<Value = MetricExpr> {
    let leaf = prop_oneof![range_agg(), number().prop_map(MetricExpr::Vector)];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let aggregate =
            (proptest::sample::select(&AggregateOp::ALL), any_grouping(), inner.clone()).prop_map(
                |(op, grouping, expr)| {
                    MetricExpr::Aggregate(Aggregate { op, grouping, expr: Box::new(expr) })
                },
            );
        let topk = (any::<bool>(), 1..=u32::MAX, any_grouping(), inner.clone()).prop_map(
            |(bottom, k, grouping, expr)| {
                MetricExpr::TopK(TopK { bottom, k, grouping, expr: Box::new(expr) })
            },
        );
        prop_oneof![aggregate, topk, binary(inner)]
    })
}

/// Any operator between two series, or any but a set operator between a series and a number.
fn binary(inner: BoxedStrategy<MetricExpr>) -> impl Strategy<Value = MetricExpr> {
    let scalar = number().prop_map(MetricExpr::Number);
    let right = prop_oneof![3 => inner.clone(), 1 => scalar];
    let op = proptest::sample::select(&BinaryOp::ALL);
    (op, any::<bool>(), any::<bool>(), inner, right).prop_map(|(op, return_bool, swap, a, b)| {
        let op = if op.is_set() && b.is_scalar() { BinaryOp::Pow } else { op };
        let (left, right) = if swap { (b, a) } else { (a, b) };
        let return_bool = return_bool && op.is_comparison();
        MetricExpr::Binary(Binary { op, return_bool, left: Box::new(left), right: Box::new(right) })
    })
}

fn any_expr() -> impl Strategy<Value = Expr> {
    prop_oneof![
        log_expr().prop_map(Expr::Log),
        series().prop_map(Expr::Metric),
        number().prop_map(|number| Expr::Metric(MetricExpr::Number(number))),
    ]
}

/// Pieces of LogQL, glued at random: near enough to reach every corner of the grammar.
#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn almost_logql() -> impl Strategy<Value = String> {
    const PIECES: [&str; 62] = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "!=",
        "=~",
        "!~",
        "|=",
        "|~",
        "|>",
        "!>",
        "|",
        "==",
        ">",
        ">=",
        "<",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        ".",
        "{app=\"web\"}",
        "app",
        "level",
        "\"a\"",
        "`b`",
        "\"",
        "`",
        "\\",
        "\"\\x",
        "\"\\u00e9\"",
        "5m",
        "1",
        "1.5e3",
        "0x",
        "9e999",
        "10KB",
        "rate(",
        "sum",
        "by (a)",
        "without",
        "topk(1,",
        "vector(1)",
        "or",
        "and",
        "unless",
        "bool",
        "on",
        "offset",
        "json",
        "drop a",
        "ip",
        " ",
        "\n",
        "#",
        "é",
    ];
    proptest::collection::vec(proptest::sample::select(&PIECES), 0..24)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_tree(expr in any_expr()) {
        let options = ParseOptions { allow_empty_selector: true };
        let text = expr.to_string();
        let parsed = parse(&text, options);
        prop_assert!(parsed.is_ok(), "{}", parsed.expect_err("an error"));
        prop_assert_eq!(parsed.expect("checked"), expr, "{}", text);
    }

    #[test]
    fn no_text_panics(query in prop_oneof![almost_logql(), ".{0,40}"]) {
        match parse(&query, STRICT) {
            Ok(expr) => prop_assert_eq!(parse(&expr.to_string(), STRICT), Ok(expr)),
            Err(error) => {
                prop_assert!(query.is_char_boundary(error.offset));
                prop_assert!(!error.message.contains('\n'));
                let place = format!("parse error at line {}, col {}: ", error.line, error.column);
                prop_assert!(error.to_string().starts_with(&place));
            }
        }
    }
}

//! Each construct and its canonical text.

use super::*;
use crate::lang::ast::{
    Aggregate, AggregateOp, Grouping, LabelFilter, LineFilter, LineOp, MatchOp, RangeAgg, RangeOp,
    Stage, TopK,
};

#[test]
fn a_log_query_is_matchers_and_stages() {
    let parsed = parse(
        r#"{app="web", host!="h", task=~"a|b", file!~"x.*"} |= "a" or `b` | level="e" | drop x, y"#,
        STRICT,
    );
    let line = LineFilter { op: LineOp::Contains, alternatives: vec![b"a".into(), b"b".into()] };
    let expected = LogExpr {
        matchers: vec![
            matcher("app", MatchOp::Eq, "web"),
            matcher("host", MatchOp::Ne, "h"),
            matcher("task", MatchOp::Re, "a|b"),
            matcher("file", MatchOp::Nre, "x.*"),
        ],
        stages: vec![
            Stage::Line(line),
            Stage::Label(LabelFilter::Match(matcher("level", MatchOp::Eq, "e"))),
            Stage::Drop(vec!["x".into(), "y".into()]),
        ],
    };
    assert_eq!(parsed, Ok(Expr::Log(expected)));
}

#[test]
fn a_metric_query_is_a_tree() {
    let parsed = parse(r#"topk(2, sum by (app) (rate({a="b"}[5m] offset -1m)))"#, STRICT);
    let log = LogExpr { matchers: vec![matcher("a", MatchOp::Eq, "b")], stages: vec![] };
    let range =
        RangeAgg { op: RangeOp::Rate, log, range_ns: 300_000_000_000, offset_ns: -60_000_000_000 };
    let sum = MetricExpr::Aggregate(Aggregate {
        op: AggregateOp::Sum,
        grouping: Some(Grouping { without: false, labels: vec!["app".into()] }),
        expr: Box::new(MetricExpr::Range(range)),
    });
    let topk = TopK { bottom: false, k: 2, grouping: None, expr: Box::new(sum) };
    assert_eq!(parsed, Ok(Expr::Metric(MetricExpr::TopK(topk))));
}

#[test]
fn selectors() {
    prints(&[
        (r#"{app="web"}"#, r#"{app="web"}"#),
        (" {\n app = `web` , # the shop\n host!~\"\" } ", r#"{app="web", host!~""}"#),
        (
            r#"{by="x", offset="y", sum="z", json="w"}"#,
            r#"{by="x", offset="y", sum="z", json="w"}"#,
        ),
        (r#"{app="a\xff\u00e9\n"}"#, r#"{app="a\xffé\n"}"#),
        (r#"(({app="web"} |= "x"))"#, r#"{app="web"} |= "x""#),
        (r#"{app!=""}"#, r#"{app!=""}"#),
        (r#"{app=~".+"}"#, r#"{app=~".+"}"#),
        (r#"{app!~".*", b=""}"#, r#"{app!~".*", b=""}"#),
    ]);
}

#[test]
fn line_filters() {
    prints(&[
        (
            r#"{a="b"} |= "c" != "d" |~ "e.f" !~ `g\d`"#,
            r#"{a="b"} |= "c" != "d" |~ "e.f" !~ "g\\d""#,
        ),
        (r#"{a="b"}!="x"or"y" OR "z""#, r#"{a="b"} != "x" or "y" or "z""#),
        (r#"{a="b"} |= """#, r#"{a="b"} |= """#),
        (r#"{a="b"} |= "\"\\\t\x00""#, r#"{a="b"} |= "\"\\\t\u0000""#),
        (r#"{a="b"} | l="x" != "y" | m="z""#, r#"{a="b"} | l="x" != "y" | m="z""#),
    ]);
}

#[test]
fn label_filters() {
    prints(&[
        (r#"{a="b"} | l="x" and m="y" or n="z""#, r#"{a="b"} | l="x" and m="y" or n="z""#),
        (r#"{a="b"} | l="x" and (m="y" or n="z")"#, r#"{a="b"} | l="x" and (m="y" or n="z")"#),
        (r#"{a="b"} | (l="x" or m="y") OR n="z""#, r#"{a="b"} | l="x" or m="y" or n="z""#),
        (r#"{a="b"} | (l="x" and m="y") and n="z""#, r#"{a="b"} | l="x" and m="y" and n="z""#),
        (r#"{a="b"} | l="x", m="y" n="z""#, r#"{a="b"} | l="x" and m="y" and n="z""#),
        // A comma's right side reaches as far as it can, its left side only to the next word.
        (r#"{a="b"} | l="x", m="y" or n="z""#, r#"{a="b"} | l="x" and (m="y" or n="z")"#),
        (r#"{a="b"} | l="x" or m="y", n="z""#, r#"{a="b"} | l="x" or m="y" and n="z""#),
        (r#"{a="b"} | ((l=~"x"))"#, r#"{a="b"} | l=~"x""#),
    ]);
}

#[test]
fn drop_takes_names() {
    prints(&[
        (r#"{a="b"} | drop __error__"#, r#"{a="b"} | drop __error__"#),
        (r#"{a="b"} | DROP c,d |= "e""#, r#"{a="b"} | drop c, d |= "e""#),
    ]);
}

#[test]
fn ranges() {
    prints(&[
        (r#"count_over_time({a="b"}[5m])"#, r#"count_over_time({a="b"} [5m])"#),
        (r#"rate({a="b"} |= "x" [5m])"#, r#"rate({a="b"} |= "x" [5m])"#),
        (r#"rate({a="b"}[5m] |= "x")"#, r#"rate({a="b"} |= "x" [5m])"#),
        (r#"rate({a="b"}[5m] offset 1m |= "x")"#, r#"rate({a="b"} |= "x" [5m] offset 1m)"#),
        (r#"bytes_rate(({a="b"} |= "x")[1h30m])"#, r#"bytes_rate({a="b"} |= "x" [1h30m])"#),
        (r#"bytes_over_time(({a="b"}[90m]))"#, r#"bytes_over_time({a="b"} [1h30m])"#),
        (r#"rate({a="b"}[15000ms] offset -1d)"#, r#"rate({a="b"} [15s] offset -1d)"#),
        (r#"rate({a="b"}[8d] offset 0s)"#, r#"rate({a="b"} [1w1d])"#),
        (r#"rate({a="b"}[1.5us])"#, r#"rate({a="b"} [1us500ns])"#),
        (
            r#"sum by (level, detected_level) (count_over_time({a="b"} | drop __error__[1s]))"#,
            r#"sum by (level, detected_level) (count_over_time({a="b"} | drop __error__ [1s]))"#,
        ),
    ]);
}

#[test]
fn aggregations() {
    prints(&[
        ("sum(vector(1))", "sum(vector(1))"),
        ("SUM BY(a)(vector(1))", "sum by (a) (vector(1))"),
        ("avg(vector(1))by(a,b)", "avg by (a, b) (vector(1))"),
        ("min without () (vector(1))", "min without () (vector(1))"),
        ("max(vector(1)) without (a)", "max without (a) (vector(1))"),
        ("count(vector(-1.5))", "count(vector(-1.5))"),
        ("topk(3, vector(1))", "topk(3, vector(1))"),
        ("bottomk by (a) (1, vector(1))", "bottomk by (a) (1, vector(1))"),
        ("topk(1, vector(1)) by (a)", "topk by (a) (1, vector(1))"),
    ]);
}

#[test]
fn operators_bind_as_in_prometheus() {
    prints(&[
        ("1+1*2^3", "1 + 1 * 2 ^ 3"),
        ("(1+1)*2", "(1 + 1) * 2"),
        ("2^3^2", "2 ^ 3 ^ 2"),
        ("(2^3)^2", "(2 ^ 3) ^ 2"),
        ("1-(2-3)-4", "1 - (2 - 3) - 4"),
        ("((1-2)-3)", "1 - 2 - 3"),
        ("-2^2", "-2 ^ 2"),
        ("1--1", "1 - -1"),
        ("+.5e1 % 0x10", "5 % 16"),
        ("1 > bool 2 == 3", "1 > bool 2 == 3"),
        (
            "vector(1) or vector(2) and vector(3) unless vector(4)",
            "vector(1) or vector(2) and vector(3) unless vector(4)",
        ),
        ("(vector(1) OR vector(2)) > 1", "(vector(1) or vector(2)) > 1"),
        ("1e300 * 1e-9", "1e300 * 1e-9"),
        (
            r#"sum(rate({a="b"}[1m])) / sum(rate({c="d"}[1m])) != 0.2"#,
            r#"sum(rate({a="b"} [1m])) / sum(rate({c="d"} [1m])) != 0.2"#,
        ),
    ]);
}

#[test]
fn a_log_query_or_a_selector_alone_can_be_asked_for() {
    assert_eq!(parse_log(r#"{a="b"} |= "c""#, STRICT).expect("log").stages.len(), 1);
    assert_eq!(parse_log("vector(1)", STRICT).expect_err("numbers").offset, 0);
    let matchers = parse_selector(r#" {a="b"} "#, STRICT).expect("a selector");
    assert_eq!(matchers, [matcher("a", MatchOp::Eq, "b")]);
    let error = parse_selector(r#"{a="b"} |= "c""#, STRICT).expect_err("a pipeline");
    assert_eq!(error.column, 9);
    assert_eq!(error.message, "unexpected `|=`, expected the end: only a selector can stand here");
    assert_eq!(parse_selector("", STRICT).expect_err("nothing").column, 1);
}

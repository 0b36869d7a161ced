//! Each mistake with its place and its exact message.

use super::*;

#[test]
fn errors_stand_where_lokis_stand() {
    use ErrorKind::{Syntax, Unsupported};
    refuses(
        Syntax,
        &[
            (
                r#"{app="web"} | jsn"#,
                18,
                "unexpected end of the query, expected `=`, `!=`, `=~` or `!~` after `jsn`, which is \
                 no stage and so a label",
            ),
            (
                r#"sum by (app) ({app="web"})"#,
                26,
                "unexpected `)`: a selector gives lines, and numbers are needed here; count the \
                 lines, as in count_over_time({app=\"web\"}[5m])",
            ),
            (
                r#"{app="web"} |= error"#,
                16,
                "unexpected `error`, expected a text in quotes, as in \"error\"",
            ),
            (
                r#"{app="web"} | logfmx="" | status >="#,
                36,
                "unexpected end of the query, expected a number, a duration or a size",
            ),
            (r#"rate({app="web"} | dur="x" [1m]"#, 32, "unexpected end of the query, expected `)`"),
        ],
    );
    refuses(
        Unsupported,
        &[
            (r#"{app="web"} | logfmt | status >="#, 15, "`logfmt` is not supported yet"),
            (r#"rate({app="web"} | unwrap dur [1m]"#, 20, "`unwrap` is not supported yet"),
        ],
    );
}

#[test]
fn an_error_shows_its_place() {
    let error = parse("{app=\"web\"}\n\t|= error # wrong", STRICT).expect_err("no quotes");
    assert_eq!((error.offset, error.line, error.column), (16, 2, 5));
    assert_eq!(
        error.to_string(),
        "parse error at line 2, col 5: unexpected `error`, expected a text in quotes, as in \
         \"error\"\n\t|= error # wrong\n\t   ^"
    );
}

#[test]
fn mistakes_in_selectors() {
    refuses(
        ErrorKind::Syntax,
        &[
            ("", 1, "the query is empty; write a selector such as {app=\"web\"}"),
            (" # all comment", 1, "the query is empty; write a selector such as {app=\"web\"}"),
            ("{", 2, "unexpected end of the query, expected a label name"),
            (
                "{app",
                5,
                "unexpected end of the query, expected `=`, `!=`, `=~` or `!~` after the label name `app`",
            ),
            ("{app=web}", 6, "unexpected `web`, expected a text in quotes, as in \"error\""),
            (r#"{app="a" b="c"}"#, 10, "unexpected `b`, expected `,` or `}`"),
            (r#"{app="a",}"#, 10, "unexpected `}`, expected a label name"),
            (r#"{app="a}"#, 6, "the text that starts here is not closed, expected `\"`"),
            (
                r#"{app='a'}"#,
                6,
                "unexpected `'`: a text stands in \"double quotes\" or `backticks`",
            ),
        ],
    );
}

#[test]
fn mistakes_in_pipelines() {
    refuses(
        ErrorKind::Syntax,
        &[
            (
                r#"{app="a"} level="b""#,
                11,
                "unexpected `level`, expected a filter such as |= \"error\", a stage such as | \
                 level=\"error\", or the end of the query",
            ),
            (
                r#"{app="a"}[5m]"#,
                10,
                "unexpected `[`: a range goes inside a function, as in \
                 count_over_time({app=\"web\"}[5m])",
            ),
            (
                r#"{app="a"} | | x="y""#,
                13,
                "unexpected `|`, expected a stage or a label filter, such as level=\"error\"",
            ),
            (r#"{app="a"} | (x="y""#, 19, "unexpected end of the query, expected `)`"),
            (
                r#"{app="a"} | drop"#,
                17,
                "unexpected end of the query, expected the name of a label to drop",
            ),
            (
                r#"{app="a"} | x="y" or"#,
                21,
                "unexpected end of the query, expected a stage or a label filter, such as level=\"error\"",
            ),
            (
                r#"{app="a"} | x > "y""#,
                17,
                "unexpected text \"y\", expected a number, a duration or a size",
            ),
        ],
    );
}

#[test]
fn mistakes_in_ranges() {
    refuses(
        ErrorKind::Syntax,
        &[
            (
                r#"rate({app="a"})"#,
                15,
                "unexpected `)`, expected a range such as [5m], because `rate` looks back over one",
            ),
            (
                r#"rate({app="a"}[5])"#,
                16,
                "unexpected `5`, expected a duration such as 5m, with its unit",
            ),
            (
                r#"rate({app="a"}[$__auto])"#,
                16,
                "`$__auto` is a variable that Grafana fills in; write the value itself, such as 5m",
            ),
            (r#"rate({app="a"}[0s])"#, 16, "a range of 0 has no entries; write one such as 5m"),
            (r#"rate({app="a"}[-5m])"#, 16, "unexpected `-`, expected a duration such as 5m"),
            (
                r#"rate({app="a"}[5m] offset)"#,
                26,
                "unexpected `)`, expected a duration such as 1h after `offset`",
            ),
            (
                r#"rate({app="a"}[5m]) by (x)"#,
                21,
                "unexpected `by`, expected no grouping after `rate`; group the series around it, \
                 as in sum by (app) (rate(…))",
            ),
            (r#"rate({app="a"} |= "x" [5m] |= "y")"#, 28, "unexpected `|=`, expected `)`"),
            (
                "rate(vector(1)[5m])",
                6,
                "unexpected `vector`, expected a selector such as {app=\"web\"}",
            ),
            (
                "foo(1)",
                1,
                "unexpected `foo`, expected a selector such as {app=\"web\"}, a function such as \
                 rate(…) or sum(…), a number or `(`",
            ),
        ],
    );
}

#[test]
fn mistakes_in_aggregations() {
    refuses(
        ErrorKind::Syntax,
        &[
            ("sum vector(1)", 5, "unexpected `vector`, expected `(`"),
            ("sum by app (vector(1))", 8, "unexpected `app`, expected `(`"),
            ("sum by (a b) (vector(1))", 11, "unexpected `b`, expected `,` or `)`"),
            (
                "sum by (a) (vector(1)) by (b)",
                24,
                "unexpected `by`, expected one grouping, before the parenthesis or behind it",
            ),
            ("sum(1 + 1)", 5, "`sum` merges series, and this is a plain number; write vector(…)"),
            ("topk(vector(1))", 6, "unexpected `vector`, expected a number"),
            ("topk(0, vector(1))", 6, "`topk` keeps a whole number of series, at least 1, not 0"),
            (
                "bottomk(1.5, vector(1))",
                9,
                "`bottomk` keeps a whole number of series, at least 1, not 1.5",
            ),
        ],
    );
}

#[test]
fn mistakes_between_operators() {
    refuses(
        ErrorKind::Syntax,
        &[
            ("vector(x)", 8, "unexpected `x`, expected a number"),
            (
                "1 +",
                4,
                "unexpected end of the query, expected a selector such as {app=\"web\"}, a function such as rate(…) or sum(…), a number or `(`",
            ),
            (
                "1 2",
                3,
                "unexpected `2`, expected an operator such as + or >, or the end of the query",
            ),
            (
                "-(1)",
                2,
                "unexpected `(`, expected a number after the sign; to negate an expression write -1 * (…)",
            ),
            ("1 + bool 2", 5, "unexpected `bool`: it goes with comparisons, not with `+`"),
            (
                "vector(1) or 1",
                11,
                "`or` joins series, and one side is a plain number; write vector(…)",
            ),
            (
                r#"1 + {app="a"}"#,
                14,
                "unexpected end of the query: a selector gives lines, and numbers are needed here; \
                 count the lines, as in count_over_time({app=\"web\"}[5m])",
            ),
            ("vector(1) && 1", 11, "unexpected `&`: write `and`"),
            (
                "5m",
                1,
                "unexpected `5m`, expected a selector such as {app=\"web\"}, a function such as rate(…) or sum(…), a number or `(`",
            ),
        ],
    );
}

#[test]
fn what_is_not_built_yet_is_said_to_be_so() {
    let stages = [
        ("json", r#"json a="b""#),
        ("logfmt", "logfmt --strict"),
        ("xml", "xml"),
        ("pattern", "pattern `<_>`"),
        ("regexp", "regexp `x`"),
        ("unpack", "unpack"),
        ("line_format", r#"line_format "x""#),
        ("label_format", "label_format a=b"),
        ("keep", "keep a"),
        ("decolorize", "decolorize"),
        ("unwrap", "UNWRAP bytes(a)"),
    ];
    for (name, stage) in stages {
        let expected = (ErrorKind::Unsupported, 11, format!("`{name}` is not supported yet"));
        assert_eq!(refused(&format!("{{a=\"b\"}} | {stage}")), expected);
    }
    refuses(
        ErrorKind::Unsupported,
        &[
            (r#"{a="b"} |> "<_>x""#, 9, "the pattern filter `|>` is not supported yet"),
            (r#"{a="b"} !> "<_>x""#, 9, "the pattern filter `!>` is not supported yet"),
            (r#"{a="b"} |= ip("10.0.0.0/8")"#, 12, "`ip(…)` in a line filter is not supported yet"),
            (r#"{a="b"} | c=ip("1.1.1.1")"#, 13, "`ip(…)` in a label filter is not supported yet"),
            (r#"{a="b"} | c=404"#, 13, "comparing a label with a number is not supported yet"),
            (
                r#"{a="b"} | c >= 1.5s"#,
                16,
                "comparing a label with a duration is not supported yet",
            ),
            (r#"{a="b"} | c == 10KB"#, 16, "comparing a label with a size is not supported yet"),
            (
                r#"{a="b"} | drop c="d""#,
                17,
                "dropping a label only where it has a certain value is not supported yet",
            ),
            ("vector(1) + on (a) vector(1)", 13, "`on` is not supported yet"),
            ("vector(1) > bool ignoring (a) vector(1)", 18, "`ignoring` is not supported yet"),
            ("absent_over_time({a=\"b\"}[5m])", 1, "`absent_over_time` is not supported yet"),
            ("1 + quantile_over_time(0.9, x)", 5, "`quantile_over_time` is not supported yet"),
            ("label_replace(x)", 1, "`label_replace` is not supported yet"),
        ],
    );
}

#[test]
fn a_selector_must_select() {
    let expected = "queries require at least one regexp or equality matcher that does not have an \
                    empty-compatible value. For instance, app=~\".*\" does not meet this \
                    requirement, but app=~\".+\" will";
    for query in ["{}", r#"{app=~".*"}"#, r#"{app=""}"#, r#"{app!="x", b!~"y"}"#, r#"{a=~"x|"}"#] {
        refuses(ErrorKind::Selector, &[(query, 1, expected)]);
        let options = ParseOptions { allow_empty_selector: true };
        assert_eq!(parse(query, options).expect(query).to_string(), query);
    }
    refuses(ErrorKind::Selector, &[("sum(rate({}[1m]))", 10, expected)]);
}

#[test]
fn regular_expressions_must_compile() {
    refuses(
        ErrorKind::Regex,
        &[
            (r#"{app=~"("}"#, 7, "the regular expression `(` does not compile: unclosed group"),
            (
                r#"{app="a"} |~ "a)""#,
                14,
                "the regular expression `a)` does not compile: unopened group",
            ),
            (
                r#"{app="a"} !~ "a" or "[""#,
                21,
                "the regular expression `[` does not compile: unclosed character class",
            ),
            (
                r#"{app="a"} | x=~"*""#,
                16,
                "the regular expression `*` does not compile: repetition operator missing expression",
            ),
            (
                r#"{app="a"} |~ "\xff""#,
                14,
                "the regular expression `\u{fffd}` does not compile: it is not UTF-8; inside a \
                 regular expression write such a byte as (?-u:\\xHH)",
            ),
        ],
    );
    assert!(parse(r#"{app="a"} |= "(""#, STRICT).is_ok());
}

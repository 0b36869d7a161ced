//! Plain words and what they compile to, shown as LogQL.

use super::*;

const PLAIN: PlainOptions = PlainOptions { ignore_case: false, invert: false };
const IGNORE_CASE: PlainOptions = PlainOptions { ignore_case: true, invert: false };
const INVERT: PlainOptions = PlainOptions { ignore_case: false, invert: true };
const BOTH: PlainOptions = PlainOptions { ignore_case: true, invert: true };

#[track_caller]
fn check(words: &str, options: PlainOptions, expected: &str) {
    assert_eq!(compile(words, options).expect(words).to_string(), expected);
}

#[test]
fn words_are_line_filters_in_order() {
    check("timeout after", PLAIN, r#"{} |= "timeout" |= "after""#);
    check(r#""two words" -debug"#, PLAIN, r#"{} |= "two words" != "debug""#);
    check("http://x:80 foo:bar", PLAIN, r#"{} |= "http://x:80" |= "foo:bar""#);
    check("", PLAIN, "{}");
    check(" \n", PLAIN, "{}");
}

#[test]
fn labels_are_matchers() {
    check("host:web1 -stream:stderr x", PLAIN, r#"{host="web1", stream!="stderr"} |= "x""#);
    check("host:web-* -task:a.*", PLAIN, r#"{host=~"web\\-.*", task!~"a\\..*"}"#);
    check(r#"host:"a*""#, PLAIN, r#"{host="a*"}"#);
}

#[test]
fn an_app_is_found_by_its_last_parts() {
    check("app:checkout", PLAIN, r#"{app=~"(?:.*/)?checkout"}"#);
    check("app:shop/check*", PLAIN, r#"{app=~"(?:.*/)?shop/check.*"}"#);
    check("app:/shop/checkout", PLAIN, r#"{app="/shop/checkout"}"#);
    check("app:/shop/*", PLAIN, r#"{app=~"/shop/.*"}"#);
    check("-app:a.b", PLAIN, r#"{app!~"(?:.*/)?a\\.b"}"#);
    check(r#"app:"a*b""#, PLAIN, r#"{app=~"(?:.*/)?a\\*b"}"#);
    check(r#"app:"""#, PLAIN, r#"{app=""}"#);
}

#[test]
fn an_app_pattern_matches_what_it_says() {
    let Expr::Log(log) = compile("app:check.out", PLAIN).expect("words") else { panic!("no log") };
    let regex = crate::lang::pattern::anchored(&log.matchers[0].value).expect("compiles");
    let fits = |value: &str| regex.is_match(value.as_bytes());
    assert!(fits("check.out") && fits("/shop/check.out") && fits("/check.out"));
    assert!(!fits("recheck.out") && !fits("check.out/x") && !fits("check-out"));
}

#[test]
fn a_level_is_a_stage() {
    check("level:ERROR x", PLAIN, r#"{} | level="error" |= "x""#);
    check("-detected_level:debug", PLAIN, r#"{} | level!="debug""#);
    check("level:*", PLAIN, r#"{} | level=~".*""#);
}

#[test]
fn case_is_ignored_in_words_only() {
    check("a.b -c host:H", IGNORE_CASE, r#"{host="H"} |~ "(?i)a\\.b" !~ "(?i)c""#);
}

#[test]
fn invert_turns_the_words_around() {
    check("x host:h level:warn", INVERT, r#"{host="h"} | level="warn" != "x""#);
    check("-x", INVERT, r#"{} |= "x""#);
    check("x", BOTH, r#"{} !~ "(?i)x""#);
    check("x -y", INVERT, r#"{} | not (|= "x" != "y")"#);
    let Expr::Log(log) = compile("x y", INVERT).expect("words") else { panic!("no log") };
    let contains = |text: &str| {
        let alternatives = vec![text.as_bytes().to_vec()];
        Stage::Line(LineFilter { op: LineOp::Contains, alternatives })
    };
    assert_eq!(log.stages, [Stage::Not(vec![contains("x"), contains("y")])]);
    let error = compile("host:h", INVERT).expect_err("no word");
    assert_eq!((error.kind, error.offset), (ErrorKind::Usage, 0));
}

#[test]
fn logql_is_taken_as_it_is() {
    check(r#" {app="a"} |= "x""#, PLAIN, r#"{app="a"} |= "x""#);
    check("{}", PLAIN, "{}");
    check(r#"sum by (app) (rate({app="a"}[5m]))"#, PLAIN, r#"sum by (app) (rate({app="a"} [5m]))"#);
    check(r#"RATE ({app="a"}[5m])"#, PLAIN, r#"rate({app="a"} [5m])"#);
    check(r#"60 * rate({app="a"}[5m])"#, PLAIN, r#"60 * rate({app="a"} [5m])"#);
    check(r#"(rate({app="a"}[5m]))"#, PLAIN, r#"rate({app="a"} [5m])"#);
    check(r#"({app="a"})"#, PLAIN, r#"{app="a"}"#);
}

#[test]
fn what_only_looks_like_logql_is_words() {
    check("404", PLAIN, r#"{} |= "404""#);
    check("404 timeout", PLAIN, r#"{} |= "404" |= "timeout""#);
    check("10-20", PLAIN, r#"{} |= "10-20""#);
    check("panic() in main", PLAIN, r#"{} |= "panic()" |= "in" |= "main""#);
    check("rate limit", PLAIN, r#"{} |= "rate" |= "limit""#);
    check("sum by hand", PLAIN, r#"{} |= "sum" |= "by" |= "hand""#);
    check("(null)", PLAIN, r#"{} |= "(null)""#);
}

#[test]
fn case_is_ignored_in_the_line_filters_of_logql() {
    check(
        r#"{app="A"} |= "a.b" or "c" != "d" |~ "e|f" | level="G" | drop h"#,
        IGNORE_CASE,
        r#"{app="A"} |~ "(?i)a\\.b" or "(?i)c" !~ "(?i)d" |~ "(?i)e|f" | level="G" | drop h"#,
    );
    check(
        r#"topk(1, sum(rate({app="A"} |= "x"[1m])) / rate({app="B"} |= "y"[1m]))"#,
        IGNORE_CASE,
        r#"topk(1, sum(rate({app="A"} |~ "(?i)x" [1m])) / rate({app="B"} |~ "(?i)y" [1m]))"#,
    );
}

#[test]
fn refuses_with_a_place() {
    let text = |words: &str, options| compile(words, options).expect_err(words).to_string();
    assert_eq!(
        text(r#"a "b"#, PLAIN),
        "parse error at line 1, col 3: the text that starts here is not closed, expected `\"`\na \"b\n  ^"
    );
    assert_eq!(
        text(r#" {app="a"}"#, INVERT),
        "parse error at line 1, col 2: inverting goes with plain words; in LogQL write != in place of |=, and !~ in place of |~, in the query itself\n {app=\"a\"}\n ^"
    );
    assert_eq!(compile("sum(", PLAIN).expect_err("LogQL").kind, ErrorKind::Syntax);
    let many = "x ".repeat(PATTERNS_MAX + 1);
    assert!(compile(&many, PLAIN).is_ok());
    assert_eq!(compile(&many, IGNORE_CASE).expect_err("many").kind, ErrorKind::Limit);
    let many = format!("{{}}{}", "|= \"x\"".repeat(PATTERNS_MAX + 1));
    assert!(compile(&many, PLAIN).is_ok());
    assert_eq!(compile(&many, IGNORE_CASE).expect_err("many").kind, ErrorKind::Limit);
    let long = "x".repeat(crate::lang::QUERY_BYTES_MAX + 1);
    assert_eq!(compile(&long, PLAIN).expect_err("long").kind, ErrorKind::Limit);
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_answer(
        text in r#"([ "\\:*{}()=.~|-]|app:|level:|rate|sum|é|[a-z0-9]){0,30}"#,
        ignore_case in proptest::bool::ANY,
        invert in proptest::bool::ANY,
    ) {
        if let Err(error) = compile(&text, PlainOptions { ignore_case, invert }) {
            assert!(text.is_char_boundary(error.offset));
        }
    }

    #[test]
    fn a_selector_of_words_prints_as_logql(text in "([a-z*/.]{1,6}|app:[a-z*/]{1,6}|host:[a-z]{1,3}| ){0,12}") {
        let expr = compile(&text, PLAIN).expect("words");
        let options = ParseOptions { allow_empty_selector: true };
        assert_eq!(parse(&expr.to_string(), options).expect("prints LogQL"), expr);
    }
}

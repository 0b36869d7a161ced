//! What is too long, too deep or too much is refused before it costs anything.

use super::*;

#[test]
fn limits_hold() {
    let nested = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(canonical(&nested(NESTING_MAX)), "1");
    let column = NESTING_MAX + 2;
    assert_eq!(
        refused(&nested(NESTING_MAX + 1)),
        (ErrorKind::Limit, column, "nested deeper than 64 levels".into())
    );
    for deep in ["(", "sum(", "1^", "rate((", "{a=\"b\"} | (", "-", "1+1*1^"] {
        let query = deep.repeat(100_000 / deep.len());
        assert!(parse(&query, STRICT).is_err(), "{deep}");
    }
    let commas = format!("{{a=\"b\"}} | {}", "c=\"d\",".repeat(1_000));
    assert_eq!(refused(&commas).0, ErrorKind::Limit);

    let chain = |operators: usize| format!("1{}", "+1".repeat(operators));
    assert!(parse(&chain(OPERATORS_MAX), STRICT).is_ok());
    assert_eq!(refused(&chain(OPERATORS_MAX + 1)).2, "more than 256 operators");

    let patterns = |count: usize| format!("{{a=\"b\"}}{}", "|~\"c\"".repeat(count));
    assert!(parse(&patterns(PATTERNS_MAX), STRICT).is_ok());
    assert_eq!(refused(&patterns(PATTERNS_MAX + 1)).0, ErrorKind::Limit);
}

#[test]
fn a_query_has_a_longest_length() {
    let query = |len: usize| format!("{{a=\"b\"}} |= \"{}\"", "x".repeat(len - 13));
    assert_eq!(query(20).len(), 20);
    assert!(parse(&query(QUERY_BYTES_MAX), STRICT).is_ok());
    assert_eq!(
        refused(&query(QUERY_BYTES_MAX + 1)).2,
        "the query has 131073 bytes, at most 131072 are allowed"
    );
}

#[test]
fn long_chains_without_nesting_are_fine() {
    let query = format!("{{a=\"b\"}} | c=\"d\"{}", " or c=\"d\"".repeat(2_000));
    assert_eq!(canonical(&query), query);
}

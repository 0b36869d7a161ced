//! What the tests of the parser share.

mod accepted;
mod limits;
mod refused;
mod round_trip;

use super::*;
use crate::lang::ast::MatchOp;

const STRICT: ParseOptions = ParseOptions { allow_empty_selector: false };

/// Parses and prints.
#[track_caller]
fn canonical(query: &str) -> String {
    parse(query, STRICT).unwrap_or_else(|error| panic!("{error}")).to_string()
}

#[track_caller]
fn prints(cases: &[(&str, &str)]) {
    for (query, expected) in cases {
        assert_eq!(canonical(query), *expected, "{query}");
    }
}

/// Kind, column and message of the error in a query of one line.
#[track_caller]
fn refused(query: &str) -> (ErrorKind, usize, String) {
    let error = parse(query, STRICT).expect_err(query);
    assert_eq!(error.line, 1, "{query}");
    (error.kind, error.column, error.message)
}

#[track_caller]
fn refuses(kind: ErrorKind, cases: &[(&str, usize, &str)]) {
    for (query, column, message) in cases {
        assert_eq!(refused(query), (kind, *column, (*message).to_owned()), "{query}");
    }
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher { name: name.into(), op, value: value.as_bytes().to_vec() }
}

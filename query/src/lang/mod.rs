//! LogQL, the query language: text to tree ([`parse`]), tree to text (`Display`), and plain words
//! typed by a person to the same tree ([`compile`]). Nothing here reads a log or runs a query.

mod ast;
mod error;
mod parse;
pub mod pattern;
mod plain;
mod print;

pub use ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Expr, Grouping, LabelFilter, LineFilter, LineOp,
    LogExpr, MatchOp, Matcher, MetricExpr, RangeAgg, RangeOp, Stage, TopK,
};
pub use error::{ErrorKind, ParseError};
pub use parse::{
    NESTING_MAX, OPERATORS_MAX, PATTERNS_MAX, ParseOptions, QUERY_BYTES_MAX, parse, parse_log,
    parse_selector,
};
pub use plain::{PlainOptions, compile};

//! The LogQL parser: `nom` cuts the text into tokens, one file per construct puts them together.
//! It holds one token at a time, its recursion is bounded, and the first mistake ends it.

mod binary;
mod label_filter;
mod metric;
mod number;
mod pipeline;
mod range;
mod selector;
mod text;
mod token;

use super::ast::{Expr, LogExpr, Matcher, MetricExpr};
use super::error::{ErrorKind, Fault, ParseError};
use token::{Kind, Token};

pub(super) use metric::is_function;
pub(super) use number::UNITS;
pub(super) use token::word;

/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 128 * 1024;
/// How deep parentheses, functions and right-hand sides may be nested.
pub const NESTING_MAX: usize = 64;
/// The most binary operators in one query. With [`NESTING_MAX`] it bounds the height of the tree.
pub const OPERATORS_MAX: usize = 256;
/// The most regular expressions in one query: each is compiled to see whether it compiles.
pub const PATTERNS_MAX: usize = 64;

/// What the caller allows beyond Loki's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Accept a selector that selects every stream, as `{}` does.
    pub allow_empty_selector: bool,
}

/// Parses a log or metric query.
///
/// # Errors
/// The first mistake, with its place.
pub fn parse(query: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    whole(query, options).map_err(|fault| fault.locate(query))
}

/// Parses a query that answers with lines, as live tail and context need it.
///
/// # Errors
/// The first mistake, with its place; also when it is a metric query.
pub fn parse_log(query: &str, options: ParseOptions) -> Result<LogExpr, ParseError> {
    match parse(query, options)? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(Fault::syntax(
            0,
            "this query answers with numbers, and lines are needed here; write a selector such as \
             {app=\"web\"}, with filters behind it if needed",
        )
        .locate(query)),
    }
}

/// Parses a selector alone, as `match[]` carries it.
///
/// # Errors
/// The first mistake, with its place; also when anything but one selector is there.
pub fn parse_selector(query: &str, options: ParseOptions) -> Result<Vec<Matcher>, ParseError> {
    let parsed = start(query, options).and_then(|mut parser| {
        let matchers = parser.selector()?;
        match parser.token.kind {
            Kind::End => Ok(matchers),
            _ => Err(parser.unexpected("the end: only a selector can stand here")),
        }
    });
    parsed.map_err(|fault| fault.locate(query))
}

fn start(query: &str, options: ParseOptions) -> Result<Parser<'_>, Fault> {
    check_len(query)?;
    let token = token::at(query, 0)?;
    Ok(Parser { source: query, token, options, depth: 0, operators: 0, patterns: 0 })
}

/// Refuses what is longer than [`QUERY_BYTES_MAX`].
pub(super) fn check_len(query: &str) -> Result<(), Fault> {
    if query.len() <= QUERY_BYTES_MAX {
        return Ok(());
    }
    let found = query.len();
    let message = format!("the query has {found} bytes, at most {QUERY_BYTES_MAX} are allowed");
    Err(Fault::new(ErrorKind::Limit, QUERY_BYTES_MAX, message))
}

fn whole(query: &str, options: ParseOptions) -> Result<Expr, Fault> {
    let mut parser = start(query, options)?;
    if parser.token.kind == Kind::End {
        return Err(Fault::syntax(0, "the query is empty; write a selector such as {app=\"web\"}"));
    }
    let expr = parser.expression()?;
    if parser.token.kind == Kind::End {
        return Ok(expr);
    }
    Err(parser.left_over(&expr))
}

/// The state of one parse. The methods are spread over the files of this directory by construct.
struct Parser<'q> {
    source: &'q str,
    /// The next token, not yet consumed.
    token: Token,
    options: ParseOptions,
    /// How many [`Parser::nested`] calls are running.
    depth: usize,
    /// Binary operators so far.
    operators: usize,
    /// Regular expressions so far.
    patterns: usize,
}

impl<'q> Parser<'q> {
    /// Consumes the token and returns it.
    fn advance(&mut self) -> Result<Token, Fault> {
        let next = token::at(self.source, self.token.end)?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.token.kind, Kind::Symbol(found) if found == symbol)
    }

    /// Consumes the symbol if it is next.
    fn eat(&mut self, symbol: &str) -> Result<bool, Fault> {
        let found = self.is(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Consumes the symbol, which must be next.
    fn expect(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.eat(symbol)? {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`")))
    }

    /// The next token as a word; keywords are words too.
    fn word(&self) -> Option<&'q str> {
        match self.token.kind {
            Kind::Word => Some(&self.source[self.token.start..self.token.end]),
            _ => None,
        }
    }

    /// Whether the next token is this keyword, in any case.
    fn is_word(&self, keyword: &str) -> bool {
        self.word().is_some_and(|word| word.eq_ignore_ascii_case(keyword))
    }

    /// Consumes the keyword if it is next.
    fn eat_word(&mut self, keyword: &str) -> Result<bool, Fault> {
        let found = self.is_word(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Consumes a label name.
    fn label_name(&mut self, expected: &str) -> Result<String, Fault> {
        let Some(word) = self.word() else { return Err(self.unexpected(expected)) };
        self.advance()?;
        Ok(word.to_owned())
    }

    /// `names )` after the opening parenthesis, possibly none.
    fn label_names_in_parentheses(&mut self) -> Result<Vec<String>, Fault> {
        self.expect("(")?;
        let mut names = Vec::new();
        if self.eat(")")? {
            return Ok(names);
        }
        loop {
            names.push(self.label_name("a label name")?);
            if self.eat(")")? {
                return Ok(names);
            }
            if !self.eat(",")? {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
    }

    /// Consumes a text in quotes; returns where it starts, and its bytes.
    fn text(&mut self) -> Result<(usize, Vec<u8>), Fault> {
        let start = self.token.start;
        let Kind::Text(bytes) = &mut self.token.kind else {
            return Err(self.unexpected("a text in quotes, as in \"error\""));
        };
        let bytes = std::mem::take(bytes);
        self.advance()?;
        Ok((start, bytes))
    }

    /// Runs `inner` one level deeper, and refuses when that is too deep for the stack.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == NESTING_MAX {
            let message = format!("nested deeper than {NESTING_MAX} levels");
            return Err(Fault::new(ErrorKind::Limit, self.token.start, message));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Numbers are needed; lines are refused at the token that follows them, where a range or a
    /// function would have made numbers of them.
    fn numbers(&self, expr: Expr) -> Result<MetricExpr, Fault> {
        match expr {
            Expr::Metric(metric) => Ok(metric),
            Expr::Log(_) => Err(Fault::syntax(
                self.token.start,
                format!(
                    "unexpected {}: a selector gives lines, and numbers are needed here; count \
                     the lines, as in count_over_time({{app=\"web\"}}[5m])",
                    self.found()
                ),
            )),
        }
    }

    /// What is wrong with the next token, given what could have stood here.
    fn unexpected(&self, expected: &str) -> Fault {
        Fault::syntax(self.token.start, format!("unexpected {}, expected {expected}", self.found()))
    }

    /// The next token in words.
    fn found(&self) -> String {
        token::describe(self.source, &self.token)
    }

    fn left_over(&self, expr: &Expr) -> Fault {
        match expr {
            Expr::Log(_) if self.is("[") => Fault::syntax(
                self.token.start,
                "unexpected `[`: a range goes inside a function, as in \
                 count_over_time({app=\"web\"}[5m])",
            ),
            Expr::Log(_) => self.unexpected(
                "a filter such as |= \"error\", a stage such as | level=\"error\", or the end of \
                 the query",
            ),
            Expr::Metric(_) => {
                self.unexpected("an operator such as + or >, or the end of the query")
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! What a person types into a search box or behind a command: `timeout app:checkout -debug`.
//! It becomes the same tree as LogQL does; text that is LogQL already is taken as it is.

mod ignore_case;
mod words;

use super::ast::{
    Expr, LabelFilter, LineFilter, LineOp, LogExpr, MatchOp, Matcher, MetricExpr, Stage,
};
use super::error::{ErrorKind, Fault, ParseError};
use super::parse::{self, PATTERNS_MAX, ParseOptions, parse};
use words::Word;

/// The level of an entry: the stream's label of that name, else the detected one.
const LEVEL: &str = "level";

/// What is asked for beside the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlainOptions {
    /// Letters match in either case: words, and the line filters of LogQL. Never label values.
    pub ignore_case: bool,
    /// Keep the lines that the words, taken together, would not have kept. Selectors and levels
    /// still hold.
    pub invert: bool,
}

/// Compiles LogQL or plain words.
///
/// LogQL is what starts with `{` or with a call such as `sum by (app) (` or `rate(`, and any other
/// expression that reads logs. Everything else is words, all of which must hold:
///
/// * `word` or `"two words"`: the line contains it; `-word`: it does not. In quotes, `\"` is a quote
///   and `\\` a backslash.
/// * `host:web1`, for the names of the labels that containers have: the label has this value. In an
///   unquoted value `*` stands for any text. `app:checkout` also finds `/shop/checkout`. `-host:web1`:
///   it has another value.
/// * `level:error`: the entry has this level.
/// * Any other `name:value`, and `http://…`, is a word.
///
/// Without a selector every stream is read: the list of matchers is empty.
///
/// # Errors
/// A mistake in LogQL, with its place; a quote without its end; words beyond
/// [`QUERY_BYTES_MAX`](super::QUERY_BYTES_MAX); more than [`PATTERNS_MAX`] texts that ignore case;
/// `invert` without words or with LogQL.
pub fn compile(words: &str, options: PlainOptions) -> Result<Expr, ParseError> {
    match logql(words) {
        Some(parsed) => as_logql(words, parsed?, options),
        None => from_words(words, options).map(Expr::Log).map_err(|fault| fault.locate(words)),
    }
}

/// The parsed query if the text is LogQL; `None` if it is words.
fn logql(text: &str) -> Option<Result<Expr, ParseError>> {
    let options = ParseOptions { allow_empty_selector: true };
    let trimmed = text.trim_start();
    if trimmed.starts_with('{') || starts_with_call(trimmed) {
        return Some(parse(text, options));
    }
    let arithmetic =
        trimmed.starts_with(|first: char| "(+-.".contains(first) || first.is_ascii_digit());
    if !arithmetic {
        return None;
    }
    // A number is a word that people search for; arithmetic over logs is not.
    match parse(text, options) {
        Ok(Expr::Metric(metric)) if reads_logs(&metric) => Some(Ok(Expr::Metric(metric))),
        Ok(Expr::Log(log)) => Some(Ok(Expr::Log(log))),
        _ => None,
    }
}

/// Whether the text starts with a function of LogQL and its parenthesis or grouping.
fn starts_with_call(text: &str) -> bool {
    let Ok((rest, name)) = parse::word(text) else { return false };
    if !parse::is_function(name) {
        return false;
    }
    let rest = rest.trim_start();
    let argument = match parse::word(rest) {
        Ok((after, by))
            if ["by", "without"].into_iter().any(|word| by.eq_ignore_ascii_case(word)) =>
        {
            after.trim_start()
        }
        _ => rest,
    };
    argument.starts_with('(')
}

fn reads_logs(metric: &MetricExpr) -> bool {
    match metric {
        MetricExpr::Number(_) | MetricExpr::Vector(_) => false,
        MetricExpr::Range(_) => true,
        MetricExpr::Aggregate(aggregate) => reads_logs(&aggregate.expr),
        MetricExpr::TopK(topk) => reads_logs(&topk.expr),
        MetricExpr::Binary(binary) => reads_logs(&binary.left) || reads_logs(&binary.right),
    }
}

fn as_logql(text: &str, mut expr: Expr, options: PlainOptions) -> Result<Expr, ParseError> {
    if options.invert {
        let start = text.len() - text.trim_start().len();
        let message = "inverting goes with plain words; in LogQL write != in place of |=, and !~ in \
                       place of |~, in the query itself";
        return Err(Fault::new(ErrorKind::Usage, start, message).locate(text));
    }
    if options.ignore_case {
        let patterns = ignore_case::apply(&mut expr);
        check_patterns(patterns).map_err(|fault| fault.locate(text))?;
    }
    Ok(expr)
}

/// Each text that ignores case is a regular expression, and those are counted.
fn check_patterns(count: usize) -> Result<(), Fault> {
    if count <= PATTERNS_MAX {
        return Ok(());
    }
    let message = format!(
        "{count} texts to find in either case, at most {PATTERNS_MAX} are allowed; put words that \
         follow each other in quotes"
    );
    Err(Fault::new(ErrorKind::Limit, 0, message))
}

fn from_words(text: &str, options: PlainOptions) -> Result<LogExpr, Fault> {
    parse::check_len(text)?;
    let mut log = LogExpr::default();
    let mut filters = Vec::new();
    for word in words::split(text)? {
        match word.label {
            Some(LEVEL | "detected_level") => log.stages.push(level(&word)),
            Some(name) => log.matchers.push(matcher(name, &word)),
            None => filters.push(filter(&word, options.ignore_case)),
        }
    }
    if options.ignore_case {
        check_patterns(filters.len())?;
    }
    if options.invert {
        filters = vec![inverted(filters)?];
    }
    log.stages.append(&mut filters);
    Ok(log)
}

/// The entry's level, whose values are in lower case.
fn level(word: &Word) -> Stage {
    let word = Word { text: word.text.to_ascii_lowercase(), ..*word };
    Stage::Label(LabelFilter::Match(matcher(LEVEL, &word)))
}

fn matcher(name: &str, word: &Word) -> Matcher {
    let wild = !word.quoted && word.text.contains('*');
    // An application's id is a path, and its last parts are what people call it.
    let last_parts = name == "app" && !word.text.is_empty() && !word.text.starts_with('/');
    let value = match (wild, last_parts) {
        (false, false) => word.text.clone(),
        (_, true) => format!("(?:.*/)?{}", pattern_of(word)),
        (true, false) => pattern_of(word),
    };
    let op = match (wild || last_parts, word.negated) {
        (false, false) => MatchOp::Eq,
        (false, true) => MatchOp::Ne,
        (true, false) => MatchOp::Re,
        (true, true) => MatchOp::Nre,
    };
    Matcher { name: name.to_owned(), op, value: value.into_bytes() }
}

/// The word as a regular expression, its `*` as wild cards.
fn pattern_of(word: &Word) -> String {
    if word.quoted {
        return regex::escape(&word.text);
    }
    word.text.split('*').map(regex::escape).collect::<Vec<_>>().join(".*")
}

fn filter(word: &Word, ignore_case: bool) -> Stage {
    let op = if word.negated { LineOp::NotContains } else { LineOp::Contains };
    let mut filter = LineFilter { op, alternatives: vec![word.text.clone().into_bytes()] };
    if ignore_case {
        ignore_case::fold(&mut filter);
    }
    Stage::Line(filter)
}

/// What keeps the lines that `filters` together do not keep.
fn inverted(mut filters: Vec<Stage>) -> Result<Stage, Fault> {
    match filters.as_mut_slice() {
        [] => Err(Fault::new(
            ErrorKind::Usage,
            0,
            "there is nothing to invert; give at least one word",
        )),
        [Stage::Line(only)] => {
            only.op = only.op.negated();
            Ok(filters.remove(0))
        }
        _ => Ok(Stage::Not(filters)),
    }
}

#[cfg(test)]
mod tests;

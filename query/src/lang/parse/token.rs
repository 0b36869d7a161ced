//! Tokens: the words, symbols, texts and measures that a query is made of, cut with `nom`.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while};
use nom::character::complete::{char, multispace1, satisfy};
use nom::combinator::{opt, recognize};
use nom::multi::many0_count;
use nom::{IResult, Parser};

use super::number::{self, Measure};
use super::text;
use crate::lang::error::Fault;

/// The longest piece of the query that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// One token and the bytes of the source it stands for.
#[derive(Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// Nothing is left. It stands right behind the last token.
    End,
    /// A name or a keyword; which of the two depends on the place.
    Word,
    /// Punctuation and operators.
    Symbol(&'static str),
    /// A text in quotes, without them and with its escapes resolved.
    Text(Vec<u8>),
    /// A number, a duration or a size.
    Measure(Measure),
}

/// The first token at or after `from`.
pub(super) fn at(source: &str, from: usize) -> Result<Token, Fault> {
    let rest = blanks(&source[from..]).map_or("", |(rest, _)| rest);
    let start = source.len() - rest.len();
    let Some(first) = rest.chars().next() else {
        return Ok(Token { kind: Kind::End, start: from, end: from });
    };
    let (kind, len) = match first {
        '"' | '`' => {
            let (bytes, len) = text::literal(rest).map_err(|fault| moved(fault, start))?;
            (Kind::Text(bytes), len)
        }
        _ if number::starts(rest) => {
            let (measure, len) = number::measure(rest).map_err(|fault| moved(fault, start))?;
            (Kind::Measure(measure), len)
        }
        _ => word_or_symbol(rest).ok_or_else(|| foreign(rest, start))?,
    };
    Ok(Token { kind, start, end: start + len })
}

/// A fault found in the text from `start` on, with its place in the whole.
fn moved(fault: Fault, start: usize) -> Fault {
    Fault { offset: fault.offset + start, ..fault }
}

fn word_or_symbol(rest: &str) -> Option<(Kind, usize)> {
    if let Ok((_, word)) = word(rest) {
        return Some((Kind::Word, word.len()));
    }
    symbol(rest).map(|symbol| (Kind::Symbol(symbol), symbol.len()))
}

/// Blanks and comments (`#` to the end of the line), also none.
fn blanks(input: &str) -> IResult<&str, &str> {
    let comment = recognize((char('#'), opt(is_not("\n"))));
    recognize(many0_count(alt((multispace1, comment)))).parse(input)
}

/// `[A-Za-z_][A-Za-z0-9_]*`
pub(in crate::lang) fn word(input: &str) -> IResult<&str, &str> {
    let first = satisfy(|character| character.is_ascii_alphabetic() || character == '_');
    let more = take_while(|character: char| character.is_ascii_alphanumeric() || character == '_');
    recognize((first, more)).parse(input)
}

/// The longest symbol at the start. A symbol stands before those that it begins with.
fn symbol(input: &str) -> Option<&'static str> {
    const SYMBOLS: [&str; 28] = [
        "|=", "|~", "|>", "|", "!=", "!~", "!>", "=~", "==", "=", ">=", ">", "<=", "<", "{", "}",
        "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "^", ".",
    ];
    SYMBOLS.into_iter().find(|symbol| tag::<_, _, nom::error::Error<_>>(*symbol)(input).is_ok())
}

/// A character that starts no token.
fn foreign(rest: &str, start: usize) -> Fault {
    if let Some(variable) = rest.strip_prefix('$') {
        let name: String =
            variable.chars().take_while(|found| found.is_alphanumeric() || *found == '_').collect();
        return Fault::syntax(
            start,
            format!(
                "`${}` is a variable that Grafana fills in; write the value itself, such as 5m",
                clipped(&name)
            ),
        );
    }
    let found = rest.chars().next().unwrap_or_default();
    let hint = match found {
        '\'' | '“' | '”' | '„' | '‘' | '’' => {
            ": a text stands in \"double quotes\" or `backticks`"
        }
        '!' => ": `!` is part of != and !~ only",
        '&' => ": write `and`",
        _ => " here",
    };
    Fault::syntax(start, format!("unexpected `{}`{hint}", clipped(&found.to_string())))
}

/// A token in the words of a message.
pub(super) fn describe(source: &str, token: &Token) -> String {
    match token.kind {
        Kind::End => "end of the query".into(),
        Kind::Text(_) => format!("text {}", clipped(&source[token.start..token.end])),
        _ => format!("`{}`", clipped(&source[token.start..token.end])),
    }
}

/// A piece of the query as a one-line message can show it.
pub(super) fn clipped(piece: &str) -> String {
    let mut shown: String = piece
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(
            |character| {
                if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
            },
        )
        .collect();
    if piece.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<Kind> {
        let mut from = 0;
        let mut found = Vec::new();
        loop {
            let token = at(source, from).expect(source);
            from = token.end;
            if token.kind == Kind::End {
                return found;
            }
            found.push(token.kind);
        }
    }

    #[test]
    fn the_longest_symbol_wins() {
        use Kind::Symbol;
        assert_eq!(
            kinds("|=|~||>!=!~!>===~= >=>"),
            ["|=", "|~", "|", "|>", "!=", "!~", "!>", "==", "=~", "=", ">=", ">"].map(Symbol)
        );
    }

    #[test]
    fn blanks_and_comments_are_skipped() {
        assert_eq!(kinds(" a # x\n\t`#b` #end"), [Kind::Word, Kind::Text(b"#b".to_vec())]);
        assert_eq!(kinds("#only"), []);
        assert_eq!(kinds("#\n#"), []);
    }

    #[test]
    fn the_end_stands_behind_the_last_token() {
        let word = at("  a  ", 0).expect("a word");
        assert_eq!((word.start, word.end), (2, 3));
        let end = at("  a  ", word.end).expect("the end");
        assert_eq!((end.kind, end.start), (Kind::End, 3));
    }

    #[test]
    fn a_foreign_character_has_a_hint() {
        let message = |source: &str| at(source, 0).expect_err(source).message;
        assert_eq!(
            message("$__auto]"),
            "`$__auto` is a variable that Grafana fills in; write the value itself, such as 5m"
        );
        assert_eq!(
            message("'a'"),
            "unexpected `'`: a text stands in \"double quotes\" or `backticks`"
        );
        assert_eq!(message("é"), "unexpected `é` here");
        assert_eq!(message("\u{1}"), "unexpected `\u{fffd}` here");
    }
}

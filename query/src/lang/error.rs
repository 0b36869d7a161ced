//! What is wrong with a query and where: a sentence, the line it happened in, a caret under it.

/// Characters of the source line shown on each side of the caret.
const EXCERPT_CHARS_EACH_SIDE: usize = 100;

/// What sort of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not LogQL.
    Syntax,
    /// The text is LogQL that this server does not run yet.
    Unsupported,
    /// A regular expression that does not compile.
    Regex,
    /// A selector that would select every stream.
    Selector,
    /// Too long, too deep, or too much of something.
    Limit,
    /// The options given beside the query do not go with it.
    Usage,
}

/// Why a query was refused. `Display` is plain text of three lines: place and message, the source
/// line (shortened around the place when it is long), and a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse error at line {line}, col {column}: {message}{excerpt}")]
pub struct ParseError {
    /// What sort of mistake it is.
    pub kind: ErrorKind,
    /// What was found, what was expected, and the way out; one line.
    pub message: String,
    /// Where it was found, in bytes from the start of the query.
    pub offset: usize,
    /// The line of that place, from 1.
    pub line: usize,
    /// The column of that place, from 1, in characters.
    pub column: usize,
    /// The last two lines of `Display`, each with the line end before it; empty for an empty line.
    excerpt: String,
}

/// A mistake while the query's text is at hand; becomes a [`ParseError`] on the way out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: ErrorKind,
    pub(super) offset: usize,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(kind: ErrorKind, offset: usize, message: impl Into<String>) -> Self {
        Self { kind, offset, message: message.into() }
    }

    pub(super) fn syntax(offset: usize, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, offset, message)
    }

    /// `what` names the construct, in backticks where it is a word of the language.
    pub(super) fn unsupported(offset: usize, what: &str) -> Self {
        Self::new(ErrorKind::Unsupported, offset, format!("{what} is not supported yet"))
    }

    /// Adds the place in `source`. An offset beyond the end or inside a character counts as the
    /// nearest place before it.
    pub(super) fn locate(self, source: &str) -> ParseError {
        let offset = floor_char_boundary(source, self.offset);
        let line_start = source[..offset].rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[offset..].find('\n').map_or(source.len(), |at| offset + at);
        ParseError {
            kind: self.kind,
            message: self.message,
            offset,
            line: source[..line_start].matches('\n').count() + 1,
            column: source[line_start..offset].chars().count() + 1,
            excerpt: excerpt(&source[line_start..offset], &source[offset..line_end]),
        }
    }
}

fn floor_char_boundary(source: &str, offset: usize) -> usize {
    let mut at = offset.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The source line and the caret line. A tab stays a tab in both, so that the caret stands right.
fn excerpt(before: &str, after: &str) -> String {
    if before.is_empty() && after.is_empty() {
        return String::new();
    }
    let hidden = before.chars().count().saturating_sub(EXCERPT_CHARS_EACH_SIDE);
    let mut shown: String = if hidden > 0 { "…".into() } else { String::new() };
    shown.extend(before.chars().skip(hidden).map(printable));
    let padding: String =
        shown.chars().map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
    let mut rest = after.chars().map(printable);
    shown.extend(rest.by_ref().take(EXCERPT_CHARS_EACH_SIDE));
    if rest.next().is_some() {
        shown.push('…');
    }
    format!("\n{shown}\n{padding}^")
}

/// Keeps control characters of a query away from the terminal that shows the message.
fn printable(character: char) -> char {
    if character.is_control() && character != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_line_and_column_in_characters() {
        let error = Fault::syntax(12, "here").locate("{a=\"ä\"}\n\tö x");
        assert_eq!((error.offset, error.line, error.column), (12, 2, 3));
        assert_eq!(error.to_string(), "parse error at line 2, col 3: here\n\tö x\n\t ^");
    }

    #[test]
    fn the_end_of_the_text_is_a_place() {
        let error = Fault::syntax(99, "more").locate("ab");
        assert_eq!(error.to_string(), "parse error at line 1, col 3: more\nab\n  ^");
        let empty = Fault::syntax(0, "more").locate("");
        assert_eq!(empty.to_string(), "parse error at line 1, col 1: more");
    }

    #[test]
    fn an_offset_inside_a_character_is_its_start() {
        assert_eq!(Fault::syntax(1, "m").locate("ä").offset, 0);
    }

    #[test]
    fn a_long_line_is_shortened_around_the_caret() {
        let source = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let error = Fault::syntax(500, "m").locate(&source);
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "parse error at line 1, col 501: m");
        assert_eq!(lines[1], format!("…{}X{}…", "a".repeat(100), "b".repeat(99)));
        assert_eq!(lines[2], format!("{}^", " ".repeat(101)));
    }

    #[test]
    fn control_characters_are_not_repeated() {
        let error = Fault::syntax(0, "m").locate("\u{1b}[2J\r");
        assert_eq!(error.to_string(), "parse error at line 1, col 1: m\n\u{fffd}[2J\u{fffd}\n^");
    }
}

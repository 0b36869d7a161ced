//! Cuts what a person typed into words: blanks separate, quotes hold together, a leading `-`
//! excludes, and `name:` in front of a value selects where the name is a label of containers.

use crate::lang::error::Fault;
use crate::lang::parse;

/// The labels that can be named. Any other name before a colon is text that happens to hold a colon.
const LABELS: [&str; 13] = [
    "app",
    "service_name",
    "framework",
    "executor",
    "task",
    "task_name",
    "container",
    "agent",
    "host",
    "stream",
    "file",
    "level",
    "detected_level",
];

/// One word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// It stood behind a `-`.
    pub(super) negated: bool,
    /// It is the value of this label.
    pub(super) label: Option<&'static str>,
    /// It stood in quotes, so that nothing in it is special.
    pub(super) quoted: bool,
    pub(super) text: String,
}

/// All words, in order.
pub(super) fn split(text: &str) -> Result<Vec<Word>, Fault> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, len) = first(rest, text.len() - rest.len())?;
        words.push(word);
        rest = rest[len..].trim_start();
    }
    Ok(words)
}

/// The word at the start of `rest`, which stands at `offset`, and its length in bytes.
fn first(rest: &str, offset: usize) -> Result<(Word, usize), Fault> {
    let negated = excludes(rest);
    let label = label(&rest[usize::from(negated)..]);
    let from = usize::from(negated) + label.map_or(0, |name| name.len() + 1);
    let body = &rest[from..];
    let (quoted, text, len) = match quoted(body, offset + from)? {
        Some((text, len)) => (true, text, len),
        None => {
            let len = body.find(char::is_whitespace).unwrap_or(body.len());
            (false, body[..len].to_owned(), len)
        }
    };
    Ok((Word { negated, label, quoted, text }, from + len))
}

/// `-word` excludes; `-` alone and `--option` are words.
fn excludes(rest: &str) -> bool {
    let Some(next) = rest.strip_prefix('-').and_then(|rest| rest.chars().next()) else {
        return false;
    };
    next != '-' && !next.is_whitespace()
}

/// The label that `rest` names with a value behind it. `file://…` is an address, not a label.
fn label(rest: &str) -> Option<&'static str> {
    let (after, name) = parse::word(rest).ok()?;
    let value = after.strip_prefix(':')?;
    let names_something = !value.is_empty() && !value.starts_with(char::is_whitespace);
    let label = LABELS.into_iter().find(|label| *label == name)?;
    (names_something && !value.starts_with("//")).then_some(label)
}

/// A text in double quotes and its length with them; `None` if there is no quote.
fn quoted(rest: &str, offset: usize) -> Result<Option<(String, usize)>, Fault> {
    let Some(body) = rest.strip_prefix('"') else { return Ok(None) };
    let mut text = String::new();
    let mut characters = body.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok(Some((text, at + 2))),
            '\\' => {
                let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                text.push(escaped.map_or('\\', |(_, next)| next));
            }
            other => text.push(other),
        }
    }
    Err(Fault::syntax(offset, "the text that starts here is not closed, expected `\"`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` excluded, `name:` labelled, `'…'` quoted.
    fn shown(text: &str) -> Vec<String> {
        let shown = |word: Word| {
            let sign = if word.negated { "-" } else { "" };
            let label = word.label.map(|name| format!("{name}:")).unwrap_or_default();
            let quote = if word.quoted { "'" } else { "" };
            format!("{sign}{label}{quote}{}{quote}", word.text)
        };
        split(text).expect(text).into_iter().map(shown).collect()
    }

    #[test]
    fn cuts_words() {
        assert_eq!(shown("  timeout\tafter \n"), ["timeout", "after"]);
        assert_eq!(shown(""), Vec::<String>::new());
        assert_eq!(shown(r#""two words" -"not this""#), ["'two words'", "-'not this'"]);
        assert_eq!(shown(r#""a \"b\" \\ \d""#), [r#"'a "b" \ \d'"#]);
        assert_eq!(shown(r#""a"b c"d e"#), ["'a'", "b", "c\"d", "e"]);
        assert_eq!(shown("-debug - --all -1"), ["-debug", "-", "--all", "-1"]);
    }

    #[test]
    fn knows_its_labels() {
        assert_eq!(shown("app:checkout -level:debug"), ["app:checkout", "-level:debug"]);
        assert_eq!(shown(r#"host:"a b" stream:stderr"#), ["host:'a b'", "stream:stderr"]);
        assert_eq!(shown("host:web1:80"), ["host:web1:80"]);
        for word in ["http://x:80", "foo:bar", "file:///etc", "app:", "App:x", "a:app:x"] {
            let words = split(word).expect(word);
            assert_eq!((words.len(), words[0].label), (1, None), "{word}");
            assert_eq!(words[0].text, word);
        }
        assert_eq!(split("app: x").expect("two words")[0].label, None);
    }

    #[test]
    fn an_open_quote_is_found_where_it_stands() {
        assert_eq!(split("é host:\"a").expect_err("open").offset, 8);
        assert_eq!(split(r#""a\""#).expect_err("open").offset, 0);
    }
}

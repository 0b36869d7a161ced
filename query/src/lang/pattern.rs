//! Regular expressions as LogQL means them (RE2's syntax, over bytes), compiled with the `regex`
//! crate. Parser and engine share this file, so that what parses also runs and means the same.

use regex::bytes::{Regex, RegexBuilder};

/// The most memory that one compiled expression takes, in bytes.
pub const COMPILED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Bytes that are no text, as `\xff` in a quoted text gives them.
    #[error("it is not UTF-8; inside a regular expression write such a byte as (?-u:\\xHH)")]
    NotUtf8,
    /// Repetitions of repetitions, usually.
    #[error("it takes more than {COMPILED_BYTES_MAX} bytes when compiled; shorten its repetitions")]
    TooLarge,
    /// Not a regular expression.
    #[error("{0}")]
    Syntax(String),
}

/// An expression that may match anywhere: line filters. `.` does not match a line end.
///
/// # Errors
/// Not UTF-8, not an expression, or too large.
pub fn unanchored(pattern: &[u8]) -> Result<Regex, PatternError> {
    build(&rust_syntax(text(pattern)?)?)
}

/// An expression that must match the whole value: label matchers. `.` matches a line end too, as in
/// Prometheus.
///
/// # Errors
/// Not UTF-8, not an expression, or too large.
pub fn anchored(pattern: &[u8]) -> Result<Regex, PatternError> {
    build(&format!(r"\A(?s:{})\z", rust_syntax(text(pattern)?)?))
}

fn text(pattern: &[u8]) -> Result<&str, PatternError> {
    std::str::from_utf8(pattern).map_err(|_| PatternError::NotUtf8)
}

fn build(translated: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(translated).size_limit(COMPILED_BYTES_MAX).build().map_err(
        |error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            other => PatternError::Syntax(summary(&other.to_string())),
        },
    )
}

/// The last line of the crate's message; the lines before it show the translated expression.
fn summary(message: &str) -> String {
    let last = message.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Rewrites RE2's syntax where the `regex` crate reads it differently: Perl classes and word
/// boundaries are ASCII, `{` is a character where it starts no repetition, `[`, `&&`, `--` and `~~`
/// are characters inside a class, `\Q…\E` quotes, `\<` is a character, and `.*` also crosses bytes
/// that are no UTF-8.
///
/// # Errors
/// A `)` too many, which would otherwise end a group that the caller puts around the expression.
pub fn rust_syntax(pattern: &str) -> Result<String, PatternError> {
    let mut writer = Rewriter { out: String::with_capacity(pattern.len() + 16), groups: 0 };
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '\\' => writer.escape(rest),
            '[' => writer.class(rest),
            '{' if repetition_len(rest).is_none() => writer.push(r"\{", &rest[1..]),
            '.' if rest[1..].starts_with(['*', '+']) => writer.push("(?-u:.)", &rest[1..]),
            '(' | ')' => writer.group(first, rest)?,
            other => writer.copy(rest, other.len_utf8()),
        };
    }
    Ok(writer.out)
}

struct Rewriter {
    out: String,
    /// How many `(` are open.
    groups: usize,
}

/// Each method writes the translation of the start of `rest` and returns what comes after it.
impl Rewriter {
    fn push<'p>(&mut self, translated: &str, after: &'p str) -> &'p str {
        self.out.push_str(translated);
        after
    }

    fn copy<'p>(&mut self, rest: &'p str, len: usize) -> &'p str {
        self.push(&rest[..len], &rest[len..])
    }

    fn group<'p>(&mut self, first: char, rest: &'p str) -> Result<&'p str, PatternError> {
        if first == '(' {
            self.groups += 1;
        } else if let Some(open) = self.groups.checked_sub(1) {
            self.groups = open;
        } else {
            return Err(PatternError::Syntax("unopened group".into()));
        }
        Ok(self.copy(rest, 1))
    }

    fn escape<'p>(&mut self, rest: &'p str) -> &'p str {
        let Some(escaped) = rest[1..].chars().next() else { return self.copy(rest, 1) };
        let after = &rest[1 + escaped.len_utf8()..];
        match escaped {
            'd' => self.push("[0-9]", after),
            'D' => self.push("[^0-9]", after),
            'w' => self.push("[0-9A-Za-z_]", after),
            'W' => self.push("[^0-9A-Za-z_]", after),
            's' => self.push(r"[\t\n\f\r ]", after),
            'S' => self.push(r"[^\t\n\f\r ]", after),
            'b' => self.push(r"(?-u:\b)", after),
            'B' => self.push(r"(?-u:\B)", after),
            'C' => self.push("(?s-u:.)", after),
            '<' | '>' => self.push(&rest[1..2], after),
            'Q' => self.quoted(after),
            _ => self.hex_or_copy(rest, after),
        }
    }

    /// `\x{…}`, `\p{…}` and `\P{…}` carry braces that are no repetition.
    fn hex_or_copy<'p>(&mut self, rest: &'p str, after: &'p str) -> &'p str {
        let braced = rest[1..].starts_with(['x', 'p', 'P']) && after.starts_with('{');
        let closing = if braced { after.find('}').map_or(after.len(), |at| at + 1) } else { 0 };
        self.copy(rest, rest.len() - after.len() + closing)
    }

    fn quoted<'p>(&mut self, rest: &'p str) -> &'p str {
        let (text, after) = rest.split_once(r"\E").unwrap_or((rest, ""));
        self.push(&regex::escape(text), after)
    }

    fn class<'p>(&mut self, rest: &'p str) -> &'p str {
        let mut rest = self.copy(rest, if rest.starts_with("[^") { 2 } else { 1 });
        // Here, and only here, `]` and `-` are members like any other.
        if rest.starts_with(']') || rest.starts_with('-') {
            self.out.push('\\');
            rest = self.copy(rest, 1);
        }
        while let Some(first) = rest.chars().next() {
            rest = match first {
                ']' => return self.copy(rest, 1),
                '\\' => self.class_escape(rest),
                '[' => self.class_name_or_bracket(rest),
                '&' | '~' => self.push(if first == '&' { r"\&" } else { r"\~" }, &rest[1..]),
                '-' if rest.starts_with("--") => self.push(r"-\-", &rest[2..]),
                other => self.copy(rest, other.len_utf8()),
            };
        }
        rest
    }

    fn class_escape<'p>(&mut self, rest: &'p str) -> &'p str {
        match rest[1..].chars().next() {
            Some('d') => self.push("0-9", &rest[2..]),
            Some('w') => self.push("0-9A-Za-z_", &rest[2..]),
            Some('s') => self.push(r"\t\n\f\r ", &rest[2..]),
            Some('D' | 'W' | 'S') | None => self.escape(rest),
            Some('<' | '>') => self.push(&rest[1..2], &rest[2..]),
            Some(other) => self.hex_or_copy(rest, &rest[1 + other.len_utf8()..]),
        }
    }

    /// `[:alpha:]` is a name; any other `[` inside a class is a character.
    fn class_name_or_bracket<'p>(&mut self, rest: &'p str) -> &'p str {
        match rest[1..].find(":]") {
            Some(at) if rest.starts_with("[:") => self.copy(rest, 1 + at + 2),
            _ => self.push(r"\[", &rest[1..]),
        }
    }
}

/// The length of `{n}`, `{n,}` or `{n,m}` at the start of `rest`.
fn repetition_len(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('{')?;
    let inside = &inside[..inside.find('}')?];
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(inside.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, line: &[u8]) -> bool {
        unanchored(pattern.as_bytes()).expect(pattern).is_match(line)
    }

    fn is_whole(pattern: &str, value: &[u8]) -> bool {
        anchored(pattern.as_bytes()).expect(pattern).is_match(value)
    }

    #[test]
    fn matches_as_re2_does() {
        let cases: &[(&str, &str, bool)] = &[
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^\w+$", "a_1", true),
            (r"^\w$", "é", false),
            (r"^\W$", "é", true),
            (r"^[\d.]+$", "1.2", true),
            (r"^[^\d]$", "1", false),
            (r"^[\D]$", "a", true),
            (r"^[\s]$", "\u{b}", false),
            (r"\bfoo\b", "éfooé", true),
            (r#"{"level""#, r#"{"level":1}"#, true),
            (r"a{,2}", "a{,2}", true),
            (r"^a{2}$", "aa", true),
            (r"^a{2,}$", "aaaa", true),
            (r"^[[]$", "[", true),
            (r"^[[:alpha:]_]+$", "ab_", true),
            (r"^[a&&b]+$", "&a", true),
            (r"^[~~]$", "~", true),
            (r"^[+--]$", ",", true),
            (r"^[]a]+$", "]a", true),
            (r"^[-a]+$", "-a", true),
            (r"^[^]]$", "]", false),
            (r"\Qa.b(\E\d", "a.b(1", true),
            (r"\Qa.b", "axb", false),
            (r"\<x\>", "<x>", true),
            (r"^\x{41}\p{Greek}$", "Aλ", true),
            (r"^[\x{41}-\x{43}]$", "B", true),
            (r"^\x41$", "A", true),
            (r"(?i)error", "ERROR", true),
            (r"a.b", "a\nb", false),
            (r"(?s)a.*b", "a\nb", true),
            (r"a.*b", "a\nb", false),
        ];
        for (pattern, line, expected) in cases {
            assert_eq!(finds(pattern, line.as_bytes()), *expected, "{pattern} in {line:?}");
        }
    }

    #[test]
    fn a_wild_card_crosses_bytes_that_are_no_text() {
        assert!(finds("a.*b", b"a\xffb"));
        assert!(is_whole(".+", b"\xff\xfe"));
        assert!(is_whole("x(?-u:\\xff)", b"x\xff"));
    }

    #[test]
    fn an_anchored_expression_matches_the_whole_value() {
        assert!(is_whole("a|b", b"b"));
        assert!(!is_whole("a|b", b"ab"));
        assert!(!is_whole("(?m)^a$", b"a\nb"));
        assert!(is_whole("a.b", b"a\nb"));
    }

    #[test]
    fn refuses_with_a_reason() {
        let reason = |pattern: &[u8]| anchored(pattern).expect_err("refused").to_string();
        assert_eq!(reason(b"a)(b"), "unopened group");
        assert_eq!(reason(b"(a"), "unclosed group");
        assert_eq!(reason(b"[a"), "unclosed character class");
        assert_eq!(
            reason(b"(?=a)"),
            "look-around, including look-ahead and look-behind, is not supported"
        );
        assert_eq!(anchored(b"\xff").expect_err("refused"), PatternError::NotUtf8);
        assert_eq!(anchored(b"(\\pL{1000}){1000}").expect_err("refused"), PatternError::TooLarge);
        assert!(unanchored(b"a\\").is_err());
    }

    proptest::proptest! {
        #[test]
        fn anchoring_neither_saves_nor_breaks_an_expression(
            pattern in r"([-a\[\](){}.*+?\\|^$&~,:dDwsbQEp<>0-9é]){0,24}",
        ) {
            let (inside, whole) = (unanchored(pattern.as_bytes()), anchored(pattern.as_bytes()));
            let too_large = |built: &Result<Regex, _>| matches!(built, Err(PatternError::TooLarge));
            if !too_large(&inside) && !too_large(&whole) {
                proptest::prop_assert_eq!(inside.is_ok(), whole.is_ok());
            }
        }

        #[test]
        fn escaped_text_matches_itself_only(text in ".{0,12}", other in ".{0,12}") {
            let regex = anchored(regex::escape(&text).as_bytes()).expect("escaped");
            assert!(regex.is_match(text.as_bytes()));
            assert_eq!(regex.is_match(other.as_bytes()), text == other);
        }
    }
}

//! `NAME=value`, `"name": "value"` and their kin, where the name says that the value is a secret.

use super::kind::Kind;
use super::names::{self, Says};
use super::scan::{Scan, Span};
use super::tag;

/// How far a name reaches from the word in it that was found, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Spaces between a name, its separator and its value.
const SPACES_MAX: usize = 8;
/// Escapes before a quote: JSON in JSON in JSON.
const ESCAPES_MAX: usize = 8;

/// Values that tell nothing.
const EMPTY: [&str; 22] = [
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "yes",
    "no",
    "required",
    "invalid",
    "missing",
    "expired",
    "redacted",
    "<redacted>",
    "[redacted]",
    "hidden",
    "masked",
    "filtered",
    "[filtered]",
    "empty",
    "(null)",
    "<null>",
];

/// What stands between a name and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// `=`, `=>`, `:=`, a `:` without a space behind it, a tag, a tuple, or one between quotes.
    Tight,
    /// A `:` with a space behind it, outside of quotes: also how people write sentences.
    Colon,
    /// Only a space: an option of a command.
    Space,
}

/// Where a value stands.
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
    pub(super) separator: Separator,
}

/// The value of the name of which a part stands at `at`.
pub(super) fn find(scan: &mut Scan<'_>, at: usize) {
    let text = scan.text;
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let before = text[..at].iter().rev().take(NAME_BYTES_MAX).take_while(is_name).count();
    let behind = text[at..].iter().take(NAME_BYTES_MAX).take_while(is_name).count();
    let (start, end) = (at - before, at + behind);
    if !scan.spend(before + behind) {
        return;
    }
    let says = names::says(&text[start..end]);
    if says == Says::Nothing {
        return;
    }
    let Some(value) = value(scan, end) else { return };
    if value.separator == Separator::Space && !text[start..end].starts_with(b"--") {
        return;
    }
    if scan.spend(value.end - value.start) && is_secret(scan, &text[start..end], says, &value) {
        scan.push(Span::new(value.start, value.end, Kind::Pair));
    }
}

/// The value that belongs to a name ending at `end`; `None` if nothing says that there is one.
pub(super) fn value(scan: &Scan<'_>, end: usize) -> Option<Value> {
    let text = scan.text;
    let closing = quote(text, end);
    let mut at = closing.map_or(end, |(_, quote_end)| quote_end);
    if text.get(at) == Some(&b']') {
        at += 1;
    }
    let spaces_from = at;
    at = skip_spaces(text, at);
    let (separator, behind) = separator(text, at, at > spaces_from, closing.is_some())?;
    at = skip_spaces(text, behind);
    let separator = match separator {
        Separator::Colon if at == behind || closing.is_some() => Separator::Tight,
        other => other,
    };
    // Headers are lists of values in some languages.
    if text.get(at) == Some(&b'[') && quote(text, at + 1).is_some() {
        at += 1;
    }
    // Python's b'…' and u'…'.
    let prefixed = matches!(text.get(at), Some(b'b' | b'u')) && quote(text, at + 1).is_some();
    at += usize::from(prefixed);
    match quote(text, at) {
        Some((opening, start)) => {
            let end = quoted_end(text, start, text[opening], opening - at);
            Some(Value { start, end, quoted: true, separator: Separator::Tight })
        }
        None => {
            let end = bare_end(text, at);
            Some(Value { start: at, end, quoted: false, separator })
        }
    }
}

fn skip_spaces(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take(SPACES_MAX).take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// A quote at `at`, escaped or not: where it stands and what follows it.
fn quote(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let escapes =
        text.get(at..)?.iter().take(ESCAPES_MAX).take_while(|byte| **byte == b'\\').count();
    matches!(text.get(at + escapes)?, b'"' | b'\'' | b'`')
        .then_some((at + escapes, at + escapes + 1))
}

fn separator(text: &[u8], at: usize, spaced: bool, quoted: bool) -> Option<(Separator, usize)> {
    let rest = &text[at..];
    for (sign, separator) in [
        (&b"=>"[..], Some(Separator::Tight)),
        (b":=", Some(Separator::Tight)),
        (b"==", None),
        (b"=", Some(Separator::Tight)),
        (b"::", None),
        (b":", Some(Separator::Colon)),
        (b"%3D", Some(Separator::Tight)),
        (b"%3d", Some(Separator::Tight)),
    ] {
        if rest.starts_with(sign) {
            return separator.map(|separator| (separator, at + sign.len()));
        }
    }
    match rest.first()? {
        b',' if quoted => Some((Separator::Tight, at + 1)),
        b'>' if !spaced && !quoted => Some((Separator::Tight, at + 1)),
        _ if spaced && !quoted => Some((Separator::Space, at)),
        _ => None,
    }
}

/// The end of a value whose quote was escaped `escapes` times.
fn quoted_end(text: &[u8], start: usize, quote: u8, escapes: usize) -> usize {
    let mut from = start;
    while let Some(at) = memchr::memchr(quote, &text[from..]).map(|at| from + at) {
        let found = text[start..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        // Fewer escapes end an outer text, and so this one too.
        if found <= escapes {
            return at - found;
        }
        from = at + 1;
    }
    text.len()
}

/// The end of a value without quotes.
fn bare_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(byte) = text.get(at) {
        let rest = &text[at + 1..];
        let is_end = match byte {
            b'"' | b'\'' | b'`' | b'<' => true,
            b'\\' => quote(text, at).is_some() || matches!(rest.first(), Some(b'n' | b'r' | b't')),
            b'&' | b',' | b';' => goes_on_with_a_name(rest),
            b')' | b'}' | b']' => {
                ends_an_outer(rest) && text[start..at].iter().all(|byte| *byte != b'[')
            }
            byte => byte.is_ascii_whitespace(),
        };
        if is_end {
            break;
        }
        at += 1;
    }
    at
}

/// Whether what follows a comma is another pair, or nothing of this value.
fn goes_on_with_a_name(rest: &[u8]) -> bool {
    let name = rest
        .iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        .count();
    match rest.get(name) {
        None => name == 0,
        Some(byte) if name == 0 => {
            byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\')
        }
        Some(byte) => matches!(byte, b'=' | b':'),
    }
}

fn ends_an_outer(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| {
        byte.is_ascii_whitespace()
            || matches!(byte, b',' | b';' | b')' | b'}' | b']' | b'"' | b'\'' | b'.' | b'\\')
    })
}

/// Whether a name says that its value, which is told apart from it, is a secret.
pub(super) fn is_secret_value(name: &[u8], value: &[u8]) -> bool {
    let says = names::says(name);
    let mut spans = Vec::new();
    let whole = Value { start: 0, end: value.len(), quoted: true, separator: Separator::Tight };
    says != Says::Nothing && is_secret(&Scan::new(value, false, &mut spans), name, says, &whole)
}

fn is_secret(scan: &Scan<'_>, name: &[u8], says: Says, value: &Value) -> bool {
    let text = &scan.text[value.start..value.end];
    if text.is_empty() || tag::is_tag(text) || is_reference(text) || is_harmless(text) {
        return false;
    }
    if matches!(name, b"PWD" | b"OLDPWD") && text.starts_with(b"/") {
        return false;
    }
    if scan.open && value.end == scan.text.len() {
        return true;
    }
    if says == Says::Token && is_object(text) {
        return false;
    }
    if value.separator == Separator::Colon || value.separator == Separator::Space {
        return is_secret_of_prose(scan, says, value, text);
    }
    match says {
        Says::Password => text.iter().any(u8::is_ascii_alphanumeric) || text.len() > 2,
        _ if value.quoted => text.len() >= 6 && !text.contains(&b' '),
        _ => text.len() >= 8 && (text.len() >= 16 || has_digit(text)),
    }
}

/// Behind `: ` may stand a sentence: a word of letters is a value only if nothing follows it.
fn is_secret_of_prose(scan: &Scan<'_>, says: Says, value: &Value, text: &[u8]) -> bool {
    let is_word = text
        .iter()
        .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b',' | b'!' | b'?'));
    let is_last = scan.text[value.end..].trim_ascii().is_empty();
    match says {
        Says::Password if is_word => {
            is_last && text.len() >= 4 && value.separator == Separator::Colon
        }
        Says::Password => text.len() >= 4,
        _ => text.len() >= 8 && has_digit(text),
    }
}

fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
}

/// How programs show an object: `Token{7f3a …`, `android.os.Binder@2bd79ce`.
fn is_object(text: &[u8]) -> bool {
    let is_class = |byte: &&u8| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'$');
    let class = text.iter().take_while(is_class).count();
    let rest = text.get(class + 1..).unwrap_or_default();
    match text.get(class) {
        Some(b'{' | b'(') => class > 0,
        Some(b'@') => {
            class > 0 && (1..=8).contains(&rest.len()) && rest.iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}

/// `${NAME}`, `$(command)`, `{{ name }}`, an object, a list, or a placeholder.
fn is_reference(text: &[u8]) -> bool {
    let starts = [&b"${"[..], b"$(", b"{", b"%(", b"["];
    let is_placeholder = text.starts_with(b"<") && text.ends_with(b">");
    starts.iter().any(|start| text.starts_with(start)) || is_placeholder
}

fn is_harmless(text: &[u8]) -> bool {
    let bare = text.trim_ascii_end();
    let bare = bare.strip_suffix(b".").unwrap_or(bare);
    let masked = bare.iter().all(|byte| matches!(byte, b'*' | b'.' | b'-' | b'x' | b'X' | b'#'));
    masked || EMPTY.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(bare))
}

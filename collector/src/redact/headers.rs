//! The headers that carry credentials: `Authorization` and `Cookie`, as clients, servers and proxies
//! write them into logs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::kind::Kind;
use super::pairs::{self, Separator};
use super::scan::{Scan, Span};
use super::tag;

/// A token behind a bare `Bearer` has at least so many bytes.
const BEARER_BYTES_MIN: usize = 12;

/// What may stand before the credentials.
const SCHEMES: [&str; 12] = [
    "bearer",
    "basic",
    "digest",
    "token",
    "negotiate",
    "ntlm",
    "apikey",
    "api-key",
    "bot",
    "hmac",
    "aws4-hmac-sha256",
    "signature",
];

/// Those whose credentials are a list that goes on behind spaces.
const LISTS: [&str; 3] = ["digest", "aws4-hmac-sha256", "signature"];

/// An `Authorization` header whose name ends at `name_end`.
pub(super) fn find_authorization(scan: &mut Scan<'_>, name_end: usize) {
    let Some(value) = pairs::value(scan, name_end) else { return };
    let text = &scan.text[value.start..value.end];
    let word = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let scheme = text[..word].to_ascii_lowercase();
    let is_scheme = SCHEMES.iter().any(|known| known.as_bytes() == scheme);
    if !is_scheme {
        let first = value.start..value.start + word;
        if value.separator != Separator::Space && looks_secret(scan, first.clone()) {
            let end = if value.quoted { value.end } else { first.end };
            push(scan, first.start, end, Kind::Authorization);
        }
        return;
    }
    let rest = &scan.text[value.start + word..];

    let start = value.start + word + rest.iter().take_while(|byte| **byte == b' ').count();
    let is_list = LISTS.iter().any(|known| known.as_bytes() == scheme);
    let end = if value.quoted {
        value.end
    } else if is_list {
        scan.text.len()
    } else {
        start + token_len(&scan.text[start..])
    };
    push(scan, start, end, Kind::Authorization);
}

/// What stands behind a bare `Bearer ` or `Basic `.
pub(super) fn find_scheme(scan: &mut Scan<'_>, start: usize, is_basic: bool) {
    let token = &scan.text[start..start + token_len(&scan.text[start..])];
    scan.spend(token.len());
    let reaches_end = scan.open && start + token.len() == scan.text.len();
    let is_secret = if is_basic { is_basic_credentials(token) } else { is_bearer_token(token) };
    if is_secret || (reaches_end && token.iter().any(u8::is_ascii_digit)) {
        push(scan, start, start + token.len(), Kind::Authorization);
    }
}

fn is_bearer_token(token: &[u8]) -> bool {
    token.len() >= BEARER_BYTES_MIN && token.iter().any(u8::is_ascii_digit)
}

/// Base64 of `user:password`.
fn is_basic_credentials(token: &[u8]) -> bool {
    let bare = token.strip_suffix(b"==").or_else(|| token.strip_suffix(b"=")).unwrap_or(token);
    let decoded = STANDARD_NO_PAD.decode(bare);
    decoded.is_ok_and(|plain| {
        plain.len() >= 3 && plain.contains(&b':') && plain.iter().all(|byte| *byte >= b' ')
    })
}

/// Bytes of a token: what RFC 7235 calls token68, and `:` and `|`, which some put in.
fn token_len(text: &[u8]) -> usize {
    let is_part = |byte: &&u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b':' | b'|' | b'%')
    };
    text.iter().take_while(is_part).count()
}

fn looks_secret(scan: &Scan<'_>, range: std::ops::Range<usize>) -> bool {
    let value = &scan.text[range];
    value.len() >= 6 && value.iter().any(u8::is_ascii_digit)
}

/// A `Cookie` or `Set-Cookie` header whose name ends at `name_end`.
pub(super) fn find_cookie(scan: &mut Scan<'_>, name_end: usize) {
    if tag::is_kind(&scan.text[..name_end]) {
        return;
    }
    let Some(value) = pairs::value(scan, name_end) else { return };
    if value.separator == Separator::Space {
        return;
    }
    let end = if value.quoted { value.end } else { cookies_end(scan.text, value.start) };
    scan.spend(end - value.start);
    let text = &scan.text[value.start..end];
    let is_pairs = text.contains(&b'=') && !text.starts_with(b"=");
    let reaches_end = scan.open && end == scan.text.len();
    if is_pairs || reaches_end || (text.len() >= 16 && looks_secret(scan, value.start..end)) {
        push(scan, value.start, end, Kind::Cookie);
    }
}

/// The end of `name=value; name=value; attribute`.
fn cookies_end(text: &[u8], start: usize) -> usize {
    let limit = text.len();
    let mut at = start;
    loop {
        at += text[at..limit]
            .iter()
            .take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b';' | b'"' | b'\''))
            .count();
        let goes_on = text[at..limit].starts_with(b"; ")
            && text.get(at + 2).is_some_and(u8::is_ascii_graphic);
        let goes_on_close = text[at..limit].starts_with(b";")
            && text.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
        match (goes_on, goes_on_close) {
            (true, _) => at += 2,
            (_, true) => at += 1,
            _ => return at,
        }
    }
}

fn push(scan: &mut Scan<'_>, start: usize, end: usize, kind: Kind) {
    let value = &scan.text[start..end];
    let hidden = value.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-'));
    if !value.is_empty() && !hidden && !tag::is_tag(value) {
        scan.push(Span::new(start, end, kind));
    }
}

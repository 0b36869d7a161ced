//! Credentials in URLs: `scheme://user:password@host`.

use super::kind::Kind;
use super::scan::{Scan, Span};
use super::tag;

/// How far before its `@` a URL may begin, in bytes.
const USERINFO_BYTES_MAX: usize = 1024;
/// A user without a password is a token from this length on, if it has digits.
const TOKEN_BYTES_MIN: usize = 16;

/// The credentials before each `@` of the text.
pub(super) fn find(scan: &mut Scan<'_>) {
    let text = scan.text;
    for at in memchr::memchr_iter(b'@', text) {
        let from = at.saturating_sub(USERINFO_BYTES_MAX);
        if !scan.spend(at - from) {
            return;
        }
        if let Some(start) = userinfo(text, from, at) {
            push(scan, start, at);
        }
    }
    if scan.open {
        find_open(scan);
    }
}

/// Whether an `@` may end credentials: a URL begins before it.
pub(super) fn is_behind_url(text: &[u8], at: usize) -> bool {
    userinfo(text, at.saturating_sub(USERINFO_BYTES_MAX), at).is_some()
}

/// A URL at the end of a line that was cut: its `@` may be what was cut off.
fn find_open(scan: &mut Scan<'_>) {
    let text = scan.text;
    let from = text.len().saturating_sub(USERINFO_BYTES_MAX);
    if let Some(start) = userinfo(text, from, text.len()) {
        push(scan, start, text.len());
    }
}

/// Where the credentials begin that end at `end`: behind the `://` before it.
fn userinfo(text: &[u8], from: usize, end: usize) -> Option<usize> {
    let is_foreign =
        |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`');
    let from = text[from..end].iter().rposition(is_foreign).map_or(from, |at| from + at + 1);
    let start = from + memchr::memmem::rfind(&text[from..end], b"://")? + 3;
    let before = start.checked_sub(4).map(|at| text[at]);
    before.is_some_and(|byte| byte.is_ascii_alphanumeric()).then_some(start)
}

fn push(scan: &mut Scan<'_>, start: usize, end: usize) {
    let userinfo = &scan.text[start..end];
    if tag::is_tag(userinfo) {
        return;
    }
    let colon = memchr::memchr(b':', userinfo);
    let slash = memchr::memchr3(b'/', b'?', b'#', userinfo).unwrap_or(userinfo.len());
    let secret = match colon {
        Some(colon) if slash < colon => return,
        Some(colon) => {
            let is_port = userinfo[colon + 1..slash].iter().all(u8::is_ascii_digit);
            if is_port && (slash < userinfo.len() || end == scan.text.len()) {
                return;
            }
            start + colon + 1
        }
        None if slash < userinfo.len() || userinfo.len() < TOKEN_BYTES_MIN => return,
        None if !userinfo.iter().any(u8::is_ascii_digit) || end == scan.text.len() => return,
        None => start,
    };
    let value = &scan.text[secret..end];
    let is_name = value.starts_with(b"$")
        || value.starts_with(b"{")
        || value.iter().all(|byte| *byte == b'*');
    if !value.is_empty() && !is_name && !tag::is_tag(value) {
        scan.push(Span::new(secret, end, Kind::Url));
    }
}

//! Credentials in URLs: `scheme://user:password@host`, and the signature of one that grants access.

use super::kind::Kind;
use super::scan::{Scan, Span};
use super::tag;

/// How far before its `@` a URL may begin, in bytes.
const USERINFO_BYTES_MAX: usize = 1024;
/// A letter and `://`.
const URL_BYTES_MIN: usize = 4;
/// So many `@` of one URL are looked at alone; one with more is left to the detectors, whose work is bounded.
const ASKED_MAX: u32 = 8;
/// A user without a password is a token from this length on, if it has digits.
const TOKEN_BYTES_MIN: usize = 16;
/// The shortest signature is that of 20 bytes in base64.
const SIGNATURE_BYTES_MIN: usize = 27;

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

/// Walks through the `@` of a text, and tells those behind which it may be that credentials end.
#[derive(Default)]
pub(super) struct Walk {
    /// What stands before it was looked at for nothing.
    new: usize,
    /// Where the credentials before the last `@` would begin, and how many were asked for there.
    url: Option<(usize, u32)>,
}

impl Walk {
    /// Whether credentials end at this `@`, which is behind all that were asked for.
    pub(super) fn ends_credentials(&mut self, text: &[u8], at: usize) -> bool {
        let start = userinfo(text, at.saturating_sub(USERINFO_BYTES_MAX).max(self.new), at);
        // Of what was looked at, only the URL may matter to the next one.
        self.new = start.map_or(at + 1, |start| start.saturating_sub(URL_BYTES_MIN));
        let Some(start) = start else { return false };
        let asked = self.url.filter(|url| url.0 == start).map_or(0, |url| url.1);
        self.url = Some((start, asked + 1));
        asked >= ASKED_MAX || secret(text, start, at).is_some()
    }
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
    let before = start.checked_sub(URL_BYTES_MIN).map(|at| text[at]);
    before.is_some_and(|byte| byte.is_ascii_alphanumeric()).then_some(start)
}

fn push(scan: &mut Scan<'_>, start: usize, end: usize) {
    if let Some(secret) = secret(scan.text, start, end) {
        scan.push(Span::new(secret, end, Kind::Url));
    }
}

/// The first colon between a user and a password, plain or encoded.
fn colon(userinfo: &[u8]) -> Option<usize> {
    memchr::memchr2_iter(b':', b'%', userinfo).find(|at| {
        let rest = &userinfo[*at..];
        rest[0] == b':' || rest.get(..3).is_some_and(|code| code.eq_ignore_ascii_case(b"%3A"))
    })
}

/// The signature of a URL (Azure's `sig`, those of Amazon and Google), of whose name the literal from
/// `name` to `start` is the end.
pub(super) fn find_signature(scan: &mut Scan<'_>, name: usize, start: usize) {
    let text = scan.text;
    let is_long_name = text[name] == b'i';
    let name = name - usize::from(is_long_name && name > 0);
    // A parameter, also where JSON has escaped its `&`, or the end of `X-Amz-Signature`.
    let is_parameter = [&b"&"[..], b"?", b";", b"\\u0026", b"-", b"%26"]
        .iter()
        .any(|before| text[..name].ends_with(before));
    let is_part = |byte: &&u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'%' | b'+' | b'/' | b'=' | b'_' | b'-' | b'~')
    };
    let end = start + text[start..].iter().take_while(is_part).count();
    scan.spend(end - start);
    let is_cut = scan.open && end == text.len() && end > start;
    if is_parameter && (end - start >= SIGNATURE_BYTES_MIN || is_cut) {
        scan.push(Span::new(start, end, Kind::Url));
    }
}

/// Where the secret of credentials begins; `None` if they have none.
fn secret(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let userinfo = &text[start..end];
    if tag::is_tag(userinfo) {
        return None;
    }
    let is_cut = end == text.len();
    let slash = memchr::memchr3(b'/', b'?', b'#', userinfo).unwrap_or(userinfo.len());
    let secret = match colon(userinfo) {
        Some(colon) if slash < colon => return None,
        Some(colon) => {
            let is_port = userinfo[colon + 1..slash].iter().all(u8::is_ascii_digit);
            if is_port && (slash < userinfo.len() || is_cut) {
                return None;
            }
            start + colon + if userinfo[colon] == b':' { 1 } else { b"%3A".len() }
        }
        None if slash < userinfo.len() || userinfo.len() < TOKEN_BYTES_MIN => return None,
        None if !userinfo.iter().any(u8::is_ascii_digit) || is_cut => return None,
        None => start,
    };
    let value = &text[secret..end];
    let is_name = value.starts_with(b"$")
        || value.starts_with(b"{")
        || value.iter().all(|byte| *byte == b'*');
    (!value.is_empty() && !is_name && !tag::is_tag(value)).then_some(secret)
}

//! Passwords among the arguments of commands that scripts show: `curl -u user:password`, `sshpass -p`.

use super::kind::Kind;
use super::scan::{Scan, Span};
use super::tag;

/// How far behind `curl` its arguments are looked at, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 4096;

/// Options of curl behind which a user and a password stand.
const USER_OPTIONS: [&[u8]; 4] = [b" -u", b" --user", b" -U", b" --proxy-user"];

/// The passwords among the arguments from `start` on.
pub(super) fn find_curl(scan: &mut Scan<'_>, start: usize) {
    let text = scan.text;
    let limit = text.len().min(start + ARGUMENTS_BYTES_MAX);
    // The space before the first argument is the end of the literal.
    for at in memchr::memmem::find_iter(&text[start - 1..limit], b" -").map(|at| start - 1 + at) {
        let option = USER_OPTIONS.iter().find(|option| text[at..].starts_with(option));
        let Some(option) = option else { continue };
        let from = at + option.len();
        let is_short = option.len() == 3;
        let is_option = is_short || matches!(text.get(from), None | Some(b' ' | b'='));
        if !is_option {
            continue;
        }
        let (value, end) = argument(text, from);
        if !scan.spend(end - at) {
            return;
        }
        let is_cut = scan.open && end == text.len();
        match memchr::memchr(b':', &text[value..end]) {
            Some(colon) => push(scan, value + colon + 1, end),
            None if is_cut => push(scan, value, end),
            None => {}
        }
    }
}

/// The password that stands from `start` on.
pub(super) fn find_sshpass(scan: &mut Scan<'_>, start: usize) {
    let (value, end) = argument(scan.text, start);
    scan.spend(end - start);
    push(scan, value, end);
}

/// Where the argument of an option starts and ends, without the quotes around it.
fn argument(text: &[u8], from: usize) -> (usize, usize) {
    let is_before = |byte: &&u8| matches!(byte, b' ' | b'=' | b'\\' | b'"' | b'\'');
    let skipped = text[from..].iter().take(8).take_while(is_before).count();
    let start = from + skipped;
    let quote = start.checked_sub(1).map(|at| text[at]).filter(|byte| matches!(byte, b'"' | b'\''));
    let is_end = |byte: &u8| match quote {
        Some(quote) => *byte == quote || *byte == b'\\',
        None => byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\' | b'`'),
    };
    (start, text[start..].iter().position(is_end).map_or(text.len(), |at| start + at))
}

fn push(scan: &mut Scan<'_>, start: usize, end: usize) {
    let value = &scan.text[start..end];
    let is_reference =
        value.starts_with(b"$") || value.starts_with(b"{") || value.starts_with(b"<");
    let is_hidden = value.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.'));
    if !value.is_empty() && !is_reference && !is_hidden && !tag::is_tag(value) {
        scan.push(Span::new(start, end, Kind::Pair));
    }
}
